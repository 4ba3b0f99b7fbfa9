"""No option of extract is parsed and ignored: it shapes the rows, or is refused or told of where it would not."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dualstream.features.encoder import EncoderOptions, EncoderSpec
from dualstream.features.faces import detection, embedding, scoring
from dualstream.features.options import FaceOptions, IdentityOptions
from dualstream.pipeline.errors import UsageError
from dualstream.pipeline.extraction.encoder_choice import idle_words
from dualstream.pipeline.extraction.options import ExtractionOptions
from dualstream.pipeline.extraction.recipe import make_recipe
from dualstream.pipeline.extraction.request import RunOptions

from tests.features.planted_faces import ColourDetector
from tests.pipeline.colours import MeanColour

EMBEDDERS = {"identity": True, "identity_embedder": "planted"}
BASES: dict[str, dict[str, Any]] = {
    "frame and sound": {},
    "sound": {"video": ("none",)},
    "frame": {"audio": ("none",)},
    "tables": {"video": ("table:t.csv",), "audio": ("table:t.csv",)},
    "frame and table": {"audio": ("table:t.csv",)},
    "table and sound": {"video": ("table:t.csv",)},
    "face": {"audio": ("none",), "region": ("face",), "face_detector": "planted"},
    "face and frame": {"audio": ("none",), "region": ("face", "frame"), "face_detector": "planted"},
    "speaker": {"audio": ("none",), "region": ("speaker",), "face_detector": "planted"},
    "identity": {"audio": ("none",), "region": ("speaker",), "face_detector": "planted", **EMBEDDERS},
}
CHANGES: dict[str, Any] = {
    "video": ("cnn5",),
    "audio": ("acoustic:emodb",),
    "window_s": 2.0,
    "hop_s": 0.25,
    "sampling": "every:0.5",
    "fit": "crop",
    "channels": "mix",
    "max_clip_s": 60.0,
    "region": ("frame", "face"),
    "face_detector": "other",
    "face_weights": Path("detector.bin"),
    "speaker_scorer": "other",
    "speaker_weights": Path("scorer.bin"),
    "speaker_margin": 3.0,
    "speaker_alone": 0.0,
    "identity": True,
    "identity_embedder": "other",
    "identity_weights": Path("embedder.bin"),
    "video_weights": ("random:1",),
    "audio_weights": ("random:1",),
    "context": "window",
    "scramble": 0.5,
    "rate": "50",
    "confidence": 0.7,
    "decode": "fast",
    "decoder": "pyav",
    "precision": "bf16",
}
ONLY_SPEED = {"device", "threads", "ffmpeg"}  # their help says so


class Stub:
    """An encoder of any stream, whose spec is what it was built of."""

    def __init__(self, stream: Any, text: str, options: EncoderOptions) -> None:
        self.spec = EncoderSpec(text, stream, 2, 2, parameters={"weights": options.weights})


class Frames(Stub):
    frame_size_px, batch_size = 32, 1

    def encode_frames(self, frames: Any) -> Any:
        raise NotImplementedError


class Sound(Stub):
    sample_rate_hz = 16_000

    def encode_audio(self, *given: Any) -> Any:
        raise NotImplementedError


class Table(Stub):
    def lookup(self, *given: Any) -> Any:
        raise NotImplementedError

    def extent_s(self, *given: Any) -> Any:
        raise NotImplementedError


def build(stream: Any, text: str, options: EncoderOptions) -> Any:
    kind = Table if text.startswith("table:") else Frames if stream == "video" else Sound
    return kind(stream, text, options)


class Planted(ColourDetector, MeanColour):
    """A detector, an embedder and a scorer whose statement is its name and its weights."""

    crop, context_s, least_margin = scoring.CropSpec(8, 1.0, 0.0), 0.5, 1.0

    def __init__(self, name: str, weights: Path | None) -> None:
        self.stated = {"name": name, "weights": None if weights is None else {"sha256": weights.name}}

    def to_json(self) -> dict[str, Any]:
        return {**self.stated, "same_person": 0.9}

    def score(self, crops: Any, audio: Any) -> Any:
        return np.zeros(len(crops))


@pytest.fixture(autouse=True)
def parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Register planted parts, which take no weights, and put files of weights there."""
    monkeypatch.chdir(tmp_path)
    for name in ("detector.bin", "scorer.bin", "embedder.bin"):
        Path(name).write_text(name)
    registries: Any = (detection.REGISTRY, scoring.REGISTRY, embedding.REGISTRY)
    for one in registries:
        one.names()
        one.register("planted", weights=False)(lambda weights: Planted("planted", weights))
        one.register("other", weights=False)(lambda weights: Planted("other", weights))
    yield
    for one in registries:
        del one._entries["planted"], one._entries["other"]


def outcome(base: dict[str, Any], change: dict[str, Any]) -> str:
    """Return what an option does: it shapes the rows, is refused, is told of, or is ignored."""
    plain = make_recipe(ExtractionOptions(device="cpu", **base), build_encoder=build)
    try:
        changed = ExtractionOptions(device="cpu", **{**base, **change})
        other = make_recipe(changed, build_encoder=build)
    except UsageError as error:
        return _refused(str(error), *change)
    return "shapes" if other.fingerprint != plain.fingerprint else "told" if idle_words(changed) else "ignored"


def _refused(words: str, name: str) -> str:
    """Return that an option is refused; the words name it, or what a region needs."""
    assert f"--{name.replace('_', '-')}" in words or (name == "region" and "--face-weights" in words)
    return "refused"


def test_each_option_is_looked_at() -> None:
    names = {one.name for one in dataclasses.fields(ExtractionOptions)}
    assert names == CHANGES.keys() | ONLY_SPEED


@pytest.mark.parametrize("base", BASES)
def test_no_option_is_ignored(base: str) -> None:
    given = BASES[base]
    found = {name: outcome(given, {name: value}) for name, value in CHANGES.items() if given.get(name) != value}
    assert [name for name, one in found.items() if one == "ignored"] == []


PICTURES = {"fit", "sampling", "decode"}
ONLY_FACES = {"speaker_scorer", "speaker_margin", "speaker_alone", "identity_embedder"}
REFUSED = {
    "frame and sound": {"face_detector", *ONLY_FACES, "rate", "confidence"},
    "sound": {*PICTURES, "region", "face_detector", *ONLY_FACES, "rate", "confidence"},
    "frame": {"channels", "scramble", "face_detector", *ONLY_FACES, "rate", "confidence"},
    "tables": {*PICTURES, "channels", "max_clip_s", "decoder", "region", "face_detector", *ONLY_FACES},
    "table and sound": {*PICTURES, "region", "face_detector", *ONLY_FACES},
    "face": {"fit", "channels", *ONLY_FACES},
    "face and frame": {"channels", *ONLY_FACES},
    "speaker": {"fit", "identity_embedder"},
}
SHAPING = {
    "sound": {"channels", "max_clip_s", "decoder"},
    "frame": {*PICTURES, "max_clip_s", "decoder"},
    "face": {"sampling", "decode"},
    "face and frame": {"fit"},
    "speaker": {"channels", "speaker_margin", "speaker_alone"},
}


@pytest.mark.parametrize("base", REFUSED)
def test_what_would_shape_nothing_is_refused(base: str) -> None:
    assert {name: outcome(BASES[base], {name: CHANGES[name]}) for name in REFUSED[base]} == dict.fromkeys(
        REFUSED[base], "refused"
    )


@pytest.mark.parametrize("base", SHAPING)
def test_what_shapes_is_not_refused(base: str) -> None:
    assert {name: outcome(BASES[base], {name: CHANGES[name]}) for name in SHAPING[base]} == dict.fromkeys(
        SHAPING[base], "shapes"
    )


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            {"face_detector": "blazeface"},
            "--face-detector blazeface goes with --region face or speaker; found --region",
        ),
        (
            {"region": ("face",), "speaker_scorer": "sync"},
            "--speaker-scorer sync goes with --region speaker; found",
        ),
        (
            {"region": ("speaker",), "identity_embedder": "face-api"},
            "--identity-embedder face-api goes with --identity",
        ),
        (
            {"region": ("face", "frame"), "identity": True},
            "goes with --region speaker; found --region face, frame",
        ),
    ],
)
def test_defaults_that_are_named_are_refused_too(options: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        ExtractionOptions(**options)


def test_options_of_networks_are_told_of_where_there_is_none() -> None:
    sound = ExtractionOptions(video=("none",), audio=("acoustic",), precision="bf16", threads=2, device="cuda")
    assert [one.partition(" is for networks")[0] for one in idle_words(sound)] == [
        "--precision bf16", "--threads 2", "--device cuda"
    ]  # fmt: skip
    assert idle_words(dataclasses.replace(sound, video=("cnn5",))) == []


def test_a_part_shows_no_faces() -> None:
    with pytest.raises(UsageError, match="--part 1/2 seals no cache, of which --region-debug shows the faces"):
        RunOptions(part="1/2", region_debug=Path("faces"))


def test_names_stand_for_the_defaults() -> None:
    assert (FaceOptions().detector, FaceOptions().scorer, IdentityOptions().embedder) == (
        "blazeface", "sync", "face-api"
    )  # fmt: skip
