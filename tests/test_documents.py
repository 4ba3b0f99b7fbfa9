"""Documents: keys and values as they stand in files, and what is read back of this version and of others."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Literal

import numpy as np
import pytest
from numpy.typing import NDArray

from dualstream.documents import Document, plain


@dataclass(frozen=True)
class Part(Document):
    name: str
    values: tuple[float, ...]
    pair: tuple[int, str] = (0, "")


@dataclass(frozen=True)
class Whole(Document):
    FORMAT: ClassVar[str] = "a whole"
    VERSION: ClassVar[int] = 3

    first: Part
    by_task: dict[Literal["emotion", "sentiment"], Part]
    grid: NDArray[np.float64]
    chance: Annotated[float, "0 to 1"]
    late: Part | None = None
    flags: dict[str, bool] = field(default_factory=dict)


PART = {"name": "a", "values": [1.5, None], "pair": [2, "b"]}
WHOLE = {
    "first": PART,
    "by_task": {"emotion": PART},
    "grid": [[1.0, 2.0], [3.0, 4.0]],
    "chance": 0.25,
    "late": None,
    "flags": {"done": True},
}


def test_what_is_written_is_what_was_read() -> None:
    whole = Whole.from_json(json.loads(json.dumps(WHOLE)))
    assert whole.first.name == "a" and whole.first.values[0] == 1.5 and math.isnan(whole.first.values[1])
    assert whole.by_task["emotion"].pair == (2, "b")
    np.testing.assert_array_equal(whole.grid, [[1, 2], [3, 4]])
    assert json.dumps(whole.to_json()) == json.dumps(WHOLE)
    assert list(whole.stamped().items())[:2] == [("format", "a whole"), ("version", 3)]
    assert whole["format"] == "a whole" and whole["first"]["pair"] == [2, "b"]
    assert list(whole) == ["format", "version", *WHOLE] and "late" in whole and "later" not in whole


def test_other_versions_are_read() -> None:
    """Keys of tomorrow are ignored, and what yesterday lacked takes its default."""
    found = Whole.from_json({key: WHOLE[key] for key in ("first", "by_task", "grid", "chance")} | {"new": 1})
    assert found.late is None and found.flags == {}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"first": {"name": "a"}}, "Part lacks 'values'"),
        ({"first": []}, r"Part: found list \[\]; expected an object"),
        ({"first": PART | {"name": 3}}, r"Part\.name: found int 3; expected str"),
        ({"first": PART | {"values": "12"}}, r"Part\.values: found str '12'; expected an array"),
        ({"first": PART | {"values": [True]}}, r"Part\.values\[0\]: found bool True; expected float"),
        ({"first": PART | {"pair": [1]}}, r"Part\.pair: found 1 values; expected 2"),
        ({"by_task": [PART]}, r"Whole\.by_task: found list .*; expected an object"),
        ({"flags": {"done": 1}}, r"Whole\.flags\.done: found int 1; expected bool"),
    ],
)
def test_what_does_not_fit_is_named(change: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Whole.from_json(WHOLE | change)


def test_plain_values() -> None:
    values = {1: np.float32(0.5), "b": (np.arange(2), math.inf), "c": np.array([np.nan]), "d": Part("x", ())}
    assert plain(values) == {
        "1": 0.5, "b": [[0, 1], None], "c": [None], "d": {"name": "x", "values": [], "pair": [0, ""]},
    }  # fmt: skip
