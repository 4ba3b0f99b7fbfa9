"""``--layers``: how a head reads a stream that holds several layers of a network side by side.

``learned``, ``mean``, the number of a layer, or ``all``; for every such stream, or ``audio=learned,video=3`` for
each by its name. Plain text, which the command line checks without importing NumPy.
"""

from __future__ import annotations

from collections.abc import Mapping

LEARNED, MEAN, ALL = "learned", "mean", "all"
EVERY = ""  # stands for every stream that has layers
EXPECTED = f"expected {LEARNED}, {MEAN}, {ALL} or the number of a layer, for one stream such as audio=3"


def parse_layers(text: str | None) -> dict[str, str]:
    """Return what was asked for by stream, `EVERY` for those that are not named; empty where nothing was.

    Raises
    ------
    ValueError
        Where the text is neither of these.
    """
    asked: dict[str, str] = {}
    for part in [] if text is None else text.split(","):
        stream, named, how = (one.strip() for one in part.rpartition("="))
        if (named and not stream) or not (how in (LEARNED, MEAN, ALL) or how.isdigit()):
            raise ValueError(f"layers are {text!r}; {EXPECTED}")
        if stream in asked:
            raise ValueError(f"layers are {text!r}: {stream or 'every stream'} is given twice")
        asked[stream] = how
    return asked


def chosen_layers(text: str | None, layered: Mapping[str, tuple[int, ...]]) -> dict[str, str]:
    """Return how each stream with layers is read; `layered` has their numbers, by stream.

    Raises
    ------
    ValueError
        Where a stream that is named has no layers, none has any, or there is no layer of that number.
    """
    asked = parse_layers(text)
    there = "; ".join(f"{name} has {', '.join(map(str, numbers))}" for name, numbers in layered.items())
    for stream in asked:
        if stream not in layered and (stream != EVERY or not layered):
            what = (
                f"the {stream} stream has no layers" if stream != EVERY else "no stream of this corpus has layers"
            )
            raise ValueError(
                f"layers are {text!r}: {what}{f' ({there})' if there else ''}; extract it with hf:FOLDER@all and "
                "without a projection, or leave --layers out"
            )
    chosen = {name: asked.get(name, asked.get(EVERY, ALL)) for name in layered}
    for name, how in chosen.items():
        if how.isdigit() and int(how) not in layered[name]:
            raise ValueError(f"layers are {text!r}: the cache has no layer {how} of {name}; {there}")
    return chosen
