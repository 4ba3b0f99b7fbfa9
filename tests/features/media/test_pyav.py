"""PyAV's decoding in this process: the same instants, pictures and verdicts as an ffmpeg process gives."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dualstream.features.media import (
    Clip,
    DecodeSettings,
    Guards,
    MediaError,
    command,
    pyav,
    read_clip,
    version_of,
)
from dualstream.features.media.showing import rescaled
from dualstream.features.windows import Sampling, WindowPlan, nearest

from tests.clips import coded_video, ffmpegs, flash_beep, picture_times_s, read_code, run_ffmpeg, tone

pytest.importorskip("av")
RATE = 16_000
ROOT = Path(__file__).resolve().parents[3]
FINE = WindowPlan(0.04, 0.04)


@pytest.fixture
def ffmpeg() -> str:
    """Return one ffmpeg: what is compared with it is PyAV, which is the same beside any."""
    found = ffmpegs()
    if not found:
        pytest.skip("no ffmpeg: install it, or imageio-ffmpeg")
    return next(iter(found.values()))


def read(path: Path, ffmpeg: str | None, decoder: str = "pyav", plan: WindowPlan = FINE, **more: Any) -> Clip:
    guards, span_s = more.pop("guards", None), more.pop("span_s", (None, None))
    sampling = Sampling.parse(more.pop("sampling", "aligned"))
    settings = DecodeSettings(decoder=decoder, **{"frame_size_px": 40, **more})  # type: ignore[arg-type]
    return read_clip(
        path, plan=plan, sampling=sampling, settings=settings, span_s=span_s, ffmpeg=ffmpeg, guards=guards
    )


def failure(path: Path, ffmpeg: str | None, decoder: str = "pyav", **more: Any) -> MediaError:
    with pytest.raises(MediaError) as caught:
        read(path, ffmpeg, decoder, **more)
    return caught.value


@pytest.mark.parametrize("starts_s", [(0.0, 0.0), (0.0, 0.4), (0.6, 0.0)], ids=["together", "sound", "picture"])
@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_flash_and_beep_share_an_instant(tmp_path: Path, suffix: str, starts_s: tuple[float, float]) -> None:
    path = flash_beep(tmp_path / f"c.{suffix}", at_s=1.4, video_start_s=starts_s[0], audio_start_s=starts_s[1])
    clip = read(path, None)
    assert clip.facts.processes == 0 and clip.audio is not None and clip.audio_covered_s is not None
    flash_s = clip.frame_time_s[clip.frames.mean(axis=(1, 2, 3)) > 127][0]
    beep_s = np.flatnonzero(np.abs(clip.audio) > 0.3)[0] / RATE
    assert beep_s == pytest.approx(flash_s, abs=0.03)
    assert flash_s == pytest.approx(1.4, abs=0.045)
    assert clip.audio_covered_s[0] == pytest.approx(starts_s[1], abs=0.05)


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
@pytest.mark.parametrize("sampling", ["aligned", "every:0.3", "uniform:7"])
def test_the_nearest_picture_is_shown(tmp_path: Path, ffmpeg: str, suffix: str, sampling: str) -> None:
    rng = np.random.default_rng(7)
    times = np.cumsum(rng.choice([0.02, 0.04, 0.05, 0.12], 60)).round(2)
    path = coded_video(tmp_path / f"v.{suffix}", list(times - times[0]))
    clip = read(path, ffmpeg, plan=WindowPlan(0.5, 0.25), sampling=sampling)
    assert clip.facts.processes == 0 and len(clip.frames) > 5
    true_s = picture_times_s(path)
    np.testing.assert_allclose(clip.frame_time_s, true_s[[read_code(one) for one in clip.frames]], atol=1e-5)
    if sampling == "aligned":
        wanted_s = clip.starts_s[clip.frame_window] + 0.25
        off_s = np.abs(clip.frame_time_s - wanted_s) - np.abs(true_s[nearest(true_s, wanted_s)] - wanted_s)
        assert np.abs(off_s).max() < 1e-5


@pytest.mark.parametrize("more", [
    {}, {"speed": "fast"}, {"fit": "crop"}, {"fit": "pad"}, {"span_s": (0.6, 1.4)}, {"channels": "mix"},
], ids=["whole", "fast", "crop", "pad", "span", "mix"])  # fmt: skip
def test_pictures_are_the_process_s_to_the_byte(meld_clip: Path, ffmpeg: str, more: dict[str, Any]) -> None:
    ours, theirs = (read(meld_clip, ffmpeg, one, plan=WindowPlan(), **more) for one in ("pyav", "ffmpeg"))
    assert (ours.facts.processes, theirs.facts.processes) == (0, 1)
    assert len(ours.frames) and ours.notes == theirs.notes == ()
    np.testing.assert_array_equal(ours.frames, theirs.frames)
    np.testing.assert_array_equal(ours.frame_time_s, theirs.frame_time_s)
    assert ours.audio is not None and theirs.audio is not None
    end = min(len(ours.audio), len(theirs.audio)) - 100  # newer versions cut what an encoder padded at the end
    np.testing.assert_allclose(ours.audio[:end], theirs.audio[:end], atol=1e-6)
    keys = ("container", "video_codec", "width_px", "height_px", "audio_codec", "layout", "channel_policy")
    assert [getattr(ours.facts, key) for key in keys] == [getattr(theirs.facts, key) for key in keys]


@pytest.mark.parametrize("angle", [90, 180, 270])
def test_a_turned_picture_is_turned_back(tmp_path: Path, ffmpeg: str, angle: int) -> None:
    plain, path = coded_video(tmp_path / "p.mp4", np.arange(30) / 25), tmp_path / "turned.mp4"
    run_ffmpeg("-display_rotation", str(angle), "-i", str(plain), "-c", "copy", str(path))
    ours, theirs = (read(path, ffmpeg, one, plan=WindowPlan()) for one in ("pyav", "ffmpeg"))
    assert ours.facts.processes == 0 and ours.facts.rotation_deg == theirs.facts.rotation_deg != 0
    np.testing.assert_array_equal(ours.frames, theirs.frames)
    assert ours.facts.width_px == theirs.facts.width_px


@pytest.mark.parametrize(
    "how", [("-display_hflip",), ("-display_vflip",), ("-display_rotation", "90", "-display_hflip")]
)
def test_a_mirrored_picture_is_left_to_ffmpeg(tmp_path: Path, ffmpeg: str, how: tuple[str, ...]) -> None:
    """As front cameras write them: PyAV tells how far a picture is turned, and not that it is mirrored."""
    plain, path = coded_video(tmp_path / "p.mp4", np.arange(30) / 25), tmp_path / "mirrored.mp4"
    run_ffmpeg(*how, "-i", str(plain), "-c", "copy", str(path))
    ours, theirs = (read(path, ffmpeg, one, plan=WindowPlan()) for one in ("pyav", "ffmpeg"))
    assert ours.facts.processes == theirs.facts.processes == 1
    np.testing.assert_array_equal(ours.frames, theirs.frames)


def test_sound_alone_and_pictures_alone(tmp_path: Path, ffmpeg: str) -> None:
    heard = read(tone(tmp_path / "t.flac", duration_s=2.0), ffmpeg)
    assert heard.facts.processes == 0 and len(heard.frames) == 0 and heard.audio is not None
    assert np.abs(heard.audio).max() == pytest.approx(0.5, abs=0.02)
    seen = read(coded_video(tmp_path / "v.mp4", np.arange(30) / 25), ffmpeg)
    assert seen.facts.processes == 0 and seen.audio is None and "no sound: the file has none" in seen.notes
    assert failure(tmp_path / "v.mp4", ffmpeg, frame_size_px=None).kind == "no_streams"


def test_times_are_rounded_as_libavutil_does() -> None:
    assert [rescaled(n, (1, 2), (1, 1)) for n in (1, -1, 3, 4)] == [1, -1, 2, 2]
    assert rescaled(1, (1, 90_000), (1, 1_000_000)) == 11


class TestOdd:
    """What is not plain is left to ffmpeg, whose verdict counts."""

    def verdicts(self, path: Path, ffmpeg: str, **more: Any) -> list[str]:
        said = []
        for decoder in ("pyav", "ffmpeg"):
            try:
                clip = read(path, ffmpeg, decoder, plan=WindowPlan(), **more)
                said.append(f"{clip.notes} {clip.duration_s} {clip.frames.shape}")
                assert clip.facts.processes
            except MediaError as error:
                said.append(f"{error.kind}: {error}")
        return said

    @pytest.mark.parametrize("kind", ["cut", "noise", "text", "playlist", "format"])
    def test_the_same_verdict(self, meld_clip: Path, tmp_path: Path, ffmpeg: str, kind: str) -> None:
        path = tmp_path / "odd.mp4"
        data = bytearray(meld_clip.read_bytes())
        if kind == "cut":
            del data[len(data) // 2 :]
        elif kind == "noise":
            data[8000:12000] = np.random.default_rng(0).bytes(4000)
        elif kind == "text":
            data = bytearray(b"no film " * 500)
        elif kind == "playlist":
            data = bytearray(f"ffconcat version 1.0\nfile '{meld_clip}'\n".encode())
        path.write_bytes(data)
        if kind == "format":
            path = flash_beep(tmp_path / "odd.ts", duration_s=1.0, at_s=0.5)
        ours, theirs = self.verdicts(path, ffmpeg)
        assert ours == theirs

    def test_a_playlist_opens_no_other_file(self, small_clip: Path, tmp_path: Path) -> None:
        target, path = tmp_path / "treasure.mp4", tmp_path / "clip.mp4"
        target.write_bytes(small_clip.read_bytes())
        path.write_text(f"ffconcat version 1.0\nfile '{target.name}'\n")
        os.utime(target, (1, os.stat(target).st_mtime))
        assert failure(path, None).kind == "unreadable"
        assert os.stat(target).st_atime_ns == 1_000_000_000

    def test_limits_hold(self, meld_clip: Path, ffmpeg: str) -> None:
        few = Guards(max_pixels=640 * 360)
        ours, theirs = self.verdicts(meld_clip, ffmpeg, guards=few)
        assert ours == theirs and "no picture" in ours
        assert failure(meld_clip, ffmpeg, guards=Guards(wall_s=1e-3)).kind == "timeout"

    @pytest.mark.skipif(not pyav.STATM.exists(), reason="asks /proc")
    def test_memory_is_bounded_in_a_worker(self, meld_clip: Path, ffmpeg: str) -> None:
        program = f"""
import resource, sys
from pathlib import Path
from dualstream.features.media import DecodeSettings, Guards, pyav, read_clip
from dualstream.features.windows import Sampling, WindowPlan
pyav.bound_memory()
for most in (1 << 20, 4 << 30):
    try:
        clip = read_clip(Path({str(meld_clip)!r}), plan=WindowPlan(), sampling=Sampling(), ffmpeg={ffmpeg!r},
                         settings=DecodeSettings(decoder="pyav"), guards=Guards(address_space_bytes=most))
        print(clip.facts.processes)
    except Exception as error:
        print(type(error).__name__)
    assert resource.getrlimit(resource.RLIMIT_AS)[0] == resource.RLIM_INFINITY
"""
        done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
        assert done.stdout.split() == ["MediaError", "0"], done.stderr

    def test_without_ffmpeg_it_says_what_is_odd(
        self, tmp_path: Path, small_clip: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = flash_beep(tmp_path / "odd.ts", duration_s=1.0, at_s=0.5)

        def none(explicit: str | None = None) -> str:
            raise MediaError("missing", "none")

        monkeypatch.setattr(command, "find_ffmpeg", none)
        assert len(read(small_clip, None).frames)
        error = failure(path, None)
        assert error.kind == "unreadable" and "mpegts" in str(error) and "ffmpeg" in str(error)


def test_what_decoded_is_stated(ffmpeg: str) -> None:
    import av

    assert "decoder" not in DecodeSettings().to_json()  # as caches have it from before there was a choice
    assert DecodeSettings(decoder="pyav").to_json()["decoder"] == "pyav"
    told = version_of(DecodeSettings(decoder="pyav"), ffmpeg)
    assert av.__version__ in told and command.decoder_version(ffmpeg) in told
    assert version_of(DecodeSettings(), ffmpeg) == command.decoder_version(ffmpeg)
    with pytest.raises(ValueError, match="pyav"):
        DecodeSettings(decoder="libav")  # type: ignore[arg-type]


def test_without_the_package_it_says_what_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pyav, "_library", lambda: (_ for _ in ()).throw(MediaError("missing", pyav.NEEDED)))
    with pytest.raises(MediaError, match=r"\[fast\]"):
        version_of(DecodeSettings(decoder="pyav"))
