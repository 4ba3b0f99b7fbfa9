"""Which of the scored utterances have features, the rule that says who is scored, and what answers without any.

The rule is one in every command: all utterances of a split are scored, as papers count them, and those that a
head has nothing to read of are answered by the prior, the classes' shares in its training. With ``present`` those
without a stream are left out of the scores. Either way every table says how many of the scored lack which stream.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import get_args

import numpy as np
from dualstream.heads.data.batch import UNLABELLED, FeatureSet
from dualstream.heads.variants.registry import TASKS, Task
from dualstream.pipeline.errors import UsageError
from dualstream.pipeline.experiments.options import Scored
from dualstream.pipeline.experiments.scores import MissingFeatures
from dualstream.pipeline.experiments.training_data import Corpus
from numpy.typing import NDArray

SCORED = ALL, PRESENT = get_args(Scored)


@dataclass(frozen=True, repr=False)
class Presence:
    """Which streams N scored utterances have, and by which rule they are the scored ones."""

    rule: str
    """One of SCORED."""
    streams: dict[str, NDArray[np.bool_]]
    """By ``video`` and ``audio``: whether the utterance has it, shape (N,)."""
    left_out: dict[Task, int]
    """Labelled utterances that the rule leaves out."""

    @classmethod
    def of(cls, corpus: Corpus, candidates: NDArray[np.int64], rule: str = ALL) -> Presence:
        """Return it of those of the candidates that the rule takes, in their order."""
        index = taken(corpus, candidates, rule)
        out = np.setdiff1d(candidates, index)
        return cls(
            rule,
            {head: stream.present[index] for head, stream in corpus.features.streams.items()},
            {task: int((getattr(corpus.features, task)[out] != UNLABELLED).sum()) for task in TASKS},
        )

    def missing(self, task: Task, labelled: NDArray[np.bool_]) -> MissingFeatures:
        """Return how many of a task's scored utterances, those `labelled`, lack each stream, and how many all."""
        masks = {head: present[labelled] for head, present in self.streams.items()}
        return MissingFeatures(
            rule=self.rule,
            streams={head: int((~present).sum()) for head, present in masks.items()},
            all_streams=int((~np.any(list(masks.values()), axis=0)).sum()),
            left_out=self.left_out[task],
        )


def require_rule(rule: str) -> str:
    """Return the rule.

    Raises
    ------
    UsageError
        Where there is no such rule.
    """
    if rule not in SCORED:
        raise UsageError(f"--scored {rule!r}; expected {' or '.join(SCORED)}")
    return rule


def taken(corpus: Corpus, candidates: NDArray[np.int64], rule: str) -> NDArray[np.int64]:
    """Return those of the candidates that are scored."""
    return candidates if require_rule(rule) == ALL else candidates[corpus.usable[candidates]]


def label_counts(features: FeatureSet, index: NDArray[np.int64]) -> dict[Task, NDArray[np.int64]]:
    """Return how many of the utterances that `index` names have each class, shape (C,) for each task."""
    codes: dict[Task, NDArray[np.int64]] = {
        "emotion": features.emotion[index],
        "sentiment": features.sentiment[index],
    }
    sizes = {"emotion": len(features.emotion_names), "sentiment": len(features.sentiment_names)}
    return {task: np.bincount(one[one != UNLABELLED], minlength=sizes[task]) for task, one in codes.items()}
