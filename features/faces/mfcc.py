"""Mel-frequency cepstral coefficients as the active speaker networks were trained on them.

Those of the package python_speech_features with its defaults, which set what the weights expect: 25 ms windows
each 10 ms, pre-emphasis 0.97, no window function, 512-point spectrum, 26 mel filters up to 8 kHz, the orthonormal
DCT, a cepstral lifter of 22, and the log energy in place of the first coefficient. Samples are rounded to int16 as
theirs were: what lies below one step, such as the band that a codec left empty, is the step's noise, not -60 dB.
"""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

SAMPLE_RATE_HZ = 16_000
COEFFICIENTS = 13
WINDOW, HOP, POINTS, FILTERS = 400, 160, 512, 26  # samples, samples, samples, filters
PRE_EMPHASIS, LIFTER = 0.97, 22
FULL_SCALE = 32_768.0
NOTHING = float(np.finfo(np.float64).eps)


def mfcc(audio: NDArray[np.float32], frames: int) -> NDArray[np.float32]:
    """Return `frames` rows of 13 coefficients, 100 a second; silence follows where the audio ends before.

    Parameters
    ----------
    audio
        Mono at 16 kHz, full scale ±1.
    """
    from scipy.fft import dct

    samples = np.zeros((frames - 1) * HOP + WINDOW)
    kept = audio[: len(samples)].astype(np.float64) * FULL_SCALE
    samples[: len(kept)] = np.clip(np.rint(kept), -FULL_SCALE, FULL_SCALE - 1)
    samples[1:] -= PRE_EMPHASIS * samples[:-1]
    windows = np.lib.stride_tricks.sliding_window_view(samples, WINDOW)[::HOP]  # (frames, 400)
    power = np.abs(np.fft.rfft(windows, POINTS)) ** 2 / POINTS  # (frames, 257)
    energy = np.maximum(power.sum(axis=1), NOTHING)
    mel = np.log(np.maximum(power @ _filters().T, NOTHING))  # (frames, 26)
    cepstrum = dct(mel, type=2, axis=1, norm="ortho")[:, :COEFFICIENTS]
    cepstrum = cepstrum * (1 + LIFTER / 2 * np.sin(np.pi * np.arange(COEFFICIENTS) / LIFTER))
    cepstrum[:, 0] = np.log(energy)
    return cepstrum.astype(np.float32)


@functools.cache
def _filters() -> NDArray[np.float64]:
    """Return triangular filters, evenly spaced on the mel scale, shape (26, 257)."""
    top = 2595 * np.log10(1 + SAMPLE_RATE_HZ / 2 / 700)
    hz = 700 * (10 ** (np.linspace(0, top, FILTERS + 2) / 2595) - 1)
    edges = np.floor((POINTS + 1) * hz / SAMPLE_RATE_HZ)
    bins = np.arange(POINTS // 2 + 1)
    rows = []
    for left, middle, right in zip(edges[:-2], edges[1:-1], edges[2:], strict=True):
        up = (bins >= left) & (bins < middle)
        down = (bins >= middle) & (bins < right)
        rows.append(
            np.where(up, (bins - left) / max(middle - left, 1), 0)
            + np.where(down, (right - bins) / max(right - middle, 1), 0)
        )
    return np.array(rows)
