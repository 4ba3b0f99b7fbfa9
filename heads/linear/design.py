"""Streams of a corpus to the rows of a design matrix, scaled as training was.

    joined    [ video, standardised | audio, standardised | ... | video missing | audio missing | ... ]

A missing stream's columns are zeros, which after standardising is the training mean, and an indicator
column says so, where training had such utterances to learn its weight from.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from dualstream.heads.data.batch import FeatureSet
from numpy.typing import NDArray

CLIP = 10.0  # standard deviations: beyond lies a broken column, and one value would outweigh a row
CONSTANT = 1e-6  # a column whose spread is below this share of its size is constant


@dataclass(frozen=True, repr=False)
class Design:
    """Which columns are read, and how they are scaled."""

    streams: tuple[str, ...]
    mean: NDArray[np.float32]
    """Of all streams' columns, shape (D,)."""
    spread: NDArray[np.float32]
    """Standard deviation, shape (D,); 0 marks a constant column, which is read as zeros."""
    widths: tuple[int, ...]
    """Columns of each stream."""
    indicators: tuple[bool, ...]
    """For each stream, whether a column says that it is missing."""

    @classmethod
    def fit(cls, features: FeatureSet, streams: tuple[str, ...]) -> Design:
        """Learn from the utterances that have the streams."""
        means, spreads, indicators = [], [], []
        for name in streams:
            stream = features.streams[name]
            used = stream.utterance[stream.present].astype(np.float64)
            mean = used.mean(0) if len(used) else np.zeros(stream.width)
            spread = used.std(0) if len(used) else np.zeros(stream.width)
            spread[spread <= CONSTANT * np.maximum(np.abs(mean), CONSTANT)] = 0
            means.append(mean)
            spreads.append(spread)
            missing = ~stream.present
            indicators.append(len(streams) > 1 and bool(missing.any()) and not bool(missing.all()))
        return cls(
            streams,
            np.concatenate(means).astype(np.float32),
            np.concatenate(spreads).astype(np.float32),
            tuple(features.streams[name].width for name in streams),
            tuple(indicators),
        )

    def available(self, features: FeatureSet) -> NDArray[np.bool_]:
        """Return which utterances have at least one of the streams, shape (N,)."""
        there = [features.streams[name].present for name in self.streams if name in features.streams]
        return np.any(there, axis=0) if there else np.zeros(len(features), dtype=bool)

    def rows(self, features: FeatureSet) -> NDArray[np.float32]:
        """Return rows (N, D + indicators).

        Raises
        ------
        ValueError
            Where a stream is not as wide as in training.
        """
        parts, flags, at = [], [], 0
        for name, width, indicator in zip(self.streams, self.widths, self.indicators, strict=True):
            mean, spread = self.mean[at : at + width], self.spread[at : at + width]
            at += width
            stream = features.streams.get(name)
            if stream is not None and stream.width != width:
                raise ValueError(f"the {name} stream has {stream.width} columns; the head was fitted on {width}")
            if stream is None:
                parts.append(np.zeros((len(features), width), np.float32))
                present = np.zeros(len(features), dtype=bool)
            else:
                present = stream.present
                scaled = (stream.utterance - mean) * np.divide(
                    1, spread, out=np.zeros_like(spread), where=spread > 0
                )
                np.clip(scaled, -CLIP, CLIP, out=scaled)
                scaled[~present] = 0
                parts.append(scaled)
            if indicator:
                flags.append((~present).astype(np.float32)[:, None])
        return np.concatenate([*parts, *flags], axis=1)
