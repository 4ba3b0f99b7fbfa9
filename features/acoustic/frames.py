"""Samples → tracks: what is measured every 10 ms, once for the whole clip.

Everything is relative to the clip's own loudness, so that a change of gain changes no number.

    sound     |<---------- 40 ms ---------->|
    frame t              |<-10 ms->|           stands for [t·10 ms, (t+1)·10 ms)
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import scipy.fft
from librosa.filters import mel as mel_filters
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from features.acoustic.pitch import VOICED_STRENGTH, track_pitch

SAMPLE_RATE_HZ = 16_000
HOP = 160  # samples from frame to frame: 10 ms
FRAME = 640  # samples that a frame looks at: 40 ms, 2.6 periods of the lowest pitch
N_FFT = 1024
FRAMES_PER_S = SAMPLE_RATE_HZ / HOP

BANDS = 40  # mel bands
LOWEST_HZ, HIGHEST_HZ = 60.0, 7600.0
CEPSTRA = 20
FLOOR_DB = 50.0  # a band further below the clip's loudness counts as this far below
ACTIVE_DB = 30.0  # a frame this far below the clip's loudness is a pause
NOISE_MARGIN_DB = 4.0  # a frame must rise this far above the clip's own noise floor
NOISE_LIMIT_DB = 12.0  # a frame this near to the clip's loudness is never a pause
TINY = np.float32(1e-20)
Floats = NDArray[np.float32]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Tracks:
    """What is measured in each of T frames."""

    values: NDArray[np.float32]
    """Shape (number of tracks, T), finite; meaningless where a track's frames have weight 0."""
    names: tuple[str, ...]
    active: NDArray[np.bool_]
    """Frames with speech, shape (T,)."""
    voiced: NDArray[np.bool_]
    """Active frames with a pitch, shape (T,)."""
    onsets: NDArray[np.bool_]
    """Frames at which a syllable begins, shape (T,)."""
    energy: NDArray[np.float32]
    """Power over the clip's loudness, shape (T,)."""


@lru_cache(maxsize=1)
def _tables() -> dict[str, NDArray[np.float32]]:
    """Filters and windows, made once a process."""
    mel = mel_filters(sr=SAMPLE_RATE_HZ, n_fft=N_FFT, n_mels=BANDS, fmin=LOWEST_HZ, fmax=HIGHEST_HZ, norm=None)
    return {
        "window": np.hanning(FRAME + 1)[:-1].astype(np.float32),
        "mel": np.ascontiguousarray(mel.T, dtype=np.float32),
        "hz": np.fft.rfftfreq(N_FFT, 1 / SAMPLE_RATE_HZ).astype(np.float32),
    }


def measure(audio: NDArray[np.float32]) -> Tracks:
    """Measure the tracks of mono sound at 16 kHz, shape (S,), any level; T = S / 160 rounded up, at least 1."""
    tables = _tables()
    power = _power(audio, tables["window"])  # (T, bins)
    hz = tables["hz"]
    speech_band = (hz >= LOWEST_HZ) & (hz <= HIGHEST_HZ)
    frame_energy = power[:, speech_band].sum(axis=1, dtype=np.float64)
    total = frame_energy.sum()
    # The energy that energy itself sits at: silence before or after the speech does not move it.
    loudness = (frame_energy**2).sum() / total if total > 0 else 1.0
    power = (power / np.float32(loudness)) if loudness > 1e-30 else np.zeros_like(power)
    energy = (frame_energy / loudness).astype(np.float32) if loudness > 1e-30 else np.zeros(len(power), np.float32)
    level = _db(energy, ACTIVE_DB + 20)  # (T,)

    active = _active(level, energy)
    pitch = track_pitch(power, tables["window"], N_FFT, SAMPLE_RATE_HZ)
    voiced = active & (pitch.strength > VOICED_STRENGTH)

    mel = power @ tables["mel"]  # (T, BANDS)
    log_mel = _db(mel, FLOOR_DB)  # dB
    cepstra = scipy.fft.dct(log_mel, axis=1, norm="ortho")[:, : CEPSTRA + 1]  # (T, CEPSTRA + 1)

    tracks: dict[str, NDArray[np.float32]] = {"level": level}
    for i in range(1, CEPSTRA + 1):
        tracks[f"c{i}"] = cepstra[:, i]
    tracks |= _shape(power, log_mel, hz)
    tracks |= _voice(power, pitch.octave, pitch.strength, voiced, hz)
    tracks |= _bands(log_mel)
    names = tuple(tracks)
    values = np.stack([tracks[n] for n in names]).astype(np.float32)
    values = np.nan_to_num(values, posinf=0.0, neginf=0.0)
    return Tracks(values, names, active, voiced, _onsets(level, active), energy)


def _power(audio: Floats, window: Floats) -> Floats:
    audio = np.nan_to_num(np.asarray(audio, np.float32), posinf=0.0, neginf=0.0)
    peak = float(np.abs(audio).max()) if audio.size else 0.0
    count = max(1, -(-audio.size // HOP))
    side = (FRAME - HOP) // 2
    padded = np.zeros((count - 1) * HOP + FRAME, np.float32)
    if peak > 0:
        padded[side : side + audio.size] = (audio - audio.mean()) / np.float32(peak)
    frames = np.lib.stride_tricks.sliding_window_view(padded, FRAME)[::HOP] * window  # (T, FRAME)
    spectrum = scipy.fft.rfft(frames, N_FFT, axis=1)
    return spectrum.real**2 + spectrum.imag**2


def _db(power: Floats, depth: float) -> Floats:
    """10·log10 with a soft floor `depth` dB under 1."""
    return 10 * np.log10(power + np.float32(10 ** (-depth / 10)))


def _active(level: Floats, energy: Floats) -> Flags:
    heard = level[level > -ACTIVE_DB]
    if heard.size == 0:
        return np.zeros(level.shape, bool)
    noise = np.percentile(heard, 10)
    threshold = np.clip(noise + NOISE_MARGIN_DB, -ACTIVE_DB, -NOISE_LIMIT_DB)
    return (level > threshold) & (energy > 0)


def _onsets(level: Floats, active: Flags) -> Flags:
    slow = gaussian_filter1d(level, 4.0, mode="nearest")
    slope = np.diff(slow, prepend=slow[:1])
    peak = np.zeros(level.shape, bool)
    if len(level) > 2:
        peak[1:-1] = (slope[1:-1] > slope[:-2]) & (slope[1:-1] >= slope[2:]) & (slope[1:-1] > 0.5)
    return peak


def _shape(power: Floats, log_mel: Floats, hz: Floats) -> dict[str, Floats]:
    out: dict[str, Floats] = {}

    def band(lo: float, hi: float) -> Floats:
        return power[:, (hz >= lo) & (hz < hi)].sum(1)

    def db(x: Floats) -> Floats:
        return _db(x, FLOOR_DB + 10)

    low, mid = band(60, 1000), band(1000, 5000)
    out["alpha"] = db(mid) - db(low)
    h1 = power[:, (hz >= 60) & (hz < 2000)].max(1)
    h2 = power[:, (hz >= 2000) & (hz < 5000)].max(1)
    out["hammarberg"] = db(h1) - db(h2)
    lp = _db(power[:, (hz < 1500)], FLOOR_DB + 20)
    f = hz[hz < 1500]
    for nm, lo, hi in (("slope_low", 60, 500), ("slope_mid", 500, 1500)):
        m = (f >= lo) & (f < hi)
        x = f[m] - f[m].mean()
        x = x / (x**2).sum() * 1000
        out[nm] = lp[:, m] @ x
    total = power.sum(1) + TINY
    cum = np.cumsum(power, 1)
    for q in (0.5, 0.85):
        out[f"rolloff{int(q * 100)}"] = np.log2(
            hz[np.minimum((cum < q * total[:, None]).sum(1), len(hz) - 1)] + 50
        )
    for nm, lo, hi in (("f1", 200, 1000), ("f2", 900, 2800), ("f3", 2300, 3800), ("fh", 3800, 7600)):
        m = (hz >= lo) & (hz < hi)
        p = power[:, m]
        s = p.sum(1) + TINY
        c = (p @ hz[m]) / s
        out[f"{nm}_centroid"] = np.log2(np.maximum(c, lo))
        out[f"{nm}_flat"] = (10 * np.log10(p + s[:, None] * 1e-5)).mean(1) - 10 * np.log10(s / m.sum())
    out["flat"] = log_mel.mean(1) - _db(10 ** (log_mel / 10).mean(1), FLOOR_DB)
    d = np.abs(np.diff(log_mel, axis=0, prepend=log_mel[:1]))
    out["flux"] = d.mean(1)
    out["rise"] = np.maximum(np.diff(log_mel, axis=0, prepend=log_mel[:1]), 0).mean(1)
    s = np.sort(log_mel, axis=1)
    out["contrast"] = s[:, -8:].mean(1) - s[:, :8].mean(1)
    for b in range(4):
        s = np.sort(log_mel[:, b * 10 : b * 10 + 10], axis=1)
        out[f"contrast{b}"] = s[:, -3:].mean(1) - s[:, :3].mean(1)
    return out


def _voice(power: Floats, octave: Floats, strength: Floats, voiced: Flags, hz: Floats) -> dict[str, Floats]:
    out: dict[str, Floats] = {}
    out["pitch"] = 12 * (octave - np.log2(np.float32(150)))  # semitones over 150 Hz
    out["hnr"] = 10 * np.log10(strength.clip(0.05, 0.999) / (1 - strength.clip(0.05, 0.999)))
    f0 = 2.0**octave
    rows = np.arange(len(power))
    lp = _db(power, FLOOR_DB + 20)

    def at(k: int) -> Floats:
        b = np.clip(np.rint(k * f0 / hz[1]).astype(int), 1, len(hz) - 2)
        return np.maximum(np.maximum(lp[rows, b], lp[rows, b - 1]), lp[rows, b + 1])

    h1, h2, h3 = at(1), at(2), at(3)
    out["h1h2"] = h1 - h2
    out["h1h3"] = h1 - h3
    a1 = lp[:, (hz >= 300) & (hz < 1000)].max(1)
    a3 = lp[:, (hz >= 2300) & (hz < 3600)].max(1)
    out["h1a1"] = h1 - a1
    out["h1a3"] = h1 - a3
    p = out["pitch"]
    dp = np.diff(p, prepend=p[:1])
    both = voiced & np.roll(voiced, 1)
    both[0] = False
    ok = both & (np.abs(dp) < 4)
    dp = np.where(ok, dp, 0)
    out["dpitch"] = dp
    out["adpitch"] = np.abs(dp)
    out["jitter"] = np.abs(np.diff(dp, prepend=dp[:1]))
    for lo in range(-12, 25, 4):
        out[f"phist{lo}"] = np.exp(-0.5 * ((p - lo) / 3) ** 2)
    return out


def _bands(log_mel: Floats) -> dict[str, Floats]:
    """Eight wide bands of the log spectrum, and their modulations."""
    out: dict[str, Floats] = {}
    grouped = log_mel.reshape(len(log_mel), 8, 5).mean(2)
    for b in range(8):
        out[f"b{b}"] = grouped[:, b]
    return out
