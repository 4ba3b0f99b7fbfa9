"""Samples → tracks: what is measured every 10 ms, once for the whole clip.

Everything is relative to the clip's own loudness, so that a change of gain changes no number.

    sound     |<---------- 40 ms ---------->|
    frame t              |<-10 ms->|           stands for [t·10 ms, (t+1)·10 ms)
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import scipy.fft
import scipy.signal
from dualstream.features.acoustic.mel import mel_filters
from dualstream.features.acoustic.pitch import VOICED_STRENGTH, track_pitch
from dualstream.features.acoustic.spectrum import EVERY, Spectra, decibels, movement, spectral_tracks
from dualstream.features.acoustic.voice import pitch_steps, voice_tracks
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d, uniform_filter1d

SAMPLE_RATE_HZ = 16_000
HOP = 160  # samples from frame to frame: 10 ms
FRAME = 640  # samples that a frame looks at: 40 ms, 2.6 periods of the lowest pitch
N_FFT = 1024
FRAMES_PER_S = SAMPLE_RATE_HZ / HOP
BLOCK = 3000  # frames transformed at a time: 30 s, so that an hour needs no more memory than its tracks

BANDS = 40  # mel bands
WIDE_BANDS = 8  # each five mel bands wide
LOWEST_HZ, HIGHEST_HZ = 60.0, 7600.0
CEPSTRA = 20
FLOOR_DB = 38.0  # a mel band further below the clip's loudness counts as this far below
FINE_FLOOR_DB = 52.0  # the same for one bin of the spectrum
PAUSE_DB = 30.0  # a frame this far below the clip's loudness is a pause
NEVER_PAUSE_DB = 18.0  # a frame nearer to the clip's loudness than this is none
QUIET_SHARE = 10  # percent of the frames between the two that count as pauses: breath, room, noise
NOISE_SHARE = 10  # percent of the frames from first to last speech, the quietest: they say how the noise sounds
NOISE_BINS = 25  # bins that its spectrum is smoothed over, 390 Hz: it has no harmonics
NOISE_SURE, NOISE_NEVER = 0.08, 0.16  # of the loudness: quiet frames this loud are taken for noise, for speech
SYLLABLE_RISE_DB = 0.5  # per frame, after smoothing: a steeper rise begins a syllable

Floats = NDArray[np.float32]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Tracks:
    """What is measured in each of T frames."""

    values: Floats
    """Shape (number of tracks, T), finite."""
    names: tuple[str, ...]
    active: Flags
    """Frames with speech, shape (T,)."""
    voiced: Flags
    """Active frames with a pitch, shape (T,)."""
    onsets: Flags
    """Frames at which a syllable begins, shape (T,)."""

    def only(self, names: Container[str]) -> Tracks:
        """Return these with the tracks called `names` alone, in the same order."""
        rows = [row for row, name in enumerate(self.names) if name in names]
        if len(rows) == len(self.names):
            return self
        kept = tuple(self.names[row] for row in rows)
        return replace(self, values=self.values[rows], names=kept)

    def __repr__(self) -> str:
        return f"Tracks(values={self.values.shape}, active={self.active.sum()}, voiced={self.voiced.sum()})"


def measure(audio: Floats, wanted: Container[str] = EVERY) -> Tracks:
    """Measure the tracks of mono sound at 16 kHz, shape (S,), any level; T = S / 160 rounded up, at least 1.

    Those that are not `wanted` are left out, where they would take time.
    """
    window, mel = _tables()
    frames = _frames(audio)  # (T, FRAME), a view
    energy = _energy(frames, window)  # (T,)
    noise = _noise(frames, window, energy, *_loudness(energy)[1:])  # (bins,)
    energy = np.maximum(energy - noise.sum(dtype=np.float64), 0)
    scale, level, active = _loudness(energy)

    blocks = [
        _block(frames[begin : begin + BLOCK] * window, window, mel, scale, noise * scale, wanted)
        for begin in range(0, len(frames), BLOCK)
    ]
    joined = {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}

    log_mel = joined.pop("log_mel")  # (T, BANDS)
    voiced = active & (joined.pop("strength") > VOICED_STRENGTH)
    cepstra = scipy.fft.dct(log_mel, axis=1, norm="ortho")  # (T, BANDS)
    wide = log_mel.reshape(len(log_mel), WIDE_BANDS, -1).mean(axis=2)  # (T, WIDE_BANDS)
    tracks = {"level": level}
    tracks |= {f"cepstrum{i}": cepstra[:, i] for i in range(1, CEPSTRA + 1)}
    tracks |= {f"band{b}": wide[:, b] for b in range(WIDE_BANDS)}
    tracks |= joined | movement(log_mel) | pitch_steps(joined["pitch"], voiced)
    tracks = {name: track for name, track in tracks.items() if name in wanted} or {"level": level}
    values = np.stack(list(tracks.values())).astype(np.float32)  # (tracks, T)
    return Tracks(np.nan_to_num(values, posinf=0, neginf=0), tuple(tracks), active, voiced, _onsets(level, active))


def _block(
    frames: Floats, window: Floats, mel: Floats, scale: np.float32, noise: Floats, wanted: Container[str]
) -> dict[str, Floats]:
    """Measure windowed frames, shape (t, FRAME), by their spectra; what the spectra take is free again after."""
    spectrum = scipy.fft.rfft(frames, N_FFT, axis=1)
    whole = (spectrum.real**2 + spectrum.imag**2) * scale  # (t, bins)
    del spectrum
    power = np.maximum(whole - noise, 0)
    spectra = Spectra(
        power, decibels(power, FINE_FLOOR_DB), decibels(power @ mel, FLOOR_DB), SAMPLE_RATE_HZ / N_FFT
    )
    pitch = track_pitch(whole, window, N_FFT, SAMPLE_RATE_HZ)
    strength = {"strength": pitch.strength, "log_mel": spectra.log_mel}
    return strength | voice_tracks(spectra, pitch) | spectral_tracks(spectra, wanted)


@lru_cache(maxsize=1)
def _tables() -> tuple[Floats, Floats]:
    """Return the frame's window, shape (FRAME,), and the mel filters, shape (bins, BANDS)."""
    mel = mel_filters(sr=SAMPLE_RATE_HZ, n_fft=N_FFT, n_mels=BANDS, fmin=LOWEST_HZ, fmax=HIGHEST_HZ, norm=None)
    return np.hanning(FRAME + 1)[:-1].astype(np.float32), np.ascontiguousarray(mel.T, dtype=np.float32)


@lru_cache(maxsize=1)
def _high_pass() -> tuple[Floats, Floats]:
    """Return a filter against rumble and offset, and its state after a long stretch of ones."""
    sections = scipy.signal.butter(2, LOWEST_HZ, "highpass", fs=SAMPLE_RATE_HZ, output="sos")
    return sections.astype(np.float32), scipy.signal.sosfilt_zi(sections).astype(np.float32)


def _frames(audio: Floats) -> Floats:
    """Cut sound into frames, shape (T, FRAME); damaged samples count as 0, rumble and offset are taken out."""
    audio = np.asarray(audio, np.float32)
    count = max(1, -(-audio.size // HOP))
    padded = np.zeros((count - 1) * HOP + FRAME, np.float32)
    peak = float(np.abs(audio).max()) if audio.size else 0.0
    if not np.isfinite(peak):
        audio = np.nan_to_num(audio, posinf=0.0, neginf=0.0)
        peak = float(np.abs(audio).max())
    if peak > 0:
        sound = audio / np.float32(peak)  # first, so that no square leaves float32's range
        side = (FRAME - HOP) // 2
        # The filter starts as if the first sample had stood for ever: an offset makes no click.
        sections, state = _high_pass()
        padded[side : side + audio.size] = scipy.signal.sosfilt(sections, sound, zi=state * sound[0])[0]
    return np.lib.stride_tricks.sliding_window_view(padded, FRAME)[::HOP]


def _energy(frames: Floats, window: Floats) -> NDArray[np.float64]:
    """Return the energy of the frames' spectra (Parseval), shape (T,)."""
    parts = [
        ((frames[begin : begin + BLOCK] * window) ** 2).sum(axis=1, dtype=np.float64)
        for begin in range(0, len(frames), BLOCK)
    ]
    energy = np.concatenate(parts) * N_FFT / 2
    return np.where(energy > 1e-20 * energy.max(initial=0), energy, 0.0)


def _loudness(energy: NDArray[np.float64]) -> tuple[np.float32, Floats, Flags]:
    """Return one over the clip's loudness; level in dB over it, and which frames hold speech, shape (T,) each."""
    total = energy.sum()
    # The energy that energy itself sits at: silence before or after the speech does not move it.
    loudness = float((energy**2).sum() / total) if total > 0 else 0.0
    scale = np.float32(1 / loudness if loudness > 0 else 0.0)
    level = decibels((energy * scale).astype(np.float32), FLOOR_DB)
    return scale, level, _active(level) if loudness > 0 else np.zeros(level.shape, bool)


def _noise(frames: Floats, window: Floats, energy: NDArray[np.float64], level: Floats, active: Flags) -> Floats:
    """Estimate the power spectrum of steady noise, shape (bins,): that of the quietest frames within the speech.

    Zeros where even those are nearly as loud as the speech: a steady vowel is not noise. Power is subtracted as in
    Boll (1979), "Suppression of acoustic noise in speech using spectral subtraction",
    https://doi.org/10.1109/TASSP.1979.1163209; the floors stand in for his residual noise reduction.
    """
    nothing = np.zeros(N_FFT // 2 + 1, np.float32)
    if not active.any():
        return nothing
    first, last = np.flatnonzero(active)[[0, -1]]
    span = energy[first : last + 1]
    quiet = first + np.argsort(span, kind="stable")[: max(3, len(span) * NOISE_SHARE // 100)]
    loud = 10 ** (level[quiet] / 10)
    weight = np.clip((NOISE_NEVER - float(loud.mean())) / (NOISE_NEVER - NOISE_SURE), 0, 1)
    if weight == 0:
        return nothing
    total = np.zeros(len(nothing))
    for begin in range(0, len(quiet), BLOCK):
        spectrum = scipy.fft.rfft(frames[quiet[begin : begin + BLOCK]] * window, N_FFT, axis=1)
        total += (spectrum.real**2 + spectrum.imag**2).sum(axis=0, dtype=np.float64)
    return (weight * uniform_filter1d(total / len(quiet), NOISE_BINS, mode="nearest")).astype(np.float32)


def _active(level: Floats) -> Flags:
    """Tell speech from pauses, by the level in dB below the clip's loudness, shape (T,)."""
    heard = level[level > -PAUSE_DB]
    if heard.size == 0:
        return np.zeros(level.shape, bool)
    return level > np.clip(np.percentile(heard, QUIET_SHARE), -PAUSE_DB, -NEVER_PAUSE_DB)


def _onsets(level: Floats, active: Flags) -> Flags:
    """Find the steepest frames of the rises of the smoothed level, shape (T,)."""
    slope = np.diff(gaussian_filter1d(level, 4.0, mode="nearest"), prepend=level[:1])
    slope[:1] = 0
    found = np.zeros(level.shape, bool)
    inner = slope[1:-1]
    found[1:-1] = (inner > slope[:-2]) & (inner >= slope[2:]) & (inner > SYLLABLE_RISE_DB)
    return found & active
