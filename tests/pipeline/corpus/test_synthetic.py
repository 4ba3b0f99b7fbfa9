"""Drawn clips: what was written into them can be measured in them."""

from __future__ import annotations

import functools

import numpy as np
import pytest
from dualstream.pipeline.corpus.synthetic import (
    BACKGROUND,
    EXPRESSIONS,
    FRAME_RATE_HZ,
    HEIGHT_PX,
    RAMP_S,
    SAMPLE_RATE_HZ,
    WIDTH_PX,
    Script,
    Speaker,
    perform,
)

SPEAKER = Speaker(skin=(0.85, 0.68, 0.55), head_size=0.4, pitch_hz=120.0, tract=1.0)


@functools.cache
def clip(emotion: str, seed: int = 0, *, duration_s: float = 3.0, speaker: Speaker = SPEAKER):
    return perform(Script(emotion, duration_s, 1.0, 2.0), speaker, np.random.default_rng(seed))


def in_burst(frames):
    at = np.arange(len(frames)) / FRAME_RATE_HZ
    return (at > 1.2) & (at < 1.8)


@pytest.mark.parametrize("duration_s", [0.05, 1.0, 2.34])
def test_both_streams_last_as_long_as_the_script(duration_s):
    frames, audio = clip("joy", duration_s=duration_s)
    assert frames.shape == (max(1, round(duration_s * FRAME_RATE_HZ)), HEIGHT_PX, WIDTH_PX, 3)
    assert audio.shape == (round(duration_s * SAMPLE_RATE_HZ),) and np.abs(audio).max() <= 1
    assert frames.dtype == np.uint8 and audio.dtype == np.float32


def test_a_seed_is_a_clip():
    one, again, other = clip("fear", 1), clip("fear", 1), clip("fear", 2)
    assert all(np.array_equal(a, b) for a, b in zip(one, again, strict=True))
    assert not np.array_equal(one[1], other[1])


def test_an_expression_comes_and_goes():
    script = Script("joy", 3.0, 1.0, 2.0)
    found = script.strength(np.array([0.0, 1 - RAMP_S, 1.0, 1.5, 2.0, 2 + RAMP_S]))
    np.testing.assert_allclose(found, [0, 0, 0.5, 1, 0.5, 0])
    assert (
        Script("joy", 1.0, 0.4, 0.4 + RAMP_S / 2).strength(np.array([0.4 + RAMP_S / 4]))[0] < 1
    )  # too short to be whole


@pytest.mark.parametrize("emotion", [name for name in EXPRESSIONS if name != "neutral"])
def test_outside_of_the_burst_a_face_is_neutral(emotion):
    frames, plain = clip(emotion)[0].astype(int), clip("neutral")[0].astype(int)
    before = np.arange(len(frames)) / FRAME_RATE_HZ < 0.8
    # the mouth moves with the voice, which is faster in some emotions: brows and eyes stay as they are
    brows = slice(round(HEIGHT_PX * 0.25), round(HEIGHT_PX * 0.36))
    moved = np.abs(frames - plain)[:, brows].mean((1, 2, 3))
    assert moved[before].max() < 1 and moved[in_burst(frames)].min() > 3 * max(moved[before].max(), 0.05)


def brightness(frames):
    return frames[in_burst(frames)].mean(-1)


def test_wide_eyes_show_more_white():
    eyes = slice(round(HEIGHT_PX * 0.36), round(HEIGHT_PX * 0.48))
    white = {
        name: (brightness(clip(name)[0])[:, eyes] > 225).mean() for name in ("disgust", "neutral", "surprise")
    }
    assert white["disgust"] < white["neutral"] < white["surprise"]


def test_the_wall_is_the_same_behind_everybody():
    for seed in range(3):
        frames, _ = clip("joy", seed, speaker=Speaker.draw(np.random.default_rng(seed)))
        corner = frames[:, :10, :10].reshape(-1, 3).mean(0) / 255
        np.testing.assert_allclose(corner, BACKGROUND, rtol=0.08)


def pitch_hz(audio, low=70, high=500):
    """Return the median of the strongest period of frames of 50 ms."""
    found = []
    for start in range(0, len(audio) - 800, 400):
        frame = audio[start : start + 800] - audio[start : start + 800].mean()
        if np.sqrt(np.mean(frame**2)) < 0.3 * np.sqrt(np.mean(audio**2)):
            continue
        correlation = np.correlate(frame, frame, "full")[799:]
        lags = slice(SAMPLE_RATE_HZ // high, SAMPLE_RATE_HZ // low)
        found.append(SAMPLE_RATE_HZ / (lags.start + correlation[lags].argmax()))
    return float(np.median(found))


def burst_of(audio):
    return audio[round(1.15 * SAMPLE_RATE_HZ) : round(1.85 * SAMPLE_RATE_HZ)]


@pytest.mark.parametrize(
    ("emotion", "higher"), [("anger", True), ("joy", True), ("sadness", False), ("disgust", False)]
)
def test_the_voice_rises_or_falls_in_the_burst(emotion, higher):
    ratios = [
        pitch_hz(burst_of(clip(emotion, seed)[1])) / pitch_hz(burst_of(clip("neutral", seed)[1]))
        for seed in range(5)
    ]
    assert (np.median(ratios) > 1.15) if higher else (np.median(ratios) < 0.95)


def test_the_pitch_is_the_speakers():
    low, high = (Speaker(SPEAKER.skin, 0.4, hz, 1.0) for hz in (110.0, 210.0))
    found = [pitch_hz(clip("neutral", 3, speaker=one)[1]) for one in (low, high)]
    assert found[1] / found[0] == pytest.approx(210 / 110, rel=0.1)


@pytest.mark.parametrize(("emotion", "louder"), [("anger", True), ("sadness", False)])
def test_loudness_follows_arousal(emotion, louder):
    def level(name, seed):
        return 20 * np.log10(np.sqrt(np.mean(burst_of(clip(name, seed)[1]) ** 2)))

    gain = np.mean([level(emotion, seed) - level("neutral", seed) for seed in range(5)])
    assert (gain > 2) if louder else (gain < -2)


def test_speakers_differ_within_bounds():
    drawn = [Speaker.draw(np.random.default_rng(seed)) for seed in range(200)]
    pitches = np.array([one.pitch_hz for one in drawn])
    assert ((pitches >= 95) & (pitches <= 135) | (pitches >= 175) & (pitches <= 230)).all()
    assert 0.3 < (pitches < 150).mean() < 0.7
    assert all(0.92 <= one.tract <= 1.12 and 0.395 <= one.head_size <= 0.405 for one in drawn)
    assert len(set(pitches)) == 200
