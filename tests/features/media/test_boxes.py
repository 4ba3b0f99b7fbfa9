"""Opening an MP4 or MOV decodes no picture where none is wanted, and none twice; what is told stays the same."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dualstream.features.media import DecodeSettings, MediaError, boxes, read_clip, runner
from dualstream.features.windows import Sampling, WindowPlan

from tests.clips import coded_video, ffmpegs, run_ffmpeg, tone


@pytest.fixture
def ffmpeg() -> str:
    found = ffmpegs()
    if not found:
        pytest.skip("no ffmpeg: install it, or imageio-ffmpeg")
    return next(iter(found.values()))


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Return the commands of all processes."""
    commands: list[list[str]] = []
    start = runner._start

    def noted(command: list[str], fds: list[int]) -> Any:
        commands.append(command)
        return start(command, fds)

    monkeypatch.setattr(runner, "_start", noted)
    return commands


def told(path: Path, ffmpeg: str, **settings: Any) -> Any:
    how: Any = {"plan": WindowPlan(), "sampling": Sampling(), "ffmpeg": ffmpeg}
    try:
        clip = read_clip(path, settings=DecodeSettings(**settings), **how)
    except MediaError as error:
        return error.kind, str(error)
    sound = b"" if clip.audio is None else clip.audio.tobytes()
    return sound, clip.frames.tobytes(), clip.duration_s, clip.notes, clip.errors, clip.facts.to_json()


def box(kind: bytes, content: bytes, large: bool = False) -> bytes:
    if large:
        return struct.pack(">I4sQ", 1, kind, 16 + len(content)) + content
    return struct.pack(">I4s", 8 + len(content), kind) + content


HEAD = box(b"ftyp", b"isom\0\0\2\0isom")
VIDEO = box(b"moov", box(b"trak", box(b"hdlr", b"\0" * 8 + b"vide" + b"\0" * 12)))
SOUND = box(b"moov", box(b"trak", box(b"hdlr", b"\0" * 8 + b"soun" + b"\0" * 12)))


@pytest.mark.parametrize(
    ("data", "iso", "pictures"),
    [
        (HEAD + VIDEO, True, True),
        (HEAD + SOUND, True, False),
        (HEAD + box(b"mdat", b"hdlr\0\0\0\0\0\0\0\0vide" * 9) + SOUND, True, False),
        (HEAD + box(b"mdat", b"x" * 99, large=True) + VIDEO, True, True),
        (HEAD + struct.pack(">I4s", 0, b"mdat") + VIDEO, True, False),
        (HEAD + struct.pack(">I4s", 5, b"mdat") + VIDEO, True, False),
        (HEAD + struct.pack(">I4sQ", 1, b"mdat", 2**64 - 1), True, False),
        (HEAD + box(b"free", b"") * 2000 + VIDEO, True, False),
        (HEAD + VIDEO[:30], True, False),
        (b"RIFF" + VIDEO, False, False),
        (b"", False, False),
    ],
    ids=["video", "sound", "in mdat", "large", "open end", "broken", "hostile", "many", "cut", "other", "empty"],
)
def test_headers_by_hand(tmp_path: Path, data: bytes, iso: bool, pictures: bool) -> None:
    path = tmp_path / "x.mp4"
    path.write_bytes(data)
    assert boxes.is_iso(str(path)) == iso
    assert ("vide" in boxes.stated_tracks(str(path))) == pictures


def test_what_is_not_there_states_nothing(tmp_path: Path) -> None:
    assert not boxes.is_iso(str(tmp_path / "x")) and not boxes.stated_tracks(str(tmp_path / "x"))


@pytest.mark.parametrize("decoder", ["ffmpeg", "pyav"])
def test_sound_alone_is_as_with_pictures(
    meld_clip: Path, ffmpeg: str, decoder: str, started: list[list[str]]
) -> None:
    if decoder == "pyav":
        pytest.importorskip("av")
    alone = told(meld_clip, ffmpeg, decoder=decoder, frame_size_px=None)
    beside = told(meld_clip, ffmpeg, decoder=decoder)
    assert alone[0] == beside[0] != b""
    assert len(started) == (2 if decoder == "ffmpeg" else 0)  # one each
    assert [("skip_frame:v" in " ".join(one)) for one in started] == [True, False][: len(started)]


@pytest.mark.parametrize("kind", ["whole", "cut", "noise", "header", "no pictures", "no sound"])
def test_verdicts_of_sound_alone_are_the_usual_ones(
    meld_clip: Path, tmp_path: Path, ffmpeg: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, data = tmp_path / "odd.mp4", bytearray(meld_clip.read_bytes())
    if kind == "cut":
        del data[len(data) // 2 :]
    elif kind == "noise":
        data[8000:12000] = np.random.default_rng(0).bytes(4000)
    elif kind == "header":
        at = data.find(b"avcC")
        data[at + 12 : at + 30] = np.random.default_rng(1).bytes(18)
    path.write_bytes(data)
    if kind == "no pictures":
        run_ffmpeg("-i", str(tone(tmp_path / "t.wav")), "-c:a", "aac", str(path))
    elif kind == "no sound":
        path = coded_video(tmp_path / "v.mp4", np.arange(30) / 25)
    ours = told(path, ffmpeg, frame_size_px=None)
    monkeypatch.setattr(boxes, "stated_tracks", lambda path: frozenset())
    assert ours == told(path, ffmpeg, frame_size_px=None)


@pytest.mark.parametrize("change", ["none", "shape", "turned", "fragments"])
def test_pyav_needs_no_picture_to_open_a_file(
    tmp_path: Path, ffmpeg: str, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Shape of pixels, colours and sides are those of the pictures; the header need not state them."""
    pytest.importorskip("av")
    plain, path = coded_video(tmp_path / "p.mp4", np.arange(40) / 25), tmp_path / "c.mp4"
    how = {
        "none": ([], []),
        "shape": ([], ["-bsf:v", "h264_metadata=sample_aspect_ratio=2/1"]),
        "turned": (["-display_rotation:v:0", "90"], []),
        "fragments": ([], ["-movflags", "frag_keyframe+empty_moov"]),
    }[change]
    run_ffmpeg(*how[0], "-i", str(plain), *how[1], "-c", "copy", str(path))
    for more in ({"fit": "crop"}, {"speed": "fast", "fit": "pad"}):
        ours = told(path, ffmpeg, decoder="pyav", frame_size_px=40, **more)
        with monkeypatch.context() as patched:
            patched.setattr(boxes, "is_iso", lambda path: False)
            assert ours == told(path, ffmpeg, decoder="pyav", frame_size_px=40, **more)
        theirs = told(path, ffmpeg, frame_size_px=40, **more)
        assert ours[1:5] == theirs[1:5]
        assert {**ours[5], "processes": 0} == {**theirs[5], "processes": 0}


@pytest.mark.parametrize(
    ("name", "video", "processes"),
    [("v.mp4", True, 1), ("t.wav", False, 1), ("t.flac", False, 1), ("t.m4a", False, 1), ("v.mkv", True, 2)],
)
def test_a_stream_that_is_not_there_costs_no_process(
    tmp_path: Path, ffmpeg: str, name: str, video: bool, processes: int, started: list[list[str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Where the header tells; what is read is what another process gives where it does not."""
    path = tmp_path / name
    if video:
        coded_video(path, np.arange(30) / 25)
    elif name.endswith("m4a"):
        run_ffmpeg("-i", str(tone(tmp_path / "t.wav")), "-c:a", "aac", str(path))
    else:
        tone(path)
    started.clear()
    ours = told(path, ffmpeg, frame_size_px=40)
    assert len(started) == ours[5]["processes"] == processes
    monkeypatch.setattr(boxes, "stated_tracks", lambda path: frozenset())
    theirs = told(path, ffmpeg, frame_size_px=40)
    assert ours[:5] == theirs[:5] and len(started) == processes + 2


@pytest.mark.parametrize("lie", ["vide", "soun"])
def test_a_header_that_lies_changes_nothing(
    meld_clip: Path, tmp_path: Path, ffmpeg: str, lie: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    silent = coded_video(tmp_path / "v.mp4", np.arange(30) / 25)
    truth = [told(path, ffmpeg, frame_size_px=40) for path in (meld_clip, silent)]
    monkeypatch.setattr(boxes, "stated_tracks", lambda path: frozenset({lie}))
    for path, expected in zip((meld_clip, silent), truth, strict=True):
        found = told(path, ffmpeg, frame_size_px=40)
        assert found[3:5] == expected[3:5] and found[1:3] == expected[1:3]
