"""The offset curve finds the shift that was planted, and says so where there is none to find."""

from dataclasses import replace

import numpy as np
import pytest
from dualstream.heads.diagnosis.alignment import offset_curve
from planted_causes import HOP_S, PlantOptions, plant


@pytest.mark.parametrize(("strength", "shift_s"), [(0.5, 0.5), (1.0, 1.0), (1.5, 1.5)])
@pytest.mark.parametrize("seed", [3, pytest.param(4, marks=pytest.mark.slow)])
def test_finds_planted_shift(strength, shift_s, seed):
    train, _ = plant(PlantOptions(("misaligned",), seed=seed, strength=strength))
    curve = offset_curve(train, hop_s=HOP_S)
    assert abs(curve.peak_s) == shift_s
    assert curve.verdict == "shifted"


def late_audio(seed, hops, **plan):
    """A sound corpus whose audio tells of each moment `hops` windows after the video does."""
    train, _ = plant(PlantOptions(seed=seed, strength=(0.6, 1.0, 1.5)[seed % 3], **plan))
    audio = train.streams["audio"]
    windows, seen = np.zeros_like(audio.windows), np.zeros_like(audio.window_present)
    for start, end in zip(train.offsets[:-1], train.offsets[1:], strict=True):
        for row in range(start, end):
            if start <= row - hops < end:
                windows[row], seen[row] = audio.windows[row - hops], True
    train.streams["audio"] = type(audio)(audio.utterance, audio.present, windows, seen)
    return train


@pytest.mark.parametrize("hops", [-2, 1])
def test_says_which_stream_is_late(hops):
    curve = offset_curve(late_audio(9, hops), hop_s=HOP_S)
    assert curve.peak_s == hops * HOP_S  # above zero where audio is late


@pytest.mark.parametrize(("seed", "hops"), [(0, -2), (0, 2), (2, 2)])
def test_a_shift_is_called_in_eight_long_dialogues(seed, hops):
    """While whole dialogues were turned, p was 0.027 for each of these, though the interval is the shift alone."""
    curve = offset_curve(in_eight(late_audio(seed, hops)), hop_s=HOP_S)
    assert (curve.verdict, curve.peak_s) == ("shifted", hops * HOP_S)


@pytest.mark.parametrize("seed", [3, 5, 21, 25])
def test_unrelated_streams_of_eight_dialogues_have_no_peak(seed):
    assert offset_curve(in_eight(unrelated(seed, 200)), hop_s=HOP_S).verdict == "none"


def in_eight(train):
    return replace(train, dialogue=train.dialogue % 8)


@pytest.mark.slow
def test_sixty_shifts_are_found_to_the_hop():
    found = [
        abs(offset_curve(late_audio(seed, hops), hop_s=HOP_S).peak_s - hops * HOP_S) <= HOP_S
        for hops in (-3, -2, -1, 1, 2, 3)
        for seed in range(10)
    ]
    assert np.mean(found) >= 0.95


def test_aligned_streams_peak_at_zero():
    train, _ = plant(PlantOptions(seed=5))
    curve = offset_curve(train, hop_s=HOP_S)
    assert (curve.verdict, curve.peak_s) == ("aligned", 0.0)
    assert curve.low[4] <= curve.agreement[4] <= curve.high[4]


def unrelated(seed, utterances):
    train, _ = plant(PlantOptions(seed=seed, utterances=utterances))
    audio = train.streams["audio"]
    noise = np.random.default_rng(seed).normal(size=audio.windows.shape).astype(np.float32)
    train.streams["audio"] = type(audio)(audio.utterance, audio.present, noise, audio.window_present)
    return train


@pytest.mark.parametrize("seed", [3, 5, 21, 25, 26])
def test_unrelated_streams_have_no_peak(seed):
    """A bootstrap of the scored pairs called four of these shifted: it doesn't see that folds share directions."""
    curve = offset_curve(unrelated(seed, 160), hop_s=HOP_S)
    assert curve.verdict == "none"
    assert curve.p_value > 0.01


@pytest.mark.slow
def test_of_120_unrelated_pairs_hardly_one_is_called_shifted():
    found = [
        offset_curve(unrelated(seed, count), hop_s=HOP_S).verdict for count in (160, 480) for seed in range(60)
    ]
    assert found.count("shifted") <= 2
    assert found.count("none") >= 114


def test_a_peak_that_could_stand_elsewhere_is_unknown():
    """At zero, but its interval reaches far to one side: not called aligned."""
    found = [offset_curve(late_audio(seed, 0, utterances=160), hop_s=HOP_S) for seed in range(12)]
    wide = [curve for curve in found if curve.p_value <= 0.01 and min(curve.peak_interval_s) < -HOP_S]
    assert wide
    assert all((curve.verdict, curve.peak_s) == ("unknown", 0.0) for curve in wide)


def test_a_single_shift_fails():
    train, _ = plant(PlantOptions(seed=6, utterances=160))
    with pytest.raises(ValueError, match=r"largest shift of 0\.2 s; windows are 0\.5 s apart"):
        offset_curve(train, hop_s=HOP_S, max_shift_s=0.2)


def test_a_handful_of_utterances_is_unknown():
    train, _ = plant(PlantOptions(seed=7, utterances=24))
    assert offset_curve(train, hop_s=HOP_S).verdict in {"unknown", "none"}


def test_streams_without_windows_fail():
    train, _ = plant(PlantOptions(seed=8, utterances=200))
    video = train.streams["video"]
    train.streams["video"] = type(video)(video.utterance, video.present)
    with pytest.raises(ValueError, match="video stream has no windows"):
        offset_curve(train, hop_s=HOP_S)


@pytest.mark.parametrize("seed", range(3))
def test_a_slow_course_seen_half_a_second_apart_is_no_shift(seed):
    rng = np.random.default_rng(seed)
    train, _ = plant(PlantOptions(seed=seed, utterances=480))
    owner = np.repeat(np.arange(len(train)), np.diff(train.offsets))
    place = np.arange(len(owner)) - train.offsets[owner]
    slope = rng.normal(size=len(train))[owner]  # every clip rises or falls as a whole
    for name, late in (("video", 0), ("audio", 1)):
        stream = train.streams[name]
        course = np.maximum(place - late, 0) * slope
        rows = course[:, None] * rng.normal(size=6) + 0.5 * rng.normal(size=(len(owner), 6))
        train.streams[name] = type(stream)(
            rows[train.offsets[:-1]].astype(np.float32),
            stream.present,
            rows.astype(np.float32),
            stream.window_present,
        )
    curve = offset_curve(train, hop_s=HOP_S)
    assert curve.p_value < 0.01 and curve.verdict != "shifted"


def test_a_curve_that_is_flat_up_to_its_peak_tells_no_shift():
    from dualstream.heads.diagnosis.alignment import _verdict

    assert _verdict(0.003, (0.5, 0.5), False, 0.5, flat=False) == "shifted"
    assert _verdict(0.003, (0.5, 0.5), False, 0.5, flat=True) == "unknown"
    assert _verdict(0.003, (0.0, 0.0), True, 0.5, flat=True) == "aligned"
