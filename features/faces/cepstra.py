"""Mel-frequency cepstral coefficients that tell voices apart: 16 of them, without the level, 100 a second.

Those of mfcc.py are what a network was trained on. These are finer (40 filters, a Hamming window, no lifter): of
pairs of stretches of one and of two people in real clips they order 0.996 rightly, those of mfcc.py 0.985.
"""

from __future__ import annotations

import functools

import numpy as np
from dualstream.features.faces.mfcc import FULL_SCALE, HOP, POINTS, PRE_EMPHASIS, SAMPLE_RATE_HZ, WINDOW
from dualstream.features.faces.voice import TICK
from numpy.typing import NDArray

COEFFICIENTS, FILTERS = 16, 40
ROWS_PER_TICK = TICK // HOP
LEAST_POWER = 1.0  # of a filter, int16 squared: what a codec left empty says nothing


def cepstra(audio: NDArray[np.float32], ticks: int) -> NDArray[np.float64]:
    """Return the coefficients of each tick's rows, shape (ticks, 4, 16); silence follows where the audio ends.

    Parameters
    ----------
    audio
        Mono at 16 kHz, full scale ±1; the first sample stands at the first tick.
    """
    from scipy.fft import dct

    if not ticks:
        return np.zeros((0, ROWS_PER_TICK, COEFFICIENTS))
    samples = np.zeros((ROWS_PER_TICK * ticks - 1) * HOP + WINDOW)
    kept = audio[: len(samples)]
    samples[: len(kept)] = np.rint(kept.astype(np.float64) * FULL_SCALE)
    samples[1:] -= PRE_EMPHASIS * samples[:-1]
    windows = np.lib.stride_tricks.sliding_window_view(samples, WINDOW)[::HOP] * np.hamming(WINDOW)
    power = np.abs(np.fft.rfft(windows, POINTS)) ** 2 / POINTS  # (4 ticks, 257)
    mel = np.log(np.einsum("rb,fb->rf", power, _filters()) + LEAST_POWER)
    rows = dct(mel, type=2, axis=1, norm="ortho")[:, 1 : 1 + COEFFICIENTS]
    return np.asarray(rows.reshape(ticks, ROWS_PER_TICK, COEFFICIENTS))


@functools.cache
def _filters() -> NDArray[np.float64]:
    """Return triangular filters, evenly spaced on the mel scale up to half of the rate, shape (40, 257)."""
    top = 2595 * np.log10(1 + SAMPLE_RATE_HZ / 2 / 700)
    edges = 700 * (10 ** (np.linspace(0, top, FILTERS + 2) / 2595) - 1)
    at = np.fft.rfftfreq(POINTS, 1 / SAMPLE_RATE_HZ)
    left, middle, right = (edges[one : one + FILTERS, None] for one in range(3))
    return np.clip(np.minimum((at - left) / (middle - left), (right - at) / (right - middle)), 0, None)


assert TICK % HOP == 0
