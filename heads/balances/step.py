"""What a balance is made for, what it may do, and one step of training as it sees it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import numpy as np
from dualstream.heads.data.batch import Logits
from numpy.typing import NDArray

if TYPE_CHECKING:
    from dualstream.heads.fusion.network import Network
    from dualstream.heads.training.losses import TaskLoss
    from dualstream.heads.training.tensors import TensorSet
    from dualstream.heads.training.watched import Watched
    from dualstream.heads.training.weights import Dropout, Weights
    from dualstream.heads.variants.options import FitOptions, Task
    from torch import Tensor


class Training(Protocol):
    """What all seeds share in training, as far as a balance may look at it."""

    tensors: TensorSet
    losses: dict[Task, TaskLoss]
    options: FitOptions
    watched: Watched | None
    """Where the balance holds part of train out."""


@dataclass(repr=False)
class Step:
    """A batch on its way; what is asked twice is computed once."""

    data: Training
    network: Network
    weights: Weights
    dropout: Dropout
    index: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    """Utterances of the batch, shape (B,)."""
    _told: dict[frozenset[str], Logits] = field(default_factory=dict)

    @property
    def streams(self) -> tuple[str, ...]:
        """Streams that the network joins."""
        return tuple(self.data.tensors.widths)

    def told(self, known: Collection[str]) -> Logits:
        """Return the logits (S, B, C) where only these streams are there, with the noise of training."""
        key = frozenset(known)
        if key not in self._told:
            batch = self.data.tensors.told(self.index, key)
            self._told[key] = self.network.decide(self.network.represent(batch, self.dropout), batch)
        return self._told[key]

    def mass(self, task: Task, stream: str | None = None) -> Tensor:
        """Return the labels' mass (B, C); of a stream: nothing for utterances that lack it."""
        import torch

        at = torch.from_numpy(self.index)
        mass = self.data.losses[task].mass.index_select(0, at)
        if stream is None:
            return mass
        return mass * self.data.tensors.present[stream].index_select(0, at).unsqueeze(1)

    def alone(self, stream: str) -> dict[Task, Tensor]:
        """Return the losses of one stream by itself, one value a seed, over the utterances that have it."""
        logits = self.told((stream,))
        return {
            task: one.loss(getattr(logits, task), self.mass(task, stream))
            for task, one in self.data.losses.items()
        }

    def rows(self, stream: str) -> Iterator[tuple[str, int, int]]:
        """Give the rows of the first layers that belong to a stream: array, first row, end row."""
        for name, start, stop, owner in self.weights.stream_rows:
            if owner == stream:
                yield name, start, stop


@dataclass(frozen=True, repr=False)
class Balancing:
    """What a balance is made for: one group of seeds."""

    data: Training
    weights: Weights
    seeds: Sequence[int]
    strength: float
    """How strongly it acts; what 1 means, each says."""
    prepared: object
    """What the entry's `prepare` gave; None without one."""


class StreamBalance:
    """What a balance may do in training; by itself it does nothing.

    Values of seeds are tensors (S, ...) of the seeds that still train, and are never mixed.
    """

    def losses(self, step: Step, joint: dict[Task, Tensor]) -> dict[Task, Tensor]:
        """Return what is minimised, one value a seed, from the joined head's losses."""
        return joint

    def before_step(self, step: Step) -> None:
        """Do what is done once gradients are there, before the optimiser moves the weights."""

    def after_step(self, step: Step) -> None:
        """Do what is done after the optimiser moved the weights."""

    def epoch(self, epoch: int, step: Step) -> None:
        """Do what is done before an epoch; ``step`` has no batch yet."""

    def keep(self, rows: Sequence[int]) -> None:
        """Go on with these seeds only."""
