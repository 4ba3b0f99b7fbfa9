"""From predictions to the scores document that metrics.json, the tables and the report share.

{"split", "utterances", "unit", "models",
 "tasks": {task: heads.metrics.Scores.to_json()},
 "contradiction": {"mean", "seeds", "labels"} or None,
 "warnings": [...]}
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from heads import metrics
from heads.variant import TASKS, Task
from pipeline.corpus import Corpus
from pipeline.errors import UsageError
from pipeline.runs import Predictions

HEADLINE = "balanced_accuracy"
"""What tables are ordered by and paired tests compare: chance is 1 / classes whatever the classes' shares."""


def score_predictions(
    predictions: Predictions,
    corpus: Corpus,
    *,
    groups: tuple[str, NDArray[np.int64]],
    fitted_on: NDArray[np.int64],
) -> dict[str, Any]:
    """Score what models predicted.

    Parameters
    ----------
    predictions
        Of N utterances.
    groups
        What the bootstrap resamples, its name and codes, shape (N,).
    fitted_on
        Utterances whose labels give the majority class and the pairs that were seen.

    Raises
    ------
    UsageError
        Where none of the utterances is labelled.
    """
    unit, codes = groups
    features = corpus.features
    vocabulary = {"emotion": features.emotion_names, "sentiment": features.sentiment_names}
    labels = {"emotion": features.emotion[fitted_on], "sentiment": features.sentiment[fitted_on]}
    tasks: dict[str, Any] = {}
    warnings: list[str] = []
    for task, true in predictions.true.items():
        if not np.any(true >= 0):
            warnings.append(f"no utterance of {predictions.split} has a label for {task}: it is not scored")
            continue
        models = [_rows(predictions, i, task) for i in range(len(predictions.models))]
        scores = metrics.score(models, true, vocabulary[task], groups=codes, train_labels=labels[task])
        tasks[task] = scores.to_json()
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
    return {
        "split": predictions.split,
        "utterances": len(predictions.ids),
        "unit": unit,
        "models": list(predictions.names),
        "speaker_norm": corpus.speaker_norm,
        "tasks": tasks,
        "contradiction": _contradiction(predictions, corpus, fitted_on),
        "warnings": list(dict.fromkeys(warnings)),
    }


def compare_to(
    first: Predictions,
    second: Predictions,
    groups: NDArray[np.int64],
    *,
    classes: dict[Task, int],
    metric: str = HEADLINE,
) -> dict[str, Any]:
    """Compare two variants on the same utterances, each task: difference, interval, p before correction."""
    answer: dict[str, Any] = {}
    for task, true in first.true.items():
        if task not in second.true or not np.any(true >= 0):
            continue
        answer[task] = metrics.compare_models(
            [_rows(first, i, task) for i in range(len(first.models))],
            [_rows(second, i, task) for i in range(len(second.models))],
            true,
            groups,
            classes=classes[task],
            metric=metric,
        ).to_json()
    return answer


def lead_task(scores: dict[str, Any]) -> Task:
    """Return the task that tables are sorted by: emotion where it is scored."""
    return next(task for task in TASKS if task in scores["tasks"])


def headline(scores: dict[str, Any], task: Task, metric: str = HEADLINE) -> float:
    """Return a score's mean over seeds."""
    return float(scores["tasks"][task][metric]["mean"])


def _rows(predictions: Predictions, model: int, task: Task) -> NDArray[np.float64]:
    rows = predictions.models[model].task(task)
    assert rows is not None, f"{task} is scored but was not predicted"
    return rows


def _contradiction(
    predictions: Predictions, corpus: Corpus, fitted_on: NDArray[np.int64]
) -> dict[str, Any] | None:
    """Return how often the answered pair was never seen in training; None unless both tasks are answered."""
    if set(predictions.true) != set(TASKS):
        return None
    features = corpus.features
    seen = metrics.seen_pairs(
        features.emotion[fitted_on],
        features.sentiment[fitted_on],
        len(features.emotion_names),
        len(features.sentiment_names),
    )
    if not seen.any():
        return None
    emotion, sentiment = predictions.true["emotion"], predictions.true["sentiment"]
    both = (emotion >= 0) & (sentiment >= 0)
    answers = [
        [_rows(predictions, i, task).argmax(axis=1) for task in TASKS] for i in range(len(predictions.models))
    ]
    rates = [metrics.contradiction_rate(one, other, seen) for one, other in answers]
    return {
        "mean": float(np.mean(rates)),
        "seeds": rates,
        "labels": metrics.contradiction_rate(emotion[both], sentiment[both], seen),
        "pairs_seen": int(seen.sum()),
    }
