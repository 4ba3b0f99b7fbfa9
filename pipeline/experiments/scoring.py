"""From predictions to scores, and what a set of utterances must know to be scored on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from dualstream.heads.evaluation import metrics
from dualstream.heads.evaluation.statistics import PairedDifference
from dualstream.heads.variants.registry import TASKS, Task
from dualstream.pipeline.errors import UsageError
from dualstream.pipeline.experiments.label_support import LabelSupport
from dualstream.pipeline.experiments.predictions import Predictions
from dualstream.pipeline.experiments.presence import Presence
from dualstream.pipeline.experiments.protocol import DecodingOptions, Plan
from dualstream.pipeline.experiments.scores import HEADLINE, Contradiction, SplitScores, TaskScores
from numpy.typing import NDArray


@dataclass(frozen=True, repr=False)
class EvaluationSet:
    """The utterances that are scored, and what training showed to the models that answer them."""

    vocabulary: Mapping[Task, Sequence[str]]
    """Class names of each task."""
    groups: tuple[str, NDArray[np.int64]]
    """What the bootstrap resamples, its name and codes, shape (N,)."""
    support: LabelSupport
    presence: Presence
    speaker_norm: bool
    """Whether what is answered read rows that were normalised by speaker."""

    @classmethod
    def of(cls, plan: Plan) -> EvaluationSet:
        """Return what a plan holds out."""
        corpus = plan.corpus
        return cls(corpus.vocabulary, plan.clusters(), LabelSupport.of(plan), plan.presence(), corpus.speaker_norm)

    def score(
        self, predictions: Predictions, answering: DecodingOptions, *, stopped_by: str | None = None
    ) -> tuple[Predictions, SplitScores]:
        """Decode what models predicted, and score it; see `score_predictions`."""
        answered = answering.apply(predictions, self.support.pairs)
        return answered, self.score_answers(answered, stopped_by=stopped_by)

    def score_answers(self, answered: Predictions, *, stopped_by: str | None = None) -> SplitScores:
        """Score what is decoded already."""
        return score_predictions(
            answered,
            self.vocabulary,
            groups=self.groups,
            support=self.support,
            presence=self.presence,
            speaker_norm=self.speaker_norm,
            stopped_by=stopped_by,
        )


def score_predictions(
    predictions: Predictions,
    vocabulary: Mapping[Task, Sequence[str]],
    *,
    groups: tuple[str, NDArray[np.int64]],
    support: LabelSupport,
    presence: Presence | None = None,
    speaker_norm: bool = False,
    stopped_by: str | None = None,
) -> SplitScores:
    """Score what models predicted.

    Parameters
    ----------
    predictions
        Of N utterances.
    vocabulary
        Class names of each task.
    groups
        What the bootstrap resamples, its name and codes, shape (N,).
    support
        Training's labels: they give train's majority class, and the pairs that contradict nothing.
    presence
        Which of the utterances have features; None: not known, and then no table says it.
    speaker_norm
        Noted in the document, so that every table can call the row transductive.
    stopped_by
        The split that said when training was to stop, where it is these utterances (`Plan.stopped_by`): noted,
        so that every table can say that the scores are too good.

    Raises
    ------
    UsageError
        Where none of the utterances is labelled.
    """
    unit, codes = groups
    tasks: dict[Task, TaskScores] = {}
    warnings: list[str] = []
    for task, true in predictions.true.items():
        if not np.any(true >= 0):
            warnings.append(f"no utterance of {predictions.split} has a label for {task}: it is not scored")
            continue
        scores = _scored(predictions, task, vocabulary[task], codes, support)
        warnings += support.unseen_classes(task, true, vocabulary[task])
        tasks[task] = TaskScores.of(scores, None if presence is None else presence.missing(task, true >= 0))
        warnings += [f"{task}: {warning}" for warning in scores.warnings]
        if scores.groups is not None and scores.groups < 8:
            warnings.append(
                f"{task}: only {scores.groups} {unit}s to resample; the interval is rough"
                if scores.groups > 1
                else f"{task}: all utterances are of one {unit}; there is no interval"
            )
    if not tasks:
        raise UsageError(f"no utterance of {predictions.split} is labelled; there is nothing to score")
    if unit == "utterance":
        warnings.append("no dialogues and no speakers are known: intervals take utterances for independent")
    return SplitScores(
        split=predictions.split,
        utterances=len(predictions.ids),
        unit=unit,
        models=predictions.names,
        speaker_norm=speaker_norm,
        joint_decoding=bool(predictions.decoded),
        joint=predictions.jointly and not predictions.decoded,
        stopped_by=stopped_by,
        tasks=tasks,
        contradiction=_contradiction(predictions, support),
        warnings=tuple(dict.fromkeys(warnings)),
    )


def _scored(
    predictions: Predictions, task: Task, names: Sequence[str], codes: NDArray[np.int64], support: LabelSupport
) -> metrics.Scores:
    """Score one task's answers; `codes`: the groups that the bootstrap resamples."""
    true, count = predictions.true[task], range(len(predictions.models))

    def score(answers: Sequence[NDArray[Any]]) -> metrics.Scores:
        return metrics.score(answers, true, names, groups=codes, train_counts=support.train[task])

    scores = score([_rows(predictions, i, task) for i in count])
    if not predictions.jointly:
        return scores
    # the answers are not the largest log-probabilities; those keep their own scores
    own = {name: getattr(scores, name) for name in metrics.OF_PROBABILITIES}
    return replace(score([predictions.answers(i, task) for i in count]), **own)


def compare_to(
    first: Predictions,
    second: Predictions,
    groups: NDArray[np.int64],
    *,
    classes: Mapping[Task, int],
    tasks: Sequence[Task] = TASKS,
    metric: str = HEADLINE,
) -> dict[Task, PairedDifference]:
    """Compare two variants on the same utterances, each task: difference, interval, p before correction."""
    answer: dict[Task, PairedDifference] = {}
    for task, true in first.true.items():
        if task not in tasks or task not in second.true or not np.any(true >= 0):
            continue
        # answered codes, which joint decoding may have changed; compare_models takes either kind
        one: list[Any] = [first.answers(i, task) for i in range(len(first.models))]
        other: list[Any] = [second.answers(i, task) for i in range(len(second.models))]
        answer[task] = metrics.compare_models(
            one,
            other,
            true,
            groups,
            classes=classes[task],
            metric=metric,
        )
    return answer


def _rows(predictions: Predictions, model: int, task: Task) -> NDArray[np.float64]:
    rows = predictions.models[model].task(task)
    assert rows is not None, f"{task} is scored but was not predicted"
    return rows


def _contradiction(predictions: Predictions, support: LabelSupport) -> Contradiction | None:
    """Return how often the answered pair was never seen in training; None unless both tasks are answered."""
    known = support.pairs  # (N, E, S)
    if set(predictions.true) != set(TASKS) or not known.any():
        return None
    emotion, sentiment = predictions.true["emotion"], predictions.true["sentiment"]
    both = (emotion >= 0) & (sentiment >= 0)
    answers = [[predictions.answers(i, task) for task in TASKS] for i in range(len(predictions.models))]
    rates = [metrics.contradiction_rate(one, other, known) for one, other in answers]
    return Contradiction(
        mean=float(np.mean(rates)),
        seeds=tuple(rates),
        labels=metrics.contradiction_rate(emotion[both], sentiment[both], known[both]),
        pairs_seen=int(known.any(0).sum()),
    )
