"""The balance ``umt``: each stream of the joined network learns from a network that had that stream only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from dualstream.heads.balances import NONE, register_balance
from dualstream.heads.balances.step import Balancing, StreamBalance

if TYPE_CHECKING:
    from dualstream.heads.balances.step import Step
    from dualstream.heads.data.batch import FeatureSet
    from dualstream.heads.variants.options import FitOptions, Task
    from torch import Tensor

Taught = Mapping[str, Mapping["Task", "Tensor"]]
"""By stream and task: log-probabilities of each seed's teacher for all of train, shape (S, N, C)."""


def teachers(name: str, train: FeatureSet, dev: FeatureSet | None, options: FitOptions) -> Taught:
    """Train the same network on each stream alone, the others hidden, and return what it says of train."""
    import numpy as np
    import torch
    from dualstream.heads.diagnosis.changes import without
    from dualstream.heads.training.fit import fit_network
    from dualstream.heads.variants import registry

    taught: dict[str, dict[Task, Tensor]] = {}
    streams = registry.get(name).reads(train.streams)
    for stream in streams:
        parts = [train, dev]
        for other in streams:
            if other != stream:
                parts = [None if part is None else without(part, other) for part in parts]
        only, only_dev = parts
        assert only is not None
        models = fit_network(name, only, only_dev, replace(options, balance=NONE, modality_dropout=0.0))
        said = [model.predict(only) for model in models]
        taught[stream] = {}
        for task in options.tasks:
            rows = [found for one in said if (found := one.task(task)) is not None]
            if rows:
                taught[stream][task] = torch.from_numpy(np.stack(rows)).float()
    return taught


@register_balance("umt", prepare=teachers)
def umt(task: Balancing) -> StreamBalance:
    """Each stream is taught by a network of its own (uni-modal teacher, Du et al. 2023, https://arxiv.org/abs/2305.01233).

    The teacher is the same network with the other streams hidden, trained first. Its answers are distilled into
    those of the joined network where that is told of the stream only, by Kullback-Leibler divergence with the
    weight `strength`: the paper distils features, whose widths differ between our variants. Fits take 1 +
    streams times as long.
    """
    return Umt(task)


class Umt(StreamBalance):
    """Joined loss + strength x sum over streams of KL(teacher of the stream, network told of the stream only)."""

    def __init__(self, task: Balancing) -> None:
        self.strength = task.strength
        whole: Taught = task.prepared  # type: ignore[assignment]
        at = [task.data.options.seeds.index(seed) for seed in task.seeds]
        self.taught = {
            stream: {key: rows[at] for key, rows in of_tasks.items()} for stream, of_tasks in whole.items()
        }

    def losses(self, step: Step, joint: dict[Task, Tensor]) -> dict[Task, Tensor]:
        """Add how far each stream's answers are from those of a network that was trained on it alone."""
        return {key: loss + self.strength * self._distance(step, key) for key, loss in joint.items()}

    def keep(self, rows: Sequence[int]) -> None:
        """Keep what was taught to some seeds."""
        at = list(rows)
        self.taught = {s: {key: logs[at] for key, logs in tasks.items()} for s, tasks in self.taught.items()}

    def _distance(self, step: Step, task: Task) -> Tensor:
        import torch

        at = torch.from_numpy(step.index)
        total = torch.zeros(())
        for stream in step.streams:
            there = step.data.tensors.present[stream].index_select(0, at).float()  # (B,)
            teacher = self.taught[stream][task].index_select(1, at)
            student = getattr(step.told((stream,)), task).log_softmax(-1)
            apart = (teacher.exp() * (teacher - student)).sum(-1) * there  # (S, B)
            total = total + apart.sum(1) / there.sum().clamp_min(1.0)
        return total
