"""What becomes of the joined head where a stream fails: curves over the share that is missing, and over noise.

The heads are those that were fitted, and so are the utterances; only what they are shown gets worse. Noise is
Gaussian, in units of each column's deviation over the utterances shown. Streams fail at random and one at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from dualstream.heads.data.batch import FeatureSet, StreamArrays
from dualstream.heads.diagnosis.changes import without
from dualstream.heads.diagnosis.measures.coalitions import bare
from dualstream.heads.diagnosis.refit import Pool, Refit, predict, uar
from numpy.typing import NDArray

from dualstream.documents import JsonObject

MISSING = (0.0, 0.25, 0.5, 0.75, 1.0)  # share of utterances that lack the stream
NOISE = (0.0, 0.5, 1.0, 2.0)  # deviations


@dataclass(frozen=True)
class RobustnessCurve:
    """Balanced accuracy of the joined head while one stream gets worse."""

    stream: str
    missing: tuple[float, ...]
    """Shares of utterances without the stream."""
    score_missing: tuple[float, ...]
    """Balanced accuracy at each, mean over folds' answers and seeds."""
    noise: tuple[float, ...]
    """Deviations of the noise, in those of the columns."""
    score_noise: tuple[float, ...]
    others: float
    """Balanced accuracy of the best head of the other streams by themselves: what need not be fallen below."""

    @property
    def falls_below(self) -> bool:
        """Whether the head without the stream does worse than a head on another stream by itself."""
        return self.score_missing[-1] < self.others

    def to_json(self) -> JsonObject:
        """Return the values."""
        return {**vars(self), "falls_below": self.falls_below}


def measure_robustness(
    pooled: Pool, fused: Refit, alone: dict[str, Refit], names: Sequence[str], *, seed: int = 0
) -> tuple[RobustnessCurve, ...]:
    """Measure both curves of each stream."""
    return tuple(
        RobustnessCurve(
            stream=name,
            missing=MISSING,
            score_missing=tuple(_score(pooled, fused, name, seed, missing=share) for share in MISSING),
            noise=NOISE,
            score_noise=tuple(_score(pooled, fused, name, seed, noise=level) for level in NOISE),
            others=max(alone[other].score for other in names if other != name),
        )
        for name in names
    )


def lost(features: FeatureSet, name: str, gone: NDArray[np.bool_]) -> FeatureSet:
    """Return the utterances with one stream marked as missing in some of them."""
    stream, empty = features.streams[name], without(features, name).streams[name]
    windows = seen = None
    if stream.windows is not None and stream.window_present is not None:
        assert empty.windows is not None, "without a stream its windows are zeros"
        of_window = np.repeat(gone, np.diff(features.offsets))
        windows = np.where(of_window[:, None], empty.windows, stream.windows)
        seen = stream.window_present & ~of_window
    rows = np.where(gone[:, None], empty.utterance, stream.utterance)
    kept = StreamArrays(rows, stream.present & ~gone, windows, seen)
    return replace(features, streams={**features.streams, name: kept})


def noisy(features: FeatureSet, name: str, level: float, rng: np.random.Generator) -> FeatureSet:
    """Return the utterances with noise of `level` deviations on the rows of one stream that are there."""
    stream = features.streams[name]
    rows = _with_noise(stream.utterance, stream.present, level, rng)
    windows = stream.windows
    if windows is not None and stream.window_present is not None:
        windows = _with_noise(windows, stream.window_present, level, rng)
    worse = StreamArrays(rows, stream.present, windows, stream.window_present)
    return replace(features, streams={**features.streams, name: worse})


def _with_noise(
    rows: NDArray[np.float32], there: NDArray[np.bool_], level: float, rng: np.random.Generator
) -> NDArray[np.float32]:
    if not there.any():
        return rows
    spread = rows[there].std(axis=0, dtype=np.float64)  # in float32 the squares of a wild value have no room
    added = level * spread * rng.standard_normal((int(there.sum()), rows.shape[1]))
    worse = rows.copy()
    most = float(np.finfo(np.float32).max)
    worse[there] = np.clip(rows[there] + added, -most, most).astype(np.float32)
    return worse


def _score(pooled: Pool, fused: Refit, name: str, seed: int, *, missing: float = 0.0, noise: float = 0.0) -> float:
    answers = [np.empty((len(pooled.features), pooled.classes)) for _ in fused.log_probabilities]
    for held, (models, change) in enumerate(fused.models):
        rows = pooled.rows([held])
        features = bare(change(pooled.features.take(rows)), fused.trial.fusion)
        rng = np.random.default_rng((seed, held, 5))
        if missing:
            features = lost(features, name, rng.random(len(rows)) < missing)
        if noise:
            features = noisy(features, name, noise, rng)
        for own, model in zip(answers, models, strict=True):
            own[rows] = predict(model, features, pooled.task)
    return float(np.mean([uar(own, pooled.truth) for own in answers]))
