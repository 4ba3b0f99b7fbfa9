"""One colour for each class name, the same on every page and in every figure, whatever the order of the classes.

Each has two shades, for light and for dark pages, that stand out from the ground (3:1 or more) and from one
another, also for people who see no red, no green or no blue. A page's style sheet names them, so that what is
drawn in them is light or dark as the page is.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Ink:
    """A colour by its name in a page's style sheet."""

    name: str
    light: str
    """On white, and in files; ``#rrggbb``."""
    dark: str

    @property
    def css(self) -> str:
        """What stands in a page."""
        return f"var(--{self.name})"


INKS = tuple(
    Ink(f"of-{name}", light, dark)
    for name, light, dark in (
        ("neutral", "#726670", "#b2adb6"),
        ("joy", "#d47400", "#ffde34"),
        ("sadness", "#2c61e9", "#93a7ff"),
        ("anger", "#990004", "#cd3f00"),
        ("fear", "#800099", "#6f58e1"),
        ("surprise", "#f73fb1", "#c427a1"),
        ("disgust", "#117635", "#8eec71"),
        ("calm", "#009ab8", "#13f9ff"),
        ("boredom", "#543023", "#737146"),
        ("frustration", "#6e1043", "#a6556e"),
        ("excitement", "#b48357", "#eb9f7e"),
        ("contempt", "#759575", "#ccecb8"),
        ("positive", "#11a15a", "#58ff92"),
    )
)
"""Of the emotions that importers know, and of a positive sentiment; a negative one has anger's."""
OTHERS = tuple(
    Ink(f"other-{number}", light, dark)
    for number, (light, dark) in enumerate(
        (
            ("#4a5568", "#94a3b8"), ("#9d174d", "#f472b6"), ("#3f6212", "#a3e635"), ("#1e3a8a", "#60a5fa"),
            ("#b45309", "#fdba74"), ("#86198f", "#e879f9"), ("#155e75", "#67e8f9"), ("#57534e", "#d6d3d1"),
        ),
        start=1,
    )
)  # fmt: skip
"""Of all other names."""
_SAME = {
    "negative": "anger", "angry": "anger", "happiness": "joy", "happy": "joy", "sad": "sadness",
    "fearful": "fear", "surprised": "surprise", "disgusted": "disgust", "bored": "boredom",
    "frustrated": "frustration", "excited": "excitement",
}  # fmt: skip
_INK_OF = {ink.name.removeprefix("of-"): ink for ink in INKS}


def colours(names: Iterable[str]) -> dict[str, Ink]:
    """Return the colour of each class; names that are not known here take one that hangs on their letters."""
    found: dict[str, Ink] = {}
    for name in sorted(names):
        plain = name.strip().lower()
        known = _INK_OF.get(_SAME.get(plain, plain))
        first = zlib.crc32(name.encode()) % len(OTHERS)
        turned = [*OTHERS[first:], *OTHERS[:first]]
        found[name] = known or next((one for one in turned if one not in found.values()), turned[0])
    return found


def variables(*, dark: bool) -> str:
    """Return the declarations of all colours for a style sheet."""
    return "; ".join(f"--{ink.name}:{ink.dark if dark else ink.light}" for ink in (*INKS, *OTHERS))


def contrast(words: str, colour: str, share: float = 1.0, ground: str = "#ffffff") -> float:
    """Return the contrast of words with a colour laid over `ground` with an opacity, 1 to 21 (WCAG 2)."""
    over = [share * one + (1 - share) * other for one, other in zip(_rgb(colour), _rgb(ground), strict=True)]
    light, dark = sorted((_luminance(_rgb(words)), _luminance(over)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def _rgb(colour: str) -> list[float]:
    return [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]


def _luminance(rgb: Iterable[float]) -> float:
    red, green, blue = (one / 12.92 if one <= 0.04045 else ((one + 0.055) / 1.055) ** 2.4 for one in rgb)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
