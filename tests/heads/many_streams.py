"""Corpora of three streams in which it is known where the class can be read; nothing here needs torch."""

from __future__ import annotations

import numpy as np
from dualstream.heads.data.batch import FeatureSet, StreamArrays
from numpy.typing import NDArray

WIDTHS = {"whisper": 6, "acoustic": 5, "face": 4}
STREAMS = tuple(WIDTHS)
STRENGTH = 4.0  # of a planted sign against noise of standard deviation 1
CLASSES = {"each": 4, "exclusive_or": 2, "third": 2}


def corpus(kind: str, seed: int, count: int, lacking: float = 0.0) -> FeatureSet:
    """Return a corpus of streams that carry signs.

    ``each``: the k-th stream's sign is up where the class is k, and the last class has none up, so that any two
    streams leave two classes alike. ``exclusive_or``: the class is whether whisper and face agree; acoustic is
    noise. ``third``: face's sign is the class.

    Parameters
    ----------
    lacking
        Chance that an utterance lacks a stream, of each stream by itself.
    """
    rng = np.random.default_rng([seed, 23])
    label = rng.integers(0, CLASSES[kind], count)
    free = rng.choice([-1.0, 1.0], (count, 3))
    if kind == "each":
        signs = np.where(label[:, None] == np.arange(3), 1.0, -1.0)
    elif kind == "exclusive_or":
        free[:, 2] = free[:, 0] * (2 * label - 1)
        signs = free * [1, 0, 1]
    else:
        signs = np.where(np.arange(3) == 2, (2.0 * label - 1)[:, None], 0 * free)
    lengths = rng.integers(2, 6, count)
    offsets = np.concatenate(([0], np.cumsum(lengths))).astype(np.int64)
    streams = {
        name: _stream(rng, offsets, signs[:, k], width, rng.random(count) >= lacking)
        for k, (name, width) in enumerate(WIDTHS.items())
    }
    return FeatureSet(
        streams=streams,
        offsets=offsets,
        start_s=0.5 * (np.arange(offsets[-1]) - np.repeat(offsets[:-1], lengths)),
        emotion=label.astype(np.int64),
        sentiment=np.minimum(label, 1).astype(np.int64),
        emotion_names=tuple("abcd"[: CLASSES[kind]]),
        sentiment_names=("e", "f"),
        dialogue=np.arange(count, dtype=np.int64) // 4,
        turn=np.arange(count, dtype=np.int64) % 4,
        speaker=rng.integers(0, 12, count),
    )


def without(features: FeatureSet, *gone: str, filler: float = 0.0) -> FeatureSet:
    """Return the corpus with streams taken away from everyone by their masks; `filler` lies under them."""
    streams = dict(features.streams)
    for name in gone:
        one = streams[name]
        assert one.windows is not None and one.window_present is not None
        streams[name] = StreamArrays(
            np.full_like(one.utterance, filler),
            np.zeros_like(one.present),
            np.full_like(one.windows, filler),
            np.zeros_like(one.window_present),
        )
    return FeatureSet(**{**vars(features), "streams": streams})


def uar(said: NDArray[np.float64] | None, truth: NDArray[np.int64]) -> float:
    """Return the balanced accuracy of the likeliest classes."""
    assert said is not None
    right = said.argmax(1) == truth
    return float(np.mean([right[truth == code].mean() for code in np.unique(truth)]))


def _stream(
    rng: np.random.Generator,
    offsets: NDArray[np.int64],
    signs: NDArray[np.float64],
    width: int,
    present: NDArray[np.bool_],
) -> StreamArrays:
    direction = np.random.default_rng(width).normal(size=width)  # the same in every corpus
    direction /= np.linalg.norm(direction)
    lengths = np.diff(offsets)
    seen = np.repeat(present, lengths)
    windows = STRENGTH * np.repeat(signs, lengths)[:, None] * direction + rng.normal(size=(offsets[-1], width))
    windows = np.where(seen[:, None], windows, 0).astype(np.float32)
    rows = np.add.reduceat(windows, offsets[:-1]) / lengths[:, None]
    return StreamArrays(rows.astype(np.float32), present, windows, seen)
