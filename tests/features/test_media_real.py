"""Real clips, where DUALSTREAM_DATA names them: frame times against ffprobe, odd files, and mutated ones."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from dualstream.features.media import Clip, DecodeSettings, MediaError, Probe, probe, read_clip
from dualstream.features.windows import Sampling, WindowPlan, nearest

from tests.clips import flash_beep, meld_like, tone

DATA = Path(os.environ.get("DUALSTREAM_DATA", ""))
needs_data = [
    pytest.mark.realdata,
    pytest.mark.skipif(not os.environ.get("DUALSTREAM_DATA"), reason="DUALSTREAM_DATA is not set"),
]
FIVE = [  # H.264, MPEG-4, MPEG-1, HEVC with a late sound, AV1; VP9 at a variable rate
    "clips/short_hamilton_clip.mp4", "clips/WDA_KatieHill_000.mp4", "clips/bbaf2n.mpg", "clips/face_noface.mov",
    "odd/av1_video.mkv", "odd/no_duration.webm",
]  # fmt: skip


def read(path: Path, ffmpeg: str) -> Clip:
    return read_clip(path, plan=WindowPlan(), sampling=Sampling(), settings=DecodeSettings(), ffmpeg=ffmpeg)


def ffprobe_times_s(path: Path) -> np.ndarray:
    """Return every picture's time from ffprobe, on a clock that starts with the file."""
    command = ["ffprobe", "-v", "error", "-select_streams", "v:0", "-show_entries",
               "frame=best_effort_timestamp_time:format=start_time", "-of", "json", str(path)]  # fmt: skip
    found = json.loads(subprocess.run(command, capture_output=True, check=True, text=True).stdout)
    times = [float(f["best_effort_timestamp_time"]) for f in found["frames"] if "best_effort_timestamp_time" in f]
    return np.sort(times) - float(found["format"].get("start_time", 0))


@pytest.mark.parametrize("name", FIVE)
@pytest.mark.skipif(shutil.which("ffprobe") is None, reason="no ffprobe")
class TestReal:
    pytestmark = needs_data

    def test_frame_times_agree_with_ffprobe(self, name: str, ffmpeg: str) -> None:
        clip, times_s = read(DATA / name, ffmpeg), ffprobe_times_s(DATA / name)
        assert len(clip.frames)
        gap_s = float(np.median(np.diff(times_s)))
        nearest_s = times_s[nearest(times_s, clip.starts_s[clip.frame_window] + 0.5)]
        off = np.abs(clip.frame_time_s - nearest_s) / gap_s
        assert off.max() < 0.5, f"up to {off.max():.3f} frames"
        assert np.median(off) < 0.05


OUTCOMES = {
    "-video-with-dash-.mp4": "picture", "test_video.mp4": "picture", "av1_video.mkv": "picture",
    "h265_video.mp4": "picture", "unordered.mov": "picture", "video_0.mov": "picture", "video_180.mov": "picture",
    "video_90.mov": "picture", "corrupted.mp4": "picture damaged", "fire2.mp4": "picture sound",
    "nasa_13013.mp4": "picture sound", "no_duration.webm": "picture sound", "mp4-with-audio.mp4": "sound",
    "sine_mono_s32.wav": "sound", "with-attached-pic.mp3": "sound", "empty.webm": "empty",
    "AudioVideoInterleave.avi": "damaged", "WindowsMediaVideo.wmv": "empty", "FlashVideo.flv": "unreadable",
    "Mpeg4.mp4": "no_streams",
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(OUTCOMES))
class TestOdd:
    pytestmark = needs_data

    def test_outcome(self, name: str, ffmpeg: str) -> None:
        try:
            clip = read(DATA / "odd" / name, ffmpeg)
        except MediaError as error:
            outcome = str(error.kind)
        else:
            parts = {"picture": len(clip.frames) > 0, "sound": clip.audio is not None, "damaged": clip.damaged}
            outcome = " ".join(part for part, there in parts.items() if there)
        assert outcome == OUTCOMES[name]


def mutate(data: bytes, rng: np.random.Generator) -> bytes:
    """Return a copy with flipped bits, a block of noise, a hole, a cut, or a swapped piece."""
    copy = bytearray(data)
    kind = rng.integers(5)
    at = int(rng.integers(len(copy)))
    size = int(min(rng.integers(1, 4000), len(copy) - at))
    if kind == 0:
        for place in rng.integers(0, len(copy), rng.integers(1, 40)):
            copy[place] ^= 1 << int(rng.integers(8))
    elif kind == 1:
        copy[at : at + size] = rng.bytes(size)
    elif kind == 2:
        copy[at : at + size] = bytes(size)
    elif kind == 3:
        del copy[max(at, 1) :]
    else:
        copy[at:at], copy[-size:] = copy[-size:], b""
    return bytes(copy)


def check(clip: Clip) -> None:
    """What holds of every clip that was read, whatever the file was like."""
    windows = len(clip.starts_s)
    assert 0 < clip.duration_s <= 120
    assert clip.frames.dtype == np.uint8 and clip.frames.shape[0] == len(clip.frame_time_s) == len(
        clip.frame_window
    )
    assert clip.frames.shape[0] <= windows
    assert np.all(np.diff(clip.frame_window) > 0) and np.all(
        (clip.frame_window >= 0) & (clip.frame_window < windows)
    )
    assert np.isfinite(clip.frame_time_s).all()
    if clip.audio is None:
        assert clip.audio_covered_s is None
    else:
        assert np.isfinite(clip.audio).all() and clip.audio_covered_s is not None
        assert 0 <= clip.audio_covered_s[0] < clip.audio_covered_s[1] <= 122
    assert len(clip.frames) or clip.audio is not None or clip.notes


def looked(look: Callable[..., Probe | Clip], path: Path, ffmpeg: str) -> Probe | Clip:
    """Look again where ffmpeg hung: once in some thousand starts it does, and not on the same file the next time.

    What the time limit is for are files that hang it every time.
    """
    try:
        return look(path, ffmpeg=ffmpeg)
    except MediaError as error:
        if error.kind != "timeout":
            raise
        print(f"{look.__name__} hung: {error}")
        return look(path, ffmpeg=ffmpeg)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    "kind", ["meld.mp4", "flash.mkv", "flash.mpg", "flash.avi", "flash.webm", "tone.mp3", "tone.flac"]
)
def test_mutated_clips_never_pass_unnoticed(tmp_path: Path, ffmpeg: str, kind: str) -> None:
    """72 mutations of each of seven kinds, 504 in all: no crash, no hang, and a clip that differs says so.

    A bit that is flipped in pictures or sound without checksums gives other, valid pictures or sound: only what
    ffmpeg notices can be reported. So a clip whose frames differ grossly must be reported or have other facts.
    """
    whole = tmp_path / kind
    if kind == "meld.mp4":
        meld_like(whole, size="320x180", duration_s=1.5)
    elif kind.startswith("tone"):
        tone(whole, duration_s=2.0)
    else:
        codecs = {"mpg": ("mpeg1video", "mp2"), "avi": ("mpeg4", "libmp3lame"), "webm": ("libvpx", "libopus")}
        video_codec, audio_codec = codecs.get(kind.split(".")[1], ("libx264", "aac"))
        flash_beep(whole, duration_s=2.0, at_s=0.8, video_codec=video_codec, audio_codec=audio_codec)
    data = whole.read_bytes()
    rng = np.random.default_rng(sum(kind.encode()))
    kinds: set[str] = set()
    outcomes = {"read": 0, "damaged": 0, "refused": 0}
    for _ in range(72):
        path = tmp_path / f"mutated-{kind}"
        path.write_bytes(mutate(data, rng))
        for look in (probe, read):
            try:
                result = looked(look, path, ffmpeg)
            except MediaError as error:
                kinds.add(error.kind)
                outcomes["refused"] += look is read
                continue
            if isinstance(result, Clip):
                check(result)
                outcomes["damaged" if result.damaged else "read"] += 1
    print(kind, outcomes, kinds)
    assert kinds <= {"unreadable", "damaged", "empty", "no_streams", "too_large"}  # and never a timeout
    assert outcomes["damaged"] + outcomes["refused"] > 0
