"""Options checked against their annotations: ``Literal`` lists the choices, `annotated_types` bounds numbers.

A dataclass whose ``__post_init__`` calls `validate` states each range once; the command line reads it there too.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import types
from collections.abc import Iterator
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from annotated_types import Ge, Gt, Interval, Le, Lt


@dataclasses.dataclass(frozen=True)
class Bounds:
    """The numbers that a field may hold; None: no bound on that side. Infinity and NaN are never among them."""

    lower: float | None = None
    lower_open: bool = False
    """Whether `lower` itself is outside."""
    upper: float | None = None
    upper_open: bool = False

    @classmethod
    def of(cls, hint: Any) -> Bounds | None:
        """Return the bounds that an ``Annotated`` type states, or None where it states none."""
        found: dict[str, Any] = {}
        for one in _constraints(hint):
            if isinstance(one, Ge):
                found |= {"lower": one.ge, "lower_open": False}
            elif isinstance(one, Gt):
                found |= {"lower": one.gt, "lower_open": True}
            elif isinstance(one, Le):
                found |= {"upper": one.le, "upper_open": False}
            elif isinstance(one, Lt):
                found |= {"upper": one.lt, "upper_open": True}
        return cls(**found) if found else None

    def hold(self, value: float) -> bool:
        """Return whether a number is within the bounds."""
        above = self.lower is None or (value > self.lower if self.lower_open else value >= self.lower)
        below = self.upper is None or (value < self.upper if self.upper_open else value <= self.upper)
        return math.isfinite(value) and above and below

    def __str__(self) -> str:
        low = "" if self.lower is None else f"{self.lower:g}"
        high = "" if self.upper is None else f"{self.upper:g}"
        if not high:
            return f"a number above {low}" if self.lower_open else f"{low} or more"
        upper = f"below {high}" if self.upper_open else high
        if not low:
            return upper if self.upper_open else f"at most {high}"
        if self.lower_open:
            return f"above {low}, {upper if self.upper_open else f'at most {high}'}"
        return f"{low} to {upper}"


def validate(options: Any) -> None:
    """Check the fields of a dataclass against their annotations.

    Raises
    ------
    ValueError
        Names the field, what was found, and what was expected.
    """
    for name, (choices, bounds) in _rules(type(options)).items():  # type: ignore[arg-type]
        value = getattr(options, name)
        if value is None:
            continue
        if choices and value not in choices:
            raise ValueError(f"{name} is {value!r}; expected one of: {', '.join(map(str, choices))}")
        if bounds is not None and not bounds.hold(value):
            raise ValueError(f"{name} is {value}; expected {bounds}")


def choices_of(hint: Any) -> tuple[Any, ...]:
    """Return the values of a ``Literal``, however wrapped in ``Annotated`` and ``| None``; else nothing."""
    kind = get_origin(hint)
    if kind is Literal:
        return get_args(hint)
    if kind is Annotated or kind in (Union, types.UnionType):
        parts = get_args(hint)[:1] if kind is Annotated else get_args(hint)
        return next((found for part in parts if (found := choices_of(part))), ())
    return ()


@functools.cache
def _rules(cls: type) -> dict[str, tuple[tuple[Any, ...], Bounds | None]]:
    hints = get_type_hints(cls, include_extras=True)
    every = {
        one.name: (choices_of(hints[one.name]), Bounds.of(hints[one.name])) for one in dataclasses.fields(cls)
    }
    return {name: rule for name, rule in every.items() if rule != ((), None)}


def _constraints(hint: Any) -> Iterator[Any]:
    for one in getattr(hint, "__metadata__", ()):
        yield from one if isinstance(one, Interval) else (one,)
    if get_origin(hint) in (Union, types.UnionType):
        for part in get_args(hint):
            yield from _constraints(part)
