"""write_clip: what was written is what PyAV reads, and a failure leaves nothing behind."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from dualstream.features.media import DecodeSettings, MediaError, read_clip, write_clip
from dualstream.features.windows import Sampling, WindowPlan

from tests.clips import coded_picture, loudest_hz, read_code

RATE = 16_000
FRAMES = np.stack([coded_picture(number) for number in range(30)])
TIME = np.arange(int(1.2 * RATE)) / RATE
TONE = (0.5 * np.sin(2 * np.pi * 440 * TIME)).astype(np.float32)


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "mov", "avi"])
def test_frames_and_sound_come_back(tmp_path: Path, ffmpeg: str, suffix: str) -> None:
    import av

    path = tmp_path / f"c.{suffix}"
    write_clip(path, FRAMES, "27021/1127", TONE, RATE, ffmpeg=ffmpeg)
    with av.open(str(path)) as file:
        pictures = [frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)]
        assert float(file.streams.video[0].average_rate or 0) == pytest.approx(27021 / 1127, rel=0.02)
    assert [read_code(picture) for picture in pictures] == list(range(30))
    with av.open(str(path)) as file:
        samples = np.concatenate([frame.to_ndarray()[0] for frame in file.decode(audio=0)])
    assert loudest_hz(samples, RATE) == pytest.approx(440, abs=2)
    assert len(samples) == pytest.approx(len(TONE), abs=3 * 1024)
    assert os.listdir(tmp_path) == [path.name]


def test_six_channels_keep_their_places(tmp_path: Path, ffmpeg: str) -> None:
    path = tmp_path / "six.mp4"
    hz = [1000, 1000, 440, 60, 1000, 1000]  # FL FR FC LFE BL BR
    six = np.stack([0.3 * np.sin(2 * np.pi * f * TIME) for f in hz], axis=1).astype(np.float32)
    write_clip(path, FRAMES, 25, six, RATE, ffmpeg=ffmpeg)
    clip = read_clip(path, plan=WindowPlan(), sampling=Sampling(), settings=DecodeSettings(), ffmpeg=ffmpeg)
    assert clip.audio is not None and clip.facts.layout == "5.1"
    assert loudest_hz(clip.audio, RATE) == pytest.approx(440, abs=2)


def test_a_delay_starts_the_sound_late(tmp_path: Path, ffmpeg: str) -> None:
    path = tmp_path / "late.mkv"
    beep = np.zeros(RATE, dtype=np.float32)
    beep[RATE // 2 :] = TONE[: RATE // 2]
    write_clip(path, FRAMES, 25, beep, RATE, audio_delay_s=0.4, audio_codec="pcm_s16le", ffmpeg=ffmpeg)
    clip = read_clip(path, plan=WindowPlan(), sampling=Sampling(), settings=DecodeSettings(), ffmpeg=ffmpeg)
    assert clip.audio is not None and clip.audio_covered_s is not None
    assert np.flatnonzero(np.abs(clip.audio) > 0.1)[0] / RATE == pytest.approx(0.9, abs=0.005)
    assert clip.audio_covered_s[0] == pytest.approx(0.4, abs=0.002)


@pytest.mark.parametrize("which", ["picture", "sound"])
def test_one_stream_alone(tmp_path: Path, ffmpeg: str, which: str) -> None:
    path = tmp_path / ("m.mp4" if which == "picture" else "s.flac")
    more = {} if which == "picture" else {"audio_codec": "flac"}
    write_clip(path, FRAMES if which == "picture" else None, 25, TONE if which == "sound" else None, RATE,
               ffmpeg=ffmpeg, **more)  # fmt: skip
    clip = read_clip(path, plan=WindowPlan(), sampling=Sampling(), settings=DecodeSettings(), ffmpeg=ffmpeg)
    assert (len(clip.frames) > 0, clip.audio is not None) == (which == "picture", which == "sound")


def test_the_same_input_gives_the_same_bytes(tmp_path: Path, ffmpeg: str) -> None:
    for name in ("a.mp4", "b.mp4"):
        write_clip(tmp_path / name, FRAMES, 25, TONE, RATE, ffmpeg=ffmpeg)
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()


def test_a_failure_keeps_the_old_file_and_leaves_no_other(tmp_path: Path, ffmpeg: str) -> None:
    path = tmp_path / "c.mp4"
    path.write_bytes(b"old")
    with pytest.raises(MediaError, match="can't be written"):
        write_clip(path, FRAMES, 25, TONE, RATE, video_codec="no-such-codec", ffmpeg=ffmpeg)
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["c.mp4"]


@pytest.mark.parametrize(("frames", "audio", "more", "words"), [
    (None, None, {}, "nothing to write"),
    (FRAMES[0], None, {}, "frames are"),
    (FRAMES.astype(np.float32), None, {}, "frames are"),
    (None, np.zeros((0,), np.float32), {}, "audio has shape"),
    (None, np.zeros((9, 6), np.float32), {"layout": "stereo"}, "layout"),
    (None, np.zeros((9, 9), np.float32), {}, "no usual layout"),
    (FRAMES, TONE, {"audio_delay_s": -1.0}, "audio_delay_s"),
])  # fmt: skip
def test_wrong_arguments_fail(tmp_path: Path, frames: object, audio: object, more: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        write_clip(tmp_path / "c.mp4", frames, 25, audio, RATE, **more)  # type: ignore[arg-type]


def test_a_folder_that_is_not_there_fails(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="folder"):
        write_clip(tmp_path / "no" / "c.mp4", FRAMES, 25, None, RATE)
