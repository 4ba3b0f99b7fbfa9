"""Corpora whose streams get in each other's way: one makes the other lazy, or means the reverse beside it."""

from __future__ import annotations

from typing import Any

import numpy as np
from dualstream.heads.data.batch import FeatureSet, StreamArrays
from numpy.typing import NDArray

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
    return _split(fast, slow, truth, train, dev)


def turned(seed: int, *, train: int = 800, dev: int = 200, test: int = 1000) -> Split:
    """Make streams that share a nuisance: video says the class by itself, and its reverse beside audio.

    Both hold the nuisance n: audio has class + n, video 0.6 class + n, so that class = (audio - video) / 0.4.
    """
    rng = np.random.default_rng([seed, 31])
    count = train + dev + test
    truth = rng.integers(0, 2, count)
    sign, nuisance = 2 * truth - 1, rng.normal(size=count)
    streams = {}
    for name, share in (("audio", 1.0), ("video", 0.6)):
        rows = rng.normal(size=(count, 8)) * 0.1
        rows[:, 0] += share * sign + nuisance
        rows[:, 1] -= rows[:, 0]
        streams[name] = rows.astype(np.float32)
    return _split(streams["video"], streams["audio"], truth, train, dev)


def _split(
    video: NDArray[np.floating[Any]],
    audio: NDArray[np.floating[Any]],
    truth: NDArray[np.int64],
    train: int,
    dev: int,
) -> Split:
    count = len(truth)
    there = np.ones(count, dtype=bool)
    features = FeatureSet(
        streams={
            "video": StreamArrays(video.astype(np.float32), there), "audio": StreamArrays(audio.astype(np.float32), there)
        },
        offsets=np.zeros(count + 1, np.int64), start_s=np.zeros(0), emotion=truth, sentiment=np.full(count, -1),
        emotion_names=("one", "other"), sentiment_names=("negative", "positive"),
        dialogue=np.arange(count) // 4, turn=np.arange(count) % 4, speaker=np.full(count, -1),
    )  # fmt: skip
    cuts = np.split(np.arange(count), [train, train + dev])
    return Split(*(features.take(rows) for rows in cuts))
