"""What a trained fusion variant is made of: a Network and its Settings.

Torch is not imported here: a network asks its `Weights` for layers and works on tensors by their own
methods, so that listing the variants costs nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from dualstream.heads.data.batch import PAIR, Batch, Logits, stream_order
from dualstream.heads.variants import registry
from dualstream.heads.variants.contract import Task
from dualstream.heads.variants.dual import DualHead
from dualstream.heads.variants.options import FitOptions, Parameters
from numpy.typing import NDArray

from dualstream.documents import JsonObject

if TYPE_CHECKING:
    import torch
    from dualstream.heads.training.weights import Dropout, Weights

Reads = Literal["utterance", "windows"]
Scale = Literal["raw", "standard", "normed"]


@dataclass(frozen=True)
class Settings:
    """All that a network's shape depends on; JSON values, stored with the weights."""

    variant: str
    """With its argument: ``dialogue:concat_norm``."""
    widths: dict[str, int]
    """Columns of the streams that the network reads, in the order in which it joins them."""
    emotions: int
    """Classes of the emotion head; 0 without one."""
    sentiments: int
    """Classes of the sentiment head; 0 without one."""
    hidden: int
    dropout: float
    max_windows: int
    parameters: Parameters = field(default_factory=dict)
    """The variant's own, defaults filled in."""
    streams: tuple[str, ...] = ()
    """The names in `widths` in order, which files don't keep; empty: as `widths` has them."""
    layers: dict[str, tuple[int, ...]] = field(default_factory=dict)
    """Numbers of the layers of each stream that has several, whose weights the network learns."""

    def __post_init__(self) -> None:
        order = tuple(self.streams) or stream_order(self.widths)
        object.__setattr__(self, "streams", order)
        object.__setattr__(self, "widths", {stream: self.widths[stream] for stream in order})

    @property
    def tasks(self) -> tuple[Task, ...]:
        """Tasks that have a head."""
        sized: tuple[tuple[Task, int], ...] = (("emotion", self.emotions), ("sentiment", self.sentiments))
        return tuple(task for task, classes in sized if classes)

    def to_json(self) -> JsonObject:
        """Return plain JSON values; ``streams`` where the names in order don't tell, ``layers`` if any."""
        values = asdict(self)
        if self.streams == stream_order(sorted(self.widths)):
            del values["streams"]
        if not self.layers:
            del values["layers"]
        return values


@dataclass(frozen=True, repr=False)
class Priors:
    """Log priors of one task's classes among training utterances: with all streams, with each, and with some.

    The last are the cases of `heads.evaluation.partial`.
    """

    shares: NDArray[np.float64]
    """Of the classes, as they are, shape (1 + streams + cases, C)."""
    answered: NDArray[np.float64]
    """That answers hold by the loss and the draws they were trained with, shape (1 + streams + cases, C)."""


class Network:
    """One variant: streams to a shared representation, and from there to logits.

    Tensors carry a leading seed axis from the first layer on: S models of the same shape are trained
    side by side on the same batches, (B, D) in, (S, B, hidden) out. Nothing is ever mixed along it.
    """

    reads: ClassVar[Reads] = "utterance"
    """Whole-utterance rows or windows: what of a stream the network needs."""
    scale: ClassVar[Scale] = "standard"
    """Columns as they are; centred and scaled by the train rows; or that, and each row layer-normed."""
    streams: ClassVar[tuple[str, ...]] = PAIR
    """What it reads. A network that joins any streams finds those that it was given in ``settings.streams``."""
    joins: ClassVar[bool] = False
    """Whether it reads all streams that a corpus has, two or more of any name; ``name:a+b`` then reads two."""
    wants_held_out: ClassVar[bool] = False
    """True where `finish` needs utterances that training did not see."""
    parameters: ClassVar[Parameters] = {}
    """Settings of its own, with their defaults."""
    whole_dialogues: ClassVar[bool] = False
    """True where batches must hold dialogues whole, in turn order."""
    has_representation: ClassVar[bool] = True
    """Whether both heads read what `represent` returns, so that context can be added to it (`dialogue`) and the
    tasks' gradients be compared on it."""

    def __init__(self, weights: Weights, settings: Settings) -> None:
        self.weights = weights
        self.settings = settings
        self.width = self.build(weights, settings)
        self.build_heads(weights, settings)
        unread = [stream for stream in settings.layers if f"layers.{stream}" not in weights.tensors]
        if unread:
            raise ValueError(
                f"{settings.variant} does not say which columns are of {unread[0]} (Weights.linear, streams=), "
                "so that no layer weights can be learned; take mean, all or the number of a layer"
            )

    def build_heads(self, weights: Weights, settings: Settings) -> None:
        """Make the heads; names of their layers start with ``head``."""
        self.head = DualHead(weights, self.width, settings.emotions, settings.sentiments)

    def build(self, weights: Weights, settings: Settings) -> int:
        """Make the layers; return the width of the representation."""
        raise NotImplementedError

    def represent(self, batch: Batch, dropout: Dropout) -> torch.Tensor:
        """Return the representation that both heads read, shape (S, B, width)."""
        raise NotImplementedError

    def decide(self, representation: torch.Tensor, batch: Batch) -> Logits:
        """Return logits from the representation; ``batch`` tells which streams were there."""
        return self.head(representation)

    def decide_training(self, representation: torch.Tensor, batch: Batch) -> list[Logits]:
        """Return the logits whose losses are added up in training; most have one."""
        return [self.decide(representation, batch)]

    @classmethod
    def over(cls, argument: str) -> type[Network]:
        """Return the class that ``name:argument`` names; most take no argument but the streams that they join."""
        raise ValueError(f"this variant takes no argument; {argument!r} was given")

    @classmethod
    def refuse(cls, name: str, streams: tuple[str, ...], options: FitOptions) -> None:
        """Raise ValueError where these streams are more than the network can join; most join any number."""

    def finish(
        self, batches: Sequence[tuple[Batch, dict[Task, NDArray[np.int64]]]], priors: dict[Task, Priors]
    ) -> None:
        """Fit what is solved after training, on held-out batches with their labels; most have nothing."""


def bound_to(made: type[Network], streams: tuple[str, ...]) -> type[Network]:
    """Return the same network for these streams only."""
    own = {"streams": streams, "joins": False, "__doc__": made.__doc__, "__module__": made.__module__}
    return type(f"{made.__name__}_{'_'.join(streams)}", (made,), own)


def resolve(name: str) -> type[Network]:
    """Return the class of a trained variant, argument included.

    Raises
    ------
    ValueError
        Where there is no such variant, or it has no network.
    """
    found: type[Network] | None = registry.get(name).network
    if found is None:
        raise ValueError(f"{name} is no network that is trained in epochs")
    return found
