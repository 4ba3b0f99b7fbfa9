"""Sound and picture on one clock: planted flashes and beeps, streams that start apart, spans, channels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from dualstream.features.media import Clip, DecodeSettings, MediaError, probe, read_clip
from dualstream.features.media.channels import channel_count, has_centre
from dualstream.features.windows import Sampling, WindowPlan

from tests.clips import coded_video, flash_beep, loudest_hz, run_ffmpeg, tone

FINE = WindowPlan(0.04, 0.04)
RATE = 16_000


def read(path: Path, ffmpeg: str, plan: WindowPlan = FINE, **more: object) -> Clip:
    span_s = more.pop("span_s", (None, None))
    sampling = Sampling.parse(str(more.pop("sampling", "aligned")))
    settings = DecodeSettings(**{"frame_size_px": 16, **more})  # type: ignore[arg-type]
    return read_clip(path, plan=plan, sampling=sampling, settings=settings, span_s=span_s, ffmpeg=ffmpeg)  # type: ignore[arg-type]


def flash_s(clip: Clip) -> float:
    return float(clip.frame_time_s[clip.frames.mean(axis=(1, 2, 3)) > 127][0])


def beep_s(clip: Clip) -> float:
    assert clip.audio is not None
    return float(np.flatnonzero(np.abs(clip.audio) > 0.3)[0]) / RATE


@pytest.mark.parametrize(
    "starts_s", [(0.0, 0.0), (0.0, 0.4), (0.6, 0.0)], ids=["together", "sound late", "picture late"]
)
@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts", "mpg"])
def test_flash_and_beep_share_an_instant(
    tmp_path: Path, ffmpeg: str, suffix: str, starts_s: tuple[float, float]
) -> None:
    codecs = {"video_codec": "mpeg1video", "audio_codec": "mp2"} if suffix == "mpg" else {}
    path = flash_beep(
        tmp_path / f"c.{suffix}",
        at_s=1.4,
        video_start_s=starts_s[0],
        audio_start_s=starts_s[1],
        ffmpeg=ffmpeg,
        **codecs,
    )
    clip = read(path, ffmpeg)
    # within the half picture that a flash may come late, and the encoder delay that old containers do not state
    assert beep_s(clip) == pytest.approx(flash_s(clip), abs=0.03)
    assert flash_s(clip) == pytest.approx(1.4, abs=0.045)
    assert clip.facts.processes == 1
    assert clip.audio_covered_s is not None
    assert clip.audio_covered_s[0] == pytest.approx(starts_s[1], abs=0.05)
    if starts_s[0]:
        assert clip.frame_time_s[0] == pytest.approx(starts_s[0], abs=0.045)
        assert clip.frame_window[0] == pytest.approx(starts_s[0] / 0.04, abs=1.5)
    whole = read(path, ffmpeg, WindowPlan())
    white = whole.frames.mean(axis=(1, 2, 3)) > 127
    assert whole.frame_window[white].tolist() == [2]  # of [1, 2), whose centre lies in the flash
    assert whole.starts_s[2] <= beep_s(whole) < whole.starts_s[2] + 1


def test_raw_sound_is_placed_to_the_sample(tmp_path: Path, ffmpeg: str) -> None:
    path = flash_beep(
        tmp_path / "c.mkv", audio_start_s=0.4, audio_codec="pcm_s16le", audio_rate_hz=RATE, ffmpeg=ffmpeg
    )
    clip = read(path, ffmpeg)
    assert clip.audio is not None and clip.audio_covered_s is not None
    assert not np.any(clip.audio[: int(0.4 * RATE)])
    first = np.flatnonzero(np.abs(clip.audio) > 0.01)[0]
    assert first == pytest.approx(1.5 * RATE, abs=RATE * 0.001 + 2)  # Matroska counts milliseconds
    assert clip.audio_covered_s == pytest.approx((0.4, 3.0), abs=0.002)
    assert clip.duration_s == pytest.approx(3.0, abs=0.002)


def test_an_edit_list_is_kept(tmp_path: Path, ffmpeg: str) -> None:
    whole, cut = flash_beep(tmp_path / "w.mp4", ffmpeg=ffmpeg), tmp_path / "cut.mp4"
    run_ffmpeg(
        "-ss", "0.7", "-i", str(whole), "-c", "copy", str(cut), ffmpeg=ffmpeg
    )  # an edit list skips to 0.7 s
    clip = read(cut, ffmpeg)
    assert beep_s(clip) == pytest.approx(0.8, abs=0.03)
    assert flash_s(clip) == pytest.approx(0.8, abs=0.045)


def test_a_hole_in_the_sound_is_filled_and_noted(tmp_path: Path, ffmpeg: str) -> None:
    path = tmp_path / "hole.mkv"
    run_ffmpeg(
        "-f", "lavfi", "-i", f"sine=1000:d=3:r={RATE}",
        "-af", "aselect='lt(t,1)+gt(t,2)'", "-c:a", "pcm_s16le", str(path), ffmpeg=ffmpeg,
    )  # fmt: skip
    clip = read(path, ffmpeg)
    assert clip.audio is not None
    assert np.abs(clip.audio[int(1.1 * RATE) : int(1.9 * RATE)]).max() < 1e-3
    assert np.abs(clip.audio[int(2.2 * RATE) : int(2.8 * RATE)]).max() > 0.05
    assert any("hole" in note for note in clip.notes)
    assert len(clip.audio) == pytest.approx(3 * RATE, abs=RATE * 0.1)


@pytest.mark.parametrize("span", [(0.0, 2.0), (1.0, 2.5), (1.3, None), (None, 1.7)])
def test_a_span_has_its_own_clock(small_clip: Path, ffmpeg: str, span: tuple[float | None, float | None]) -> None:
    clip = read(small_clip, ffmpeg, span_s=span)
    start_s, end_s = span[0] or 0.0, 3.0 if span[1] is None else span[1]
    assert beep_s(clip) == pytest.approx(1.5 - start_s, abs=0.025)
    assert flash_s(clip) == pytest.approx(1.5 - start_s, abs=0.045)
    assert clip.duration_s == pytest.approx(end_s - start_s, abs=0.07)
    assert clip.audio is not None
    assert len(clip.audio) / RATE == pytest.approx(end_s - start_s, abs=0.07)


def test_a_span_behind_the_end_fails(small_clip: Path, ffmpeg: str) -> None:
    for sampling in ("aligned", "uniform:3"):
        with pytest.raises(MediaError) as caught:
            read(small_clip, ffmpeg, sampling=sampling, span_s=(60.0, 61.0))
        assert caught.value.kind == "empty"


def test_a_span_past_the_end_says_so(small_clip: Path, ffmpeg: str) -> None:
    clip = read(small_clip, ffmpeg, span_s=(2.0, 9.0))
    assert clip.duration_s == pytest.approx(1.0, abs=0.07)
    assert any(note.startswith("short: the span is 7.000 s") for note in clip.notes)


@pytest.mark.parametrize("span", [(-1.0, 2.0), (2.0, 1.0), (1.0, 1.0), (float("nan"), None)])
def test_a_span_that_is_none_fails(small_clip: Path, ffmpeg: str, span: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="span"):
        read(small_clip, ffmpeg, span_s=span)


def test_meld_centre(meld_clip: Path, ffmpeg: str) -> None:
    """440 Hz in the centre, 1,000 Hz in the other five channels."""
    by_policy = {policy: read(meld_clip, ffmpeg, channels=policy) for policy in ("auto", "center", "mix")}
    heard = {policy: loudest_hz(clip.audio, RATE) for policy, clip in by_policy.items() if clip.audio is not None}
    assert heard["auto"] == pytest.approx(440, abs=3)
    assert heard["center"] == pytest.approx(440, abs=3)
    assert heard["mix"] == pytest.approx(1000, abs=3)
    assert [c.facts.channel_policy for c in by_policy.values()] == ["center", "center", "mix"]
    np.testing.assert_array_equal(by_policy["auto"].audio, by_policy["center"].audio)
    facts = by_policy["auto"].facts
    assert (facts.layout, facts.channels, facts.width_px, facts.height_px) == ("5.1", 6, 1280, 720)
    assert facts.frame_rate == pytest.approx(27021 / 1127, rel=1e-4)
    assert facts.processes == 1
    assert by_policy["auto"].notes == ()


def test_stereo_has_no_centre(tmp_path: Path, ffmpeg: str) -> None:
    path = tone(tmp_path / "stereo.wav", channels=2)
    assert read(path, ffmpeg).facts.channel_policy == "mix"
    with pytest.raises(MediaError, match="no centre channel") as caught:
        read(path, ffmpeg, channels="center")
    assert caught.value.kind in ("empty", "no_streams")


def test_mono_is_its_own_centre(tmp_path: Path, ffmpeg: str) -> None:
    clip = read(tone(tmp_path / "mono.wav"), ffmpeg)
    assert clip.facts.channel_policy == "center"
    assert clip.audio is not None
    assert np.abs(clip.audio).max() == pytest.approx(0.5, abs=0.02)


def test_a_silent_centre_is_not_taken(tmp_path: Path, ffmpeg: str) -> None:
    path = tmp_path / "silent.wav"
    channels = "|".join(
        "0" if name == "FC" else "0.4*sin(2*PI*1000*t)" for name in ("FL", "FR", "FC", "LFE", "BL", "BR")
    )
    source = f"aevalsrc='{channels}':c=5.1:s=48000:d=1"
    run_ffmpeg("-f", "lavfi", "-i", source, "-c:a", "pcm_s16le", str(path),
               ffmpeg=ffmpeg)  # fmt: skip
    clip = read(path, ffmpeg)
    assert clip.facts.channel_policy == "mix"
    assert any("is silent" in note for note in clip.notes)


@pytest.mark.parametrize(("layout", "centre", "count"), [
    ("mono", True, 1), ("stereo", False, 2), ("5.1", True, 6), ("5.1(side)", True, 6), ("quad", False, 4),
    ("2.1", False, 3), ("7.1(wide-side)", True, 8), ("6.1(front)", False, 7), ("6 channels", False, 6),
    ("4 channels (FL+FR+FC+LFE)", True, 4), ("4 channels (FLC+FR+BC+LFE)", False, 4), ("22.2", True, 24),
])  # fmt: skip
def test_layouts(layout: str, centre: bool, count: int) -> None:
    assert (has_centre(layout), channel_count(layout)) == (centre, count)


def test_many_channels_without_names_still_give_sound(tmp_path: Path, ffmpeg: str) -> None:
    path = tmp_path / "nine.wav"
    one = "0.3*sin(2*PI*440*t)"
    source = f"aevalsrc='{'|'.join([one] * 9)}':s=16000:d=1"
    run_ffmpeg("-f", "lavfi", "-i", source, "-c:a", "pcm_s16le", str(path), ffmpeg=ffmpeg)
    clip = read(path, ffmpeg)
    assert clip.audio is not None
    assert loudest_hz(clip.audio, RATE) == pytest.approx(440, abs=3)


def test_without_sound(tmp_path: Path, ffmpeg: str) -> None:
    clip = read(coded_video(tmp_path / "mute.mp4", np.arange(50) / 25), ffmpeg)
    assert clip.audio is None and clip.audio_covered_s is None
    assert len(clip.frames) and clip.facts.channel_policy is None
    assert "no sound: the file has none" in clip.notes


def test_without_picture(tmp_path: Path, ffmpeg: str) -> None:
    clip = read(tone(tmp_path / "t.flac", duration_s=2.0), ffmpeg)
    assert clip.frames.shape == (0, 16, 16, 3) and clip.audio is not None
    assert clip.duration_s == pytest.approx(2.0, abs=0.01)
    only = read(tmp_path / "t.flac", ffmpeg, frame_size_px=None)
    assert only.facts.processes == 1 and only.notes == ()
    assert only.frames.shape == (0, 0, 0, 3)
    np.testing.assert_array_equal(only.audio, clip.audio)


def test_a_cover_is_no_picture(tmp_path: Path, ffmpeg: str) -> None:
    cover, plain, path = tmp_path / "c.png", tone(tmp_path / "t.mp3", duration_s=2.0), tmp_path / "cover.mp3"
    run_ffmpeg("-f", "lavfi", "-i", "color=red:s=64x64", "-frames:v", "1", str(cover), ffmpeg=ffmpeg)
    run_ffmpeg(
        "-i", str(plain), "-i", str(cover), "-map", "0", "-map", "1", "-c", "copy", str(path), ffmpeg=ffmpeg
    )
    clip = read(path, ffmpeg)
    assert len(clip.frames) == 0 and clip.audio is not None
    assert "no picture: the file has none that moves" in clip.notes
    found = probe(path, ffmpeg=ffmpeg)
    assert found.video is None and found.other_streams == 1


def test_a_still_under_long_sound_is_no_picture(tmp_path: Path, ffmpeg: str) -> None:
    audio = np.sin(np.arange(3 * RATE) * 0.3).astype(np.float32) * 0.3
    path = coded_video(tmp_path / "still.mp4", [0.0], audio=audio)
    clip = read(path, ffmpeg)
    assert len(clip.frames) == 0 and clip.audio is not None
    assert any("still image" in note for note in clip.notes)
    found = probe(path, ffmpeg=ffmpeg).video
    assert found is not None and found.still


def test_neither_stream_fails(tmp_path: Path, ffmpeg: str) -> None:
    mute, sound = coded_video(tmp_path / "m.mp4", np.arange(9) / 25), tone(tmp_path / "s.wav")
    for path, settings in ((mute, {"frame_size_px": None}), (sound, {"sample_rate_hz": None})):
        with pytest.raises(MediaError) as caught:
            read(path, ffmpeg, **settings)
        assert caught.value.kind == "no_streams"


def test_the_sound_is_resampled_right(tmp_path: Path, ffmpeg: str) -> None:
    clip = read(tone(tmp_path / "t.wav", hz=1234, duration_s=2.0, rate_hz=44_100), ffmpeg, sample_rate_hz=22_050)
    assert clip.audio is not None
    assert loudest_hz(clip.audio, 22_050) == pytest.approx(1234, abs=1)
    expected = 0.5 * np.sin(2 * np.pi * 1234 * np.arange(len(clip.audio)) / 22_050)
    middle = slice(2000, 40_000)
    np.testing.assert_allclose(clip.audio[middle], expected[middle], atol=0.01)


def test_probe_knows_what_a_clip_holds(meld_clip: Path, ffmpeg: str) -> None:
    found = probe(meld_clip, ffmpeg=ffmpeg)
    assert found.video is not None and found.audio is not None
    assert (found.video.codec, found.video.width_px, found.video.height_px, found.video.frames) == (
        "h264",
        1280,
        720,
        48,
    )
    assert found.video.frame_rate == pytest.approx(27021 / 1127, rel=1e-4)
    assert (found.audio.codec, found.audio.channels, found.audio.layout) == ("aac", 6, "5.1")
    assert (found.audio.sample_rate_hz, found.other_streams) == (48_000, 1)
    assert found.duration_s == pytest.approx(2.0, abs=0.01)
    assert not found.video.still and found.warnings == ()


def test_probe_states_starts(tmp_path: Path, ffmpeg: str) -> None:
    found = probe(
        flash_beep(tmp_path / "c.mkv", audio_start_s=0.4, audio_codec="pcm_s16le", ffmpeg=ffmpeg), ffmpeg=ffmpeg
    )
    assert found.video is not None and found.audio is not None
    assert (found.video.start_s, found.audio.start_s) == pytest.approx((0.0, 0.4), abs=0.002)
    assert (found.video.end_s, found.audio.end_s) == pytest.approx((3.0, 3.0), abs=0.03)
