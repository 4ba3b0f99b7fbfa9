"""Keyword options into option dataclasses."""

import inspect
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from annotated_types import Ge

from dualstream.keywords import assemble, require_known, takes


@dataclass(frozen=True)
class Inner:
    seeds: tuple[int, ...] = (7, 8)
    loss: str = "plain"


@dataclass(frozen=True)
class Outer:
    inner: Inner = field(default_factory=lambda: Inner(loss="focal"))
    place: Path | None = None
    files: Sequence[Path] = ()
    names: Sequence[str] | None = None
    folds: str | None = None
    rate: float = 0.5
    count: Annotated[int, Ge(1)] = 2
    kind: Literal["a", "b"] = "a"


@takes(Outer, without=("kind",))
def function(cache: str, *, rate: float = 1.0, **options: Any) -> Outer:
    require_known("function", options, (Outer,), without=("kind",))
    return assemble(Outer, options)


def test_what_is_not_given_is_as_the_dataclass_has_it():
    assert assemble(Outer, {}) == Outer()


def test_options_of_a_dataclass_within_are_options_too_and_keep_its_own_defaults():
    assert assemble(Outer, {"seeds": [3]}) == Outer(inner=Inner(seeds=(3,), loss="focal"))
    assert assemble(Outer, {"inner": Inner(seeds=(1,)), "loss": "x"}) == Outer(inner=Inner(seeds=(1,), loss="x"))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"place": "a/b"}, {"place": Path("a/b")}),
        ({"place": Path("a")}, {"place": Path("a")}),
        ({"place": None}, {"place": None}),
        ({"files": "a.bin"}, {"files": (Path("a.bin"),)}),
        ({"files": ["a", Path("b")]}, {"files": (Path("a"), Path("b"))}),
        ({"names": "cnn5"}, {"names": ("cnn5",)}),
        ({"names": ["x", "y"]}, {"names": ("x", "y")}),
        ({"folds": 4}, {"folds": "4"}),
        ({"rate": 3}, {"rate": 3}),
    ],
)
def test_values_as_python_has_them(given, expected):
    assert assemble(Outer, given) == Outer(**expected)


def test_a_range_is_a_tuple():
    assert assemble(Inner, {"seeds": range(3)}).seeds == (0, 1, 2)


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ({"seeds": 3}, TypeError, "seeds is 3; expected several values"),
        ({"count": 0}, ValueError, "count is 0; expected 1 or more"),
        ({"kind": "c"}, ValueError, "kind is 'c'; expected one of: a, b"),
    ],
)
def test_values_fail_by_name(given, error, words):
    with pytest.raises(error, match=words):
        assemble(Outer, given)


def test_the_signature_shows_every_option_with_its_default():
    shown = inspect.signature(function).parameters
    assert list(shown) == ["cache", "rate", "seeds", "loss", "place", "files", "names", "folds", "count"]
    assert shown["loss"].default == "focal" and shown["rate"].default == 1.0


def test_an_unknown_option_fails_and_names_its_neighbour():
    with pytest.raises(TypeError, match=r"function\(\) has no option 'seed'; did you mean seeds\?"):
        function("x", seed=3)
    with pytest.raises(TypeError, match="has no option 'kind'; it takes: count, files, folds"):
        function("x", kind="a")
