"""The recipe: options become encoders and a document; the note of it saves work and never lies."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from dualstream.features.encoder import EncoderOptions, EncoderSpec
from dualstream.features.media import find_ffmpeg
from dualstream.pipeline.errors import DualstreamError, UsageError
from dualstream.pipeline.extraction.encoder_choice import stream_names
from dualstream.pipeline.extraction.recipe import MOST_BATCHES, ExtractionOptions, make_recipe
from dualstream.pipeline.extraction.shards import SCHEMA

from dualstream.cores import available_cores
from tests.pipeline.stubs import STUBS, StubAudio, StubVideo


class Builder:
    """Builds stubs, and notes what it was asked for."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str, EncoderOptions]] = []
        self.gain = 1.0

    def __call__(self, stream: str, text: str, how: EncoderOptions) -> Any:
        self.calls.append((stream, text, how))
        if stream == "audio":
            return StubAudio()
        return StubVideo(EncoderSpec("stub", "video", 12, 5, parameters={"gain": self.gain, "text": text}))


def test_streams_are_named_by_order() -> None:
    assert stream_names("video", ("vgg16", "torchvision:resnet18", "table:dir/Action Units.csv")) == [
        "video",
        "video.torchvision-resnet18",
        "video.table-action-units",
    ]
    assert stream_names("audio", ("acoustic", "bilstm")) == ["audio", "audio.bilstm"]
    folders = ("hf:models/whisper-tiny.en@2", "hf:models/whisper-tiny.en@3", "hf:wavlm")
    assert stream_names("audio", ("acoustic", *folders))[1:] == [
        "audio.whisper-tiny.en-2",
        "audio.whisper-tiny.en-3",
        "audio.wavlm",
    ]
    with pytest.raises(UsageError, match="twice"):
        stream_names("video", ("vgg16", "vgg16"))


def test_every_stream_has_a_name_that_a_cache_takes() -> None:
    long = "x" * 100
    texts = (
        "a",
        "table:Maße é.csv",
        "table:b/au.csv",
        "table:c/au.csv",
        f"table:1/{long}.csv",
        f"table:2/{long}.csv",
    )
    names = stream_names("video", texts)
    assert names[:4] == ["video", "video.table-ma-e--", "video.table-au", "video.table-au-2"]
    assert len(set(names)) == len(texts)
    assert all(SCHEMA.field(f"streams/{name}/utterance") is not None for name in names)


def test_weights_go_to_the_encoders_that_take_them_in_order() -> None:
    builder = Builder()
    options = replace(STUBS, video=("a", "table:t.csv", "b"), video_weights=("random:1", "random:2"))
    make_recipe(options, build_encoder=builder)
    assert [(text, how.weights) for stream, text, how in builder.calls if stream == "video"] == [
        ("a", "random:1"),
        ("table:t.csv", None),
        ("b", "random:2"),
    ]
    builder = Builder()
    make_recipe(replace(STUBS, audio=("acoustic", "bilstm"), audio_weights=("random:3",)), build_encoder=builder)
    asked = [(text, how.weights) for stream, text, how in builder.calls if stream == "audio"]
    assert asked == [("acoustic", None), ("bilstm", "random:3")]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"video_weights": ("random:0", "random:1")}, "given 2 times"),
        ({"video": ("a", "b"), "video_weights": ("random:0",)}, "once for each"),
        ({"audio": ("acoustic",), "audio_weights": ("random:0",)}, "0 audio encoders take weights"),
        ({"video": ("none", "a")}, "stands alone"),
        ({"video": ("none",), "audio": ("none",)}, "nothing to extract"),
        ({"hop_s": 0.0}, "hop"),
        ({"sampling": "often"}, "aligned, every:SECONDS"),
        ({"max_clip_s": -1.0}, "--max-clip-s -1; expected seconds above 0"),
        ({"ffmpeg": Path("/nowhere/ffmpeg")}, "--ffmpeg names"),
        ({"threads": 0}, "--threads"),
    ],
)
def test_options_that_do_not_fit_fail(change: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        make_recipe(replace(STUBS, **change), build_encoder=Builder())


def test_a_program_that_is_no_ffmpeg_fails() -> None:
    with pytest.raises(
        DualstreamError, match="is no ffmpeg: asked for its version, it said '-hide_banner -version'"
    ):
        make_recipe(replace(STUBS, ffmpeg=Path("/bin/echo")), build_encoder=Builder())


def test_width_after_projection_does_not_shape_the_rows() -> None:
    builder = Builder()
    recipe = make_recipe(STUBS, build_encoder=builder)
    assert "width" not in recipe.document["streams"]["video"]
    assert recipe.specs["video"]["width"] == 5


def test_fingerprints_differ_by_everything_that_shapes_numbers() -> None:
    changes: list[dict[str, Any]] = [
        {},
        *({"window_s": 2.0}, {"hop_s": 0.25}, {"sampling": "uniform:4"}, {"fit": "pad"}, {"channels": "mix"}),
        *({"decode": "fast"}, {"max_clip_s": 60.0}, {"precision": "bf16"}, {"audio": ("none",)}),
        *({"scramble": 0.2}, {"decoder": "pyav"}),
    ]
    prints = [make_recipe(replace(STUBS, **change), build_encoder=Builder()).fingerprint for change in changes]
    prints.append(make_recipe(STUBS, shard_size=16, build_encoder=Builder()).fingerprint)
    assert len(set(prints)) == len(changes) + 1
    same = make_recipe(replace(STUBS, threads=1), build_encoder=Builder())
    assert same.fingerprint == prints[0]
    two = make_recipe(replace(STUBS, threads=2), build_encoder=Builder())
    assert two.fingerprint == prints[0]
    noted = [one.environment[key] for one in (same, two) for key in ("threads", "blas_threads")]
    assert noted == [1, 1, 2, 1]


def test_threads_and_batches_by_default_make_the_same_rows_on_every_machine() -> None:
    assert STUBS.torch_threads == 1 and STUBS.batches == min(available_cores(), MOST_BATCHES)
    asked = replace(STUBS, threads=3)
    assert (asked.torch_threads, asked.batches) == (3, 1)
    assert make_recipe(STUBS, build_encoder=Builder()).environment["threads"] == 1


@pytest.mark.parametrize("audio", ["acoustic", "acoustic:emodb"])
def test_device_and_precision_do_not_shape_what_no_network_made(audio: str) -> None:
    alone = replace(STUBS, video=("none",), audio=(audio,))
    plain = make_recipe(alone, build_encoder=Builder())
    for change in ({"device": "cuda"}, {"device": "auto"}, {"precision": "bf16"}):
        other = make_recipe(replace(alone, **change), build_encoder=Builder())
        assert other.fingerprint == plain.fingerprint and other.environment == plain.environment
    assert plain.document["device"] == "cpu" and plain.document["precision"] == "fp32"  # as caches had it before
    beside = [make_recipe(replace(STUBS, audio=(audio,), device=device), build_encoder=Builder())
              for device in ("cpu", "cuda")]  # fmt: skip
    assert beside[0].fingerprint != beside[1].fingerprint


def test_the_note_saves_building(tmp_path: Path) -> None:
    memo, first, second = tmp_path / "memo.json", Builder(), Builder()
    made = make_recipe(STUBS, memo=memo, build_encoder=first)
    again = make_recipe(STUBS, memo=memo, build_encoder=second)
    assert (again.document, again.specs, again.fingerprint) == (made.document, made.specs, made.fingerprint)
    assert second.calls == []
    assert set(again.plan.encoders) == {"video", "audio"}  # built now
    assert len(second.calls) == 2


@pytest.mark.parametrize("what", ["options", "weights file", "ffmpeg", "damaged note"])
def test_the_note_does_not_outlive_what_it_rests_on(tmp_path: Path, what: str) -> None:
    memo, weights, binary = tmp_path / "memo.json", tmp_path / "w.safetensors", tmp_path / "ffmpeg"
    weights.write_bytes(b"1")
    binary.write_text(f'#!/bin/sh\nexec "{find_ffmpeg()}" "$@"\n')
    binary.chmod(0o755)
    options = replace(STUBS, video_weights=(str(weights),), ffmpeg=binary)
    make_recipe(options, memo=memo, build_encoder=Builder())
    unchanged = Builder()
    make_recipe(options, memo=memo, build_encoder=unchanged)
    assert unchanged.calls == []
    if what == "options":
        options = replace(options, hop_s=0.25)
    elif what == "weights file":
        weights.write_bytes(b"2!")
    elif what == "ffmpeg":
        os.utime(binary, ns=(1, 1))
    else:
        memo.write_bytes(memo.read_bytes()[:-5])
    changed = Builder()
    make_recipe(options, memo=memo, build_encoder=changed)
    assert len(changed.calls) == 2


def test_a_note_that_lies_is_found_out(tmp_path: Path) -> None:
    memo, builder = tmp_path / "memo.json", Builder()
    make_recipe(STUBS, memo=memo, build_encoder=builder)
    builder.gain = 2.0
    recipe = make_recipe(STUBS, memo=memo, build_encoder=builder)
    with pytest.raises(DualstreamError, match="run the same command again"):
        recipe.plan  # noqa: B018
    assert not memo.exists()


def test_tables_alone_need_no_ffmpeg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = tmp_path / "t.csv"
    table.write_text("id,a,b\nu0,1,2\n")
    monkeypatch.setattr("dualstream.pipeline.extraction.recipe.find_ffmpeg", _no_ffmpeg)
    options = ExtractionOptions(video=(f"table:{table}",), audio=("none",), device="cpu")
    recipe = make_recipe(options)
    assert not recipe.reads_media
    assert recipe.document["decoder"] is None


def _no_ffmpeg(explicit: str | None = None) -> str:
    from dualstream.features.media import MediaError

    raise MediaError("missing", "no ffmpeg")
