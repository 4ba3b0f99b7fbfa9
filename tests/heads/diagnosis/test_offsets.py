"""Offsets that differ between clips are told from one offset with a course that falls off on one side only."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from clean_planted import clean
from dualstream.heads.data.batch import StreamArrays
from dualstream.heads.diagnosis.alignment import offset_curve
from dualstream.heads.diagnosis.offsets import second_offset

HOP_S = 0.5


def moved(features, hops, share, seed=0):
    """Let the audio of a share of the clips come `hops` windows later; what comes in is of other clips."""
    rng = np.random.default_rng([seed, 99])
    audio = features.streams["audio"]
    rows, others = audio.windows.copy(), audio.windows[rng.permutation(len(audio.windows))]
    for start, end in zip(features.offsets[:-1], features.offsets[1:], strict=True):
        if rng.random() < share:
            kept = max(0, end - start - hops)
            rows[start:end] = others[start:end]
            rows[start + hops : start + hops + kept] = audio.windows[start : start + kept]
    streams = {
        **features.streams,
        "audio": StreamArrays(audio.utterance, audio.present, rows, audio.window_present),
    }
    return replace(features, streams=streams)


def echoing(features):
    """Let the audio of every clip hold what it held one and two windows before, too: a course with a tail."""
    audio = features.streams["audio"]
    owner = np.repeat(np.arange(len(features)), np.diff(features.offsets))
    rows = audio.windows.copy()
    for back, weight in ((1, 0.9), (2, 0.7)):
        same = owner[back:] == owner[:-back]
        rows[back:] += np.where(same[:, None], weight * audio.windows[:-back], 0)
    streams = {
        **features.streams,
        "audio": StreamArrays(audio.utterance, audio.present, rows, audio.window_present),
    }
    return replace(features, streams=streams)


def found(features, streams=("video", "audio")):
    curve = offset_curve(features, hop_s=HOP_S, streams=streams)
    return second_offset(features, curve, hop_s=HOP_S, streams=streams)


@pytest.mark.parametrize("seed", range(2))
def test_clips_of_two_offsets_are_found(seed):
    second = found(moved(clean("windows, dialogues", seed).features, 2, 0.5, seed))
    assert second is not None and second.shift_s in (0.0, 1.0)
    assert second.clips_z < -2.33


@pytest.mark.parametrize("seed", range(2))
def test_one_offset_whose_course_has_a_tail_is_not_two(seed):
    assert found(echoing(clean("windows", seed).features)) is None


def test_two_encoders_of_one_sound_have_one_offset():
    features = clean("two encoders of one sound", 0).features
    assert found(features, ("whisper", "audio")) is None
    assert found(echoing(features), ("whisper", "audio")) is None
