"""Whom the faces look like, as datasets of a shard: the optional group ``streams/NAME/people``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

import numpy as np
from dualstream.features.faces.people import People, Rivals, stacked, taken
from dualstream.pipeline.storage.schema import Field
from numpy.typing import NDArray

RIVALS = {"window": "<i4", "track": "<i4", "box": "<f4", "time_s": "<f8", "rows": "<f4"}
WIDE = ("looks", "box", "rows")  # datasets of two dimensions
TYPES = {
    "track": "<i4",
    "looks": "<f4",
    "offsets": "<i8",
    **{f"rivals/{name}": dtype for name, dtype in RIVALS.items()},
    "rivals/offsets": "<i8",
}
PEOPLE_FIELDS = {
    f"streams/*/people/{name}": Field(dtype, 2 if name.rpartition("/")[2] in WIDE else 1, required=False)
    for name, dtype in TYPES.items()
}


def people_arrays(people: People) -> dict[str, NDArray[Any]]:
    """Return the arrays of one clip's people, by name."""
    found = {"track": people.track, "looks": people.looks}
    found |= {f"rivals/{one.name}": getattr(people.rivals, one.name) for one in fields(Rivals)}
    return {name: np.ascontiguousarray(array, TYPES[name]) for name, array in found.items()}


def people_values(clips: Sequence[People]) -> dict[str, NDArray[Any]]:
    """Return the datasets of a shard's clips, by path below the stream."""
    arrays = [people_arrays(one) for one in clips]
    values = {}
    for name in arrays[0]:
        parts = [one[name] for one in arrays]
        wide = name in ("looks", "rivals/rows")  # of any width where a clip has none
        values[f"people/{name}"] = stacked(parts) if wide else np.concatenate(parts)
    values["people/offsets"] = _offsets([len(one.track) for one in clips])
    values["people/rivals/offsets"] = _offsets([len(one.rivals) for one in clips])
    return values


def people_of(values: Mapping[str, Any], at: str, index: int, windows: int) -> People | None:
    """Return the people of one clip of a shard; None where the stream at `at` holds none.

    Raises
    ------
    ValueError
        Where the datasets contradict one another.
    """
    if f"{at}/people/track" not in values:
        return None
    if absent := [name for name in TYPES if f"{at}/people/{name}" not in values]:
        raise ValueError(f"{at}/people lacks {', '.join(absent)}")
    span, of_rivals = (_span(values[f"{at}/people/{name}"], index) for name in ("offsets", "rivals/offsets"))
    rivals = Rivals(**{name: values[f"{at}/people/rivals/{name}"] for name in RIVALS})
    people = People(
        values[f"{at}/people/track"][span], values[f"{at}/people/looks"][span], taken(rivals, of_rivals)
    )
    people.check(windows)
    return people


def _offsets(counts: Sequence[int]) -> NDArray[np.int64]:
    return np.concatenate(([0], np.cumsum(counts))).astype("<i8")


def _span(offsets: NDArray[np.int64], index: int) -> slice:
    return slice(int(offsets[index]), int(offsets[index + 1]))
