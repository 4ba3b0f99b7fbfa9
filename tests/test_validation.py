"""Ranges and choices that a dataclass states in its annotations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

import pytest
from annotated_types import Ge, Gt, Interval, Le, Lt
from dualstream.pipeline import errors
from dualstream.pipeline.errors import EXIT_STATUSES, DualstreamError, UsageError, require_valid, resumable

from dualstream.validation import Bounds, choices_of, validate

Fit = Literal["stretch", "crop"]


@dataclass(frozen=True)
class Toy:
    share: Annotated[float, Ge(0), Le(1)] = 0.5
    rate: Annotated[float, Gt(0)] = 1.0
    below: Annotated[float, Lt(1)] = 0.0
    size: Annotated[int | None, Interval(ge=1, lt=10)] = None
    fit: Fit = "stretch"
    other: Annotated[Fit | None, "a note"] = None
    either: Annotated[int, Ge(3)] | None = None
    free: float = 0.0


@pytest.mark.parametrize(
    "given",
    [{}, {"share": 0}, {"share": 1}, {"rate": 1e-9}, {"below": -1e9}, {"size": 1}, {"size": 9}, {"fit": "crop"},
     {"other": "crop"}, {"either": 3}, {"free": float("nan")}],
)  # fmt: skip
def test_what_is_inside(given: dict[str, Any]) -> None:
    validate(Toy(**given))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"share": 1.01}, "share is 1.01; expected 0 to 1"),
        ({"share": -0.01}, "share is -0.01; expected 0 to 1"),
        ({"share": float("nan")}, "share is nan; expected 0 to 1"),
        ({"rate": 0}, "rate is 0; expected a number above 0"),
        ({"rate": float("inf")}, "rate is inf; expected a number above 0"),
        ({"below": 1}, "below is 1; expected below 1"),
        ({"size": 10}, "size is 10; expected 1 to below 10"),
        ({"size": 0}, "size is 0; expected 1 to below 10"),
        ({"fit": "squash"}, "fit is 'squash'; expected one of: stretch, crop"),
        ({"other": "squash"}, "other is 'squash'; expected one of: stretch, crop"),
        ({"either": 2}, "either is 2; expected 3 or more"),
    ],
)
def test_what_is_outside(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        validate(Toy(**given))
    assert str(caught.value) == said


@pytest.mark.parametrize(
    ("hint", "words"),
    [
        (Annotated[float, Ge(1)], "1 or more"),
        (Annotated[float, Gt(0)], "a number above 0"),
        (Annotated[float, Le(2)], "at most 2"),
        (Annotated[float, Lt(2)], "below 2"),
        (Annotated[float, Gt(0), Le(1)], "above 0, at most 1"),
        (Annotated[float, Gt(0), Lt(1)], "above 0, below 1"),
        (Annotated[float, Ge(0), Lt(1)], "0 to below 1"),
        (Annotated[float, Ge(0.25), Le(0.5)], "0.25 to 0.5"),
    ],
)
def test_bounds_in_words(hint: Any, words: str) -> None:
    assert str(Bounds.of(hint)) == words


def test_a_type_without_bounds_or_choices() -> None:
    assert Bounds.of(float) is None and Bounds.of(Annotated[float, "a note"]) is None
    assert choices_of(float) == () and choices_of(int | None) == ()
    assert choices_of(Annotated[Fit | None, "x"]) == ("stretch", "crop")


def test_on_the_command_line_an_option_is_named_as_it_is_typed() -> None:
    @dataclass(frozen=True)
    class Options:
        batch_size: Annotated[int, Ge(1)] = 0

    with pytest.raises(UsageError, match=r"^--batch-size is 0; expected 1 or more$"):
        require_valid(Options())


def test_each_failure_has_a_status_of_its_own_that_help_lists() -> None:
    kinds = [one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, DualstreamError)]
    statuses = [one.exit_status for one in kinds]
    assert len(kinds) == 6 and len(set(statuses)) == 6 and set(statuses) <= EXIT_STATUSES.keys()
    assert (UsageError.exit_status, errors.NoCacheError.exit_status, errors.CorruptError.exit_status) == (
        2,
        10,
        13,
    )


def test_an_interrupt_says_that_what_was_committed_stands() -> None:
    with pytest.raises(KeyboardInterrupt) as caught, resumable():
        raise KeyboardInterrupt
    assert "goes on from there" in caught.value.__notes__[0]
    with pytest.raises(RuntimeError) as other, resumable():
        raise RuntimeError
    assert not hasattr(other.value, "__notes__")
