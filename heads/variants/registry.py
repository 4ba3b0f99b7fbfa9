"""What a fusion variant is: the registry, how one is fitted, and what a fitted one can do.

Nothing here imports torch: the linear variants run without it. A variant's family is imported when
it is used.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from dualstream.heads.cores import one_core
from dualstream.heads.data.batch import FeatureSet
from dualstream.heads.variants.options import TASKS as TASKS
from dualstream.heads.variants.options import FitOptions as FitOptions
from dualstream.heads.variants.options import Task as Task
from numpy.typing import NDArray

TRAINED_ALONE = (
    *("epochs", "batch_size", "learning_rate", "weight_decay", "hidden", "dropout", "modality_dropout"),
    *("patience", "watch", "task_balance", "sentiment_weight", "max_windows", "threads"),
)
"""Options that mean nothing to a variant that is solved."""
FAMILIES = (
    "dualstream.heads.fusion.pooled",
    "dualstream.heads.fusion.sequence",
    "dualstream.heads.fusion.dialogue",
    "dualstream.heads.linear",
    "dualstream.heads.search.auto",
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
    any_stream: bool = False
    """Whether it makes do with one of its streams where the corpus lacks the other."""
    needs_windows: bool = False
    needs_dialogues: bool = False
    parameters: dict[str, Any] = field(default_factory=dict)
    """Settings of its own with their defaults, settable by FitOptions.parameters."""
    refuse: Callable[[str, FitOptions], None] | None = None
    """Raises ValueError, called with the variant's name, where it has no use for what the options ask."""
    argument: Callable[[str], Variant] | None = None
    """Makes the variant that ``name:argument`` names; None where the variant takes no argument."""
    family: str = ""
    """The module that registers it. Those of FAMILIES are listed in their order, whichever was imported first."""

    def lacking(self, there: Collection[str]) -> tuple[str, ...]:
        """Return which of its streams it can't do without and are not `there`."""
        missing = tuple(stream for stream in self.streams if stream not in there)
        return () if self.any_stream and len(missing) < len(self.streams) else missing


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
    place = {family: i for i, family in enumerate(FAMILIES)}
    return sorted(_REGISTRY, key=lambda name: place.get(_REGISTRY[name].family, len(place)))


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
        raise ValueError(f"no fusion variant is called {name!r}; there are: {', '.join(names())}")
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

    BLAS and torch are held to one thread meanwhile (heads/cores.py), and set back as they were.

    Raises
    ------
    ValueError
        Where the variant is unknown, or the corpus lacks what it needs (windows, a stream, dialogues).
    """
    options = options or FitOptions()
    variant = get(name)
    check(name, train, options)
    train.require_finite(variant.streams)
    if dev is not None:
        dev.require_finite(variant.streams)
    with one_core():
        return variant.fit(name, train, dev, options, progress)


def check(name: str, features: FeatureSet, options: FitOptions) -> None:
    """Say before a fit that it can't work: settings, streams, windows.

    Raises
    ------
    ValueError
        Where the variant is unknown, has no such setting or takes other values, or the corpus lacks what it needs.
    """
    variant = get(name)
    unknown = set(options.parameters) - set(variant.parameters)
    if unknown:
        raise ValueError(
            f"{variant.name} has no parameter {sorted(unknown)}; it has: {sorted(variant.parameters) or 'none'}"
        )
    for key, value in options.parameters.items():
        _check_setting(variant, key, value)
    if variant.refuse is not None:
        variant.refuse(name, options)
    lacking = variant.lacking(features.streams)
    if lacking:
        there = " and ".join(sorted(features.streams)) or "no stream"
        raise ValueError(f"{name} reads the {lacking[0]} stream; this corpus has {there} alone")
    for stream in variant.streams:
        if variant.needs_windows and features.streams[stream].windows is None:
            raise ValueError(f"{name} needs windows; the {stream} stream has one row an utterance alone")


def solved(name: str) -> bool:
    """Return whether a variant is solved, by NumPy and SciPy, and not trained in epochs."""
    return "solver" in get(name).parameters


def unused(name: str, options: FitOptions) -> dict[str, str]:
    """Return which options are not as by default and yet mean nothing to a variant, and why."""
    variant, default = get(name), FitOptions()
    reasons: dict[str, str] = {}
    if len(options.tasks) < 2:
        reasons |= dict.fromkeys(("task_balance", "sentiment_weight"), "there is one task")
    elif options.task_balance != "fixed":
        reasons["sentiment_weight"] = f"the balance of the tasks is {options.task_balance}"
    if options.loss != "logit_adjusted":
        reasons["adjustment"] = f"the loss is {options.loss}"
    if options.loss != "focal":
        reasons["focal_gamma"] = f"the loss is {options.loss}"
    if options.patience == 0:
        reasons["watch"] = "with a patience of 0 dev is not looked at"
    if solved(name):
        reasons |= dict.fromkeys(TRAINED_ALONE, f"{name} is solved, not trained")
        reasons["seeds"] = f"{name} is solved: every seed is the same model"
    elif "candidates" not in variant.parameters:  # auto may fit either kind
        reasons["penalty"] = f"{name} is trained; weight_decay is its penalty"
        if not variant.needs_windows:
            reasons["max_windows"] = f"{name} reads no windows"
        if len(variant.streams) == 1:
            reasons["modality_dropout"] = f"{name} reads one stream"
    return {key: why for key, why in reasons.items() if getattr(options, key) != getattr(default, key)}


def restore(arrays: dict[str, NDArray[Any]], values: dict[str, Any]) -> Trained:
    """Make a fitted model from what its `state()` gave."""
    return get(values["variant"]).restore(arrays, values)


def _check_setting(variant: Variant, key: str, value: Any) -> None:
    """A setting has the type of its default; whole numbers are counts or widths, 1 or more."""
    default = variant.parameters[key]
    if default is None:
        return
    kinds: dict[type, tuple[str, bool]] = {
        bool: ("true or false", isinstance(value, bool)),
        int: ("a whole number, 1 or more", isinstance(value, int) and not isinstance(value, bool) and value >= 1),
        float: ("a number", isinstance(value, int | float) and not isinstance(value, bool)),
        str: ("a word", isinstance(value, str)),
    }
    expected, fits = kinds[type(default)]
    if not fits:
        raise ValueError(f"{variant.name} has {key}={value!r}; expected {expected}, such as {json.dumps(default)}")


def _load_families() -> None:
    for module in FAMILIES:
        importlib.import_module(module)
