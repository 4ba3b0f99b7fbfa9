"""Tracks of made-up spectra, each against the same figure worked out bin by bin, and the shapes they must have."""

from __future__ import annotations

import math

import numpy as np
import pytest
from dualstream.features.acoustic.spectrum import EVERY, Spectra, decibels, movement, spectral_tracks
from numpy.typing import NDArray

BIN_HZ = 31.25  # 16 kHz in 512 samples
BINS = 257
BANDS = 40


def db(power: float, depth_db: float) -> float:
    return 10 * math.log10(power + 10 ** (-depth_db / 10))


def spectra(power: NDArray[np.float64], log_mel: NDArray[np.float64] | None = None) -> Spectra:
    rows = np.atleast_2d(power).astype(np.float32)
    mel = np.zeros((len(rows), BANDS)) if log_mel is None else np.atleast_2d(log_mel)
    return Spectra(rows, decibels(rows, 70), mel.astype(np.float32), BIN_HZ)


def tone(hz: float, power: float = 1.0) -> NDArray[np.float64]:
    """All power in the bin nearest to `hz`."""
    row = np.zeros(BINS)
    row[round(hz / BIN_HZ)] = power
    return row


@pytest.mark.parametrize(("power", "expected"), [(1.0, 0.0), (100.0, 20.0), (0.0, -70.0), (1e-7, -66.9897)])
def test_decibels_have_a_soft_floor(power: float, expected: float) -> None:
    assert decibels(np.array([power], np.float32), 70)[0] == pytest.approx(expected, abs=1e-3)


def test_a_span_begins_with_its_low_end_and_ends_before_its_high_end() -> None:
    found = spectra(np.zeros(BINS)).span(62.5, 500.0)
    assert (found.start, found.stop) == (2, 16)  # 62.5 Hz is bin 2; 500 Hz is bin 16, which is out
    found = spectra(np.zeros(BINS)).span(60.0, 501.0)
    assert (found.start, found.stop) == (2, 17)


def test_alpha_weighs_high_against_low() -> None:
    power = tone(500, 0.04) + tone(2000, 0.01)
    found = spectral_tracks(spectra(power))["alpha"]
    assert found[0] == pytest.approx(db(0.01, 60) - db(0.04, 60), abs=1e-3)
    assert spectral_tracks(spectra(tone(500) + tone(7000)))["alpha"][0] == pytest.approx(-60, abs=1e-3)


def test_hammarberg_weighs_the_peaks() -> None:
    power = tone(300, 0.5) + tone(400, 0.4) + tone(3000, 0.02) + tone(3100, 0.01)
    found = spectral_tracks(spectra(power))["hammarberg"]
    assert found[0] == pytest.approx(db(0.5, 60) - db(0.02, 60), abs=1e-3)


@pytest.mark.parametrize(("name", "low_hz", "high_hz"), [("slope_low", 60, 500), ("slope_mid", 500, 1500)])
def test_a_slope_is_that_of_a_straight_line(name: str, low_hz: int, high_hz: int) -> None:
    hz = np.arange(BINS) * BIN_HZ
    straight = 10 ** ((-6 * hz / 1000 - 5) / 10)  # falls 6 dB per kHz
    rows = spectral_tracks(spectra(straight))
    assert rows[name][0] == pytest.approx(-6, abs=0.01)
    drawn = np.random.default_rng(0).uniform(0.1, 1, BINS)
    inside = (hz >= low_hz) & (hz < high_hz)
    fitted = np.polyfit(hz[inside] / 1000, [db(one, 70) for one in drawn[inside]], 1)[0]
    assert spectral_tracks(spectra(drawn))[name][0] == pytest.approx(fitted, abs=1e-3)


@pytest.mark.parametrize("seed", range(5))
def test_rolloff_is_the_first_bin_up_to_which_the_share_lies(seed: int) -> None:
    drawn = np.random.default_rng(seed).exponential(size=BINS) ** 3
    drawn[256] = 0  # the last bin is outside of the 16 groups of 16
    below = np.cumsum(drawn) / drawn.sum()
    found = spectral_tracks(spectra(drawn), {"rolloff50", "rolloff85"})
    for name, share in (("rolloff50", 0.50), ("rolloff85", 0.85)):
        bin_ = int(np.argmax(below >= share))
        assert found[name][0] == pytest.approx(math.log2(bin_ * BIN_HZ + 50), abs=1e-5)


def test_rolloff_of_a_tone_is_the_tone() -> None:
    found = spectral_tracks(spectra(tone(1000)))
    assert found["rolloff50"][0] == found["rolloff85"][0] == pytest.approx(math.log2(1050), abs=1e-5)


@pytest.mark.parametrize(("name", "hz"), [("f1", 500), ("f2", 1500), ("f3", 3000), ("high", 5000)])
def test_a_centre_of_mass_is_where_the_only_tone_is(name: str, hz: int) -> None:
    found = spectral_tracks(spectra(tone(hz)))[f"{name}_centre"]
    assert found[0] == pytest.approx(math.log2(round(hz / BIN_HZ) * BIN_HZ), abs=1e-4)


def test_a_region_without_energy_has_its_centre_in_its_middle() -> None:
    found = spectral_tracks(spectra(np.zeros(BINS)))["f1_centre"]
    inside = [k * BIN_HZ for k in range(BINS) if 200 <= k * BIN_HZ < 1000]
    assert found[0] == pytest.approx(math.log2(sum(inside) / len(inside)), abs=1e-4)


def test_flatness_is_the_geometric_over_the_arithmetic_mean() -> None:
    even = spectral_tracks(spectra(np.full(BINS, 0.5)))
    peaked = spectral_tracks(spectra(tone(500)))
    assert even["f1_flatness"][0] == pytest.approx(0, abs=1e-3)
    assert peaked["f1_flatness"][0] < -40
    bands = np.random.default_rng(1).uniform(-30, 0, BANDS)
    found = spectral_tracks(spectra(np.zeros(BINS), bands))["flatness"][0]
    powers = 10 ** (bands / 10)
    geometric = np.exp(np.log(powers).mean())
    assert found == pytest.approx(10 * math.log10(geometric / powers.mean()), abs=1e-3)


def test_contrast_is_peaks_over_valleys() -> None:
    bands = np.random.default_rng(2).permutation(np.arange(BANDS, dtype=float))
    found = spectral_tracks(spectra(np.zeros(BINS), bands))
    assert found["contrast"][0] == pytest.approx(np.mean(range(32, 40)) - np.mean(range(8)))  # a fifth of 40 is 8
    for quarter in range(4):
        part = sorted(bands[10 * quarter : 10 * quarter + 10])
        assert found[f"contrast{quarter}"][0] == pytest.approx(np.mean(part[-3:]) - np.mean(part[:3]))


def test_only_what_is_wanted_is_measured() -> None:
    made = spectra(np.ones((3, BINS)), np.zeros((3, BANDS)))
    assert set(spectral_tracks(made, {"alpha", "rolloff50"})) == {"alpha", "rolloff50"}
    everything = spectral_tracks(made, EVERY)
    families = ("alpha", "hammarberg", "slope", "rolloff", "f1", "f2", "f3", "high", "flatness", "contrast")
    assert {next(one for one in families if name.startswith(one)) for name in everything} == set(families)
    assert {one.shape for one in everything.values()} == {(3,)}
    assert "anything" in EVERY


def test_rows_don_t_touch_each_other() -> None:
    rng = np.random.default_rng(3)
    power, mel = rng.exponential(size=(6, BINS)), rng.normal(size=(6, BANDS))
    together = spectral_tracks(spectra(power, mel))
    for row in range(6):
        for name, track in spectral_tracks(spectra(power[row], mel[row])).items():
            np.testing.assert_allclose(track[0], together[name][row], rtol=2e-5, atol=2e-5)


def test_movement_is_of_neighbouring_frames() -> None:
    bands = np.zeros((3, 4), np.float32)
    bands[1] = [4, 0, 0, -2]
    found = movement(bands)
    assert found["flux"].tolist() == [0, 1.5, 1.5]
    assert found["attack"].tolist() == [0, 1.0, 0.5]  # what rises: 4 of four bands, then the 2 that come back
