"""A clip that a worker begins: what its networks take of the sound is there, and their rows are those of one process."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dualstream.features.encode import ClipPlan, begin_clip, complete_clip, decode_settings
from dualstream.features.encoder import Encoder, EncoderOptions, build
from dualstream.features.preparation import OnlyPrepares, covered_span
from dualstream.features.travel import warm_up, without_networks

from tests.pipeline.stubs import FakeReader, StubAudio, fake_clip

RATE = 16_000
SECONDS = 32.0  # more than goes through at once


class Reader(FakeReader):
    def __call__(self, path: Path, **how: Any) -> Any:
        sound = np.random.default_rng(3).normal(0, 0.1, round(SECONDS * RATE)).astype(np.float32)
        starts_s = np.array([0.0, 0.5, 20.0, 31.5, 60.0])
        return fake_clip(
            duration_s=SECONDS, starts_s=starts_s, audio=sound, audio_covered_s=(0.25, SECONDS), frames=None
        )


def plan_of(encoders: dict[str, Encoder]) -> ClipPlan:
    return ClipPlan(encoders, decode=decode_settings(encoders), reader=Reader())


@pytest.mark.parametrize("context", ["clip", "window"])
def test_whispers_spectrogram_is_made_where_the_clip_is_read(
    tmp_path: Path, context: Any, monkeypatch: Any
) -> None:
    pytest.importorskip("transformers")
    from tests.features.encoders.hf_models import save_sound

    save_sound(tmp_path, "whisper")
    whisper = build("audio", f"hf:{tmp_path}", EncoderOptions(context=context))
    plan = plan_of({"audio": whisper})
    expected = begin_clip(Path("x"), "a", plan).streams["audio"]
    travelling = without_networks(plan, lambda one: one is whisper)
    warm_up(travelling)
    begun = begin_clip(Path("x"), "a", travelling)
    assert begun.sound is None and not begun.streams
    passes = [one.shape for one in begun.prepared["audio"].inputs]
    assert passes[0][:2] == (1, 80) and len(passes) == (
        2 if context == "clip" else 5
    )  # chunks, lengths of windows
    extractor = type(whisper.preparation.input.extractor)  # type: ignore[union-attr]
    monkeypatch.setattr(extractor, "__call__", None)  # nothing is prepared any more
    found = complete_clip(begun, "a", plan)
    assert not found.prepared
    for name in ("windows", "utterance", "window_present", "time_s"):
        np.testing.assert_array_equal(getattr(found.streams["audio"], name), getattr(expected, name))
    assert expected.window_present.tolist() == [True, True, True, True, False]


def test_sound_comes_along_where_a_network_takes_it_as_it_is() -> None:
    bilstm = build("audio", "bilstm", EncoderOptions(weights="random:0"))
    plan = plan_of({"audio.a": bilstm, "audio.b": replace(StubAudio(), sample_rate_hz=bilstm.sample_rate_hz)})  # type: ignore[union-attr]
    travelling = without_networks(plan, lambda one: True)
    assert list(travelling.encoders) == ["audio.a"] and isinstance(travelling.audio["audio.a"], OnlyPrepares)
    begun = begin_clip(Path("x"), "a", travelling)
    assert begun.sound is not None and list(begun.prepared) == ["audio.a"]
    assert set(complete_clip(begun, "a", plan).streams) == {"audio.a", "audio.b"}


def test_the_stand_in_makes_no_rows() -> None:
    bilstm: Any = build("audio", "bilstm", EncoderOptions(weights="random:0"))
    with pytest.raises(NotImplementedError, match="another process"):
        OnlyPrepares(bilstm.spec, 16_000, bilstm.preparation).encode_audio(
            np.zeros(9, np.float32), np.zeros(1), 1.0, (0.0, 1.0)
        )


@pytest.mark.parametrize(
    ("covered_s", "expected"),
    [((0.0, 1.0), (0, 10)), ((0.24, 0.57), (2, 6)), ((-1.0, 9.0), (0, 12)), ((2.0, 1.0), (12, 12))],
)
def test_spans_in_samples_by_hand(covered_s: tuple[float, float], expected: tuple[int, int]) -> None:
    assert covered_span(covered_s, 10, 12) == expected
