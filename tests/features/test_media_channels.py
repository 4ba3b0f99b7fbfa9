"""Channels that cancel, that are silent, or that are far below the others: a tone must come out as it was put in."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from dualstream.features.media import Clip, DecodeSettings, read_clip
from dualstream.features.windows import Sampling, WindowPlan

from tests.clips import loudest_hz, run_ffmpeg

RATE_HZ = 16_000
TONE = "0.5*sin(2*PI*440*t)"
OTHER = "0.5*sin(2*PI*1000*t)"


def sound(path: Path, layout: str, channels: list[str], *codec: str) -> Path:
    source = f"aevalsrc='{'|'.join(channels)}':c={layout}:s={RATE_HZ}:d=2"
    run_ffmpeg("-f", "lavfi", "-i", source, "-c:a", *(codec or ("pcm_s16le",)), str(path))
    return path


def read(path: Path, ffmpeg: str, channels: str = "auto") -> Clip:
    settings = DecodeSettings(frame_size_px=None, channels=channels)  # type: ignore[arg-type]
    return read_clip(path, plan=WindowPlan(), sampling=Sampling(), settings=settings, ffmpeg=ffmpeg)


def rms(clip: Clip) -> float:
    assert clip.audio is not None
    return float(np.sqrt(np.mean(np.square(clip.audio[1000:-1000], dtype=np.float64))))


CANCELLING = {
    "stereo": ("stereo", [TONE, f"-{TONE}"]),
    "nearly": ("stereo", [TONE, f"-0.9*{TONE}"]),
    "quad": ("quad", [TONE, f"-{TONE}", TONE, f"-{TONE}"]),
    "silent centre": ("5.1", [TONE, f"-{TONE}", "0", "0", "0", "0"]),
    "downmix": ("downmix", [TONE, f"-{TONE}"]),
}


@pytest.mark.parametrize("name", sorted(CANCELLING))
@pytest.mark.parametrize("policy", ["auto", "mix"])
def test_channels_that_cancel_are_heard(tmp_path: Path, ffmpeg: str, name: str, policy: str) -> None:
    layout, channels = CANCELLING[name]
    path = sound(tmp_path / ("c.mkv" if layout == "downmix" else "c.wav"), layout, channels)
    clip = read(path, ffmpeg, policy)
    assert clip.audio is not None
    assert loudest_hz(clip.audio, RATE_HZ) == pytest.approx(440, abs=2)
    assert rms(clip) > 0.14  # 0.35 a channel; of 5.1's shares, 0.41 falls to the front
    assert any("cancel" in note and "inverted" in note for note in clip.notes)
    assert clip.facts.processes == 2


def test_inverted_stereo_is_what_one_side_holds(tmp_path: Path, ffmpeg: str) -> None:
    one = read(sound(tmp_path / "one.wav", "mono", [TONE]), ffmpeg)
    two = read(sound(tmp_path / "two.wav", "stereo", [TONE, f"-{TONE}"]), ffmpeg)
    coded = read(sound(tmp_path / "two.mp4", "stereo", [TONE, f"-{TONE}"], "aac", "-b:a", "192k"), ffmpeg)
    np.testing.assert_allclose(two.audio, one.audio, atol=1e-4)
    assert rms(coded) == pytest.approx(rms(one), rel=0.02)


ORDINARY = {
    "same on both": ("stereo", [TONE, TONE]),
    "two voices": ("stereo", [TONE, OTHER]),
    "turned by 120 degrees": ("stereo", [TONE, "0.5*sin(2*PI*440*t+2*PI/3)"]),
    "one softer": ("stereo", [TONE, f"0.1*{TONE}"]),
    "inverted but softer": ("stereo", [TONE, f"-0.3*{TONE}"]),
    "quad, one inverted": ("quad", [TONE, f"-{TONE}", TONE, TONE]),
}


@pytest.mark.parametrize("name", sorted(ORDINARY))
def test_ordinary_channels_are_mixed_as_before(tmp_path: Path, ffmpeg: str, name: str) -> None:
    layout, channels = ORDINARY[name]
    clip = read(sound(tmp_path / "c.wav", layout, channels), ffmpeg)
    assert clip.notes == ("no picture: the file has none that moves",) or clip.notes == ()
    assert (clip.facts.channel_policy, clip.facts.processes) == ("mix", 1)
    times = np.arange(2 * RATE_HZ) / RATE_HZ
    tone, other = 0.5 * np.sin(2 * np.pi * 440 * times), 0.5 * np.sin(2 * np.pi * 1000 * times)
    expected = {
        "same on both": tone,
        "two voices": (tone + other) / 2,
        "turned by 120 degrees": (tone + 0.5 * np.sin(2 * np.pi * 440 * times + 2 * np.pi / 3)) / 2,
        "one softer": 0.55 * tone,
        "inverted but softer": 0.35 * tone,
        "quad, one inverted": tone * (0.7071 - 0.7071 + 0.5 + 0.5) / (2 * 0.7071 + 2 * 0.5),
    }[name]
    np.testing.assert_allclose(clip.audio, expected, atol=2e-4)


@pytest.mark.parametrize(
    ("channels", "suffix"), [([TONE, "0"], "wav"), (["0", TONE], "wav"), ([TONE, "0"], "mp4")]
)
def test_one_dead_channel_of_two_takes_nothing_away(
    tmp_path: Path, ffmpeg: str, channels: list[str], suffix: str
) -> None:
    codec = ("aac", "-b:a", "192k") if suffix == "mp4" else ()
    clip = read(sound(tmp_path / f"c.{suffix}", "stereo", channels, *codec), ffmpeg)
    assert rms(clip) == pytest.approx(0.5 / np.sqrt(2), rel=0.02)
    assert any("one of the two of stereo is silent" in note for note in clip.notes)


@pytest.mark.parametrize("share", [0.0, 0.004, 0.02])
@pytest.mark.parametrize("layout", ["5.1", "7.1", "3.0"])
def test_a_centre_far_below_the_others_is_not_taken(
    tmp_path: Path, ffmpeg: str, layout: str, share: float
) -> None:
    others = {"5.1": 3, "7.1": 5, "3.0": 0}[layout]  # front left, front right, centre, then the others
    path = sound(tmp_path / "c.wav", layout, [TONE, TONE, f"{share}*{OTHER}", *["0"] * others])
    clip = read(path, ffmpeg)
    assert clip.audio is not None
    assert loudest_hz(clip.audio, RATE_HZ) == pytest.approx(440, abs=2)
    assert clip.facts.channel_policy == "mix"
    assert any(f"the centre of {layout}" in note for note in clip.notes)
    asked = read(path, ffmpeg, "center")  # whoever asks for the centre gets it, and is told
    assert asked.facts.channel_policy == "center"
    assert any(f"the centre of {layout}" in note for note in asked.notes)


def test_a_soft_centre_is_taken_without_a_word(tmp_path: Path, ffmpeg: str) -> None:
    """12 dB below the music that stands left and right: speech that can be heard."""
    clip = read(sound(tmp_path / "c.wav", "5.1", [OTHER, OTHER, f"0.25*{TONE}", "0", "0", "0"]), ffmpeg)
    assert clip.audio is not None
    assert loudest_hz(clip.audio, RATE_HZ) == pytest.approx(440, abs=2)
    assert clip.facts.channel_policy == "center"
    assert not any("centre" in note for note in clip.notes)


def test_silence_is_silence(tmp_path: Path, ffmpeg: str) -> None:
    for layout, count in (("mono", 1), ("stereo", 2), ("5.1", 6)):
        clip = read(sound(tmp_path / f"{layout}.wav", layout, ["0"] * count), ffmpeg)
        assert clip.audio is not None and not clip.audio.any()
        assert not any("channels" in note for note in clip.notes)
