"""Pitch of sounds that were made at a known pitch."""

from __future__ import annotations

import numpy as np
import pytest
from dualstream.features.acoustic.pitch import HIGHEST_HZ, LOWEST_HZ, MAX_STRENGTH, VOICED_STRENGTH, track_pitch
from numpy.typing import NDArray

RATE_HZ = 16_000
SPAN, N_FFT, STEP = 640, 1024, 160  # 40 ms each 10 ms
WINDOW = np.hanning(SPAN).astype(np.float32)


def power_of(sound: NDArray[np.float64]) -> NDArray[np.float32]:
    frames = np.lib.stride_tricks.sliding_window_view(sound, SPAN)[::STEP]
    spectrum = np.abs(np.fft.rfft(frames * WINDOW, N_FFT, axis=1)) ** 2
    return (spectrum / spectrum.max()).astype(np.float32)


def voice(f0_hz: NDArray[np.float64] | float, harmonics: int = 12, seconds: float = 0.5) -> NDArray[np.float64]:
    """Return a sum of harmonics that fall by 6 dB an octave."""
    time = np.arange(round(seconds * RATE_HZ))
    phase = 2 * np.pi * np.cumsum(np.broadcast_to(np.asarray(f0_hz, float), time.shape)) / RATE_HZ
    return np.sum([np.sin(k * phase) / k for k in range(1, harmonics + 1)], axis=0)


@pytest.mark.parametrize("f0_hz", [80, 110.5, 150, 220, 333.3, 440, 550])
def test_a_voice_has_the_pitch_it_was_made_at(f0_hz: float) -> None:
    found = track_pitch(power_of(voice(f0_hz)), WINDOW, N_FFT, RATE_HZ)
    np.testing.assert_allclose(2.0**found.octave, f0_hz, rtol=0.01)
    assert (found.strength > 0.9).all() and (found.strength <= MAX_STRENGTH).all()


def test_a_missing_fundamental_is_heard_all_the_same() -> None:
    time = np.arange(RATE_HZ // 2) / RATE_HZ
    sound = sum(np.sin(2 * np.pi * k * 200 * time) for k in (2, 3, 4, 5))
    found = track_pitch(power_of(sound), WINDOW, N_FFT, RATE_HZ)
    np.testing.assert_allclose(2.0**found.octave, 200, rtol=0.01)


def test_a_glide_is_followed() -> None:
    f0_hz = np.linspace(120, 240, RATE_HZ)
    found = track_pitch(power_of(voice(f0_hz, seconds=1)), WINDOW, N_FFT, RATE_HZ)
    middles = np.arange(len(found.octave)) * STEP + SPAN // 2
    np.testing.assert_allclose(2.0**found.octave, f0_hz[middles], rtol=0.02)


def test_noise_is_not_voiced() -> None:
    noise = np.random.default_rng(0).normal(size=RATE_HZ)
    found = track_pitch(power_of(noise), WINDOW, N_FFT, RATE_HZ)
    assert np.mean(found.strength > VOICED_STRENGTH) < 0.05
    assert (found.strength >= 0).all()


@pytest.mark.parametrize("snr_db", [20, 10, 0])
def test_strength_is_the_harmonics_share_of_the_power(snr_db: float) -> None:
    """Boersma's: at the period, the autocorrelation of periodic sound in noise is its share of the whole power."""
    rng = np.random.default_rng(1)
    sound = voice(180, seconds=2)
    noise = rng.normal(size=len(sound))
    # in the band that is looked at: white noise has 3.44 of its 8 kHz there
    noise *= np.sqrt(np.mean(sound**2) / 10 ** (snr_db / 10) / (3440 / 8000))
    found = track_pitch(power_of(sound + noise), WINDOW, N_FFT, RATE_HZ)
    share = 10 ** (snr_db / 10) / (1 + 10 ** (snr_db / 10))
    assert np.median(found.strength) == pytest.approx(share, abs=0.06)


def test_silence_has_no_strength_and_no_nan() -> None:
    found = track_pitch(np.zeros((3, N_FFT // 2 + 1), np.float32), WINDOW, N_FFT, RATE_HZ)
    assert found.strength.tolist() == [0, 0, 0]
    assert np.isfinite(found.octave).all()


def test_pitch_stays_within_speech() -> None:
    noise = np.random.default_rng(2).normal(size=2 * RATE_HZ)
    hz = 2.0 ** track_pitch(power_of(noise), WINDOW, N_FFT, RATE_HZ).octave
    lag_low, lag_high = int(RATE_HZ / HIGHEST_HZ), int(np.ceil(RATE_HZ / LOWEST_HZ)) + 1
    assert hz.max() <= RATE_HZ / (lag_low - 0.5) and hz.min() >= RATE_HZ / (lag_high + 0.5)


def test_the_register_of_the_clip_mends_an_octave_error() -> None:
    """One frame whose second harmonic alone is heard, among frames at half of that."""
    power = power_of(voice(150))
    odd = power_of(voice(300))[0]
    alone = track_pitch(odd[None], WINDOW, N_FFT, RATE_HZ)
    assert 2.0 ** alone.octave[0] == pytest.approx(300, rel=0.01)
    among = track_pitch(np.vstack([power[:20], odd]), WINDOW, N_FFT, RATE_HZ)
    assert 2.0 ** among.octave[-1] == pytest.approx(150, rel=0.01)
