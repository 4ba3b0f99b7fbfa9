"""Cutting recordings: by length, and at silences that were put there."""

from __future__ import annotations

import numpy as np
import pytest
from dualstream.features.segments import LONGEST_S, by_length, by_silence

RATE_HZ = 8_000


def noise(seconds: float, level: float = 0.3) -> np.ndarray:
    return (level * np.random.default_rng(0).normal(size=round(seconds * RATE_HZ))).astype(np.float32)


def test_by_length_covers_everything_once() -> None:
    assert by_length(11.0, 5.0) == [(0.0, 5.0), (5.0, 10.0), (10.0, 11.0)]
    assert by_length(10.2, 5.0) == [(0.0, 5.0), (5.0, 10.2)]  # a rest of 0.2 s is no utterance
    assert by_length(0.1, 5.0) == [(0.0, 0.1)]


@pytest.mark.parametrize("words", [(0.0, 5.0), (10.0, 0.0), (float("nan"), 5.0), (10.0, float("inf"))])
def test_by_length_fails(words: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="expected numbers above 0"):
        by_length(*words)


def test_speech_between_silences_is_found() -> None:
    quiet = noise(1.0, 1e-4)  # 70 dB below: a recorder's own noise
    spans = by_silence(np.concatenate([quiet, noise(2.0), quiet, noise(1.0), quiet]), RATE_HZ)
    assert np.array(spans) == pytest.approx(np.array([[1.0, 3.0], [4.0, 5.0]]), abs=0.15)
    assert spans[0][0] <= 1.0 and spans[0][1] >= 3.0  # nothing of it is cut off


def test_a_short_pause_parts_nothing_and_a_click_is_no_utterance() -> None:
    pause, quiet = np.zeros(round(0.15 * RATE_HZ), np.float32), np.zeros(RATE_HZ, np.float32)
    spans = by_silence(np.concatenate([noise(1.0), pause, noise(1.0), quiet, noise(0.05), quiet]), RATE_HZ)
    assert len(spans) == 1 and spans[0] == pytest.approx((0.0, 2.25), abs=0.1)


def test_long_speech_is_cut_in_equal_parts() -> None:
    spans = by_silence(noise(40.0), RATE_HZ)
    assert len(spans) == 3 and max(end - start for start, end in spans) <= LONGEST_S
    assert [start for start, _ in spans[1:]] == [end for _, end in spans[:-1]]


def test_silence_and_nothing_have_no_stretch() -> None:
    assert by_silence(np.zeros(1000, np.float32), RATE_HZ) == []
    assert by_silence(np.zeros(0, np.float32), RATE_HZ) == []


def test_lengths_below_a_second() -> None:
    assert by_length(2.0, 0.5) == [(0.0, 0.5), (0.5, 1.0), (1.0, 1.5), (1.5, 2.0)]
    assert by_length(0.7, 0.25) == [(0.0, 0.25), (0.25, 0.7)]  # a rest of 0.2 s
    assert by_length(0.3, 0.2) == [(0.0, 0.3)]


def test_both_ends_of_a_tone_are_kept_alike() -> None:
    """By hand: frames of 512 samples around the middle of steps of 128 see a tone up to two steps away."""
    samples = np.zeros(3 * RATE_HZ, np.float32)
    first, last = 80 * 128, 140 * 128
    samples[first:last] = 0.5
    margin = 2 * 128 / RATE_HZ + 0.1
    (span,) = by_silence(samples, RATE_HZ)
    assert span == pytest.approx((first / RATE_HZ - margin, last / RATE_HZ + margin), abs=1e-9)
