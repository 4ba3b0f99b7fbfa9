"""Tracks of the voice: pitch and its steps, periodicity, and how the harmonics stand to each other."""

from __future__ import annotations

import numpy as np
from dualstream.features.acoustic.pitch import Pitch
from dualstream.features.acoustic.spectrum import Spectra
from numpy.typing import NDArray

Floats = NDArray[np.float32]
REFERENCE_HZ = 150.0  # pitch is semitones above this
LARGEST_STEP = 4.0  # semitones in 10 ms: more is an error of the pitch tracker, not a voice
HARMONICS = 20
HARMONIC_BANDS_HZ = {"harmonics_low": (0, 1000), "harmonics_mid": (1000, 2000), "harmonics_high": (2000, 4000)}


def voice_tracks(spectra: Spectra, pitch: Pitch) -> dict[str, Floats]:
    """Return pitch in semitones, periodicity and differences of harmonics in dB, each of shape (T,).

    `h1_h2` and `h1_a3` are those of Hanson (1997), "Glottal characteristics of female speakers",
    https://doi.org/10.1121/1.417991, without correction for the formants; a1 and a3 are the strongest bins of
    300-1000 Hz and 2300-3600 Hz.
    """
    log_power = spectra.log_power
    f0_hz = np.float32(2) ** pitch.octave
    rows = np.arange(len(f0_hz))

    def harmonic(k: int) -> Floats:
        bin_ = np.clip(np.rint(k * f0_hz / spectra.bin_hz).astype(np.int64), 1, log_power.shape[1] - 2)
        near = log_power[rows, bin_ - 1], log_power[rows, bin_], log_power[rows, bin_ + 1]
        return np.maximum(np.maximum(*near[:2]), near[2])

    first = harmonic(1)
    odds = pitch.strength.clip(0.05)
    tracks = {
        "pitch": np.float32(12) * (pitch.octave - np.float32(np.log2(REFERENCE_HZ))),
        "hnr": 10 * np.log10(odds / (1 - odds)),
        "h1_h2": first - harmonic(2),
        "h1_h3": first - harmonic(3),
        "h1_a1": first - log_power[:, spectra.span(300, 1000)].max(axis=1),
        "h1_a3": first - log_power[:, spectra.span(2300, 3600)].max(axis=1),
    }
    # Harmonics over the valleys between them: how periodic each region is.
    at_hz = np.arange(1, HARMONICS + 1, dtype=np.float32) * f0_hz[:, None]  # (T, HARMONICS)
    last = log_power.shape[1] - 1
    top = np.rint(at_hz / spectra.bin_hz).astype(np.int64).clip(0, last)
    valley = np.rint((at_hz + f0_hz[:, None] / 2) / spectra.bin_hz).astype(np.int64).clip(0, last)
    height = log_power[rows[:, None], top] - log_power[rows[:, None], valley]
    for name, (low_hz, high_hz) in HARMONIC_BANDS_HZ.items():
        inside = (at_hz >= low_hz) & (at_hz < high_hz)
        tracks[name] = (height * inside).sum(axis=1) / np.maximum(inside.sum(axis=1), 1)
    return tracks


def pitch_steps(pitch: Floats, voiced: NDArray[np.bool_]) -> dict[str, Floats]:
    """Return what the pitch does from frame to frame, semitones, 0 beside unvoiced frames, each of shape (T,)."""
    step = np.diff(pitch, prepend=pitch[:1])
    both = voiced & np.concatenate([[False], voiced[:-1]])
    step = np.where(both & (np.abs(step) < LARGEST_STEP), step, np.float32(0))
    return {
        "pitch_step": step,
        "pitch_change": np.abs(step),
        "jitter": np.abs(np.diff(step, prepend=step[:1])),
    }
