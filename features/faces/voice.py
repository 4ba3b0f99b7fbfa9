"""Where a voice is heard: the level of the sound at each tick, and which ticks stand out from the background."""

from __future__ import annotations

import numpy as np
from dualstream.features.faces.scoring import SAMPLE_RATE_HZ, TICKS_PER_S
from numpy.typing import NDArray

TICK = SAMPLE_RATE_HZ // TICKS_PER_S  # samples
QUIETEST_DB = -60.0
BELOW_LOUD_DB = 25.0  # a voice is no further below the loudest tenth of its clip than this
SMOOTHED_TICKS = 3


def levels_db(audio: NDArray[np.float32], ticks: int) -> NDArray[np.float64]:
    """Return the level around each tick, decibels below full scale, shape (ticks,); silence behind the end."""
    samples = np.zeros(ticks * TICK)
    kept = audio[: len(samples)]
    samples[: len(kept)] = kept
    power = np.square(samples).reshape(ticks, TICK).mean(axis=1)
    padded = np.pad(power, SMOOTHED_TICKS // 2, mode="edge")
    smooth = np.convolve(padded, np.ones(SMOOTHED_TICKS) / SMOOTHED_TICKS, mode="valid")
    return np.maximum(10 * np.log10(np.maximum(smooth, 1e-12)), QUIETEST_DB)


def voiced(level_db: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return which ticks have a voice, shape (ticks,)."""
    if not len(level_db):
        return np.zeros(0, np.bool_)
    loud = float(np.percentile(level_db, 90))
    return level_db > max(loud - BELOW_LOUD_DB, QUIETEST_DB + 10)
