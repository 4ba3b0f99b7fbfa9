"""sync: how well the motion of the mouth follows the loudness of the voice, over lags of ±0.12 s. No weights.

At each tick the two are correlated over four seconds around it, on the ticks with a voice and 0.4 s beside them;
the best lag counts. Motion is what changes in the mouth's region from picture to picture beyond what changes in
the rest of the face, so that nodding is no talking. It is weighed by a floor: a still picture's coding noise
follows nothing. To the correlation is added a little for a mouth that moves at all while a voice is heard.

The product of the two is also returned with the voice shifted by each lag of fit.py, which tells a voice that fits
no face of the shot: a dubbed video, or a second of delay.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from dualstream.features.faces.fit import LAGS
from dualstream.features.faces.scoring import SAMPLE_RATE_HZ, TICKS_PER_S, CropSpec, register
from dualstream.features.faces.voice import levels_db, voiced
from numpy.typing import NDArray

LONGEST_LAG = 3  # ticks: 0.12 s
CORRELATED_S = 2.0  # to each side
BESIDE_TICKS = 10  # of a voice: that it begins and ends is what tells most
SMOOTHED_TICKS = 3
LEAST_VOICED = 8  # ticks around a tick, or there is nothing to correlate
MOTION_FLOOR = 0.35  # grey levels a tick
ACTIVITY = 0.2  # the most that moving at all adds
HALF_ACTIVE = 1.2  # grey levels a tick that add half of it
SIZE_PX = 64
MOUTH = slice(38, 62), slice(16, 48)  # rows and columns of the crop
REST = slice(4, 32), slice(8, 56)


@register("sync", weights=False)
def build(weights: Path | None) -> Sync:
    """Motion of the mouth against the loudness of the voice; no weights, no package."""
    del weights  # there are none
    return Sync()


class Sync:
    """Keeps the LaggedScorer protocol."""

    name = "sync"
    crop = CropSpec(SIZE_PX, 1.0, 0.0)
    context_s = 0.5  # of what is smoothed over seconds already: more is late where the speaker changes
    least_margin = 0.1
    least_fit = 0.5

    def to_json(self) -> dict[str, Any]:
        """Return all that shapes its answers."""
        return {"name": self.name, "version": 4, "correlated_s": CORRELATED_S} | {
            "context_s": self.context_s,
            "least_fit": self.least_fit,
        }

    def score(self, crops: NDArray[np.uint8], audio: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return each tick's correlation plus what moving adds, 0 to 1.2, shape (T,); NaN without a voice."""
        return self.score_lags(crops, audio)[0]

    def score_lags(
        self, crops: NDArray[np.uint8], audio: NDArray[np.float32]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return `score`, and the product of motion and loudness at each lag, both scaled, shape (L, T)."""
        level = levels_db(audio, len(crops))
        voice = voiced(level)
        heard = np.convolve(voice, np.ones(2 * BESIDE_TICKS + 1))[BESIDE_TICKS : BESIDE_TICKS + len(voice)] > 0
        motion = _motion(crops)
        reach = round(CORRELATED_S * TICKS_PER_S)
        score = np.full(len(crops), np.nan)
        for tick in range(len(crops)):
            near = slice(max(0, tick - reach), tick + reach + 1)
            if voice[near].sum() >= LEAST_VOICED:
                moving = float(motion[near][voice[near]].mean())
                score[tick] = _followed(motion[near], level[near], heard[near])
                score[tick] += ACTIVITY * moving / (moving + HALF_ACTIVE)
        return score, _products(motion, level, heard)


def _motion(crops: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return how much the mouth moves up to each tick, grey levels, shape (T,)."""
    steps = np.abs(np.diff(crops.astype(np.float32), axis=0))
    mouth, rest = (steps[:, rows, columns].mean(axis=(1, 2)) for rows, columns in (MOUTH, REST))
    motion = np.maximum(mouth - 0.5 * rest, 0.0)
    motion = np.pad(np.concatenate([motion[:1], motion]), SMOOTHED_TICKS // 2, mode="edge")
    return np.convolve(motion, np.ones(SMOOTHED_TICKS) / SMOOTHED_TICKS, mode="valid").astype(np.float64)


def _followed(motion: NDArray[np.float64], level: NDArray[np.float64], heard: NDArray[np.bool_]) -> float:
    """Return the best correlation over the lags, 0 or more."""
    best = 0.0
    for lag in range(-LONGEST_LAG, LONGEST_LAG + 1):
        m = motion[max(0, lag) : len(motion) + min(0, lag)]
        a, v = (one[max(0, -lag) : len(one) + min(0, -lag)] for one in (level, heard))
        if v.sum() < LEAST_VOICED:
            continue
        m, a = m[v] - m[v].mean(), a[v] - a[v].mean()
        scale = (np.sqrt((m * m).mean()) + MOTION_FLOOR) * np.sqrt((a * a).mean())
        if scale > 0:
            best = max(best, float((m * a).mean() / scale))
    return best


def _products(
    motion: NDArray[np.float64], level: NDArray[np.float64], heard: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Return motion times loudness shifted by each of LAGS, both centred and scaled, shape (L, T)."""
    if not heard.any():
        return np.zeros((len(LAGS), len(motion)))
    moving = motion - motion.mean()
    moving /= np.sqrt((moving * moving).mean()) + MOTION_FLOOR
    loud = np.where(heard, level - level[heard].mean(), 0.0)
    loud /= max(float(np.sqrt((loud * loud).mean())), 1e-9)
    return np.stack([moving * np.roll(loud, lag) for lag in LAGS])


assert SAMPLE_RATE_HZ % TICKS_PER_S == 0
