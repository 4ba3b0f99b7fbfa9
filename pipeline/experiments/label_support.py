"""What training showed to the models that answer each utterance: how often each class and each pair occurred."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from dualstream.heads.variants.registry import TASKS, Task
from dualstream.pipeline.experiments.presence import label_counts
from dualstream.pipeline.experiments.protocol import Plan
from dualstream.pipeline.experiments.run_config import FittedOn
from dualstream.pipeline.experiments.training_data import Corpus
from numpy.typing import NDArray


@dataclass(frozen=True, repr=False)
class TrainingLabels:
    """What training showed: how often each class and each pair of classes occurred."""

    counts: dict[Task, NDArray[np.int64]]
    """Shape (C,) for each task."""
    pairs: NDArray[np.int64]
    """Shape (E, S)."""

    @classmethod
    def of(cls, corpus: Corpus, index: NDArray[np.int64]) -> TrainingLabels:
        """Count the labels of the utterances that `index` names."""
        features = corpus.features
        emotion, sentiment = features.emotion[index], features.sentiment[index]
        sizes = len(features.emotion_names), len(features.sentiment_names)
        pairs = np.zeros(sizes, dtype=np.int64)
        both = (emotion >= 0) & (sentiment >= 0)
        np.add.at(pairs, (emotion[both], sentiment[both]), 1)
        return cls(label_counts(features, index), pairs)

    @classmethod
    def of_run(cls, fitted: FittedOn) -> TrainingLabels:
        """Return what a run keeps of it."""
        counts: dict[Task, NDArray[np.int64]] = {
            task: np.array(fitted.counts[task], dtype=np.int64) for task in TASKS
        }
        sizes = len(counts["emotion"]), len(counts["sentiment"])  # either is 0 where a corpus has one task
        return cls(counts, np.array(fitted.pairs, dtype=np.int64).reshape(sizes))


@dataclass(frozen=True, repr=False)
class LabelSupport:
    """What was seen by the models that answer each of N scored utterances: with folds, all that the fold leaves.

    No pair may be answered because who is scored showed it.
    """

    parts: tuple[TrainingLabels, ...]
    part: NDArray[np.int64]
    """Which of `parts` belongs to each utterance, shape (N,)."""
    train: dict[Task, NDArray[np.int64]]
    """How many utterances of the training part have each class, with features or without: whose commonest class is
    the second majority line. With folds it is all that is assigned, for the commonest outside a fold of whole
    speakers is rarer inside, and a line below chance would flatter."""

    @classmethod
    def of(cls, plan: Plan) -> LabelSupport:
        """Return what a plan's models see; the rows are `plan.scored`."""
        if plan.by is None:
            return cls.throughout(
                TrainingLabels.of(plan.corpus, plan.fitted_on()), len(plan.scored), train=plan.training_counts()
            )
        everyone, part = plan.scored, np.empty(len(plan.scored), np.int64)
        parts = []
        for number, fold in enumerate(plan.parts):
            held = np.isin(everyone, fold.held_out)
            part[held] = number
            parts.append(TrainingLabels.of(plan.corpus, plan.corpus.train(everyone[~held])))
        return cls(tuple(parts), part, plan.training_counts())

    @classmethod
    def throughout(
        cls, seen: TrainingLabels, count: int, *, train: dict[Task, NDArray[np.int64]] | None = None
    ) -> LabelSupport:
        """Return the same for all of `count` utterances; `train` as in the field, None: what was seen."""
        return cls((seen,), np.zeros(count, np.int64), seen.counts if train is None else train)

    @property
    def pairs(self) -> NDArray[np.bool_]:
        """Which pairs of classes were seen, for each utterance, shape (N, E, S)."""
        return np.stack([seen.pairs > 0 for seen in self.parts])[self.part]

    def unseen_classes(self, task: Task, truth: NDArray[np.int64], names: Sequence[str]) -> list[str]:
        """Say which true classes training never showed to the models that answer, and that it showed one alone."""
        counts = np.stack([seen.counts[task] for seen in self.parts])  # (P, C)
        return [f"{task}: {words}" for words in unseen_classes(counts, self.part, truth, names)]


def unseen_classes(
    counts: NDArray[np.int64], part: NDArray[np.int64], truth: NDArray[np.int64], names: Sequence[str]
) -> list[str]:
    """Return what must be said of classes that training did not show, and of one that it showed alone.

    Parameters
    ----------
    counts
        How often each part of training showed each class, shape (P, C).
    part
        The part that answers each of N utterances, shape (N,).
    truth
        Codes of their classes, -1 where unlabelled, shape (N,).
    """
    words = []
    labelled = np.flatnonzero(truth >= 0)
    unseen = labelled[counts[part[labelled], truth[labelled]] == 0]
    if len(unseen):
        classes = ", ".join(names[code] for code in np.unique(truth[unseen]))
        words.append(
            f"{len(unseen)} of {len(labelled)} scored utterances are of classes that training did not show to the "
            f"models that answer them ({classes}): their recall says nothing of the method"
        )
    if ((counts > 0).sum(axis=1) == 1).any():
        words.append("training showed only one class: there was nothing to tell apart")
    return words
