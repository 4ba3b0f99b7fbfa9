"""Changes to a corpus that an intervention makes: scaling, turning, equal widths, a shift in time, thinning.

A change that learns (means, directions) learns from training utterances alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from dualstream.heads.data.batch import FeatureSet, StreamArrays
from numpy.typing import NDArray

Change = Callable[[FeatureSet], FeatureSet]
Prepare = Callable[[FeatureSet], Change]
"""Learns from training utterances what it needs, and gives the change to make to any utterances."""


def standardise(train: FeatureSet) -> Change:
    """Bring every column of each stream to mean 0 and deviation 1, as they are in `train`."""
    learned = {}
    for name, stream in train.streams.items():
        rows = stream.utterance[stream.present]
        windows = None
        if stream.windows is not None and stream.window_present is not None:
            windows = _moments(stream.windows[stream.window_present])
        learned[name] = (_moments(rows), windows)

    def change(features: FeatureSet) -> FeatureSet:
        streams = {}
        for name, stream in features.streams.items():
            (mean, scale), of_windows = learned[name]
            windows = stream.windows
            if windows is not None and of_windows is not None and stream.window_present is not None:
                windows = _masked((windows - of_windows[0]) * of_windows[1], stream.window_present)
            rows = _masked((stream.utterance - mean) * scale, stream.present)
            streams[name] = StreamArrays(rows, stream.present, windows, stream.window_present)
        return replace(features, streams=streams)

    return change


def equalise(width: int) -> Prepare:
    """Give both streams the same number of columns and the same total variance: a PCA fitted in train, turned."""

    def prepare(train: FeatureSet) -> Change:
        first = standardise(train)
        scaled = first(train)
        learned = {}
        for name, stream in scaled.streams.items():
            rows = stream.utterance[stream.present].astype(np.float64)
            values, vectors = np.linalg.eigh(rows.T @ rows / max(1, len(rows)))
            order = np.argsort(values)[::-1][:width]
            basis = np.zeros((stream.width, width))
            # One factor for the stream: its principal directions keep their proportions
            basis[:, : len(order)] = vectors[:, order] * np.sqrt(width / max(values[order].sum(), 1e-12))
            learned[name] = basis.astype(np.float32) @ _rotation(width)  # that heads can't whiten them

        def change(features: FeatureSet) -> FeatureSet:
            streams = {}
            for name, stream in first(features).streams.items():
                windows = None if stream.windows is None else stream.windows @ learned[name]
                rows = stream.utterance @ learned[name]
                streams[name] = StreamArrays(rows, stream.present, windows, stream.window_present)
            return replace(features, streams=streams)

        return change

    return prepare


def turned(names: Sequence[str]) -> Prepare:
    """Turn the columns of some streams by one random rotation: each becomes a mixture of all."""

    def prepare(train: FeatureSet) -> Change:
        rotations = {name: _rotation(train.streams[name].width) for name in names}

        def change(features: FeatureSet) -> FeatureSet:
            streams = dict(features.streams)
            for name, rotation in rotations.items():
                stream = streams[name]
                windows = None if stream.windows is None else stream.windows @ rotation
                rows = stream.utterance @ rotation
                streams[name] = StreamArrays(rows, stream.present, windows, stream.window_present)
            return replace(features, streams=streams)

        return change

    return prepare


def in_turn(*prepares: Prepare) -> Prepare:
    """Make one change after the other, each learning from what the one before leaves."""

    def prepare(train: FeatureSet) -> Change:
        learned: list[Change] = []
        for one in prepares:
            learned.append(one(train))
            train = learned[-1](train)

        def change(features: FeatureSet) -> FeatureSet:
            for step in learned:
                features = step(features)
            return features

        return change

    return prepare


def shifted(hops: int, name: str = "audio") -> Prepare:
    """Pair each window of the other streams with that of `name` `hops` later; what falls out is masked."""

    def prepare(train: FeatureSet) -> Change:
        return lambda features: _shift(features, hops, name)

    return prepare


def subsampled(every_s: float, hop_s: float) -> Prepare:
    """Keep one video window each `every_s` seconds, as sampling a frame that often does.

    Video that is sampled no more often stays as it is. Windows count as two hops long: `hop_s` after its
    start is a window's centre, and a frame stands in the window whose centre is nearest.
    """

    def prepare(train: FeatureSet) -> Change:
        return lambda features: _thin(features, every_s, hop_s)

    return prepare


def masked(*names: str) -> Prepare:
    """Mark some streams as missing everywhere."""

    def change(features: FeatureSet) -> FeatureSet:
        for name in names:
            features = without(features, name)
        return features

    return lambda train: change


def without(features: FeatureSet, name: str) -> FeatureSet:
    """Return the utterances with one stream marked as missing."""
    stream = features.streams[name]
    windows = None if stream.windows is None else np.zeros_like(stream.windows)
    seen = None if stream.window_present is None else np.zeros_like(stream.window_present)
    empty = StreamArrays(np.zeros_like(stream.utterance), np.zeros_like(stream.present), windows, seen)
    return replace(features, streams={**features.streams, name: empty})


def lent(
    features: FeatureSet, givers: Mapping[str, NDArray[np.int64]], background: FeatureSet | None = None
) -> FeatureSet:
    """Give each utterance some streams of other utterances, cut or repeated to its own number of windows.

    `givers` says whose, by stream: positions in `background`, or in `features` where there is none, shape (N,).
    """
    source = features if background is None else background
    owner = np.repeat(np.arange(len(features)), np.diff(features.offsets))
    place = np.arange(len(owner)) - features.offsets[owner]
    lengths = np.diff(source.offsets)
    streams = dict(features.streams)
    for name, giver in givers.items():
        stream = source.streams[name]
        windows = seen = None
        if stream.windows is not None and stream.window_present is not None:
            length = np.maximum(lengths[giver[owner]], 1)
            rows = np.minimum(source.offsets[giver[owner]] + place % length, max(0, len(stream.windows) - 1))
            windows, seen = stream.windows[rows], stream.window_present[rows]
        streams[name] = StreamArrays(stream.utterance[giver], stream.present[giver], windows, seen)
    return replace(features, streams=streams)


def _shift(features: FeatureSet, hops: int, name: str) -> FeatureSet:
    audio = features.streams[name]
    assert audio.windows is not None and audio.window_present is not None
    lengths = np.diff(features.offsets)
    owner = np.repeat(np.arange(len(features)), lengths)
    source = np.arange(len(owner)) + hops
    inside = (source >= features.offsets[owner]) & (source < features.offsets[owner + 1])
    source = np.where(inside, source, 0)
    present = audio.window_present[source] & inside
    windows = _masked(audio.windows[source], present)
    moved = StreamArrays(audio.utterance, audio.present, windows, present)
    return replace(features, streams={**features.streams, name: moved})


def _thin(features: FeatureSet, every_s: float, hop_s: float) -> FeatureSet:
    video = features.streams["video"]
    assert video.windows is not None and video.window_present is not None
    owner = np.repeat(np.arange(len(features)), np.diff(features.offsets))
    seen = np.flatnonzero(video.window_present & video.present[owner])
    slot = np.floor((features.start_s[seen] + hop_s) / every_s + 1e-9)
    # The first that was seen of each utterance's slots: a window that was never sampled stands for nothing
    new = (np.diff(owner[seen], prepend=-1) != 0) | (np.diff(slot, prepend=-1) != 0)
    kept = np.zeros(len(owner), dtype=bool)
    kept[seen[new]] = True
    windows = _masked(video.windows, kept)
    utterance, present = pooled_rows(windows, kept, features.offsets)
    thin = StreamArrays(utterance, present, windows, kept)
    return replace(features, streams={**features.streams, "video": thin})


def pooled_rows(
    windows: NDArray[np.float32], seen: NDArray[np.bool_], offsets: NDArray[np.int64]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return the mean of each utterance's seen windows, shape (N, D), and which utterances have any."""
    count = len(offsets) - 1
    owner = np.repeat(np.arange(count), np.diff(offsets))
    totals, rows = np.zeros((count, windows.shape[1])), np.bincount(owner[seen], minlength=count)
    filled = np.diff(offsets) > 0
    if filled.any():
        values = np.where(seen[:, None], windows, 0)
        totals[filled] = np.add.reduceat(values, offsets[:-1][filled], axis=0)
    return (totals / np.maximum(rows, 1)[:, None]).astype(np.float32), rows > 0


def _rotation(width: int) -> NDArray[np.float32]:
    drawn = np.random.default_rng(0).normal(size=(width, width))
    return np.linalg.qr(drawn)[0].astype(np.float32)


def _moments(rows: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    if not len(rows):
        return np.zeros(rows.shape[1], np.float32), np.ones(rows.shape[1], np.float32)
    deviation = rows.std(axis=0, dtype=np.float64)
    scale = np.divide(1, deviation, out=np.zeros_like(deviation), where=deviation > 1e-12)
    return rows.mean(axis=0, dtype=np.float64).astype(np.float32), scale.astype(np.float32)


def _masked(rows: NDArray[Any], present: NDArray[np.bool_]) -> NDArray[np.float32]:
    return np.where(present[:, None], rows, 0).astype(np.float32)
