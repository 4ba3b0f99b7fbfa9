"""Ways to keep one stream from starving the others in training, by name: the registry. Each file registers one.

    @register_balance("auxiliary")
    def auxiliary(task: Balancing) -> StreamBalance: ...

A joined network stops learning from a stream once another one explains the loss. A balance adds to the loss, or
changes the step, of the seeds that are trained side by side. Another package names its module under the entry
points ``dualstream.balances``. What registers imports torch inside its function, so that options can be checked
without it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from dualstream.discovery import Registry

NONE = "none"


Make = Callable[[Any], Any]
"""From a `heads.balances.step.Balancing` to a `heads.balances.step.StreamBalance`."""
Prepare = Callable[[str, Any, Any, Any], object]
"""Of the variant, train, dev and the options: what all seeds share, made before they are trained. Where part
of train is held out, train is the rest, row by row what `Training.tensors` holds."""
F = TypeVar("F", bound=Make)


@dataclass(frozen=True)
class BalanceEntry:
    """A registered balance."""

    name: str
    make: Make
    prepare: Prepare | None
    holds_out: bool
    """Whether it watches part of train that is not trained on, which `Training.watched` then holds."""
    summary: str
    """First line of its docstring."""


REGISTRY: Registry[BalanceEntry] = Registry(
    "stream balance",
    package="dualstream.heads.balances",
    group="dualstream.balances",
    first=("auxiliary", "blending", "ogm_ge", "umt", "agm", "mmpareto"),
)


def register_balance(name: str, *, prepare: Prepare | None = None, holds_out: bool = False) -> Callable[[F], F]:
    """Register a function from `Balancing` to a `StreamBalance`; a name given twice is an error."""
    if name == NONE:
        raise ValueError(f"{NONE!r} is what no balance is called; choose another name")

    def add(make: F) -> F:
        summary = (make.__doc__ or "").strip().partition("\n")[0]
        REGISTRY.add(name, BalanceEntry(name, make, prepare, holds_out, summary), make.__module__)
        return make

    return add


def names() -> tuple[str, ...]:
    """Return the names of all balances: none, ours, then the others."""
    return (NONE, *REGISTRY.names())


def get(name: str) -> BalanceEntry:
    """Return the balance of that name.

    Raises
    ------
    ValueError
        Where there is none; it lists those that are.
    """
    return REGISTRY.get(name)
