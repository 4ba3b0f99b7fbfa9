"""What models said of a split, and the CSV that keeps it: log-probabilities in full precision."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from dualstream.heads.variants.decode import decode
from dualstream.heads.variants.registry import TASKS, Prediction, Task
from dualstream.pipeline.errors import CorruptError
from dualstream.pipeline.storage.documents import replacing
from numpy.typing import NDArray

LEADS = "leads"  # column that says which task is answered first, where both are answered as one
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
    """Class codes that each model answers, where they are not what it says itself (`--decoding pairs`); empty:
    they are."""

    @property
    def jointly(self) -> bool:
        """Whether both tasks are answered as one, by the models or by what is decoded of them."""
        return bool(self.decoded) or any(model.pairs is not None for model in self.models)

    def answers(self, model: int, task: Task) -> NDArray[np.int64]:
        """Return the class codes that a model answers, shape (N,)."""
        if self.decoded:
            return self.decoded[model][task]
        codes = decode(self.models[model])[TASKS.index(task)]
        assert codes is not None, f"{task} was not predicted"
        return codes

    def __repr__(self) -> str:
        return f"Predictions({self.split}: {len(self.ids)} utterances, {len(self.models)} models)"


def write_predictions(path: Path, predictions: Predictions, vocabulary: Mapping[Task, Sequence[str]]) -> None:
    """Write predictions as CSV: one row for each model and utterance, floats in full precision."""
    tasks = [task for task in TASKS if predictions.models and predictions.models[0].task(task) is not None]
    pairs = _answerable(predictions)
    header = ["model", "id", "split"]
    for task in tasks:
        header += [task, f"{task}_predicted", *(f"{task}_logp:{name}" for name in vocabulary[task])]
    if pairs:
        header += [LEADS, *(_pair_column(pair, vocabulary) for pair in pairs)]
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
            if pairs and model.pairs is not None and model.sentiment_leads is not None:
                columns.append([TASKS[leads] for leads in model.sentiment_leads.astype(int).tolist()])
                columns += [np.maximum(model.pairs[:, e, s], LOG_PROBABILITY_FLOOR).tolist() for e, s in pairs]
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
            models.append(Prediction(log_p.get("emotion"), log_p.get("sentiment"), *_read_pairs(own, vocabulary)))
        ids = tuple(row["id"] for row in first)
        kept = () if LEADS in rows[0] else tuple(decoded)  # models that answer as one say it again
        return Predictions(ids, first[0]["split"], true, tuple(models), names, kept)
    except (KeyError, ValueError, IndexError) as error:
        raise CorruptError(f"{path} is not a table of predictions of this run: {error!r}") from error


def _answerable(predictions: Predictions) -> list[tuple[int, int]]:
    """Return the pairs of class codes that may be answered to any utterance; none without a joint answer."""
    there = [model.pairs for model in predictions.models if model.pairs is not None]
    if len(there) < len(predictions.models) or not there:
        return []
    return [(int(e), int(s)) for e, s in np.argwhere(np.isfinite(there[0]).any(0))]


def _pair_column(pair: tuple[int, int], vocabulary: Mapping[Task, Sequence[str]]) -> str:
    return "pair:" + "/".join(vocabulary[task][code] for task, code in zip(TASKS, pair, strict=True))


def _read_pairs(
    rows: Sequence[Mapping[str, str]], vocabulary: Mapping[Task, Sequence[str]]
) -> tuple[NDArray[np.float64] | None, NDArray[np.bool_] | None]:
    if LEADS not in rows[0]:
        return None, None
    pairs = np.full((len(rows), *(len(vocabulary[task]) for task in TASKS)), -np.inf)
    for pair in np.ndindex(*pairs.shape[1:]):
        column = _pair_column(pair, vocabulary)
        if column in rows[0]:
            values = np.array([float(row[column]) for row in rows])
            pairs[:, *pair] = np.where(values > LOG_PROBABILITY_FLOOR, values, -np.inf)
    return pairs, np.array([row[LEADS] == "sentiment" for row in rows])
