"""What a step is trained for: the loss of utterances, each by the mean of its samples, and of samples one by one.

Most samples of an utterance do not show its emotion. A head that is trained on single samples answers with the
classes' shares for those, and the mean over an utterance then dilutes what the telling samples say, but not the
shares: it leans to the commonest class. A head that is trained on utterances weighs both as they should be. But
training on utterances alone starts slowly, with a few labels a step. So utterances have the head that answers;
single samples have one of their own, which helps the encoder along and is thrown away.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from dualstream.heads.training.losses import TaskLoss, balanced_weights, make_loss
from dualstream.heads.training.weights import Weights
from dualstream.heads.variants.dual import DualHead
from dualstream.heads.variants.registry import TASKS, Task
from dualstream.pipeline.encoder_training.options import TrainOptions
from dualstream.pipeline.encoder_training.samples import Samples
from dualstream.pipeline.encoder_training.schedule import seed_of
from dualstream.pipeline.errors import UsageError
from numpy.typing import NDArray
from torch import Tensor

HEAD = "head"
SAMPLE_HEAD = "head_of_samples"  # heads.training.task_balance knows by these letters that it is no shared array


@dataclass(frozen=True, repr=False)
class SampleLabels:
    """Class codes of all utterances that have samples, -1 where unlabelled, and which split each is of."""

    emotion: NDArray[np.int64]
    sentiment: NDArray[np.int64]
    classes: dict[Task, int]
    train: NDArray[np.bool_]
    dev: NDArray[np.bool_]

    def of(self, task: Task) -> NDArray[np.int64]:
        """Return the codes of a task, shape (N,)."""
        return self.emotion if task == "emotion" else self.sentiment


@dataclass(frozen=True, repr=False)
class TrainingStep:
    """What one step is trained on: whole utterances, one after the other."""

    rows: NDArray[np.int64]
    """Samples, shape (B,)."""
    turn: NDArray[np.int64]
    """Which of the step's utterances each sample is of, 0, 0, 1 ..., shape (B,)."""
    places: NDArray[np.int64]
    """The utterances' places among those of train, shape (U,)."""


class Objective:
    """Heads and losses over the samples of the train split.

    Attributes
    ----------
    rows
        Samples of train, rising, shape (R,).
    owners
        Utterances of train that have samples, rising, shape (U,).
    tasks
        Those that train has labels for.
    chances
        Of each of `owners` to be drawn, with replacement, shape (U,); None: each comes once an epoch. With
        `resample` classes of the first task come equally often.
    head, sample_head
        Of utterances, which answers; of single samples, or None where they bear nothing.
    """

    def __init__(
        self, weights: Weights, width: int, samples: Samples, labels: SampleLabels, options: TrainOptions
    ) -> None:
        self.options = options
        self.rows = np.flatnonzero(labels.train[samples.utterance])
        of_rows = samples.utterance[self.rows]
        self.owners, first = np.unique(of_rows, return_index=True)
        self._members = np.split(self.rows, first[1:]) if len(first) else []
        self.tasks = [task for task in TASKS if (labels.of(task)[of_rows] >= 0).any()]
        if not self.tasks:
            raise UsageError(
                "no utterance of the train split has both a label and a sample; nothing can be learned"
            )
        self.chances: NDArray[np.float64] | None = None
        often = None
        if options.resample:
            self.chances = balanced_weights(labels.of(self.tasks[0])[self.owners])
            often = self.chances * len(self.owners)  # times that an utterance comes in an epoch, on average
        emotions, sentiments = (labels.classes[task] if task in self.tasks else 0 for task in TASKS)
        self.head = DualHead(weights, width, emotions, sentiments, name=HEAD)
        self._losses = self._tables(labels, self.owners, often)
        self.sample_head: DualHead | None = None
        if options.sample_weight > 0:
            self.sample_head = DualHead(weights, width, emotions, sentiments, name=SAMPLE_HEAD)
            of_samples = None if often is None else often[np.searchsorted(self.owners, of_rows)]
            self._sample_losses = self._tables(labels, of_rows, of_samples)

    def losses(self, embedding: Tensor, step: TrainingStep) -> dict[Task, Tensor]:
        """Return each task's loss, shape (1,), from the embeddings (B, width) of a step's samples."""
        count = np.bincount(step.turn)
        mean = (step.turn == np.arange(len(count))[:, None]) / count[:, None]  # (U, B)
        whole = torch.from_numpy(mean.astype(np.float32)) @ embedding  # (U, width)
        found = _by_task(self.head, self._losses, whole, step.places)
        if self.sample_head is None:
            return found
        alone = _by_task(self.sample_head, self._sample_losses, embedding, np.searchsorted(self.rows, step.rows))
        share = self.options.sample_weight
        return {task: (1 - share) * found[task] + share * alone[task] for task in self.tasks}

    def steps(self, epoch: int) -> list[TrainingStep]:
        """Deal train's utterances into an epoch's steps of about as many samples each.

        An utterance of more samples than half a step brings as many as that, drawn anew each epoch.
        """
        random = np.random.default_rng(seed_of(self.options.seed, "order", epoch, 0))
        size, count = self.options.batch_size, len(self.owners)
        order = (
            random.permutation(count) if self.chances is None else random.choice(count, size=count, p=self.chances)
        )
        most = max(1, size // 2)
        kept = [
            rows if len(rows) <= most else np.sort(random.choice(rows, size=most, replace=False))
            for rows in (self._members[place] for place in order)
        ]
        before = np.cumsum([0, *(len(rows) for rows in kept)])
        wanted = math.ceil(before[-1] / size)
        number = before[:-1] * wanted // before[-1]  # which step each utterance goes into
        groups = [np.flatnonzero(number == k) for k in np.unique(number)]
        return [_step(order[group], [kept[i] for i in group]) for group in groups]

    def _tables(
        self, labels: SampleLabels, owners: NDArray[np.int64], often: NDArray[np.float64] | None
    ) -> dict[Task, TaskLoss]:
        name = self.options.loss
        return {
            task: make_loss(name, labels.of(task)[owners], labels.classes[task], frequency=often)
            for task in self.tasks
        }


def _step(places: NDArray[np.int64], members: Sequence[NDArray[np.int64]]) -> TrainingStep:
    turn = np.repeat(np.arange(len(members)), [len(rows) for rows in members])
    return TrainingStep(np.concatenate(members), turn, places)


def _by_task(
    head: DualHead, losses: dict[Task, TaskLoss], embedding: Tensor, places: NDArray[np.int64]
) -> dict[Task, Tensor]:
    logits, at = head(embedding[None]), torch.from_numpy(places)
    return {task: table.loss(getattr(logits, task), table.mass[at]) for task, table in losses.items()}
