"""Log-mel frames of known sounds, and which of them lie in which window."""

from __future__ import annotations

import numpy as np
import pytest
from dualstream.features.log_mel import (
    BANDS,
    FLOOR,
    FRAMES_PER_S,
    HIGHEST_HZ,
    LOWEST_HZ,
    SAMPLE_RATE_HZ,
    SPAN,
    STEP,
    covered_frames,
    log_mel,
    windows_of,
)
from hypothesis import given
from hypothesis import strategies as st


def tone(hz: float, seconds: float = 1.0, level: float = 0.5):
    return (level * np.sin(2 * np.pi * hz * np.arange(round(seconds * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ)).astype(
        np.float32
    )


@pytest.mark.parametrize(
    ("samples", "count"), [(0, 1), (1, 1), (STEP, 1), (STEP * 3 // 2 + 1, 2), (SAMPLE_RATE_HZ, 50), (12_345, 39)]
)
def test_how_many_frames(samples, count):
    found = log_mel(np.zeros(samples, np.float32))
    assert found.shape == (count, BANDS) and found.dtype == np.float32
    np.testing.assert_allclose(found, np.log(FLOOR), rtol=1e-6)


@pytest.mark.parametrize("hz", [150, 440, 1000, 3000, 6000])
def test_a_tone_is_loudest_in_the_band_it_lies_in(hz):
    librosa = pytest.importorskip("librosa")
    edges = librosa.mel_frequencies(BANDS + 2, fmin=LOWEST_HZ, fmax=HIGHEST_HZ)
    found = int(np.median(log_mel(tone(hz)).argmax(axis=1)))
    resolution = SAMPLE_RATE_HZ / SPAN
    assert edges[found] - resolution <= hz <= edges[found + 2] + resolution


@pytest.mark.parametrize("db", [-20, -6, 6])
def test_level_stays_in(db):
    loud, other = log_mel(tone(440)), log_mel(tone(440) * np.float32(10 ** (db / 20)))
    band = loud[25].argmax()
    np.testing.assert_allclose((other - loud)[5:-5, band], db / 10 * np.log(10), atol=1e-3)


def test_a_frame_stands_in_the_middle_of_what_it_hears():
    click = np.zeros(SAMPLE_RATE_HZ, np.float32)
    click[SAMPLE_RATE_HZ // 2] = 1
    heard = log_mel(click).max(axis=1) > np.log(FLOOR) + 1
    assert np.flatnonzero(heard).tolist() == [25]  # 0.5 s; a frame each 20 ms hears 16 ms to each side


def test_sound_is_not_changed_and_the_same_frames_come_of_a_longer_sound():
    sound = tone(440) + np.random.default_rng(0).normal(0, 0.1, SAMPLE_RATE_HZ).astype(np.float32)
    before = sound.copy()
    whole = log_mel(sound)
    np.testing.assert_array_equal(sound, before)
    half = log_mel(sound[: SAMPLE_RATE_HZ // 2])
    np.testing.assert_allclose(half[:-1], whole[: len(half) - 1], rtol=1e-5)


def test_windows_by_hand():
    first, stop, present = windows_of(np.array([0.0, 0.5, 1.0]), 1.0, (0.0, 1.5), 75)
    assert (first.tolist(), stop.tolist(), present.tolist()) == ([0, 25, 50], [50, 75, 75], [True] * 3)


def test_frames_count_from_the_covered_span():
    first, stop, present = windows_of(np.array([0.0, 0.5, 1.0]), 1.0, (0.5, 1.55), 53)
    assert (first.tolist(), stop.tolist()) == ([0, 0, 25], [25, 50, 53]) and present.all()


@pytest.mark.parametrize(
    ("covered", "present"),
    [((0.0, 0.05), [True, False]), ((0.95, 2.0), [False, True]), ((0.85, 2.0), [True, True])],
)
def test_a_window_with_hardly_any_sound_is_masked(covered, present):
    """A tenth of a second is asked for, or all there is where that is less."""
    count = max(1, round((covered[1] - covered[0]) * FRAMES_PER_S))
    assert windows_of(np.array([0.0, 1.0]), 1.0, covered, count)[2].tolist() == present


@given(st.lists(st.floats(0, 20), min_size=1, max_size=8), st.floats(0.1, 3), st.floats(0, 5), st.floats(0.02, 10))
def test_a_present_window_has_frames_that_are_there(starts, length_s, begin_s, seconds):
    frames = max(1, round(seconds * FRAMES_PER_S))
    first, stop, present = windows_of(np.sort(starts), length_s, (begin_s, begin_s + seconds), frames)
    assert (first >= 0).all() and (first < stop).all() and (stop[present] <= frames).all()


def test_only_what_is_covered_is_heard():
    sound = np.zeros(2 * SAMPLE_RATE_HZ, np.float32)
    sound[SAMPLE_RATE_HZ // 2 : SAMPLE_RATE_HZ] = tone(440, 0.5)
    rows, span_s = covered_frames(sound, (0.5, 1.0))
    assert span_s == (0.5, 1.0)
    np.testing.assert_array_equal(rows, log_mel(tone(440, 0.5)))


@pytest.mark.parametrize(
    ("covered", "span"),
    [((-1.0, 0.5), (0.0, 0.5)), ((0.5, 9.0), (0.5, 1.0)), ((2.0, 3.0), (1.0, 1.0)), ((0.5, 0.5), (0.5, 0.5))],
)
def test_a_span_ends_where_the_sound_does(covered, span):
    rows, span_s = covered_frames(tone(440), covered)
    assert span_s == span and len(rows) == round((span[1] - span[0]) * FRAMES_PER_S) and rows.shape[1] == BANDS
