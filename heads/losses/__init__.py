"""Losses by name: the registry. Each file here registers one or two, and so does any installed package's module.

    @register_loss("squared")
    def squared(labels: Labels) -> Loss: ...

Another package names its module under the entry points ``dualstream.losses``; see docs/extend_loss.md. What
registers imports torch inside its function, so that options can be checked without it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from dualstream.discovery import Registry

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

Loss = Callable[["Tensor", "Tensor"], "Tensor"]
"""Of logits (S, B, C) of S seeds and mass (B, C), the weight of each utterance in the column of its class and
nothing where it is unlabelled: the mass-weighted mean, one value a seed, shape (S,), in nats."""


@dataclass(frozen=True, repr=False)
class Labels:
    """What a loss is made for: one task's training labels and the options that it declares."""

    counts: NDArray[np.float64]
    """How often each class comes in an epoch, shape (C,); by draws where utterances are resampled."""
    log_share: NDArray[np.float32]
    """Natural logarithms of the classes' shares, shape (C,); an absent class counts as half an utterance."""
    options: dict[str, Any]
    """Values of the options that the loss declares."""


Make = Callable[[Labels], Loss]
F = TypeVar("F", bound=Make)


@dataclass(frozen=True)
class LossEntry:
    """A registered loss."""

    name: str
    make: Make
    options: tuple[str, ...]
    """Names of fields of `FitOptions` that shape it, and mean nothing to the others."""
    summary: str
    """First line of its docstring."""


REGISTRY: Registry[LossEntry] = Registry(
    "loss",
    package="dualstream.heads.losses",
    group="dualstream.losses",
    first=("cross_entropy", "weighted", "focal", "logit_adjusted", "balanced_softmax"),
)
OPTIONS = ("focal_gamma", "adjustment")
"""Fields of `FitOptions` that a loss may declare."""


def register_loss(name: str, *, options: tuple[str, ...] = ()) -> Callable[[F], F]:
    """Register a function from `Labels` to a `Loss`; a name given twice is an error."""
    unknown = set(options) - set(OPTIONS)
    if unknown:
        raise ValueError(f"loss {name!r} takes {sorted(unknown)}; expected options of {OPTIONS}")

    def add(make: F) -> F:
        summary = (make.__doc__ or "").strip().partition("\n")[0]
        REGISTRY.add(name, LossEntry(name, make, options, summary), make.__module__)
        return make

    return add


def names() -> tuple[str, ...]:
    """Return the names of all losses, ours first."""
    return tuple(REGISTRY.names())


def get(name: str) -> LossEntry:
    """Return the loss of that name.

    Raises
    ------
    ValueError
        Where there is none; it lists those that are.
    """
    return REGISTRY.get(name)
