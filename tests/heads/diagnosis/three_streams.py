"""Corpora of three streams of which exactly one may be wrong: each tells half of the classes, of each utterance the
same things (who, how, where), and noise."""

from __future__ import annotations

from typing import Literal

import numpy as np
from dualstream.heads.data.batch import FeatureSet, StreamArrays
from dualstream.heads.diagnosis.signs.table import Names, Table

WIDTHS = {"voice": 24, "face": 16, "pose": 12}
CLASSES = 4
SHARED = 6  # directions in which all streams see an utterance
Fault = Literal["none", "shifted", "shuffled", "noise", "label", "scale"]


def plant(
    fault: Fault = "none", wrong: str = "face", *, seed: int = 1, count: int = 480
) -> tuple[FeatureSet, ...]:
    """Return (train, dev), in the order of their table, with `fault` in the stream `wrong`."""
    rng = np.random.default_rng([seed, 77])
    label, speaker = rng.integers(0, CLASSES, count), rng.integers(0, 8, count)
    latent = rng.normal(size=(count, SHARED))
    rows = {}
    for k, (name, width) in enumerate(WIDTHS.items()):
        of_stream = np.random.default_rng([k, 5])  # the same in every corpus
        means = of_stream.normal(size=(CLASSES, width))
        means[(k + 1) % CLASSES] = means[k]  # two classes look alike
        who, seen = 0.7 * of_stream.normal(size=(8, width)), 0.8 * of_stream.normal(size=(SHARED, width))
        rows[name] = means[label] + who[speaker] + latent @ seen + 2.0 * rng.normal(size=(count, width))
    rows[wrong] = _damaged(rows[wrong], fault, label, rng)
    train = np.arange(count) < 3 * count // 4
    return tuple(_part(rows, label, speaker, np.flatnonzero(use)) for use in (train, ~train))


def table(fault: Fault = "none", wrong: str = "face", *, seed: int = 1, count: int = 480) -> Table:
    """Return the same as the signs look at it."""
    names = Names(tuple(f"u{i:04d}" for i in range(count)), place=tuple(range(count)))
    train, dev = plant(fault, wrong, seed=seed, count=count)
    return Table.of(train, dev, "emotion", names)


def _damaged(rows: np.ndarray, fault: Fault, label: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    if fault == "shifted":
        return np.roll(rows, 1, axis=0)
    if fault == "shuffled":
        return rows[rng.permutation(len(rows))]
    if fault == "noise":
        return rng.normal(size=rows.shape)
    if fault == "label":
        return np.column_stack((label + 0.01 * rng.normal(size=len(rows)), rows))
    return 300 * rows if fault == "scale" else rows


def _part(rows: dict[str, np.ndarray], label: np.ndarray, speaker: np.ndarray, use: np.ndarray) -> FeatureSet:
    there = np.ones(len(use), dtype=bool)
    return FeatureSet(
        streams={name: StreamArrays(values[use].astype(np.float32), there) for name, values in rows.items()},
        offsets=np.zeros(len(use) + 1, dtype=np.int64),
        start_s=np.zeros(0),
        emotion=label[use],
        sentiment=np.minimum(label[use], 1),
        emotion_names=tuple("abcd"),
        sentiment_names=("e", "f"),
        dialogue=np.arange(len(use)),
        turn=np.zeros(len(use), dtype=np.int64),
        speaker=speaker[use],
    )
