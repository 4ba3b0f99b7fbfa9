"""Utterances whose losses a balance follows, by the streams that the network is told of."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from dualstream.heads.training.losses import TaskLoss
from dualstream.heads.training.plan import Order
from dualstream.heads.training.weights import EVAL
from torch import Tensor

if TYPE_CHECKING:
    from dualstream.heads.fusion.network import Network
    from dualstream.heads.training.tensors import TensorSet
    from dualstream.heads.variants.options import Task

ROWS = 1_024


@dataclass(frozen=True, repr=False)
class WatchedPart:
    """Some utterances and their labels."""

    tensors: TensorSet
    mass: Mapping[Task, Tensor]
    """Labels of all utterances of `tensors`, shape (N, C)."""
    losses: Mapping[Task, TaskLoss]
    """As in training; their own mass is not looked at."""
    most: int
    """So many utterances are enough: every so-many-th."""

    def mean_losses(self, network: Network, known: Collection[str]) -> list[Tensor]:
        """Return the mean loss of each task where the network is told of some streams, shape (S,) each."""
        step = max(1, self.tensors.count // self.most)
        found: dict[Task, Tensor | float] = dict.fromkeys(self.losses, 0.0)
        weight = dict.fromkeys(self.losses, 0.0)
        for index in Order(self.tensors, ROWS).in_turn():
            index = index if self.tensors.whole_dialogues else index[index % step == 0]
            if not len(index):
                continue
            batch = self.tensors.told(index, known)
            logits = network.decide(network.represent(batch, EVAL), batch)
            for task, one in self.losses.items():
                mass = self.mass[task].index_select(0, torch.from_numpy(index))
                share = float(mass.sum())
                found[task] = found[task] + share * one.loss(getattr(logits, task), mass)
                weight[task] += share
        return [torch.as_tensor(found[task]) / max(weight[task], 1e-12) for task in self.losses]


@dataclass(frozen=True, repr=False)
class Watched:
    """What Gradient-Blending looks at."""

    seen: WatchedPart
    """Utterances that are trained on."""
    held_out: WatchedPart
    """Utterances of train that are not."""
