"""Pictures that a watcher is shown by PyAV: those of an ffmpeg process, to the byte, and its verdicts."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dualstream.features.media import Clip, DecodeSettings, Guards, MediaError, read_clip
from dualstream.features.media.pictures import Picture
from dualstream.features.windows import Sampling, WindowPlan

from tests.clips import coded_video, ffmpegs, flash_beep, read_code, run_ffmpeg

pytest.importorskip("av")


@dataclass
class Looker:
    """Keeps what it is shown."""

    longest_s: float
    pictures: list[Picture] = field(default_factory=list)
    ends: int = 0

    def see(self, picture: Picture) -> None:
        assert not self.ends
        self.pictures.append(picture)

    def end(self) -> None:
        self.ends += 1


@pytest.fixture
def ffmpeg() -> str:
    found = ffmpegs()
    if not found:
        pytest.skip("no ffmpeg: install it, or imageio-ffmpeg")
    return next(iter(found.values()))


def look(path: Path, decoder: str, ffmpeg: str | None = None, guards: Guards | None = None, **more: Any) -> Clip:
    span_s = more.pop("span_s", (None, None))
    settings = DecodeSettings(decoder=decoder, **{"frame_size_px": 40, **more})  # type: ignore[arg-type]
    how: Any = {"plan": WindowPlan(), "sampling": Sampling(), "span_s": span_s, "ffmpeg": ffmpeg}
    return read_clip(path, settings=settings, guards=guards, watch=Looker, **how)


def looks(clip: Clip) -> list[Picture]:
    assert isinstance(clip.watcher, Looker) and clip.watcher.ends == 1
    return clip.watcher.pictures


def check_same(path: Path, ffmpeg: str, **more: Any) -> list[Picture]:
    ours, theirs = (look(path, one, ffmpeg, **more) for one in ("pyav", "ffmpeg"))
    assert ours.facts.processes == 0 and theirs.facts.processes > 0
    assert ours.notes == theirs.notes and len(ours.frames) == len(theirs.frames) == 0
    assert len(looks(ours)) == len(looks(theirs)) > 5
    for one, other in zip(looks(ours), looks(theirs), strict=True):
        assert one.time_s == other.time_s and one.bt709 == other.bt709
        for plane in "yuv":
            np.testing.assert_array_equal(getattr(one, plane), getattr(other, plane))
    return looks(ours)


@pytest.mark.parametrize(
    "more",
    [{}, {"span_s": (0.6, 1.4)}, {"speed": "fast"}, {"max_clip_s": 0.7}],
    ids=["whole", "span", "fast", "cut"],
)
def test_pictures_are_the_process_s_to_the_byte(meld_clip: Path, ffmpeg: str, more: dict[str, Any]) -> None:
    check_same(meld_clip, ffmpeg, **more)


def test_each_picture_comes_once_at_its_time(tmp_path: Path) -> None:
    times_s = np.array([0.0, 0.04, 0.06, 0.2, 0.24, 0.5])
    path = coded_video(tmp_path / "v.mp4", list(times_s))
    seen = looks(look(path, "pyav"))
    np.testing.assert_allclose([one.time_s for one in seen], times_s, atol=1e-4)
    height, width = seen[0].y.shape
    whole = 0.0, 0.0, float(width), float(height)
    assert [read_code(one.rgb(whole, (width, height))) for one in seen] == list(range(6))


@pytest.mark.parametrize(
    "change",
    [("-display_rotation:v:0", "90"), ("-aspect", "2:1"), ("-bsf:v", "h264_metadata=matrix_coefficients=1")],
    ids=["turned", "wide pixels", "bt709"],
)
def test_shape_and_colours(tmp_path: Path, ffmpeg: str, change: tuple[str, str]) -> None:
    plain, path = coded_video(tmp_path / "p.mp4", np.arange(30) / 25), tmp_path / "changed.mp4"
    before = change if change[0].startswith("-display") else ()
    run_ffmpeg(*before, "-i", str(plain), *(change if not before else ()), "-c", "copy", str(path))
    (first, *_), (changed, *_) = looks(look(plain, "pyav")), check_same(path, ffmpeg)
    assert changed.bt709 == ("-bsf:v" in change) and not first.bt709
    assert (changed.y.shape != first.y.shape) == ("-bsf:v" not in change)


def test_pictures_of_more_than_the_longest_side_are_scaled(tmp_path: Path, ffmpeg: str) -> None:
    path = tmp_path / "large.mp4"
    run_ffmpeg("-f", "lavfi", "-i", "testsrc2=s=1600x900:r=20:d=0.5", "-pix_fmt", "yuv444p", str(path))
    assert check_same(path, ffmpeg)[0].y.shape == (720, 1280)


@pytest.mark.parametrize("kind", ["noise", "cut", "format", "text"])
def test_odd_files_are_left_to_ffmpeg(meld_clip: Path, tmp_path: Path, ffmpeg: str, kind: str) -> None:
    """And a watcher that saw a part of one does not see the rest of it."""
    path, data = tmp_path / "odd.mp4", bytearray(meld_clip.read_bytes())
    if kind == "noise":
        data[len(data) * 3 // 4 : len(data) * 3 // 4 + 4000] = np.random.default_rng(0).bytes(4000)
    elif kind == "cut":
        del data[len(data) // 2 :]
    elif kind == "text":
        data = bytearray(b"no film " * 500)
    path.write_bytes(data)
    if kind == "format":
        path = flash_beep(tmp_path / "odd.ts", duration_s=1.0, at_s=0.5)
    told = []
    for decoder in ("pyav", "ffmpeg"):
        try:
            clip = look(path, decoder, ffmpeg)
            assert clip.facts.processes
            told.append((clip.notes, clip.duration_s, [one.time_s for one in looks(clip)]))
        except MediaError as error:
            told.append((error.kind, str(error), []))  # type: ignore[arg-type]
    assert told[0] == told[1]


def test_limits_hold(meld_clip: Path, ffmpeg: str) -> None:
    with pytest.raises(MediaError) as caught:
        look(meld_clip, "pyav", ffmpeg, Guards(wall_s=1e-3))
    assert caught.value.kind == "timeout"
    few = Guards(max_pixels=640 * 360)
    assert look(meld_clip, "pyav", ffmpeg, few).notes == look(meld_clip, "ffmpeg", ffmpeg, few).notes
