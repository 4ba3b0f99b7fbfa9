"""Stage 1 for one file: frames reach their windows, batches cross clips, masks and notes tell what is missing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dualstream.features.encode import (
    ClipPlan,
    begin_clip,
    complete_clip,
    decode_settings,
    encode_clip,
    finish_clip,
    unread,
)
from dualstream.features.encoder import EncoderSpec, StreamFeatures
from dualstream.features.media import Clip, DecodeSettings
from dualstream.features.windows import Sampling, WindowPlan
from numpy.typing import NDArray

from tests.features.mean_colour import SIDE, MeanColour


class Loudness:
    """An audio encoder: the largest sample of each window, on the span that is covered."""

    spec = EncoderSpec("loudness", "audio", 1, 1)

    def __init__(self, rate_hz: int = 100) -> None:
        self.sample_rate_hz = rate_hz

    def encode_audio(
        self,
        audio: NDArray[np.float32],
        starts_s: NDArray[np.float64],
        length_s: float,
        covered_s: tuple[float, float],
    ) -> StreamFeatures:
        rate = self.sample_rate_hz
        rows = [[audio[int(s * rate) : int((s + length_s) * rate)].max(initial=0)] for s in starts_s]
        inside = (starts_s < covered_s[1]) & (starts_s + length_s > covered_s[0])
        windows = np.array(rows, np.float32) * inside[:, None]
        time_s = np.where(inside, starts_s + length_s / 2, np.nan)
        return StreamFeatures(np.array([audio.max()], np.float32), True, windows, inside, time_s)


class Table:
    """A table that knows one utterance."""

    spec = EncoderSpec("table:t.csv", "video", 2, 2, has_windows=False)

    def lookup(self, utterance_id: str, starts_s: NDArray[np.float64], length_s: float) -> StreamFeatures:
        known = utterance_id == "known"
        row = np.array([1, 2], np.float32) * known
        return StreamFeatures(row, known, np.empty((0, 2), np.float32), np.empty(0, bool), np.empty(0))

    def extent_s(self, utterance_id: str, length_s: float) -> None:
        return None


def flash_and_beep(path: Path, *, plan: WindowPlan, sampling: Sampling, settings: Any, span_s: Any) -> Clip:
    """Read a clip of 4 s: white picture and a beep in second 2 to 3, black and still elsewhere."""
    duration_s = 4.0
    targets = sampling.targets(plan, duration_s)
    white = (targets.time_s >= 2) & (targets.time_s < 3)
    frames = np.repeat(np.where(white, 255, 0).astype(np.uint8), SIDE * SIDE * 3).reshape(-1, SIDE, SIDE, 3)
    sound = np.zeros(400, np.float32)
    sound[200:300] = 0.5
    import dataclasses

    parts: dict[str, Any] = {
        "duration_s": duration_s,
        "starts_s": plan.starts_s(duration_s),
        "frames": frames,
        "frame_time_s": targets.time_s,
        "frame_window": targets.window,
        "audio": sound,
        "audio_covered_s": (0.0, duration_s),
        "notes": ("odd",),
    }
    rest = {one.name: None for one in dataclasses.fields(Clip) if one.name not in parts}
    return Clip(**parts, **rest)


def plan_of(**encoders: Any) -> ClipPlan:
    return ClipPlan(encoders, decode=DecodeSettings(frame_size_px=SIDE), reader=flash_and_beep)


def test_flash_and_beep_fall_into_the_same_windows() -> None:
    clip = encode_clip(Path("x.mp4"), "u", plan_of(video=MeanColour(), audio=Loudness()))
    video, audio = clip.streams["video"], clip.streams["audio"]
    assert clip.starts_s.tolist() == [0, 0.5, 1, 1.5, 2, 2.5, 3]
    assert video.windows[:, 0].tolist() == [0, 0, 0, 255, 255, 0, 0]  # centres 2.0 and 2.5 s see the flash
    assert audio.windows[:, 0].tolist() == [0, 0, 0, 0.5, 0.5, 0.5, 0]
    assert video.time_s.tolist() == [0.5, 1, 1.5, 2, 2.5, 3, 3.5]
    assert clip.notes == ["odd"]


def test_utterance_row_is_the_mean_of_windows_that_have_a_frame() -> None:
    plan = replace(plan_of(video=MeanColour()), sampling=Sampling.parse("uniform:4"))
    video = encode_clip(Path("x.mp4"), "u", plan).streams["video"]
    assert video.window_present.sum() == 4
    assert np.isnan(video.time_s[~video.window_present]).all() and not video.windows[~video.window_present].any()
    np.testing.assert_allclose(video.utterance, video.windows[video.window_present].mean(axis=0))
    assert video.utterance[0] == 255 / 4  # one of four frames, that of 2.5 s, is white


def test_two_video_encoders_side_by_side() -> None:
    plan = plan_of(**{"video": MeanColour(4), "video.other": MeanColour(3)})
    clip = encode_clip(Path("x.mp4"), "u", plan)
    np.testing.assert_array_equal(clip.streams["video"].windows, clip.streams["video.other"].windows)


def test_an_encoder_of_the_wrong_width_is_caught() -> None:
    encoder = MeanColour()
    encoder.spec = EncoderSpec("liar", "video", 5, 5)
    with pytest.raises(RuntimeError, match="liar gave"):
        encode_clip(Path("x.mp4"), "u", plan_of(video=encoder))


def test_streams_that_are_missing_are_masked() -> None:
    def silent(*where: Any, **how: Any) -> Clip:
        return replace(flash_and_beep(*where, **how), audio=None, audio_covered_s=None)

    def blind(*where: Any, **how: Any) -> Clip:
        clip = flash_and_beep(*where, **how)
        return replace(
            clip, frames=clip.frames[:0], frame_time_s=clip.frame_time_s[:0], frame_window=clip.frame_window[:0]
        )

    for reader, name in ((silent, "audio"), (blind, "video")):
        plan = replace(plan_of(video=MeanColour(), audio=Loudness()), reader=reader)
        clip = encode_clip(Path("x.mp4"), "u", plan)
        assert {key: rows.present for key, rows in clip.streams.items()} == {
            "video": name != "video",
            "audio": name != "audio",
        }
        rows = clip.streams[name]
        assert rows.windows.shape[0] == 7 and not rows.windows.any() and not rows.window_present.any()
        assert np.isnan(rows.time_s).all()


def test_rows_that_are_not_finite_are_masked_and_noted() -> None:
    class Broken(Loudness):
        def encode_audio(self, *where: Any) -> StreamFeatures:
            said = super().encode_audio(*where)
            said.windows[2] = np.nan
            return replace(said, utterance=np.array([np.inf], np.float32))

    clip = encode_clip(Path("x.mp4"), "u", plan_of(audio=Broken()))
    rows = clip.streams["audio"]
    assert rows.window_present.tolist() == [True, True, False, True, True, True, True]
    assert np.isfinite(rows.windows).all() and np.isnan(rows.time_s[2])
    assert rows.utterance.tolist() == [np.float32(1.5 / 6)]  # the mean of the windows that are left
    assert clip.notes == ["odd", "audio: the utterance row was not finite", "audio: 1 window rows were not finite"]


def test_tables_are_looked_up_beside_media_and_alone() -> None:
    both = plan_of(video=Table(), audio=Loudness())
    clip = encode_clip(Path("x.mp4"), "known", both)
    assert clip.streams["video"].utterance.tolist() == [1, 2]
    assert not encode_clip(Path("x.mp4"), "other", both).streams["video"].present
    alone = ClipPlan({"video": Table()}, decode=decode_settings({"video": Table()}))
    assert alone.decode is None
    clip = encode_clip(None, "known", alone, span_s=(3.0, 5.0))
    assert clip.duration_s == 2.0 and clip.starts_s.tolist() == [0, 0.5, 1.0]
    assert np.isnan(encode_clip(None, "known", alone).duration_s)


@pytest.mark.parametrize("path", [Path("x.mp4"), None])
def test_a_table_is_looked_up_once_per_clip(path: Path | None) -> None:
    """Though a clip that was begun here is completed once more, as one of another process is."""
    looked_up = []

    class Counted(Table):
        def lookup(self, utterance_id: str, *where: Any) -> StreamFeatures:
            looked_up.append(utterance_id)
            return super().lookup(utterance_id, *where)

    plan = plan_of(**{"audio": Loudness(), "video.t": Counted()})
    begun = begin_clip(path, "known", plan)
    assert complete_clip(begun, "known", plan).streams.keys() == {"audio", "video.t"}
    assert looked_up == ["known"]


def test_what_is_known_of_an_unreadable_clip() -> None:
    clip = unread(plan_of(video=Table(), audio=Loudness()), "known")
    assert clip.streams["video"].present and not clip.streams["audio"].present
    assert clip.starts_s.tolist() == [0.0] and np.isnan(clip.duration_s)


def test_begin_and_finish_are_the_halves_of_encode() -> None:
    plan = plan_of(video=MeanColour())
    begun = begin_clip(Path("x.mp4"), "u", plan)
    assert begun.size_bytes >= begun.frames.nbytes > 0
    done = finish_clip(begun, {"video": MeanColour().encode_frames(begun.frames)}, plan)
    whole = encode_clip(Path("x.mp4"), "u", plan)
    np.testing.assert_array_equal(done.streams["video"].windows, whole.streams["video"].windows)
    assert len(done.frames) == 0


def test_settings_serve_all_encoders() -> None:
    settings = decode_settings(
        {"video": MeanColour(side=96), "v2": MeanColour(side=224), "audio": Loudness(16_000)}
    )
    assert settings is not None
    assert (settings.frame_size_px, settings.sample_rate_hz) == (224, 16_000)
    only_audio = decode_settings({"audio": Loudness(16_000)}, channels="mix")
    assert only_audio is not None
    assert (only_audio.frame_size_px, only_audio.channels) == (None, "mix")
    with pytest.raises(ValueError, match=r"\[8000, 16000\] Hz"):
        decode_settings({"a": Loudness(16_000), "b": Loudness(8_000)})
