"""What each stream has seen of each utterance."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
from dualstream.heads.data.batch import FeatureSet

from dualstream.documents import JsonObject


@dataclass(frozen=True)
class Coverage:
    """Coverage of one stream over a corpus."""

    stream: str
    utterances_present: float
    """Share of utterances in which the stream is there at all."""
    windows_seen: float
    """Share of an utterance's windows that the stream has a row for, mean over the utterances in which it is
    there at all; NaN without windows, or where it is there in none."""
    rows_per_utterance: float
    """Median number of window rows (frames, for video) of those utterances; NaN likewise."""
    single_row: float
    """Share of those of more than one window of which the stream saw one window or none; NaN likewise."""
    saw_nothing: int
    """Number of utterances where the stream saw nothing."""

    def to_json(self) -> JsonObject:
        """Return the values, NaN as None."""
        return {k: None if isinstance(v, float) and np.isnan(v) else v for k, v in asdict(self).items()}


def coverage(features: FeatureSet, name: str) -> Coverage:
    """Measure which part of each utterance the stream `name` has seen."""
    stream = features.streams[name]
    lengths = np.diff(features.offsets)
    seen = rows = single = float("nan")
    if stream.window_present is not None and len(features) and features.offsets[-1]:
        before = np.concatenate(([0], np.cumsum(stream.window_present)))
        counts = before[features.offsets[1:]] - before[features.offsets[:-1]]
        there = (lengths > 0) & stream.present
        if there.any():
            seen = float(np.mean(counts[there] / lengths[there]))
            rows = float(np.median(counts[there]))
        several = there & (lengths > 1)
        single = float(np.mean(counts[several] <= 1)) if several.any() else float("nan")
    return Coverage(
        stream=name,
        utterances_present=float(np.mean(stream.present)) if len(features) else float("nan"),
        windows_seen=seen,
        rows_per_utterance=rows,
        single_row=single,
        saw_nothing=int(np.sum(~stream.present)),
    )
