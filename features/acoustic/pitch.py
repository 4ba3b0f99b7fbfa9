"""Fundamental frequency and periodicity of every frame, from the autocorrelation of its power spectrum.

Two passes instead of a dynamic-programming search: the first finds the speaker's register, the second looks
for the best period with a mild preference for it, which removes most octave errors at no cost.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

LOWEST_HZ, HIGHEST_HZ = 65.0, 600.0  # range of speech, shouting included
PASS_BAND_HZ = (60.0, 3500.0)  # outside it the spectrum is set aside: hum and fricatives
OCTAVE_COST = 0.02  # strength lost per octave below the highest pitch: prefers the shortest period
REGISTER_COST = 0.15  # strength lost at one octave from the register, in the second pass (square law)
VOICED_STRENGTH = 0.5  # normalised autocorrelation from which a frame counts as voiced
MAX_STRENGTH = 0.999  # 30 dB of harmonics over noise: more than a window of 40 ms can resolve


@dataclass(frozen=True)
class Pitch:
    """Pitch of T frames."""

    octave: NDArray[np.float32]
    """log2 of the fundamental in Hz, shape (T,); says something in periodic frames alone."""
    strength: NDArray[np.float32]
    """Normalised autocorrelation at that period, 0 to 0.999, shape (T,)."""


def track_pitch(power: NDArray[np.float32], window: NDArray[np.float32], n_fft: int, sample_rate_hz: int) -> Pitch:
    """Estimate pitch and periodicity from power spectra, shape (T, n_fft // 2 + 1), of windowed frames.

    The autocorrelation of the frame is divided by that of the window, after Boersma (1993), "Accurate
    short-term analysis of the fundamental frequency and the harmonics-to-noise ratio of a sampled sound",
    https://www.fon.hum.uva.nl/paul/papers/Proceedings_1993.pdf.
    """
    lag_low = int(sample_rate_hz / HIGHEST_HZ)
    lag_high = int(np.ceil(sample_rate_hz / LOWEST_HZ)) + 1
    table = _correlator(window.tobytes(), n_fft, sample_rate_hz, lag_high + 2)
    cut = _pass_band(n_fft, sample_rate_hz)
    inside = np.ascontiguousarray(power[:, cut])
    zero_lag = inside.sum(axis=1, keepdims=True)
    # A frame 120 dB under the clip's loudness has no pitch to speak of.
    inside /= np.where(zero_lag > 1e-12, zero_lag, 1)
    correlation = inside @ table  # (T, lags), 1 at lag 0

    lags = np.arange(lag_low, lag_high + 1)
    octaves = np.log2(sample_rate_hz / lags).astype(np.float32)
    middle = correlation[:, lag_low : lag_high + 1]
    peak = (middle >= correlation[:, lag_low - 1 : lag_high]) & (
        middle > correlation[:, lag_low + 1 : lag_high + 2]
    )
    score = np.where(peak, middle, -1.0) + OCTAVE_COST * (octaves - octaves[-1])  # (T, lags)
    rows = np.arange(len(power))
    best = score.argmax(axis=1)
    sure = middle[rows, best] > 0.7
    if sure.any():
        register = np.median(octaves[best[sure]])
        best = (score - REGISTER_COST * (octaves - register) ** 2).argmax(axis=1)

    at = best + lag_low  # parabola through the peak and its neighbours
    left, top, right = correlation[rows, at - 1], correlation[rows, at], correlation[rows, at + 1]
    bend = left - 2 * top + right
    shift = np.where(bend < -1e-9, 0.5 * (left - right) / np.where(bend < -1e-9, bend, -1.0), 0.0).clip(-0.5, 0.5)
    strength = (top - 0.25 * (left - right) * shift).clip(0.0, MAX_STRENGTH)
    return Pitch(np.log2(sample_rate_hz / (at + shift)).astype(np.float32), strength.astype(np.float32))


def _pass_band(n_fft: int, sample_rate_hz: int) -> slice:
    bin_hz = sample_rate_hz / n_fft
    return slice(int(PASS_BAND_HZ[0] / bin_hz), int(PASS_BAND_HZ[1] / bin_hz))


@lru_cache(maxsize=2)
def _correlator(window: bytes, n_fft: int, sample_rate_hz: int, lags: int) -> NDArray[np.float32]:
    """Return the matrix that turns power in the pass band into autocorrelation over the window's, (bins, lags).

    So few of the spectrum's bins and of the lags matter that one product is faster than an inverse FFT.
    """
    own = np.frombuffer(window, np.float32).astype(np.float64)
    own_correlation = np.fft.irfft(np.abs(np.fft.rfft(own, n_fft)) ** 2, n_fft)[:lags]
    cut = _pass_band(n_fft, sample_rate_hz)
    turns = np.outer(np.arange(cut.start, cut.stop), np.arange(lags)) / n_fft
    return (np.cos(2 * np.pi * turns) * (own_correlation[0] / own_correlation)).astype(np.float32)
