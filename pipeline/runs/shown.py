"""What training showed to the models that answer each utterance: how often each class and each pair occurred."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heads import metrics
from heads.variant import TASKS, Task
from pipeline.runs.corpus import Corpus
from pipeline.runs.protocol import Plan


@dataclass(frozen=True, repr=False)
class Seen:
    """What training showed: how often each class and each pair of classes occurred."""

    counts: dict[Task, NDArray[np.int64]]
    """Shape (C,) for each task."""
    pairs: NDArray[np.int64]
    """Shape (E, S)."""

    @classmethod
    def of(cls, corpus: Corpus, index: NDArray[np.int64]) -> Seen:
        """Count the labels of the utterances that `index` names."""
        features = corpus.features
        emotion, sentiment = features.emotion[index], features.sentiment[index]
        sizes = len(features.emotion_names), len(features.sentiment_names)
        pairs = np.zeros(sizes, dtype=np.int64)
        both = (emotion >= 0) & (sentiment >= 0)
        np.add.at(pairs, (emotion[both], sentiment[both]), 1)
        counts: dict[Task, NDArray[np.int64]] = {
            "emotion": np.bincount(emotion[emotion >= 0], minlength=sizes[0]),
            "sentiment": np.bincount(sentiment[sentiment >= 0], minlength=sizes[1]),
        }
        return cls(counts, pairs)

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Seen:
        """Read what `to_json` gave."""
        counts: dict[Task, NDArray[np.int64]] = {
            task: np.array(document["counts"][task], dtype=np.int64) for task in TASKS
        }
        pairs = np.array(document["pairs"], dtype=np.int64).reshape(len(counts["emotion"]), -1)
        return cls(counts, pairs)

    def to_json(self) -> dict[str, Any]:
        """Return JSON values."""
        return {
            "counts": {task: count.tolist() for task, count in self.counts.items()},
            "pairs": self.pairs.tolist(),
        }

    def labels(self, task: Task) -> NDArray[np.int64] | None:
        """Return class codes that occur as often as in training; None where none was labelled."""
        count = self.counts[task]
        return np.repeat(np.arange(len(count)), count) if count.any() else None


@dataclass(frozen=True, repr=False)
class Shown:
    """What was seen by the models that answer each of N scored utterances: with folds, all that the fold leaves.

    No pair may be answered because who is scored showed it.
    """

    parts: tuple[Seen, ...]
    part: NDArray[np.int64]
    """Which of `parts` belongs to each utterance, shape (N,)."""
    whole: Seen
    """All of it, whose commonest class is the majority line: the commonest outside a fold is rarer inside."""

    @classmethod
    def of(cls, plan: Plan) -> Shown:
        """Return what a plan's models see; the rows are `plan.scored`."""
        if plan.by is None:
            return cls.throughout(Seen.of(plan.corpus, plan.fitted_on()), len(plan.scored))
        everyone, part = plan.scored, np.empty(len(plan.scored), np.int64)
        parts = []
        for number, fold in enumerate(plan.parts):
            held = np.isin(everyone, fold.held)
            part[held] = number
            parts.append(Seen.of(plan.corpus, plan.corpus.train(everyone[~held])))
        return cls(tuple(parts), part, Seen.of(plan.corpus, plan.fitted_on()))

    @classmethod
    def throughout(cls, seen: Seen, count: int) -> Shown:
        """Return the same for all of `count` utterances."""
        return cls((seen,), np.zeros(count, np.int64), seen)

    @property
    def pairs(self) -> NDArray[np.bool_]:
        """Which pairs of classes were seen, for each utterance, shape (N, E, S)."""
        return np.stack([seen.pairs > 0 for seen in self.parts])[self.part]

    def unlearned(self, task: Task, truth: NDArray[np.int64], names: Sequence[str]) -> list[str]:
        """Say which true classes training never showed to the models that answer, and that it showed one alone."""
        words = []
        counts = np.stack([seen.counts[task] for seen in self.parts])[self.part]  # (N, C)
        labelled = np.flatnonzero(truth >= 0)
        lost = labelled[counts[labelled, truth[labelled]] == 0]
        if len(lost):
            classes = ", ".join(names[code] for code in np.unique(truth[lost]))
            words.append(
                f"{task}: {len(lost)} of {len(labelled)} scored utterances are of classes that training did not "
                f"show to the models that answer them ({classes}): their recall says nothing of the method"
            )
        if any((seen.counts[task] > 0).sum() == 1 for seen in self.parts):
            words.append(f"{task}: training showed one class alone: there was nothing to tell apart")
        return words

    def majority(self, task: Task, truth: NDArray[np.int64], names: Sequence[str]) -> metrics.Majority | None:
        """Score always answering the commonest class; None where no label of the task was seen."""
        labels = self.whole.labels(task)
        return None if labels is None else metrics.majority_line(labels, truth, names)
