"""What a fusion variant is, how one is fitted, and what a fitted one can do.

Nothing here imports torch: the solved variants run without it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypedDict, runtime_checkable

import numpy as np
from dualstream.heads.data.batch import PAIR, FeatureSet, stream_order
from dualstream.heads.variants.options import TASKS as TASKS
from dualstream.heads.variants.options import FitOptions as FitOptions
from dualstream.heads.variants.options import Parameters as Parameters
from dualstream.heads.variants.options import Task as Task
from numpy.typing import NDArray

from dualstream.documents import JsonObject

if TYPE_CHECKING:
    import torch

Kind = Literal["trained", "solved", "search"]
KINDS: tuple[Kind, ...] = ("trained", "solved", "search")
"""In the order in which tables show them."""
STREAMS = PAIR
Arrays = dict[str, NDArray[Any]]
"""What a fitted model has learned, by name."""


@dataclass(frozen=True, repr=False)
class Prediction:
    """Log-probabilities of N utterances; None for a task without a head."""

    emotion: NDArray[np.float64] | None
    """Shape (N, E), natural logarithms; rows of exp() sum to 1."""
    sentiment: NDArray[np.float64] | None
    """Shape (N, S)."""
    pairs: NDArray[np.float64] | None = None
    """Of both together, shape (N, E, S), minus infinity for pairs that may not be answered; None where each head
    answers for itself (`heads.variants.joint`)."""
    sentiment_leads: NDArray[np.bool_] | None = None
    """Whose likeliest class is answered first, shape (N,), the other's follows; None with `pairs`."""

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
    """A fitted model of one seed.

    It may have `out_of_fold`, a `Prediction` of the training utterances by models that didn't see their group:
    a joint answer (`heads.variants.joint_fit`) then needs no fit of its own to be weighed by.
    """

    variant: str
    seed: int
    history: History

    def predict(self, features: FeatureSet) -> Prediction:
        """Return log-probabilities for every utterance of `features`, whatever streams it lacks."""
        ...

    def state(self) -> tuple[Arrays, JsonObject]:
        """Return (arrays, JSON values) from which `restore` makes the same model again."""
        ...


class SeedModule(Protocol):
    """A fitted model of one seed as a torch module: unscaled features to log-probabilities."""

    widths: dict[str, int]
    """Columns of each stream that is read, by name, in the order in which they are joined."""
    windowed: bool
    """Whether streams are windows, (B, T, D), and not one row per utterance, (B, D)."""
    over_dialogues: bool
    """Whether the utterances of a dialogue are read together."""
    max_windows: int
    tasks: tuple[Task, ...]

    def __call__(self, inputs: Mapping[str, torch.Tensor]) -> dict[Task, torch.Tensor]:
        """Return log-probabilities (B, C); `heads.export.HeadGraph` says what `inputs` holds."""
        ...


@runtime_checkable
class Exportable(Protocol):
    """A fitted model that can be written for other runtimes."""

    def to_module(self) -> SeedModule:
        """Return the model as a torch module."""
        ...


def module_of(model: Trained) -> SeedModule:
    """Return a fitted model as a torch module.

    Raises
    ------
    ValueError
        Where it is of a kind that has none.
    """
    if not isinstance(model, Exportable):
        raise ValueError(f"{model.variant} is a {type(model).__name__}, for which there is no graph")
    return model.to_module()


class ProgressEvent(TypedDict, total=False):
    """How far fitting is; which keys it has depends on what is being fitted."""

    variant: str
    epoch: int
    epochs: int
    train_loss: float | None
    dev_score: float | None
    fold: int
    """From 1 on."""
    folds: int
    done: int
    """Variants that are fitted, in `compare`."""
    of: int
    """Variants in all."""
    side_by_side: list[ProgressEvent]
    """The last event of each variant that is being fitted, where several are at the same time."""


Progress = Callable[[ProgressEvent], None]
"""Called now and then; it may raise KeyboardInterrupt, upon which the best so far is kept."""


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


class HeldOutFit(Protocol):
    """Answer every utterance of `features` by models that saw nothing of its fold, for less than a fit a fold.

    `fold` numbers the fold that holds each utterance out, shape (N,). What is put into `work` the other variants
    of the same search find there: same utterances, folds and options.
    """

    def __call__(
        self,
        name: str,
        features: FeatureSet,
        fold: NDArray[np.int64],
        options: FitOptions,
        progress: Progress | None,
        work: dict[Any, Any],
    ) -> Prediction: ...


class Restore(Protocol):
    """Make a fitted model from its state."""

    def __call__(self, arrays: Arrays, values: JsonObject) -> Trained: ...


@dataclass(frozen=True)
class Variant:
    """One registered way from a Batch to Logits."""

    name: str
    summary: str
    """One line for help texts and tables."""
    streams: tuple[str, ...]
    """Streams it reads. One that joins any: those that it joins where a corpus has fewer than two (`reads`)."""
    fit: Fit
    restore: Restore
    paper: str = ""
    """Name and link of the paper, where there is one."""
    kind: Kind = "trained"
    """``trained`` in epochs, by `heads.training.fit`; ``solved`` to convergence, every seed the same model; or a
    ``search`` among other variants, which fits one of them."""
    any_stream: bool = False
    """Whether it makes do with one stream where the corpus lacks the others."""
    joins: bool = False
    """Whether it reads all streams that a corpus has, two or more of any name."""
    needs_argument: bool = False
    """Whether it is a variant only with an argument, as ``single:NAME`` is; tables and help don't list it."""
    needs_windows: bool = False
    needs_dialogues: bool = False
    parameters: Parameters = field(default_factory=dict)
    """Settings of its own with their defaults, settable by FitOptions.parameters."""
    refuse: Callable[[str, FitOptions], None] | None = None
    """Raises ValueError, called with the variant's name, where it has no use for what the options ask."""
    refuse_streams: Callable[[str, tuple[str, ...], FitOptions], None] | None = None
    """Raises ValueError, called with the variant's name, where these streams are more than it can join."""
    argument: Callable[[str], Variant] | None = None
    """Makes the variant that ``name:argument`` names; None where the variant takes no argument."""
    held_out: HeldOutFit | None = None
    """How a search may have its held-out answers; None: by a fit a fold."""
    network: type[Any] | None = None
    """The `heads.fusion.network.Network` that `heads.training.fit` trains; None where it fits no network."""

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(
                f"variant {self.name!r} is of kind {self.kind!r}; expected one of: {', '.join(KINDS)}"
            )
        if not self.streams or len(set(self.streams)) < len(self.streams):
            raise ValueError(f"variant {self.name!r} reads {self.streams}; expected streams of different names")
        odd = [key for key, value in self.parameters.items() if not isinstance(value, str | int | float | None)]
        if odd:
            raise ValueError(f"variant {self.name!r}: the default of {odd[0]} is no number, word, true or false")

    def reads(self, there: Iterable[str]) -> tuple[str, ...]:
        """Return which streams it reads, in order, of a corpus that has `there`."""
        order = stream_order(there)
        enough = self.joins and len(order) >= (1 if self.any_stream else 2)
        return order if enough else self.streams

    def lacking(self, there: Collection[str]) -> tuple[str, ...]:
        """Return which of its streams it can't do without and are not `there`."""
        wanted = self.reads(there)
        missing = tuple(stream for stream in wanted if stream not in there)
        return () if self.any_stream and len(missing) < len(wanted) else missing
