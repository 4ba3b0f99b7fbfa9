"""Media is hostile input: each attack is made for real, and what it would cost or reveal is checked."""

from __future__ import annotations

import contextlib
import functools
import os
import socket
import stat
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from dualstream.features.media import (
    Clip,
    DecodeSettings,
    Guards,
    MediaError,
    decoder_version,
    find_ffmpeg,
    probe,
    read_clip,
    runner,
    stop_all,
)
from dualstream.features.media.settings import FORMATS
from dualstream.features.windows import Sampling, WindowPlan

from tests.clips import coded_video, flash_beep, run_ffmpeg, tone

SETTINGS = DecodeSettings(frame_size_px=32)


def read(path: Path, ffmpeg: str, guards: Guards | None = None, **more: object) -> Clip:
    settings = replace(SETTINGS, **more)  # type: ignore[arg-type]
    return read_clip(path, plan=WindowPlan(), sampling=Sampling(), settings=settings, ffmpeg=ffmpeg, guards=guards)


@functools.cache
def expected_of(path: Path, ffmpeg: str) -> Clip:
    return read(path, ffmpeg)


def fails(path: Path, ffmpeg: str, guards: Guards | None = None, **more: object) -> MediaError:
    """Return the error of reading, after checking that probing fails too."""
    with pytest.raises(MediaError):
        probe(path, ffmpeg=ffmpeg, guards=guards)
    with pytest.raises(MediaError) as caught:
        read(path, ffmpeg, guards, **more)
    assert str(path.name) in str(caught.value)
    return caught.value


# Files that name other files.


@pytest.fixture
def treasure(tmp_path: Path) -> Path:
    """A clip that no playlist may reach."""
    (tmp_path / "private").mkdir()
    return flash_beep(tmp_path / "private" / "treasure.ts", duration_s=1.0, at_s=0.3)


PLAYLISTS: dict[str, Callable[[Path], str]] = {
    "hls": lambda target: f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{target}\n#EXT-X-ENDLIST\n",
    "hls-url": lambda target: f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile://{target}\n#EXT-X-ENDLIST\n",
    "ffconcat": lambda target: f"ffconcat version 1.0\nfile '{target.parent.name}/{target.name}'\n",
    "dash": lambda target: (
        '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
        'mediaPresentationDuration="PT1S" minBufferTime="PT1S"><Period><AdaptationSet mimeType="video/mp4">'
        f'<Representation id="1" bandwidth="1"><BaseURL>file://{target}</BaseURL></Representation>'
        "</AdaptationSet></Period></MPD>"
    ),
    "sdp": lambda target: (
        "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n"
    ),
}


@pytest.mark.parametrize("kind", sorted(PLAYLISTS))
@pytest.mark.parametrize("name", ["clip.mp4", "clip.m3u8", "clip"])
def test_a_playlist_opens_no_other_file(treasure: Path, tmp_path: Path, ffmpeg: str, kind: str, name: str) -> None:
    path = tmp_path / name
    path.write_text(PLAYLISTS[kind](treasure))
    treasure.touch()
    before = os.stat(treasure).st_atime_ns
    assert fails(path, ffmpeg).kind == "unreadable"
    assert os.stat(treasure).st_atime_ns == before


def test_the_attack_is_real_without_the_guard(treasure: Path, tmp_path: Path, ffmpeg: str) -> None:
    """So that the tests above can fail: a plain ffmpeg decodes the other file."""
    path = tmp_path / "clip.mp4"
    path.write_text(PLAYLISTS["ffconcat"](treasure))
    words = run_ffmpeg("-i", str(path), "-map", "0:v", "-f", "null", "-", ffmpeg=ffmpeg)
    assert "Input #0, concat" in words
    with pytest.raises(MediaError):
        read(path, ffmpeg)
    assert len(read(path, ffmpeg, Guards(formats=(*FORMATS, "concat"))).frames)


def test_no_list_format_is_allowed() -> None:
    lists = {"hls", "applehttp", "dash", "webm_dash_manifest", "concat", "concatf", "imf", "sdp", "rtsp", "sap",
             "image2", "lavfi", "tee", "ffmetadata", "vapoursynth", "avisynth", "vobsub"}  # fmt: skip
    assert not lists & set(FORMATS)


@contextlib.contextmanager
def listener() -> Iterator[tuple[int, list[bytes]]]:
    """A local server that notes who connects."""
    heard: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.1)
        done = threading.Event()

        def serve() -> None:
            while not done.is_set():
                with contextlib.suppress(TimeoutError):
                    connection, _ = server.accept()
                    heard.append(connection.recv(100))
                    connection.close()

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield server.getsockname()[1], heard
        finally:
            done.set()
            thread.join()


def test_no_connection_is_made(tmp_path: Path, ffmpeg: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with listener() as (port, heard):
        url = f"http://127.0.0.1:{port}/clip.mp4"
        assert fails(Path(url), ffmpeg).kind == "missing"
        playlist = tmp_path / "clip.mp4"
        playlist.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{url}\n#EXT-X-ENDLIST\n")
        assert fails(playlist, ffmpeg).kind == "unreadable"
        time.sleep(0.2)
    assert heard == []


@pytest.mark.parametrize("name", [
    "concat:a.mp4|b.mp4", "subfile,,start,0,end,9,,:a.mp4", "cache:a.mp4", "-report", "-version", "pipe:0",
    "http:x.mp4", "-", "-video-with-dash-.mp4", "a:b.mp4", "100%25 %d %03d.mp4", "two\nlines.mp4", "naïve 🎬.mp4",
    "'quote\" $(touch x) `x`;.mp4", " leading and trailing ", "*.mp4", "[x]{y}.mp4", "x" * 251 + ".mp4",
    "\\back.mp4",
])  # fmt: skip
def test_a_name_is_only_a_name(
    small_clip: Path, tmp_path: Path, ffmpeg: str, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).write_bytes(small_clip.read_bytes())
    expected, clip = expected_of(small_clip, ffmpeg), read(Path(name), ffmpeg)
    np.testing.assert_array_equal(clip.frames, expected.frames)
    np.testing.assert_array_equal(clip.audio, expected.audio)
    assert probe(tmp_path / name, ffmpeg=ffmpeg).duration_s == pytest.approx(3.0, abs=0.05)
    assert os.listdir(tmp_path) == [name]


def test_ffreport_writes_nothing(
    small_clip: Path, tmp_path: Path, ffmpeg: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FFREPORT", f"file={tmp_path / 'report.log'}:level=32")
    read(small_clip, ffmpeg)
    probe(small_clip, ffmpeg=ffmpeg)
    assert os.listdir(tmp_path) == []


# Things that are no files.


def test_what_is_no_regular_file_is_refused_at_once(tmp_path: Path, ffmpeg: str) -> None:
    fifo, link = tmp_path / "fifo.mp4", tmp_path / "link.mp4"
    os.mkfifo(fifo)
    link.symlink_to(fifo)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "sock.mp4"))
        for path in (fifo, link, tmp_path, Path("/dev/zero"), tmp_path / "sock.mp4"):
            assert fails(path, ffmpeg).kind == "not_a_file"


def test_what_is_not_there_or_empty(tmp_path: Path, ffmpeg: str) -> None:
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "loop.mp4").symlink_to(tmp_path / "loop.mp4")
    assert fails(tmp_path / "empty.mp4", ffmpeg).kind == "empty"
    assert fails(tmp_path / "none.mp4", ffmpeg).kind == "missing"
    assert fails(tmp_path / "loop.mp4", ffmpeg).kind == "missing"


@pytest.mark.parametrize(
    "content", [b"\0" * 5000, b"hello, this is text\n" * 100, os.urandom(5000), b"RIFF\xff\xff"]
)
def test_what_is_no_media_is_refused(tmp_path: Path, ffmpeg: str, content: bytes) -> None:
    (tmp_path / "x.mp4").write_bytes(content)
    assert fails(tmp_path / "x.mp4", ffmpeg).kind in ("unreadable", "damaged", "no_streams")


# Things that grow.


@pytest.fixture(scope="session")
def huge_picture(clip_folder: Path) -> Path:
    path = clip_folder / "huge.mkv"
    run_ffmpeg("-f", "lavfi", "-i", "color=red:s=10000x10000:r=1:d=1,format=gray", "-frames:v", "1", "-c:v", "png",
               str(path))  # fmt: skip
    return path


def test_a_huge_picture_costs_no_memory(huge_picture: Path, ffmpeg: str) -> None:
    path = huge_picture
    assert path.stat().st_size < 1_000_000
    with pytest.raises(MediaError) as caught:
        read(path, ffmpeg)
    assert caught.value.kind == "too_large"


def test_the_limit_on_pixels_is_what_refuses(small_clip: Path, ffmpeg: str) -> None:
    assert len(read(small_clip, ffmpeg, Guards(max_pixels=160 * 96 * 4)).frames)
    clip = read(small_clip, ffmpeg, Guards(max_pixels=1000))
    assert len(clip.frames) == 0 and clip.audio is not None
    assert any(note.startswith("no picture") for note in clip.notes)


@pytest.fixture(scope="session")
def ten_hours(clip_folder: Path) -> Path:
    one, path = clip_folder / "one.mkv", clip_folder / "ten.mkv"
    run_ffmpeg("-f", "lavfi", "-i", "color=red:s=32x32:r=1:d=60", "-f", "lavfi", "-i", "anullsrc=r=8000:d=60",
               "-c:v", "libx264", "-c:a", "flac", "-frame_size", "60000", str(one))  # fmt: skip
    run_ffmpeg("-stream_loop", "599", "-i", str(one), "-c", "copy", str(path))
    assert path.stat().st_size < 10_000_000
    return path


def test_ten_hours_cost_what_the_limit_says(ten_hours: Path, ffmpeg: str) -> None:
    clip = read(ten_hours, ffmpeg, max_clip_s=5.0)
    assert clip.duration_s == pytest.approx(5.0, abs=0.6)
    assert clip.audio is not None and len(clip.audio) <= 5.1 * 16_000
    assert [note[:12] for note in clip.notes] == ["truncated: 3"], clip.notes
    assert clip.notes[0].endswith("the first 5 s are used")
    assert not clip.damaged


def test_a_thousand_pictures_a_second(tmp_path: Path, ffmpeg: str) -> None:
    path = tmp_path / "quick.mp4"
    run_ffmpeg(
        "-f", "lavfi", "-i", "color=red:s=32x32:r=1000:d=5", "-c:v", "libx264", "-preset", "ultrafast", str(path)
    )
    clip = read(path, ffmpeg)
    assert clip.facts.pictures == 5000
    assert clip.frames.shape == (9, 32, 32, 3)
    assert fails(path, ffmpeg, Guards(log_bytes=20_000)).kind == "too_large"


def test_more_streams_than_allowed(tmp_path: Path, ffmpeg: str) -> None:
    path = tmp_path / "many.mkv"
    maps = [word for _ in range(20) for word in ("-map", "0:a")]
    run_ffmpeg("-f", "lavfi", "-i", "sine=440:d=0.2:r=8000", *maps, "-c:a", "pcm_s16le", str(path))
    assert read(path, ffmpeg).audio is not None
    clip_or_error: object
    try:
        clip_or_error = read(path, ffmpeg, Guards(max_streams=4))
    except MediaError as error:
        clip_or_error = error
    assert isinstance(clip_or_error, MediaError) or clip_or_error.damaged  # type: ignore[attr-defined]


def test_the_time_limit_ends_the_process(meld_clip: Path, ffmpeg: str) -> None:
    with pytest.raises(MediaError) as caught:
        read(meld_clip, ffmpeg, Guards(wall_s=0.04))
    assert caught.value.kind == "timeout"
    assert children() == set()


def test_wild_samples_are_reported(tmp_path: Path, ffmpeg: str) -> None:
    path = tmp_path / "wild.wav"
    tone(tmp_path / "t.wav", rate_hz=16_000)
    run_ffmpeg("-i", str(tmp_path / "t.wav"), "-c:a", "pcm_f32le", "-bitexact", str(path))
    data = bytearray(path.read_bytes())
    samples = np.frombuffer(data, dtype="<f4", offset=len(data) - 4 * 16_000).copy()
    samples[5000], samples[6000], samples[7000] = np.nan, np.inf, 1e30
    data[-4 * 16_000 :] = samples.tobytes()
    path.write_bytes(data)
    clip = read(path, ffmpeg)
    assert clip.audio is not None and np.isfinite(clip.audio).all()
    assert np.abs(clip.audio).max() <= 8
    assert clip.damaged


# Damage.


def damaged_copy(path: Path, to: Path, where: float, count: int) -> Path:
    """Overwrite `count` bytes at a share of the file with noise."""
    data = bytearray(path.read_bytes())
    at = int(len(data) * where)
    data[at : at + count] = np.random.default_rng(3).bytes(count)
    to.write_bytes(data)
    return to


def test_damage_in_the_middle_is_said(tmp_path: Path, ffmpeg: str) -> None:
    whole = tmp_path / "whole.mkv"
    run_ffmpeg("-f", "lavfi", "-i", "testsrc2=s=320x180:r=25:d=4", "-f", "lavfi", "-i", "sine=440:d=4",
               "-c:v", "libx264", "-c:a", "aac", str(whole))  # fmt: skip
    assert not read(whole, ffmpeg).damaged
    clip = read(damaged_copy(whole, tmp_path / "bad.mkv", 0.4, 2000), ffmpeg)
    assert clip.damaged and clip.errors > 0
    assert any(note.startswith("damaged: ") for note in clip.notes)


def test_a_clip_cut_short_is_said_or_refused(tmp_path: Path, ffmpeg: str) -> None:
    front, back = tmp_path / "front.mp4", tmp_path / "back.mp4"
    for path, flags in ((front, ["-movflags", "+faststart"]), (back, [])):
        run_ffmpeg("-f", "lavfi", "-i", "testsrc2=s=320x180:r=25:d=4", "-c:v", "libx264", "-preset", "ultrafast",
                   *flags, str(path))  # fmt: skip
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    clip = read(front, ffmpeg)
    assert clip.damaged and 1 < clip.duration_s < 3
    error = fails(back, ffmpeg)  # the index stood at the end: train dia125_utt3 of MELD is such a file
    assert error.kind == "unreadable" and "moov atom not found" in str(error)


def test_a_picture_that_fails_leaves_the_sound(tmp_path: Path, ffmpeg: str) -> None:
    whole, path = tmp_path / "w.mkv", tmp_path / "p.mkv"
    coded_video(whole, list(np.arange(50) / 25), codec="mpeg4")
    run_ffmpeg("-i", str(whole), "-f", "lavfi", "-i", "sine=440:d=2", "-map", "0:v", "-map", "1:a", "-c:v", "copy",
               "-c:a", "pcm_s16le", str(path))  # fmt: skip
    data = path.read_bytes()
    path.write_bytes(data.replace(b"V_MPEG4/ISO/ASP", b"V_WHATEVER/IS/X"))
    clip = read(path, ffmpeg)
    assert clip.audio is not None and len(clip.frames) == 0
    assert any(note.startswith("no picture") for note in clip.notes)


def test_an_error_can_travel_between_processes() -> None:
    import pickle

    error = pickle.loads(pickle.dumps(MediaError("damaged", "words")))
    assert (error.kind, str(error)) == ("damaged", "words")


# The runner, with processes that do not behave.


def children() -> set[int]:
    """Return the processes that this one started and that are not gone."""
    own, found = str(os.getpid()), set()
    for stat_file in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # gone while we look
            parent = stat_file.read_text().rpartition(")")[2].split()[1]
            found |= {int(stat_file.parent.name)} if parent == own else set()
    return found


def shell(script: str, *, guards: Guards | None = None, **more: object) -> tuple[int, bytes, bytes]:
    out, log = bytearray(), bytearray()
    status = runner.run(
        lambda sources, sinks: ["bash", "-c", script, "bash", *map(str, sources), *map(str, sinks)],
        log=log.extend,
        sinks=[out.extend],
        guards=guards or Guards(wall_s=5),
        **more,  # type: ignore[arg-type]
    )
    return status, bytes(out), bytes(log)


def test_the_runner_moves_bytes_both_ways() -> None:
    data = np.random.default_rng(0).bytes(3_000_000)
    status, out, log = shell("cat <&$1 >&$2; echo done >&2; exit 7", sources=[memoryview(data)])
    assert (status, out, log) == (7, data, b"done\n")


def test_nothing_waits_when_both_outputs_are_flooded() -> None:
    status, out, log = shell("head -c 3000000 /dev/zero >&$1 & head -c 3000000 /dev/zero >&2; wait")
    assert (status, len(out), len(log)) == (0, 3_000_000, 3_000_000)


@pytest.mark.parametrize("script", [
    "trap '' TERM INT HUP; sleep 60 & sleep 60",  # deaf, with a child
    "exec 1>&- 2>&-; eval \"exec $1>&-\"; sleep 60",  # all pipes closed, still running
    "while :; do echo x >&2; done",
])  # fmt: skip
def test_the_limit_ends_the_whole_group(script: str) -> None:
    start = time.monotonic()
    with pytest.raises(MediaError) as caught:
        shell(script, guards=Guards(wall_s=0.4))
    assert caught.value.kind == "timeout"
    assert time.monotonic() - start < 30  # of the 60 s that it would sleep
    assert children() == set()


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError, RuntimeError])
def test_an_exception_leaves_no_process_and_no_pipe(error: type[BaseException]) -> None:
    def sink(data: bytes) -> None:
        raise error

    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    with pytest.raises(error):
        runner.run(
            lambda _, fds: ["bash", "-c", f"while :; do echo x >&{fds[0]}; done"],
            log=lambda data: None,
            sinks=[sink],
            guards=Guards(wall_s=20),
        )
    assert children() == set()
    if before:
        assert len(os.listdir("/proc/self/fd")) == before


def test_stop_all_ends_what_other_threads_run() -> None:
    with ThreadPoolExecutor(3) as pool:
        running = [pool.submit(shell, "sleep 60") for _ in range(3)]
        time.sleep(0.5)
        assert stop_all() == 3
        start = time.monotonic()
        assert [future.result()[0] for future in running] == [-9, -9, -9]
    assert time.monotonic() - start < 30  # of the 60 s that it would sleep
    assert children() == set()


def test_a_binary_that_can_not_start() -> None:
    with pytest.raises(MediaError) as caught:
        runner.run(lambda _, fds: ["/nowhere/ffmpeg"], log=lambda d: None, guards=Guards())
    assert caught.value.kind == "missing"


@pytest.mark.skipif(not hasattr(runner.resource, "prlimit"), reason="this system has no prlimit")
def test_limits_are_set(tmp_path: Path) -> None:
    guards = Guards(wall_s=8, address_space_bytes=2**30)
    _, out, _ = shell("sleep 0.3; (ulimit -v; ulimit -t; ulimit -f; ulimit -c) >&$1", guards=guards)
    assert out.split() == [str(2**20).encode(), b"9", b"0", b"0"]
    target = tmp_path / "must-not-grow"
    status, _, _ = shell(f"sleep 0.3; echo x > '{target}'")
    assert status != 0
    assert target.stat().st_size == 0


def test_many_threads_read_the_same_bytes(small_clip: Path, ffmpeg: str) -> None:
    expected = read(small_clip, ffmpeg)
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    with ThreadPoolExecutor(4) as pool:
        for clip in pool.map(lambda _: read(small_clip, ffmpeg), range(12)):
            np.testing.assert_array_equal(clip.frames, expected.frames)
            np.testing.assert_array_equal(clip.audio, expected.audio)
            np.testing.assert_array_equal(clip.frame_time_s, expected.frame_time_s)
            assert clip.notes == expected.notes
    if before:
        assert len(os.listdir("/proc/self/fd")) == before


# Finding ffmpeg.


def test_the_binary_that_is_named_goes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = tmp_path / "ffmpeg"
    fake.write_text("#!/bin/sh\necho ffmpeg version 12.3-fake Copyright\n")
    fake.chmod(fake.stat().st_mode | stat.S_IXUSR)
    assert find_ffmpeg(str(fake)) == str(fake)
    assert decoder_version(str(fake)) == "12.3-fake"
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_ffmpeg() == str(fake)
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("DUALSTREAM_FFMPEG", str(fake))
    assert find_ffmpeg() == str(fake)
    monkeypatch.delenv("DUALSTREAM_FFMPEG")
    pytest.importorskip("imageio_ffmpeg")
    assert "imageio_ffmpeg" in find_ffmpeg()
    for name in ("/nowhere/ffmpeg", str(tmp_path)):
        with pytest.raises(MediaError, match="names") as caught:
            find_ffmpeg(name)
        assert caught.value.kind == "missing"


def fake_ffmpeg(folder: Path, version: str, libavutil: str = "", otherwise: str = "exit 1") -> Path:
    """Write a program that states a version as ffmpeg does; `otherwise` is what it runs for any other words."""
    fake = folder / "ffmpeg"
    folder.mkdir(exist_ok=True)
    library = f"echo 'libavutil      {libavutil} / {libavutil}';" if libavutil else ""
    fake.write_text(
        f"#!/bin/sh\ncase \"$*\" in *-version*) echo 'ffmpeg version {version} Copyright';{library} exit 0;; esac\n"
        f"{otherwise}\n"
    )
    fake.chmod(0o755)
    return fake


OLD = [("4.4.2-0ubuntu0.22.04.1", ""), ("n5.0.3", ""), ("4.2.2-static", ""), ("N-103-g1", "56. 70.100"),
       ("2021-05-02-git-ab", "56. 31.100")]  # fmt: skip
NEW = [("5.1.9-0+deb12u1", ""), ("n7.1", ""), ("7.0.2-static", ""), ("10.0", ""), ("N-117-g2", "58. 2.100"),
       ("2022-12-15-git-9adf", "57. 43.100"), ("git-of-mine", "")]  # fmt: skip


@pytest.mark.parametrize(("version", "libavutil"), OLD)
def test_an_old_ffmpeg_that_is_named_is_refused(
    small_clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str, libavutil: str
) -> None:
    fake = str(fake_ffmpeg(tmp_path, version, libavutil))
    asks = [lambda: find_ffmpeg(fake), lambda: decoder_version(fake), lambda: probe(small_clip, ffmpeg=fake),
            lambda: read(small_clip, fake), lambda: read(small_clip, fake, frame_size_px=None)]  # fmt: skip
    for ask in asks:
        with pytest.raises(MediaError) as caught:
            ask()
        assert caught.value.kind == "missing"
        assert f"--ffmpeg names {fake}, which is ffmpeg {version}; 5.1 or newer" in str(caught.value)
    monkeypatch.setenv("DUALSTREAM_FFMPEG", fake)
    with pytest.raises(MediaError, match=f"DUALSTREAM_FFMPEG names .*{version.split('-')[0]}"):
        find_ffmpeg()


@pytest.mark.parametrize(("version", "libavutil"), NEW)
def test_a_new_ffmpeg_is_taken(tmp_path: Path, version: str, libavutil: str) -> None:
    fake = str(fake_ffmpeg(tmp_path, version, libavutil))
    assert (find_ffmpeg(fake), decoder_version(fake)) == (fake, version)


def test_an_old_ffmpeg_on_the_path_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("imageio_ffmpeg")
    monkeypatch.delenv("DUALSTREAM_FFMPEG", raising=False)
    monkeypatch.setenv("PATH", str(fake_ffmpeg(tmp_path / "old", "4.4.2").parent))
    assert "imageio_ffmpeg" in find_ffmpeg()
    assert not decoder_version().startswith("4.4")
    monkeypatch.setenv("PATH", str(fake_ffmpeg(tmp_path / "new", "5.1.9").parent))
    assert find_ffmpeg() == str(tmp_path / "new" / "ffmpeg")


def test_where_every_ffmpeg_is_too_old_all_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    imageio_ffmpeg = pytest.importorskip("imageio_ffmpeg")
    monkeypatch.delenv("DUALSTREAM_FFMPEG", raising=False)
    monkeypatch.setenv("PATH", str(fake_ffmpeg(tmp_path / "old", "4.4.2").parent))
    older = str(fake_ffmpeg(tmp_path / "older", "4.2.2-static"))
    monkeypatch.setattr(imageio_ffmpeg, "get_ffmpeg_exe", lambda: older)
    with pytest.raises(MediaError) as caught:
        find_ffmpeg()
    assert caught.value.kind == "missing"
    for words in ("PATH has", "ffmpeg 4.4.2", "imageio-ffmpeg brings", "ffmpeg 4.2.2-static", "5.1 or newer"):
        assert words in str(caught.value)


def test_an_option_that_an_unknown_build_lacks_is_said(small_clip: Path, tmp_path: Path) -> None:
    fake = fake_ffmpeg(
        tmp_path, "git-of-mine", otherwise="echo \"[fatal] Unrecognized option 'fps_mode'.\" >&2\nexit 1"
    )
    with pytest.raises(MediaError, match="too old") as caught:
        read(small_clip, str(fake))
    assert caught.value.kind == "missing"


def test_only_this_package_runs_ffmpeg() -> None:
    """No module but features.media imports ffmpeg-python or imageio-ffmpeg, or starts a process of that name."""
    import ast

    root = Path(__file__).resolve().parents[2]
    for path in [
        *(p for d in ("dualstream", "features", "heads", "pipeline") for p in (root / d).rglob("*.py")),
    ]:
        if path.is_relative_to(root / "features" / "media"):
            continue
        text = path.read_text(encoding="utf-8")
        for node in ast.walk(ast.parse(text)) if "ffmpeg" in text else ():
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not {n.split(".")[0] for n in names} & {"ffmpeg", "imageio_ffmpeg"}, path
            if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[0] in ("subprocess", "os"):
                assert "ffmpeg" not in ast.unparse(node), f"{path}:{node.lineno}"
