"""The acoustic encoder: planted sounds, its promises about level, silence and length, and its masks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from dualstream.features.acoustic import (
    COLUMNS,
    GROUPS,
    LISTS,
    AcousticConfig,
    AcousticEncoder,
    acoustic_features,
    frames,
)
from dualstream.features.acoustic.frames import measure
from dualstream.features.acoustic.functionals import MODULATIONS, summarise, tracks_of
from dualstream.features.encoder import AudioEncoder, EncoderOptions, StreamFeatures, build
from dualstream.features.windows import WindowPlan
from numpy.typing import NDArray

RATE_HZ = 16_000
PLAN = WindowPlan()


def voice(duration_s: float, pitch_hz: float = 150.0, glide: float = 0.0, seed: int = 0) -> NDArray[np.float32]:
    """A pulse train through two resonances, in syllables of 0.25 s, with a little breath."""
    rng = np.random.default_rng(seed)
    time_s = np.arange(round(duration_s * RATE_HZ)) / RATE_HZ
    octaves = np.log2(pitch_hz) + glide * time_s
    phase = 2 * np.pi * np.cumsum(2**octaves) / RATE_HZ
    sound = np.zeros_like(time_s)
    for k in range(1, 30):
        hz = k * pitch_hz
        if hz < 5000:
            tilt = 1 / k + np.exp(-(((hz - 600) / 200) ** 2)) + 0.5 * np.exp(-(((hz - 1500) / 300) ** 2))
            sound += tilt * np.sin(k * phase)
    envelope = 0.55 - 0.45 * np.cos(2 * np.pi * 4 * time_s)
    sound = 0.1 * envelope * sound + 0.002 * rng.standard_normal(len(time_s))
    return sound.astype(np.float32)


def encode(audio: NDArray[np.float32], covered_s: tuple[float, float] | None = None) -> StreamFeatures:
    duration_s = len(audio) / RATE_HZ
    return acoustic_features(audio, PLAN.starts_s(duration_s), PLAN.length_s, covered_s or (0.0, duration_s))


def statistic(audio: NDArray[np.float32], name: str, start: int = 0, stop: int | None = None) -> float:
    """Any statistic of any track over frames ``[start, stop)``, whether a column or not."""
    tracks = measure(audio)
    stop = len(tracks.active) if stop is None else stop
    return float(summarise(tracks, np.array([start]), np.array([stop]), [name])[0, 0])


def test_it_is_registered_and_keeps_the_protocol() -> None:
    encoder = build("audio", "acoustic", EncoderOptions())
    assert isinstance(encoder, AudioEncoder)
    assert encoder.spec.width == encoder.spec.raw_width == 192
    assert encoder.spec.column_names == COLUMNS
    assert all(len(set(columns)) == 192 for columns in LISTS.values())
    assert sum(map(len, GROUPS.values())) == 192


def test_the_list_chosen_on_the_other_corpus_can_be_asked_for() -> None:
    encoder = build("audio", "acoustic:emodb", EncoderOptions())
    assert isinstance(encoder, AudioEncoder)
    assert encoder.spec.name == "acoustic:emodb" and encoder.spec.column_names == LISTS["emodb"]
    assert encoder.spec.parameters != build("audio", "acoustic", EncoderOptions()).spec.parameters
    sound = voice(1.3)
    rows = encoder.encode_audio(sound, PLAN.starts_s(1.3), PLAN.length_s, (0.0, 1.3))
    usual = encode(sound)
    shared = [name for name in LISTS["emodb"] if name in COLUMNS]
    assert 20 < len(shared) < 192
    for name in shared:
        theirs, ours = LISTS["emodb"].index(name), COLUMNS.index(name)
        assert rows.utterance[theirs] == usual.utterance[ours]
        np.testing.assert_array_equal(rows.windows[:, theirs], usual.windows[:, ours])


def test_a_list_that_is_not_there_fails_with_the_known() -> None:
    with pytest.raises(ValueError, match="chosen on 'loud'; there are: ravdess, emodb"):
        build("audio", "acoustic:loud", EncoderOptions())


def test_shapes_masks_and_times() -> None:
    features = AcousticEncoder().encode_audio(voice(2.3), PLAN.starts_s(2.3), 1.0, (0.0, 2.3))
    assert features.present and features.utterance.shape == (192,)
    assert features.windows.shape == (4, 192) and features.window_present.all()
    np.testing.assert_allclose(features.time_s, [0.5, 1.0, 1.5, 2.0])
    assert features.utterance.dtype == features.windows.dtype == np.float32


@pytest.mark.parametrize("samples", [1, 2, 79, 80, 159, 160, 161, 320, 479, 640, 800])
@pytest.mark.parametrize("kind", ["silence", "noise", "clipped", "constant", "impulse"])
def test_the_shortest_sounds_give_finite_numbers(samples: int, kind: str) -> None:
    audio = {
        "silence": np.zeros(samples),
        "noise": np.random.default_rng(0).standard_normal(samples),
        "clipped": np.sign(np.random.default_rng(1).standard_normal(samples)),
        "constant": np.full(samples, 0.7),
        "impulse": np.eye(1, samples)[0],
    }[kind].astype(np.float32)
    features = encode(audio)
    assert features.present and features.window_present.all()
    assert np.isfinite(features.utterance).all() and np.isfinite(features.windows).all()
    assert np.abs(features.utterance).max() < 1e4


def test_no_sound_is_masked() -> None:
    features = encode(np.zeros(RATE_HZ, np.float32), covered_s=(1.0, 1.0))
    assert not features.present and not features.window_present.any()
    assert np.isnan(features.time_s).all() and not features.windows.any()
    empty = acoustic_features(np.zeros(0, np.float32), np.zeros(1), 1.0, (0.0, 0.0))
    assert not empty.present and not empty.window_present.any()


def test_digital_silence_says_that_nobody_speaks() -> None:
    features = encode(np.zeros(2 * RATE_HZ, np.float32))
    assert features.present and features.window_present.all()
    modulation = np.array([name.split(".")[1].removeprefix("voiced_") in MODULATIONS for name in COLUMNS])
    np.testing.assert_allclose(features.utterance[modulation], np.log(0.01), rtol=1e-6)  # nothing moves
    assert not features.utterance[~modulation].any()
    assert statistic(np.zeros(RATE_HZ, np.float32), "rhythm.active") == 0


def test_windows_outside_the_covered_span_are_masked() -> None:
    audio = np.concatenate([np.zeros(RATE_HZ, np.float32), voice(1.05)])  # sound from 1.0 to 2.05 s
    features = encode(audio, covered_s=(1.0, 2.05))
    # Windows start at 0, 0.5, 1.0 and 1.5 s.
    np.testing.assert_array_equal(features.window_present, [False, True, True, True])
    # One that the span enters by 50 ms stays masked: under the 0.1 s that a window needs.
    late = acoustic_features(audio, np.array([2.0]), 1.0, (1.0, 2.05))
    assert not late.window_present.any()
    assert acoustic_features(
        audio, np.array([2.0]), 1.0, (1.0, 2.05), AcousticConfig(min_covered_s=0.05)
    ).window_present.all()


def test_padding_outside_the_covered_span_is_not_looked_at() -> None:
    sound = voice(1.5)
    padded = np.concatenate([np.full(RATE_HZ, 0.9, np.float32), sound, np.full(RATE_HZ, -0.9, np.float32)])
    inside = encode(padded, covered_s=(1.0, 2.5))
    np.testing.assert_array_equal(inside.utterance, encode(sound).utterance)
    np.testing.assert_array_equal(inside.windows[2], encode(sound).windows[0])


@pytest.mark.parametrize("gain", [1e-3, 0.1, 8.0])
def test_level_changes_no_column(gain: float) -> None:
    sound = voice(2.0)
    np.testing.assert_allclose(
        encode(sound * np.float32(gain)).utterance, encode(sound).utterance, rtol=2e-3, atol=2e-3
    )


def test_silence_in_front_changes_next_to_nothing() -> None:
    sound = voice(2.0) * np.minimum(np.arange(2 * RATE_HZ) / 800, 1).astype(np.float32)  # 50 ms to rise
    behind = encode(np.concatenate([np.zeros(RATE_HZ, np.float32), sound])).utterance
    np.testing.assert_allclose(behind, encode(sound).utterance, rtol=0.05, atol=0.1)


@pytest.mark.parametrize("pitch_hz", [80.0, 120.0, 220.0, 400.0])
def test_a_planted_pitch_is_found(pitch_hz: float) -> None:
    assert statistic(voice(2.0, pitch_hz), "pitch.voiced_mean") == pytest.approx(
        12 * np.log2(pitch_hz / 150), abs=0.3
    )


def test_a_planted_glide_is_found() -> None:
    glide = statistic(voice(2.0, 120.0, glide=0.5), "rhythm.pitch_slope")
    assert glide == pytest.approx(6.0, abs=0.6)  # semitones a second


def test_a_window_hears_what_is_in_it() -> None:
    audio = np.concatenate([voice(2.0, 110.0), voice(2.0, 165.0)])
    features = encode(audio)
    at = COLUMNS.index("pitch.voiced_p50")
    assert features.windows[0, at] == pytest.approx(12 * np.log2(110 / 150), abs=0.4)
    assert features.windows[-1, at] == pytest.approx(12 * np.log2(165 / 150), abs=0.4)


def test_the_utterance_is_one_window_over_everything() -> None:
    audio = voice(3.0)
    features = acoustic_features(audio, np.array([0.0]), 3.0, (0.0, 3.0))
    np.testing.assert_allclose(features.windows[0], features.utterance, rtol=1e-5, atol=1e-5)


def test_damaged_samples_do_not_spread() -> None:
    sound = voice(1.0)
    sound[100:110] = np.nan
    sound[200] = np.inf
    assert np.isfinite(encode(sound).utterance).all()


def test_a_bad_setting_fails() -> None:
    with pytest.raises(ValueError, match="min_covered_s is 0"):
        AcousticConfig(min_covered_s=0)


def test_percentiles_are_numpys() -> None:
    tracks = measure(voice(2.0))
    chosen = tracks.values[tracks.names.index("alpha")][40:140][tracks.active[40:140]]
    names = ["alpha.p20", "alpha.p80", "alpha.mean", "alpha.std"]
    found = summarise(tracks, np.array([40]), np.array([140]), names)[0]
    expected = [*np.percentile(chosen, [20, 80]), chosen.mean(), chosen.std()]
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_syllables_are_counted() -> None:
    assert statistic(voice(4.0), "rhythm.syllables") == pytest.approx(4.0, abs=0.5)  # planted: 4 a second


def test_a_faster_tremor_stands_in_a_faster_band() -> None:
    time_s = np.arange(3 * RATE_HZ) / RATE_HZ

    def loudest(hz: float) -> str:
        sound = (0.1 * (1 + 0.5 * np.sin(2 * np.pi * hz * time_s)) * np.sin(2 * np.pi * 500 * time_s)).astype(
            np.float32
        )
        return max(MODULATIONS, key=lambda name: statistic(sound, f"level.{name}"))

    assert [loudest(hz) for hz in (1.3, 2.5, 5.0, 10.0)] == ["mod1", "mod2", "mod5", "mod10"]


def test_periodicity_tells_voice_from_noise() -> None:
    noise = (0.1 * np.random.default_rng(0).standard_normal(2 * RATE_HZ)).astype(np.float32)
    assert statistic(voice(2.0), "rhythm.voiced") > 0.6
    assert statistic(noise, "rhythm.voiced") < 0.05


def test_noise_moves_pitch_little() -> None:
    sound = voice(2.0, 200.0)
    noise = np.random.default_rng(0).standard_normal(len(sound)).astype(np.float32) * sound.std() * np.float32(0.3)
    found = statistic(sound + noise, "pitch.voiced_p50")
    assert found == pytest.approx(12 * np.log2(200 / 150), abs=0.3)


def test_steady_noise_is_heard_as_noise_and_a_steady_vowel_is_not() -> None:
    rng = np.random.default_rng(3)
    words = np.concatenate([voice(0.6, seed=k) if k % 2 else np.zeros(4800, np.float32) for k in range(9)])
    noise = 0.01 * rng.standard_normal(len(words)).astype(np.float32)
    gain = float(np.abs(words + noise).max())  # frames are scaled to a peak of 1
    planted = (0.01 / gain) ** 2 * float((np.hanning(641)[:-1] ** 2).sum())  # of each bin, by Parseval

    def heard(sound: NDArray[np.float32]) -> NDArray[np.float32]:
        window, _ = frames._tables()
        cut = frames._frames(sound)
        energy = frames._energy(cut, window)
        return frames._noise(cut, window, energy, *frames._loudness(energy)[1:])

    found = heard(words + noise)
    assert 10 * np.log10(found[20:500].mean() / planted) == pytest.approx(
        0, abs=1.5
    )  # the quietest: a little less
    assert heard(words).max() < planted / 100
    time_s = np.arange(2 * RATE_HZ) / RATE_HZ
    vowel = sum(np.sin(2 * np.pi * 150 * k * time_s) / k for k in range(1, 20))
    assert not heard(np.asarray(vowel, np.float32)).any()


def test_subtraction_keeps_noise_out_of_a_band_without_speech(monkeypatch: pytest.MonkeyPatch) -> None:
    """Speech below 1.5 kHz only, white noise 15 dB under it: the bands above stay nearer to their floor."""
    time_s = np.arange(3 * RATE_HZ) / RATE_HZ
    tone = sum(np.sin(2 * np.pi * 150 * k * time_s) / k for k in range(1, 10))
    clean = np.where(np.sin(2 * np.pi * 1.5 * time_s) > -0.3, tone, 0).astype(np.float32)
    noise = np.random.default_rng(4).standard_normal(len(clean)) * np.sqrt(float((clean**2).mean()) / 10**1.5)
    noisy = (clean + noise).astype(np.float32)
    assert statistic(clean, "band7.mean") == pytest.approx(-frames.FLOOR_DB, abs=0.5)
    moved = statistic(noisy, "band7.mean") - statistic(clean, "band7.mean")
    monkeypatch.setattr(frames, "_noise", lambda *_: np.zeros(frames.N_FFT // 2 + 1, np.float32))
    untreated = statistic(noisy, "band7.mean") - statistic(clean, "band7.mean")
    assert untreated > 6 and moved < 0.75 * untreated


def test_tracks_that_nobody_wants_are_left_out_and_change_no_column() -> None:
    sound = voice(1.3, seed=5)
    wanted = tracks_of(COLUMNS)
    some, everything = measure(sound, wanted), measure(sound)
    assert set(some.names) == wanted < set(everything.names)
    rows = [summarise(t, np.array([0]), np.array([130]), COLUMNS) for t in (some, everything)]
    assert np.array_equal(*rows)
    assert measure(sound, frozenset()).values.shape == (1, 130)


def test_a_long_clip_is_measured_in_blocks_without_a_seam(monkeypatch: pytest.MonkeyPatch) -> None:
    sound = voice(4.0)
    whole = measure(sound)
    monkeypatch.setattr("dualstream.features.acoustic.frames.BLOCK", 100)
    parts = measure(sound)
    np.testing.assert_allclose(parts.values, whole.values, rtol=1e-3, atol=1e-2)
    np.testing.assert_array_equal(parts.voiced, whole.voiced)


def test_every_column_is_explained_in_the_docs() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "acoustic.md").read_text(encoding="utf-8")
    spans = {"cepstrum": range(1, 14), "band": range(8), "contrast": range(4)}
    ranges = {f"{stem}{i}" for stem, numbers in spans.items() for i in numbers} | {"f2_flatness", "f3_flatness"}
    for name in {*LISTS["ravdess"], *LISTS["emodb"]}:
        track, part = name.split(".")
        if track == "rhythm":
            assert f"`{name}`" in page
        else:
            assert f"`{track}`" in page or track in ranges, name
            assert f"`{part.removeprefix('voiced_')}`" in page, name
