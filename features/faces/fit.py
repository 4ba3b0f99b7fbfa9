"""Whether the sound fits the faces of a shot at all: a voice fits a mouth best without a shift.

A dubbed film, a voice from outside the picture, or sound that is late makes two lively faces neither silent nor
equal: one of them leads all the same. So all faces of a shot are scored with the sound shifted as well. Where one
of them talks, the best face fits better at lags near 0 than at lags of half a second and more; where nobody does,
0 is a lag like any other.

    lag    -2 s … -0.56 s        -0.08 … +0.08 s        +0.56 s … +2 s
           far: mean, spread     near: the best         far
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from dualstream.features.faces.scoring import TICKS_PER_S
from numpy.typing import NDArray

NEAR = (-2, -1, 0, 1, 2)  # ticks
FAR = tuple(lag for lag in range(-50, 51, 4) if abs(lag) >= 14)  # ticks
LAGS = (*NEAR, *FAR)
SMOOTHED_TICKS = 75  # one face is the best for as long as a sentence, not from syllable to syllable
SPAN_TICKS = 10 * TICKS_PER_S  # to each side of a window: what is said minutes away is another matter
SHORTEST_TICKS = 2 * TICKS_PER_S  # of a track, and of a voice: less tells nothing
FEWEST_FAR = 8


@dataclass(frozen=True, repr=False)
class LaggedScores:
    """One face's scores at every lag, smoothed, less their mean over the far lags."""

    first_tick: int
    values: NDArray[np.float32]
    """Shape (L, T), in the order of LAGS."""

    @classmethod
    def of(cls, first_tick: int, scores: NDArray[np.float64]) -> LaggedScores | None:
        """Smooth scores, shape (L, T); None where the track is too short for any far lag."""
        ticks = scores.shape[1]
        usual = np.abs(FAR) <= ticks // 2
        if ticks < SHORTEST_TICKS or usual.sum() < FEWEST_FAR:
            return None
        centred = scores - scores[len(NEAR) :][usual].mean()
        return cls(first_tick, smoothed(centred).astype(np.float32))


def smoothed(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean over SMOOTHED_TICKS around each tick, of what there is of them, shape (L, T)."""
    ticks, half = values.shape[1], SMOOTHED_TICKS // 2
    sums = np.concatenate([np.zeros((len(values), 1)), values.cumsum(axis=1)], axis=1)
    at = np.arange(ticks)
    first, end = np.maximum(at - half, 0), np.minimum(at + half + 1, ticks)
    return np.asarray((sums[:, end] - sums[:, first]) / (end - first))


def fit(faces: Sequence[LaggedScores], voice: NDArray[np.bool_], span: tuple[int, int]) -> float:
    """Return by how many spreads of the far lags the near ones stand out; NaN where there is too little to tell.

    Parameters
    ----------
    faces
        Of one shot.
    voice
        Ticks of the clip with a voice, shape (ticks,).
    span
        First tick and end of the window; SPAN_TICKS beside it count, too.
    """
    if not faces:
        return float("nan")
    first = max(0, span[0] - SPAN_TICKS, min(one.first_tick for one in faces))
    end = min(len(voice), span[1] + SPAN_TICKS, max(one.first_tick + one.values.shape[1] for one in faces))
    if end - first < SHORTEST_TICKS:
        return float("nan")
    best = np.full((len(LAGS), end - first), -np.inf, np.float32)
    for one in faces:
        a, b = max(first, one.first_tick), min(end, one.first_tick + one.values.shape[1])
        if a < b:
            part = best[:, a - first : b - first]
            np.maximum(part, one.values[:, a - one.first_tick : b - one.first_tick], out=part)
    heard = voice[first:end] & np.isfinite(best[0])
    shortest = min(one.values.shape[1] for one in faces)
    usual = np.abs(FAR) <= shortest // 2
    if heard.sum() < SHORTEST_TICKS or usual.sum() < FEWEST_FAR:
        return float("nan")
    by_lag = best[:, heard].mean(axis=1, dtype=np.float64)
    far = by_lag[len(NEAR) :][usual]
    return float((by_lag[: len(NEAR)].max() - far.mean()) / max(far.std(), 1e-9))
