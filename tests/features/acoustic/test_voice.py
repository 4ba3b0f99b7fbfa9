"""Tracks of the voice over spectra whose harmonics were put there by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from dualstream.features.acoustic.pitch import Pitch
from dualstream.features.acoustic.spectrum import Spectra
from dualstream.features.acoustic.voice import pitch_steps, voice_tracks

BIN_HZ = 20.0
FLOOR_DB = -70.0


def planted(f0_hz: float, heights_db: dict[int, float], strength: float = 0.9, bins: int = 401):
    """Return one frame with the harmonics of `heights_db`, by number, over a floor."""
    log_power = np.full((1, bins), FLOOR_DB, np.float32)
    for number, height in heights_db.items():
        log_power[0, round(number * f0_hz / BIN_HZ)] = height
    power = (10 ** (log_power / 10)).astype(np.float32)
    spectra = Spectra(power, log_power, np.zeros((1, 40), np.float32), BIN_HZ)
    return spectra, Pitch(np.array([math.log2(f0_hz)], np.float32), np.array([strength], np.float32))


@pytest.mark.parametrize(
    ("f0_hz", "semitones"), [(150, 0), (300, 12), (75, -12), (200, 12 * math.log2(200 / 150))]
)
def test_pitch_is_semitones_over_150_hz(f0_hz, semitones):
    assert voice_tracks(*planted(f0_hz, {}))["pitch"][0] == pytest.approx(semitones, abs=1e-4)


@pytest.mark.parametrize(("strength", "db"), [(0.5, 0.0), (0.9, 9.5424), (0.999, 29.9957), (0.0, -12.7875)])
def test_hnr_is_the_odds_of_the_periodic_share(strength, db):
    assert voice_tracks(*planted(200, {}, strength))["hnr"][0] == pytest.approx(db, abs=2e-3)


def test_differences_of_harmonics():
    found = voice_tracks(*planted(200, {1: -10, 2: -13, 3: -30, 12: -40}))
    assert found["h1_h2"][0] == pytest.approx(3) and found["h1_h3"][0] == pytest.approx(20)
    assert found["h1_a1"][0] == pytest.approx(3)  # strongest of 300 to 1000 Hz: the second, at 400
    assert found["h1_a3"][0] == pytest.approx(30)  # of 2300 to 3600 Hz: the twelfth, at 2400


def test_a_harmonic_may_be_a_bin_away():
    spectra, pitch = planted(200, {1: -10, 2: -13})
    moved = np.roll(spectra.log_power, 1, axis=1)
    beside = Spectra(spectra.power, moved, spectra.log_mel, BIN_HZ)
    assert voice_tracks(beside, pitch)["h1_h2"][0] == pytest.approx(3)
    far = Spectra(spectra.power, np.roll(spectra.log_power, 3, axis=1), spectra.log_mel, BIN_HZ)
    assert voice_tracks(far, pitch)["h1_h2"][0] == pytest.approx(0)  # both are floor


def test_harmonics_stand_over_the_valleys_between_them():
    found = voice_tracks(*planted(180, {1: -10, 2: -10, 3: -10, 4: -20, 6: -40}))
    assert found["harmonics_low"][0] == pytest.approx((60 + 60 + 60 + 50 + 0) / 5)  # 180 to 900 Hz
    assert found["harmonics_mid"][0] == pytest.approx((30 + 0 + 0 + 0 + 0 + 0) / 6)  # 1080 to 1980 Hz
    assert found["harmonics_high"][0] == pytest.approx(0)


def test_a_region_without_a_harmonic_is_zero():
    found = voice_tracks(*planted(450, {1: -10, 2: -10}))
    assert found["harmonics_low"][0] == pytest.approx(60)
    assert found["harmonics_mid"][0] == pytest.approx(0)  # 1350 and 1800 Hz are floor


def test_steps_are_between_voiced_frames():
    pitch = np.array([0, 1, 3, 3, 9, 2, 2.5], np.float32)
    voiced = np.array([1, 1, 1, 0, 1, 1, 1], bool)
    found = pitch_steps(pitch, voiced)
    # 3 to 9 has an unvoiced frame beside it; 9 to 2 is further than a voice goes in 10 ms
    assert found["pitch_step"].tolist() == [0, 1, 2, 0, 0, 0, 0.5]
    assert found["pitch_change"].tolist() == [0, 1, 2, 0, 0, 0, 0.5]
    assert found["jitter"].tolist() == [0, 1, 1, 2, 0, 0, 0.5]


def test_a_falling_pitch_has_negative_steps():
    found = pitch_steps(np.array([5, 4, 2], np.float32), np.ones(3, bool))
    assert found["pitch_step"].tolist() == [0, -1, -2] and found["pitch_change"].tolist() == [0, 1, 2]
