"""What an error browser lists: each utterance, its answer, and what every stream said for or against the label."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from dualstream.heads.data.batch import UNLABELLED
from dualstream.heads.diagnosis.measures.shapley import UtteranceValues
from dualstream.pipeline.experiments.training_data import Corpus
from numpy.typing import NDArray

MISLED = 0.05  # nats: a stream that speaks against a label by less misleads nobody


@dataclass(frozen=True)
class ErrorRow:
    """One utterance of an error browser."""

    id: str
    split: str
    speaker: str
    dialogue: str
    duration_s: float
    """From the cache; NaN where the clip could not be read."""
    label: str
    answer: str
    probability: float
    """Of the label, 0 to 1."""
    streams: Mapping[str, float]
    """What each stream said for the label, nats: below zero, against it (Shapley values)."""
    alone: Mapping[str, str]
    """Answer of the head that is told of one stream only."""
    lacks: tuple[str, ...]
    """Streams that the utterance has no rows of."""
    misled_by: str
    """The stream that spoke against the label most; empty where none did."""

    @property
    def right(self) -> bool:
        """Whether the answer is the label."""
        return self.answer == self.label


def error_rows(
    values: UtteranceValues,
    corpus: Corpus,
    index: NDArray[np.int64],
    labels: NDArray[np.int64],
    names: Sequence[str],
) -> list[ErrorRow]:
    """Return the labelled utterances, those that a stream misled the most first.

    Parameters
    ----------
    values
        Of the pool that heads were refitted on.
    index
        The corpus's utterances that its rows stand for.
    labels, names
        Codes of those, -1 where unlabelled, and what the classes are called.
    """
    order = np.lexsort((np.arange(len(index)), np.min(list(values.by_stream.values()), axis=0)))
    rows = []
    for at in order.tolist():
        where, label = int(index[at]), int(labels[at])
        if label == UNLABELLED:
            continue
        said = {name: float(nats[at]) for name, nats in values.by_stream.items()}
        worst = min(said, key=lambda name: said[name])
        rows.append(
            ErrorRow(
                id=corpus.ids[where],
                split=str(corpus.splits[where]),
                speaker=str(corpus.speakers[where]),
                dialogue=str(corpus.dialogues[where]),
                duration_s=float(corpus.durations_s[where]) if len(corpus.durations_s) else float("nan"),
                label=names[label],
                answer=names[int(values.probabilities[at].argmax())],
                probability=float(values.probabilities[at, label]),
                streams=said,
                alone={name: names[int(codes[at])] for name, codes in values.alone.items()},
                lacks=tuple(name for name in said if not corpus.features.streams[name].present[where]),
                misled_by=worst if said[worst] < -MISLED else "",
            )
        )
    return rows
