"""What a fusion variant is: the registry, how one is fitted, and what a fitted one can do.

Nothing here imports torch: the linear variants run without it. A variant's family is imported when
it is used.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from heads.batch import FeatureSet
from heads.options import TASKS as TASKS
from heads.options import FitOptions as FitOptions
from heads.options import Task as Task

FAMILIES = (
    "heads.fusion.pooled",
    "heads.fusion.sequence",
    "heads.fusion.dialogue",
    "heads.linear",
    "heads.auto",
)
"""Modules that register variants. Their import must be cheap: torch comes in when a variant is fitted."""


@dataclass(frozen=True, repr=False)
class Prediction:
    """Log-probabilities of N utterances; None for a task without a head."""

    emotion: NDArray[np.float64] | None
    """Shape (N, E), natural logarithms; rows of exp() sum to 1."""
    sentiment: NDArray[np.float64] | None
    """Shape (N, S)."""

    def task(self, task: Task) -> NDArray[np.float64] | None:
        """Return the log-probabilities of one task."""
        return self.emotion if task == "emotion" else self.sentiment

    def __repr__(self) -> str:
        shapes = {t: None if self.task(t) is None else self.task(t).shape for t in TASKS}  # type: ignore[union-attr]
        return f"Prediction({shapes})"


@dataclass(frozen=True)
class History:
    """What happened in training, one value an epoch; empty for variants that are solved, not trained."""

    columns: dict[str, list[float]] = field(default_factory=dict)
    """``train_loss``, ``dev_loss``, ``dev_score``, ``task_cosine`` (of the two tasks' gradients on the
    shared representation), ``gradient_share_video`` and whatever else a variant records."""
    best_epoch: int | None = None
    stopped: str = ""
    """Why it ended: ``epochs``, ``patience``, ``perfect score`` (nothing left to wait for), ``interrupted`` or
    ``converged``."""


class Trained(Protocol):
    """A fitted model of one seed."""

    variant: str
    seed: int
    history: History

    def predict(self, features: FeatureSet) -> Prediction:
        """Return log-probabilities for every utterance of `features`, whatever streams it lacks."""
        ...

    def state(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """Return (arrays, JSON values) from which `restore` makes the same model again."""
        ...


Progress = Callable[[dict[str, Any]], None]
"""Called now and then with {"variant", "epoch", "epochs", "train_loss", "dev_score"}; it may raise
KeyboardInterrupt, upon which the best so far is kept."""


class Fit(Protocol):
    """Fit all seeds of a variant."""

    def __call__(
        self,
        name: str,
        train: FeatureSet,
        dev: FeatureSet | None,
        options: FitOptions,
        progress: Progress | None,
    ) -> Sequence[Trained]: ...


class Restore(Protocol):
    """Make a fitted model from its state."""

    def __call__(self, arrays: dict[str, NDArray[Any]], values: dict[str, Any]) -> Trained: ...


@dataclass(frozen=True)
class Variant:
    """One registered way from a Batch to Logits."""

    name: str
    summary: str
    """One line for help texts and tables."""
    streams: tuple[str, ...]
    """Streams it reads: ``("video",)``, ``("audio",)`` or both."""
    fit: Fit
    restore: Restore
    paper: str = ""
    """Name and link of the paper, where there is one."""
    needs_windows: bool = False
    needs_dialogues: bool = False
    parameters: dict[str, Any] = field(default_factory=dict)
    """Settings of its own with their defaults, settable by FitOptions.parameters."""
    argument: Callable[[str], Variant] | None = None
    """Makes the variant that ``name:argument`` names; None where the variant takes no argument."""


_REGISTRY: dict[str, Variant] = {}


def register(variant: Variant) -> Variant:
    """Put a variant into the registry; a name given twice is an error."""
    if variant.name in _REGISTRY:
        raise ValueError(f"variant {variant.name!r} is registered twice")
    _REGISTRY[variant.name] = variant
    return variant


def names() -> list[str]:
    """Return the names of all variants, in the order in which tables show them."""
    _load_families()
    return list(_REGISTRY)


def get(name: str) -> Variant:
    """Return a variant; ``dialogue:concat_norm`` names a variant with an argument.

    Raises
    ------
    ValueError
        Where there is no such variant; the message lists those that are.
    """
    _load_families()
    base, _, argument = name.partition(":")
    variant = _REGISTRY.get(base)
    if variant is None:
        raise ValueError(f"no fusion variant is called {name!r}; there are: {', '.join(_REGISTRY)}")
    if not argument:
        return variant
    if variant.argument is None:
        raise ValueError(f"{base} takes no argument; {name!r} was given")
    return variant.argument(argument)


def fit(
    name: str,
    train: FeatureSet,
    dev: FeatureSet | None = None,
    *,
    options: FitOptions | None = None,
    progress: Progress | None = None,
) -> Sequence[Trained]:
    """Fit a variant on `train`, one model a seed; `dev` is looked at for early stopping alone.

    Raises
    ------
    ValueError
        Where the variant is unknown, or the corpus lacks what it needs (windows, a stream, dialogues).
    """
    options = options or FitOptions()
    variant = get(name)
    unknown = set(options.parameters) - set(variant.parameters)
    if unknown:
        raise ValueError(
            f"{variant.name} has no parameter {sorted(unknown)}; it has: {sorted(variant.parameters) or 'none'}"
        )
    for stream in variant.streams:
        if stream not in train.streams:
            raise ValueError(f"{name} reads the {stream} stream; this corpus has {sorted(train.streams)}")
        if variant.needs_windows and train.streams[stream].windows is None:
            raise ValueError(f"{name} needs windows; the {stream} stream has one row an utterance alone")
    train.require_finite(variant.streams)
    if dev is not None:
        dev.require_finite(variant.streams)
    return variant.fit(name, train, dev, options, progress)


def restore(arrays: dict[str, NDArray[Any]], values: dict[str, Any]) -> Trained:
    """Make a fitted model from what its `state()` gave."""
    return get(values["variant"]).restore(arrays, values)


def _load_families() -> None:
    for module in FAMILIES:
        importlib.import_module(module)
