"""Made-up corpora in which it is known where the class can be read, and where it can't.

A variant that should find what was planted must, and one that can't have found it must stay at chance.
Nothing here needs torch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from dualstream.heads.data.batch import FeatureSet, StreamArrays
from numpy.typing import NDArray

VIDEO_WIDTH, AUDIO_WIDTH = 12, 16
STRENGTH = 4.0  # of a planted sign against noise of standard deviation 1
HOP_S = 0.5
SPEAKERS = 10

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Plant:
    """One kind of corpus: how it is made, and where its classes can be read."""

    name: str
    make: Callable[[np.random.Generator, int], FeatureSet]
    readable_from: str
    """In words, for tables."""


@dataclass(frozen=True)
class Split:
    """Train, dev and test of one corpus, made from one seed."""

    train: FeatureSet
    dev: FeatureSet
    test: FeatureSet


def plant(name: str, seed: int, *, train: int = 800, dev: int = 200, test: int = 400) -> Split:
    """Make a corpus.

    Parameters
    ----------
    name
        A key of `PLANTS`.
    seed
        The same seed gives the same corpus.
    train, dev, test
        Utterances of each split.

    Raises
    ------
    ValueError
        Where no plant has that name.
    """
    if name not in PLANTS:
        raise ValueError(f"no planted corpus is called {name!r}; there are: {', '.join(PLANTS)}")
    whole = PLANTS[name].make(np.random.default_rng([seed, 17]), train + dev + test)
    cuts = np.split(np.arange(train + dev + test), [train, train + dev])
    return Split(*(whole.take(rows) for rows in cuts))


def exclusive_or(rng: np.random.Generator, count: int) -> FeatureSet:
    """Each stream carries a sign all through the utterance; the class is whether the two agree."""
    video, audio = _signs(rng, count), _signs(rng, count)
    offsets = _offsets(rng, count)
    lengths = np.diff(offsets)
    return _corpus(
        rng, offsets, np.repeat(video, lengths), np.repeat(audio, lengths), (video == audio).astype(np.int64)
    )


def same_window(rng: np.random.Generator, count: int) -> FeatureSet:
    """Signs come and go, as many of either, in both streams; the class is whether they agree at each moment.

    Over the utterance each stream's signs cancel exactly: no utterance row holds anything.
    """
    offsets = _offsets(rng, count)
    video = _balanced(rng, offsets)
    same = rng.integers(0, 2, count)
    return _corpus(rng, offsets, video, video * np.repeat(2 * same - 1, np.diff(offsets)), same)


def noise_stream(rng: np.random.Generator, count: int) -> FeatureSet:
    """The video carries the class; the audio is noise."""
    sign = _signs(rng, count)
    offsets = _offsets(rng, count)
    video = np.repeat(sign, np.diff(offsets))
    return _corpus(rng, offsets, video, np.zeros(len(video)), (sign > 0).astype(np.int64))


def late_windows(rng: np.random.Generator, count: int) -> FeatureSet:
    """The video's last two windows carry the class; two earlier ones carry the opposite sign.

    So the signs cancel over the utterance, and what a sign means depends on when it comes: who doesn't
    look at time finds nothing.
    """
    sign = _signs(rng, count)
    offsets = _offsets(rng, count)
    video = np.zeros(offsets[-1])
    for row in range(count):
        start, stop = offsets[row], offsets[row + 1]
        video[stop - 2 : stop] = sign[row]
        video[rng.choice(np.arange(start, stop - 2), 2, replace=False)] = -sign[row]
    return _corpus(rng, offsets, video, np.zeros(len(video)), (sign > 0).astype(np.int64))


PLANTS = {
    one.name: one
    for one in (
        Plant("exclusive_or", exclusive_or, "both streams together, over the utterance"),
        Plant("same_window", same_window, "both streams together, in the same window"),
        Plant("noise_stream", noise_stream, "the video alone; the audio is noise"),
        Plant("late_windows", late_windows, "the video, by when a sign comes"),
    )
}


def _corpus(
    rng: np.random.Generator, offsets: NDArray[np.int64], video: Floats, audio: Floats, label: NDArray[np.int64]
) -> FeatureSet:
    """Draw streams whose windows carry the given signs, (W,) each; an utterance's row is its windows' mean."""
    count, lengths = len(label), np.diff(offsets)
    starts = np.arange(offsets[-1]) - np.repeat(offsets[:-1], lengths)
    return FeatureSet(
        streams={
            "video": _stream(rng, offsets, video, VIDEO_WIDTH),
            "audio": _stream(rng, offsets, audio, AUDIO_WIDTH),
        },
        offsets=offsets,
        start_s=starts * HOP_S,
        emotion=label,
        sentiment=label.copy(),
        emotion_names=("one", "other"),
        sentiment_names=("negative", "positive"),
        dialogue=np.arange(count, dtype=np.int64) // 4,
        turn=np.arange(count, dtype=np.int64) % 4,
        speaker=rng.integers(0, SPEAKERS, count),
    )


def _stream(rng: np.random.Generator, offsets: NDArray[np.int64], signs: Floats, width: int) -> StreamArrays:
    direction = np.random.default_rng(width).normal(size=width)  # the same in every split
    direction /= np.linalg.norm(direction)
    windows = STRENGTH * signs[:, None] * direction + rng.normal(size=(len(signs), width))
    lengths = np.diff(offsets)
    rows = np.add.reduceat(windows, offsets[:-1]) / lengths[:, None]
    return StreamArrays(
        utterance=rows.astype(np.float32),
        present=np.ones(len(lengths), dtype=np.bool_),
        windows=windows.astype(np.float32),
        window_present=np.ones(len(signs), dtype=np.bool_),
    )


def _signs(rng: np.random.Generator, count: int) -> Floats:
    return rng.choice([-1.0, 1.0], count)


def _offsets(rng: np.random.Generator, count: int) -> NDArray[np.int64]:
    lengths = 2 * rng.integers(3, 7, count)  # 6, 8, 10 or 12: even, so that signs can cancel
    return np.concatenate(([0], np.cumsum(lengths))).astype(np.int64)


def _balanced(rng: np.random.Generator, offsets: NDArray[np.int64]) -> Floats:
    parts = []
    for length in np.diff(offsets):
        signs = np.repeat([-1.0, 1.0], length // 2)
        rng.shuffle(signs)
        parts.append(signs)
    return np.concatenate(parts)
