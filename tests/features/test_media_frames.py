"""Which frames come out: each carries its number, and PyAV says when each picture is shown."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from dualstream.features.media import Clip, DecodeSettings, probe, read_clip, write_clip
from dualstream.features.media.decode import Ticks
from dualstream.features.media.report import DecodeReport
from dualstream.features.windows import Grid, Sampling, WindowPlan, nearest

from tests.clips import coded_video, picture_times_s, read_code, run_ffmpeg

RNG = np.random.default_rng(7)
STEADY = np.arange(70) / 23.976
VARIABLE = np.cumsum(RNG.uniform(0.01, 0.2, 40))
LATE = np.concatenate([[0.0], 1.7 + np.arange(40) / 30])  # a hole of 1.7 s behind the first picture
CASES = {
    "mp4-h264-steady": ("mp4", "libx264", STEADY),
    "mp4-h264-variable": ("mp4", "libx264", VARIABLE),
    "mp4-h264-hole": ("mp4", "libx264", LATE),
    "mkv-mpeg4-variable": ("mkv", "mpeg4", VARIABLE),
    "webm-vp9-steady": ("webm", "libvpx-vp9", STEADY),
    "mov-mjpeg-variable": ("mov", "mjpeg", VARIABLE),
    "ts-h264-steady": ("ts", "libx264", STEADY),
}

GROUPED = """\
[info] Input #0, mov,mp4,m4a,3gp,3g2,mj2, from 'x.mov':
[info]   Duration: 00:00:02.00, start: 0.000000, bitrate: 90 kb/s
[info]   Stream group #0:0[0x3]: Track Reference:
[info]     Stream #0:1[0x2](und): Video: h264 (avc1 / 0x31637661), yuv420p, 64x48, 25 fps, 25 tbr, 12800 tbn
[info]       Side data:
[info]         Display Matrix: rotation of 90.00 degrees
[info]     Stream #0:2[0x3](eng): Data: none (tmcd / 0x64636D74), 0 kb/s
[info]   Stream group #0:1[0x4]: Track Reference:
[info]     Stream #0:0[0x1](und): Video: h264 (avc1 / 0x31637661), yuv420p, 32x24, 25 fps, 25 tbr, 12800 tbn
[info]     Stream #0:2[0x3](eng): Data: none (tmcd / 0x64636D74), 0 kb/s
"""


def read(path: Path, ffmpeg: str, sampling: str = "aligned", **settings: object) -> Clip:
    settings = {"sample_rate_hz": None, **settings}
    return read_clip(
        path,
        plan=WindowPlan(),
        sampling=Sampling.parse(sampling),
        settings=DecodeSettings(**settings),  # type: ignore[arg-type]
        ffmpeg=ffmpeg,
    )


@pytest.fixture(scope="session", params=sorted(CASES))
def coded(request: pytest.FixtureRequest, clip_folder: Path) -> Path:
    suffix, codec, times_s = CASES[request.param]
    path = clip_folder / f"{request.param}.{suffix}"
    return path if path.exists() else coded_video(path, list(times_s), codec=codec)


@pytest.mark.parametrize("sampling", ["aligned", "every:0.3", "every:2", "uniform:7"])
def test_each_frame_is_the_one_nearest_to_its_instant(coded: Path, ffmpeg: str, sampling: str) -> None:
    clip = read(coded, ffmpeg, sampling)
    times_s = picture_times_s(coded)  # the clock's 0 is the first picture: the only stream
    usual_s = float(np.median(np.diff(times_s)))
    duration_s = probe(coded, ffmpeg=ffmpeg).duration_s if sampling.startswith("uniform") else clip.duration_s
    assert duration_s == pytest.approx(times_s[-1] + usual_s, abs=2e-3)
    wanted = Sampling.parse(sampling).targets(WindowPlan(), duration_s)
    index = nearest(times_s, wanted.time_s)
    near = np.abs(times_s[index] - wanted.time_s) <= max(0.5, usual_s)
    assert [read_code(frame) for frame in clip.frames] == index[near].tolist()
    assert clip.frame_window.tolist() == wanted.window[near].tolist()
    np.testing.assert_allclose(clip.frame_time_s, times_s[index][near], atol=2e-6)
    assert clip.facts.pictures == len(times_s)
    assert not clip.damaged


def test_of_two_equally_near_pictures_the_earlier_one_is_taken(tmp_path: Path, ffmpeg: str) -> None:
    path = coded_video(tmp_path / "ties.mkv", np.arange(0, 3, 0.2) + 0.0, time_base=Fraction(1, 1000))
    clip = read(path, ffmpeg)  # 0.5 lies between 0.4 and 0.6
    assert clip.frame_time_s[0] == pytest.approx(0.4)
    assert read_code(clip.frames[0]) == 2


def test_a_clip_shorter_than_half_a_window_gives_its_last_picture(tmp_path: Path, ffmpeg: str) -> None:
    path = coded_video(tmp_path / "short.mp4", np.arange(4) / 25)
    clip = read(path, ffmpeg)
    assert (len(clip.starts_s), read_code(clip.frames[0])) == (1, 3)
    assert clip.duration_s == pytest.approx(0.16, abs=1e-3)


def test_a_single_picture_is_a_frame_in_a_short_clip(tmp_path: Path, ffmpeg: str) -> None:
    clip = read(coded_video(tmp_path / "one.mp4", [0.0]), ffmpeg)
    assert clip.frames.shape == (1, 224, 224, 3)


def test_slow_video_fills_every_window(tmp_path: Path, ffmpeg: str) -> None:
    path = coded_video(tmp_path / "slides.mkv", [0.0, 2.0, 4.0, 6.0])
    clip = read(path, ffmpeg)
    assert clip.frame_window.tolist() == list(range(len(clip.starts_s)))
    wanted = WindowPlan().centres_s(clip.duration_s)
    assert [read_code(f) for f in clip.frames] == nearest(np.array([0.0, 2, 4, 6]), wanted).tolist()


def test_windows_in_a_hole_have_no_frame(tmp_path: Path, ffmpeg: str) -> None:
    times_s = np.concatenate([np.arange(25) / 25, 5 + np.arange(25) / 25])
    clip = read(coded_video(tmp_path / "hole.mp4", times_s), ffmpeg)
    centres = clip.starts_s[clip.frame_window] + 0.5
    assert np.abs(clip.frame_time_s - centres).max() <= 0.5
    missing = sorted(set(range(len(clip.starts_s))) - set(clip.frame_window.tolist()))
    assert clip.starts_s[missing].tolist() == [1.0, 1.5, 2.0, 2.5, 3.0, 3.5]


def test_chosen_agrees_with_nearest_for_any_times_and_steps() -> None:
    rng = np.random.default_rng(11)
    for _ in range(300):
        times_us = np.unique(rng.integers(0, 5_000_000, rng.integers(1, 60)))
        step_s = float(rng.choice([0.5, 1 / 3, 0.04, 0.7, rng.uniform(0.05, 2)]))
        ticks = Ticks.of(Grid(float(rng.uniform(0, 1)), step_s, 20))
        at_us = [ticks.first_us + n * ticks.step * 1_000_000 for n in range(20)]
        chosen = ticks.chosen(times_us.tolist(), 20)
        for at, got in zip(at_us, chosen, strict=True):
            away = [abs(int(time) - at) for time in times_us]
            assert away[got] <= min(away) + 4  # twice the two microseconds within which a midpoint is not told
            assert got == away.index(min(away)) or sorted(away)[1] - min(away) <= 4


def test_a_change_of_size_does_not_start_the_ticks_anew(tmp_path: Path, ffmpeg: str) -> None:
    for size in ("160x96", "320x192"):
        run_ffmpeg("-f", "lavfi", "-i", f"testsrc=s={size}:r=25:d=2", "-c:v", "mpeg2video", "-q:v", "3",
                   str(tmp_path / f"{size}.mpg"), ffmpeg=ffmpeg)  # fmt: skip
    joined = tmp_path / "joined.m2v"
    for size in ("160x96", "320x192"):
        run_ffmpeg("-i", str(tmp_path / f"{size}.mpg"), "-c", "copy", str(tmp_path / f"{size}.m2v"), ffmpeg=ffmpeg)
    joined.write_bytes((tmp_path / "160x96.m2v").read_bytes() + (tmp_path / "320x192.m2v").read_bytes())
    clip = read(joined, ffmpeg)
    assert clip.facts.pictures >= 98  # the seam may cost a picture that refers to one before it
    assert len(clip.frames) == len(clip.starts_s)
    assert np.abs(clip.frame_time_s - (clip.starts_s + 0.5)).max() <= 0.0401


@pytest.mark.parametrize("suffix", ["mov", "mp4"])
def test_a_track_of_time_codes_hides_no_picture(tmp_path: Path, ffmpeg: str, suffix: str) -> None:
    """Cameras and editors write one; ffmpeg 9 lists it in one group with the picture, ahead of other streams."""
    path = tmp_path / f"coded.{suffix}"
    run_ffmpeg("-f", "lavfi", "-i", "sine=d=2", "-f", "lavfi", "-i", "testsrc2=s=160x96:r=25:d=2", "-map", "0",
               "-map", "1", "-c:v", "libx264", "-timecode", "01:00:00:00", str(path), ffmpeg=ffmpeg)  # fmt: skip
    clip = read(path, ffmpeg)
    assert len(clip.frames) == 3 and clip.notes == ()
    found = probe(path, ffmpeg=ffmpeg)
    assert found.video is not None and found.audio is not None and found.other_streams == 1


def test_streams_of_groups_are_listed_once_in_the_order_of_the_file() -> None:
    report = DecodeReport(1 << 20)
    report.feed(GROUPED.encode())
    report.close()
    assert [(one.index, one.kind, one.rotation_deg) for one in report.streams] == [
        (0, "Video", 0),
        (1, "Video", 90),
        (2, "Data", 0),
    ]
    assert report.video is not None and report.video.index == 0


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_a_rotated_clip_comes_upright(tmp_path: Path, ffmpeg: str, degrees: int) -> None:
    """The left half is white as stored; a display matrix turns it."""
    flat, path = tmp_path / "flat.mp4", tmp_path / "turned.mp4"
    run_ffmpeg("-f", "lavfi", "-i", "color=black:s=160x96:r=25:d=1,drawbox=w=80:c=white:t=fill",
               "-c:v", "libx264", "-pix_fmt", "yuv420p", str(flat), ffmpeg=ffmpeg)  # fmt: skip
    try:
        run_ffmpeg("-display_rotation", str(degrees), "-i", str(flat), "-c", "copy", str(path), ffmpeg=ffmpeg)
    except RuntimeError:  # 5.1 sets it through the stream's metadata
        run_ffmpeg("-i", str(flat), "-c", "copy", "-metadata:s:v:0", f"rotate={degrees}", str(path),
                   ffmpeg=ffmpeg)  # fmt: skip
    clip = read(path, ffmpeg)
    seen = clip.frames[0].mean(axis=2) > 127
    halves = {"left": seen[:, :90], "right": seen[:, 134:], "top": seen[:90], "bottom": seen[134:]}
    # degrees are counterclockwise: a quarter turn takes the left side to the bottom
    white = {90: "bottom", 180: "right", 270: "top"}[degrees]
    assert [name for name, half in halves.items() if half.mean() > 0.95] == [white]
    turned = degrees % 180 == 90
    assert (clip.facts.width_px, clip.facts.height_px) == ((96, 160) if turned else (160, 96))
    assert clip.facts.rotation_deg == degrees


@pytest.mark.parametrize(("sar", "expected_px"), [("1", 224 * 96 / 160), ("2", 224 * 96 / 320)])
def test_fits(tmp_path: Path, ffmpeg: str, sar: str, expected_px: float) -> None:
    path = tmp_path / "wide.mp4"
    run_ffmpeg("-f", "lavfi", "-i", f"color=white:s=160x96:r=25:d=1,setsar={sar}", "-c:v", "libx264", "-pix_fmt",
               "yuv420p", str(path), ffmpeg=ffmpeg)  # fmt: skip
    for fit in ("stretch", "crop"):
        assert read(path, ffmpeg, fit=fit).frames.min() > 240
    padded = read(path, ffmpeg, fit="pad").frames[0].mean(axis=2)
    assert (padded[:, 112] > 127).sum() == pytest.approx(expected_px, abs=2)
    assert (padded[112] > 127).sum() == 224


def test_crop_takes_the_middle(tmp_path: Path, ffmpeg: str) -> None:
    path = tmp_path / "marked.mp4"
    run_ffmpeg("-f", "lavfi", "-i", "color=black:s=320x96:r=25:d=1,drawbox=x=112:w=96:c=white:t=fill", "-c:v",
               "libx264", "-pix_fmt", "yuv420p", str(path), ffmpeg=ffmpeg)  # fmt: skip
    assert read(path, ffmpeg, fit="crop").frames[0][:, 8:-8].min() > 200


def test_fast_takes_pictures_that_are_there(clip_folder: Path, ffmpeg: str) -> None:
    path = coded_video(clip_folder / "fast.mp4", list(STEADY), b_frames=2)
    exact, fast = read(path, ffmpeg), read(path, ffmpeg, speed="fast")
    assert fast.facts.pictures < exact.facts.pictures
    times_s = picture_times_s(path)
    assert [read_code(f) for f in fast.frames] == nearest(times_s, fast.frame_time_s).tolist()
    np.testing.assert_allclose(times_s[nearest(times_s, fast.frame_time_s)], fast.frame_time_s, atol=1e-5)
    assert np.abs(fast.frame_time_s - exact.frame_time_s).max() < 3 / 23.976


def test_fast_ends_where_exact_does(clip_folder: Path, ffmpeg: str) -> None:
    """Pictures that are skipped leave wide gaps; the last one still lasts no longer than it does."""
    path = clip_folder / "fast-end.mp4"
    shades = np.linspace(40, 200, 63).astype(np.uint8)  # 63 pictures, 25 a second: 2.52 s
    write_clip(
        path, np.broadcast_to(shades[:, None, None, None], (63, 48, 64, 3)), 25.0, None, 16_000, ffmpeg=ffmpeg
    )
    exact, fast = read(path, ffmpeg), read(path, ffmpeg, speed="fast")
    assert fast.facts.pictures < exact.facts.pictures
    assert exact.duration_s == pytest.approx(2.52, abs=1e-4) and fast.duration_s == pytest.approx(2.52, abs=1e-4)
    assert fast.starts_s.tolist() == exact.starts_s.tolist()


def test_colours_are_rgb_in_that_order(tmp_path: Path, ffmpeg: str) -> None:
    path = tmp_path / "red.mp4"
    run_ffmpeg("-f", "lavfi", "-i", "color=red:s=160x96:r=25:d=1", "-c:v", "libx264", "-pix_fmt", "yuv420p",
               str(path), ffmpeg=ffmpeg)  # fmt: skip
    red, green, blue = read(path, ffmpeg).frames[0].reshape(-1, 3).mean(axis=0)
    assert red > 230 and green < 20 and blue < 20
