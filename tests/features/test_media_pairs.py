"""A film and its sound in two files: the frames, times and samples of the one file that both were cut from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dualstream.features.media import Clip, DecodeSettings, MediaError, probe_pair, read_clip
from dualstream.features.windows import Sampling, WindowPlan

from tests import clips

SIDE = 16


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with 3 s of picture and 4 s of tone, in one file and in two; and with either 0.8 s later."""
    root = tmp_path_factory.mktemp("pairs")
    grey = "color=c=black:s=64x64:r=25:d=3,format=gray,geq=lum='16+40*T',format=yuv420p"
    clips.run_ffmpeg(
        *("-f", "lavfi", "-i", grey, "-f", "lavfi", "-i", "sine=440:d=4:sample_rate=16000"),
        *("-c:v", "libx264", "-bf", "2", "-c:a", "pcm_s16le", str(root / "both.mkv")),
    )
    both = str(root / "both.mkv")
    late = ("-i", both, "-itsoffset", "0.8", "-i", both, "-c", "copy")
    clips.run_ffmpeg(*late, "-map", "1:v", "-map", "0:a", str(root / "late-film.mkv"))
    clips.run_ffmpeg(*late, "-map", "0:v", "-map", "1:a", str(root / "late-sound.mkv"))
    for whole, name in (("both", "film.mp4"), ("late-film", "late.mp4"), ("late-film", "late.mkv")):
        clips.run_ffmpeg("-i", str(root / f"{whole}.mkv"), "-an", "-c", "copy", str(root / name))
    clips.run_ffmpeg("-i", both, "-an", "-c:v", "mpeg4", "-q:v", "1", str(root / "film.avi"))
    clips.run_ffmpeg("-i", both, "-an", "-c", "copy", str(root / "film.ts"))
    for whole, name in (("both", "sound.wav"), ("both", "sound.flac"), ("late-sound", "late.mka")):
        codec = ["-c", "copy"] if name.endswith("mka") else []
        clips.run_ffmpeg("-i", str(root / f"{whole}.mkv"), "-vn", *codec, str(root / name))
    return root


def read(path: Path, ffmpeg: str, sampling: str = "aligned", **more: Any) -> Clip:
    settings = DecodeSettings(**{"frame_size_px": SIDE, **more.pop("settings", {})})
    return read_clip(
        path, plan=WindowPlan(), sampling=Sampling.parse(sampling), settings=settings, ffmpeg=ffmpeg, **more
    )


def assert_same(pair: Clip, whole: Clip) -> None:
    assert pair.duration_s == pytest.approx(whole.duration_s, abs=1e-6)
    np.testing.assert_array_equal(pair.starts_s, whole.starts_s)
    np.testing.assert_array_equal(pair.frame_window, whole.frame_window)
    np.testing.assert_allclose(pair.frame_time_s, whole.frame_time_s, atol=2e-3)
    np.testing.assert_array_equal(pair.frames, whole.frames)
    assert pair.audio is not None and whole.audio is not None and pair.audio_covered_s is not None
    np.testing.assert_array_equal(pair.audio, whole.audio)
    assert pair.notes == ()


@pytest.mark.parametrize("span", [(None, None), (0.7, 2.2), (2.5, 3.8)])
@pytest.mark.parametrize("sampling", ["aligned", "every:0.4", "uniform:5"])
@pytest.mark.parametrize("sound", ["sound.wav", "sound.flac"])
def test_two_files_are_the_one_they_were_cut_from(
    folder: Path, ffmpeg: str, sound: str, sampling: str, span: Any
) -> None:
    whole = read(folder / "both.mkv", ffmpeg, sampling, span_s=span)
    pair = read(folder / "film.mp4", ffmpeg, sampling, span_s=span, sound=folder / sound)
    assert_same(pair, whole)
    assert pair.audio_covered_s == whole.audio_covered_s and pair.facts.processes == 2


@pytest.mark.parametrize("film", ["film.avi", "film.ts"])
def test_time_stamps_of_other_formats_say_nothing_of_a_start(folder: Path, ffmpeg: str, film: str) -> None:
    clip = read(folder / film, ffmpeg, sound=folder / "sound.wav")  # MPEG-TS counts from 1.4 s on
    assert clip.duration_s == pytest.approx(4.0, abs=0.01) and clip.audio_covered_s == (0.0, 4.0)
    grey = clip.frames[:, SIDE // 2, SIDE // 2, 0].astype(float)
    assert len(grey) == 6 and np.all(np.abs(np.diff(clip.frame_time_s) - 0.5) < 0.041)
    np.testing.assert_allclose(grey, 16 + 40 * clip.frame_time_s, atol=2)  # the picture tells its own time


@pytest.mark.parametrize("film", ["late.mp4", "late.mkv"])
def test_a_film_that_states_a_later_start_begins_later(folder: Path, ffmpeg: str, film: str) -> None:
    for span in ((None, None), (1.5, 3.8)):
        pair = read(folder / film, ffmpeg, span_s=span, sound=folder / "sound.wav")
        whole = read(folder / "late-film.mkv", ffmpeg, span_s=span)
        if film == "late.mp4" and clips.counts_delays(ffmpeg):  # which adds the late start to the length it states
            assert all("the header states 4.600 s" in note for note in pair.notes)
            pair = replace(pair, notes=())
        assert_same(pair, whole)
    inside = read(folder / film, ffmpeg, span_s=(0.3, 2.2), sound=folder / "sound.wav")
    assert inside.frame_time_s[0] == pytest.approx(0.5, abs=1e-3)  # its first picture, at 0.8 s
    assert inside.audio_covered_s == (0.0, 1.9)
    before = read(folder / film, ffmpeg, span_s=(0.1, 0.6), sound=folder / "sound.wav")
    assert not len(before.frames) and before.notes == ("no picture: the stream has none here",)


def test_a_sound_that_states_a_later_start_begins_later(folder: Path, ffmpeg: str) -> None:
    for span in ((None, None), (0.3, 2.2), (1.5, 3.8)):
        whole = read(folder / "late-sound.mkv", ffmpeg, span_s=span)
        pair = read(folder / "film.mp4", ffmpeg, span_s=span, sound=folder / "late.mka")
        assert_same(pair, whole)
        assert pair.audio_covered_s == whole.audio_covered_s


def test_one_stream_of_a_pair_stands_where_it_stands_beside_the_other(folder: Path, ffmpeg: str) -> None:
    span = (0.3, 2.2)
    heard = read(
        folder / "film.mp4", ffmpeg, span_s=span, sound=folder / "late.mka", settings={"frame_size_px": None}
    )
    assert heard.audio_covered_s == (0.5, 1.9) and not len(heard.frames)
    seen = read(
        folder / "late.mp4", ffmpeg, span_s=span, sound=folder / "sound.wav", settings={"sample_rate_hz": None}
    )
    assert seen.frame_time_s[0] == pytest.approx(0.5, abs=1e-3) and seen.audio is None


def test_the_films_own_sound_is_not_heard(folder: Path, ffmpeg: str, tmp_path: Path) -> None:
    clips.run_ffmpeg("-f", "lavfi", "-i", "sine=1000:d=2:sample_rate=16000", str(tmp_path / "other.wav"))
    clip = read(folder / "both.mkv", ffmpeg, sound=tmp_path / "other.wav")
    assert clip.audio is not None and clip.audio_covered_s == (0.0, 2.0)
    spectrum = np.abs(np.fft.rfft(clip.audio[:16_000]))
    assert np.argmax(spectrum) == 1000
    assert clip.duration_s == pytest.approx(3.0)  # the picture's: the longer one
    found = probe_pair(folder / "both.mkv", tmp_path / "other.wav", ffmpeg=ffmpeg)
    assert found.unused_sound and found.duration_s == pytest.approx(3.0)


def test_a_pair_that_lacks_a_file_or_a_stream_fails(folder: Path, ffmpeg: str, tmp_path: Path) -> None:
    with pytest.raises(MediaError, match=r"none\.wav") as caught:
        read(folder / "film.mp4", ffmpeg, sound=tmp_path / "none.wav")
    assert caught.value.kind == "missing"
    (tmp_path / "text.wav").write_text("no sound at all")
    with pytest.raises(MediaError, match=r"text\.wav"):
        read(folder / "film.mp4", ffmpeg, sound=tmp_path / "text.wav")
    with pytest.raises(MediaError, match=r"sound\.wav has no moving picture; .*film\.mp4 has no sound"):
        read(folder / "sound.wav", ffmpeg, sound=folder / "film.mp4")
    silent = read(folder / "film.mp4", ffmpeg, sound=folder / "late.mp4")
    assert silent.audio is None and silent.notes == ("no sound: the file has none",)


def test_probe_says_where_both_lie(folder: Path, ffmpeg: str) -> None:
    found = probe_pair(folder / "late.mp4", folder / "sound.wav", ffmpeg=ffmpeg)
    assert found.video is not None and found.audio is not None and not found.unused_sound
    assert found.video.start_s == pytest.approx(0.8) and found.video.end_s == pytest.approx(3.8)
    assert (found.audio.start_s, found.audio.end_s, found.duration_s) == (0.0, 4.0, 4.0)
