"""What models said of a split, and the CSV that keeps it: log-probabilities in full precision."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from dualstream.heads.variants.registry import TASKS, Prediction, Task
from dualstream.pipeline.errors import CorruptError
from dualstream.pipeline.storage.documents import replacing
from numpy.typing import NDArray

LOG_PROBABILITY_FLOOR = -1e4  # what a log-probability of minus infinity is written as: CSV has no such number


@dataclass(frozen=True, repr=False)
class Predictions:
    """What each model says of the same N utterances, and what is true of them."""

    ids: tuple[str, ...]
    split: str
    """Name of the split, or ``folds`` for predictions from outside the fold."""
    true: dict[Task, NDArray[np.int64]]
    """Class codes, shape (N,), -1 where unlabelled."""
    models: tuple[Prediction, ...]
    """One a model (a seed, or the ensemble of them)."""
    names: tuple[str, ...]
    """Of the models: ``seed 0``, ``ensemble``."""
    decoded: tuple[dict[Task, NDArray[np.int64]], ...] = ()
    """Class codes that each model answers, where they are not each task's largest log-probability
    (joint decoding); empty: they are."""

    def answers(self, model: int, task: Task) -> NDArray[np.int64]:
        """Return the class codes that a model answers, shape (N,)."""
        if self.decoded:
            return self.decoded[model][task]
        log_p = self.models[model].task(task)
        assert log_p is not None, f"{task} was not predicted"
        return log_p.argmax(axis=1).astype(np.int64)

    def __repr__(self) -> str:
        return f"Predictions({self.split}: {len(self.ids)} utterances, {len(self.models)} models)"


def write_predictions(path: Path, predictions: Predictions, vocabulary: Mapping[Task, Sequence[str]]) -> None:
    """Write predictions as CSV: one row for each model and utterance, floats in full precision."""
    tasks = [task for task in TASKS if predictions.models and predictions.models[0].task(task) is not None]
    header = ["model", "id", "split"]
    for task in tasks:
        header += [task, f"{task}_predicted", *(f"{task}_logp:{name}" for name in vocabulary[task])]
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        for i, (name, model) in enumerate(zip(predictions.names, predictions.models, strict=True)):
            columns: list[Sequence[Any]] = [
                [name] * len(predictions.ids),
                predictions.ids,
                [predictions.split] * len(predictions.ids),
            ]
            for task in tasks:
                words = [*vocabulary[task], ""]  # code -1, unlabelled, is the blank at the end
                log_p = model.task(task)
                assert log_p is not None
                columns.append([words[code] for code in predictions.true[task].tolist()])
                columns.append([words[code] for code in predictions.answers(i, task).tolist()])
                columns += np.maximum(log_p, LOG_PROBABILITY_FLOOR).T.tolist()
            writer.writerows(zip(*columns, strict=True))


def read_predictions(path: Path, vocabulary: Mapping[Task, Sequence[str]]) -> Predictions:
    """Read what `write_predictions` wrote."""
    if not path.is_file():
        raise CorruptError(f"{path} is missing")
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    try:
        names = tuple(dict.fromkeys(row["model"] for row in rows))
        first = [row for row in rows if row["model"] == names[0]]
        tasks = [task for task in TASKS if task in rows[0]]
        true: dict[Task, NDArray[np.int64]] = {}
        for task in tasks:
            code = {name: i for i, name in enumerate(vocabulary[task])} | {"": -1}
            true[task] = np.array([code[row[task]] for row in first], dtype=np.int64)
        models, decoded = [], []
        for name in names:
            own = [row for row in rows if row["model"] == name]
            answers: dict[Task, NDArray[np.int64]] = {}
            for task in tasks:
                code = {word: i for i, word in enumerate(vocabulary[task])}
                answers[task] = np.array([code[row[f"{task}_predicted"]] for row in own], dtype=np.int64)
            decoded.append(answers)
            log_p = {
                task: np.array([[float(row[f"{task}_logp:{word}"]) for word in vocabulary[task]] for row in own])
                for task in tasks
            }
            models.append(Prediction(log_p.get("emotion"), log_p.get("sentiment")))
        ids = tuple(row["id"] for row in first)
        return Predictions(ids, first[0]["split"], true, tuple(models), names, tuple(decoded))
    except (KeyError, ValueError, IndexError) as error:
        raise CorruptError(f"{path} is not a table of predictions of this run: {error!r}") from error
