"""A corpus whose fast stream makes the slow one lazy: a plain but fallible sign, beside one that takes longer to read."""

from __future__ import annotations

import numpy as np
from dualstream.heads.data.batch import FeatureSet, StreamArrays

from tests.heads.planted import Split

FAST_RIGHT = 0.8  # share of utterances in which the fast stream's sign is the class


def lazy(seed: int, *, train: int = 800, dev: int = 200, test: int = 800) -> Split:
    """Make it: the fast stream shows a sign outright, the slow one an exclusive-or of two of its columns."""
    rng = np.random.default_rng([seed, 23])
    count = train + dev + test
    truth = rng.integers(0, 2, count)
    shown = np.where(rng.random(count) < FAST_RIGHT, truth, 1 - truth)
    fast = rng.normal(size=(count, 8)) * 0.3
    fast[:, 0] += 2 * shown - 1
    first = rng.integers(0, 2, count)
    slow = rng.normal(size=(count, 8)) * 0.3
    slow[:, 0] += 2 * first - 1
    slow[:, 1] += 2 * (first ^ truth) - 1
    there = np.ones(count, dtype=bool)
    features = FeatureSet(
        streams={
            "video": StreamArrays(fast.astype(np.float32), there), "audio": StreamArrays(slow.astype(np.float32), there)
        },
        offsets=np.zeros(count + 1, np.int64), start_s=np.zeros(0), emotion=truth, sentiment=np.full(count, -1),
        emotion_names=("one", "other"), sentiment_names=("negative", "positive"),
        dialogue=np.arange(count) // 4, turn=np.arange(count) % 4, speaker=np.full(count, -1),
    )  # fmt: skip
    cuts = np.split(np.arange(count), [train, train + dev])
    return Split(*(features.take(rows) for rows in cuts))
