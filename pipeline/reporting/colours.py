"""One colour for each class name, the same on every page and whatever the order of a bundle's classes."""

from __future__ import annotations

import zlib
from collections.abc import Iterable

COLOUR_OF = {
    **dict.fromkeys(("neutral",), "#2563a8"),
    **dict.fromkeys(("negative", "anger", "angry"), "#c53030"),
    **dict.fromkeys(("positive",), "#2f855a"),
    **dict.fromkeys(("joy", "happiness", "happy"), "#d97706"),
    **dict.fromkeys(("sadness", "sad"), "#6b46c1"),
    **dict.fromkeys(("fear", "fearful"), "#0f766e"),
    **dict.fromkeys(("surprise", "surprised"), "#d53f8c"),
    **dict.fromkeys(("disgust", "disgusted"), "#7c4a21"),
    **dict.fromkeys(("calm",), "#0891b2"),
    **dict.fromkeys(("boredom", "bored"), "#8a8a00"),
}
OTHERS = ("#4a5568", "#9d174d", "#3f6212", "#1e3a8a", "#b45309", "#86198f", "#155e75", "#57534e")


def colours(names: Iterable[str]) -> dict[str, str]:
    """Return the colour of each class; names that are not known here take one that hangs on their letters."""
    found: dict[str, str] = {}
    for name in sorted(names):
        known = COLOUR_OF.get(name.strip().lower())
        first = zlib.crc32(name.encode()) % len(OTHERS)
        turned = [*OTHERS[first:], *OTHERS[:first]]
        found[name] = known or next((one for one in turned if one not in found.values()), turned[0])
    return found
