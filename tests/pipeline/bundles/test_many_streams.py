"""Bundles of three streams and of layered ones: export, predict and ONNX say what the run says."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from dualstream.heads.data.batch import FeatureSet
from dualstream.heads.variants import joint_fit
from dualstream.heads.variants.registry import FitOptions
from dualstream.pipeline.bundles import inference
from dualstream.pipeline.bundles.folder import Bundle, read_bundle
from dualstream.pipeline.bundles.onnx_graph import TOLERANCE, write_onnx
from dualstream.pipeline.commands import export, extract, predict
from dualstream.pipeline.errors import CorruptError, FingerprintMismatchError
from dualstream.pipeline.extraction.options import ExtractionOptions, RunOptions

from dualstream import Predictor
from tests.heads.planted import plant
from tests.heads.variants.test_layered import layered_corpus
from tests.pipeline.commands.test_predict import stored
from tests.pipeline.planted_bundle import bundle_of
from tests.pipeline.spoken_corpus import CLIPS, fit, make_clips

PARITY = 1e-5
THREE = ("video", "audio", "audio.bilstm")
BY_NAME = {name: name for name in THREE}
BILSTM = "random:3"


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Clips with three streams: cnn5 and bilstm of random weights, and acoustic; the last clip has no sound."""
    root = tmp_path_factory.mktemp("three")
    make_clips(root)
    options = ExtractionOptions(
        video=("cnn5",), video_weights=("random:0",), audio=("acoustic", "bilstm"), audio_weights=(BILSTM,),
        device="cpu", threads=1,
    )  # fmt: skip
    extract.extract(
        root / "manifest.csv", root=root, out=root / "cache.h5", options=options, run=RunOptions(workers=1)
    )
    return root


@pytest.mark.parametrize("fusion", ["linear_late", pytest.param("concat_norm", marks=pytest.mark.slow)])
def test_the_runs_own_clips_get_the_runs_own_probabilities(corpus: Path, tmp_path: Path, fusion: str) -> None:
    fit(corpus / "cache.h5", fusion, tmp_path / "run", streams=BY_NAME)
    done = export.export(tmp_path / "run", tmp_path / "bundle")
    assert set(done.streams) == set(THREE) and done.streams["audio.bilstm"] == "bilstm"
    predictor = Predictor(tmp_path / "bundle")
    found = {one.name: one for one in predictor.predict(corpus / "manifest.csv")}
    again = predict.predict(tmp_path / "bundle", [corpus / "manifest.csv"])
    expected = stored(tmp_path / "run")
    assert len(expected) == 2 * (CLIPS - 8)  # dev, by two seeds
    for (model, name), tasks in expected.items():
        for task, values in tasks.items():
            for label, p in values.items():
                assert abs(found[name].document[task]["seeds"][model][label] - p) <= PARITY
    silent = next(one for one in again["utterances"] if one["name"] == f"c{CLIPS - 1:02d}")
    assert silent["streams"] == {"video": True, "audio": False, "audio.bilstm": False}
    assert silent["status"] == "ok"  # the video answers, the others are masked


def test_a_run_of_one_stream_by_its_name(corpus: Path, tmp_path: Path) -> None:
    fit(corpus / "cache.h5", "linear:audio.bilstm", tmp_path / "run", streams=BY_NAME)
    done = export.export(tmp_path / "run", tmp_path / "bundle")
    assert set(done.streams) == {"audio.bilstm"}
    found = predict.predict(tmp_path / "bundle", [corpus / "manifest.csv"])
    by_id = {one["name"]: one for one in found["utterances"]}
    for (model, name), tasks in stored(tmp_path / "run").items():
        for label, p in tasks["emotion"].items() if name != f"c{CLIPS - 1:02d}" else ():
            assert abs(by_id[name]["emotion"]["seeds"][model][label] - p) <= PARITY


@pytest.mark.parametrize(
    ("name", "stands_for", "says"),
    [
        ("../audio", "../audio", "expected letters, digits"),
        ("video", "audio", "the encoder of video is one of audio"),
        ("voice", "audio", "voice stands for audio"),
    ],
)
def test_streams_of_other_names_fail(corpus: Path, tmp_path: Path, name: str, stands_for: str, says: str) -> None:
    fit(corpus / "cache.h5", "linear_audio", tmp_path / "run")
    export.export(tmp_path / "run", tmp_path / "bundle")
    place = tmp_path / "bundle" / "config.json"
    document = json.loads(place.read_text())
    document["streams"] = {name: {**document["streams"]["audio"], "name": stands_for}}
    place.write_text(json.dumps(document))
    with pytest.raises(CorruptError, match=says):
        read_bundle(tmp_path / "bundle")


def fitted_bundle(features: FeatureSet, name: str, **options: object) -> Bundle:
    """A bundle in memory of a variant fitted on these utterances."""
    fitted = FitOptions(seeds=(0, 1), epochs=2, patience=0, threads=1, **options)  # type: ignore[arg-type]
    return bundle_of(features, name, joint_fit.fit(name, features, options=fitted), features.streams)


def three_streams() -> FeatureSet:
    """A planted corpus with a third stream, whose windows are the audio's turned round."""
    train = plant("same_window", 0, train=60, dev=20, test=8).train
    audio = train.streams["audio"]
    assert audio.windows is not None
    turned = replace(audio, utterance=-audio.utterance[:, :7].copy(), windows=-audio.windows[:, :7].copy())
    return replace(train, streams={**train.streams, "audio.voice": turned})


SOME = ("linear_late", "gated", "crossmodal", "dialogue")  # of each family, and what mixes as no other does


@pytest.mark.parametrize("name", ["concat_norm", *(pytest.param(one, marks=pytest.mark.slow) for one in SOME)])
def test_onnx_of_three_streams_says_what_the_heads_say(tmp_path: Path, name: str) -> None:
    pytest.importorskip("onnxscript")
    pytest.importorskip("onnxruntime")
    facts, found = write_onnx(fitted_bundle(three_streams(), name), tmp_path / "head.onnx", batches=20)
    assert found.worst <= TOLERANCE and found.batches == 20
    assert [one for one in facts["inputs"] if one in (*THREE, "audio.voice")] == ["video", "audio", "audio.voice"]
    assert {f"{stream}_present" for stream in ("video", "audio", "audio.voice")} <= set(facts["inputs"])


LAYERED = [("linear_audio", "learned"), ("aligned", "learned")]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "layers"), LAYERED)
def test_onnx_carries_the_weights_of_layers(tmp_path: Path, name: str, layers: str) -> None:
    pytest.importorskip("onnxscript")
    pytest.importorskip("onnxruntime")
    features = layered_corpus(60, {2: 1.0})
    if name == "linear_audio":
        features = replace(features, streams={"audio": features.streams["audio"]})
    facts, found = write_onnx(fitted_bundle(features, name, layers=layers), tmp_path / "head.onnx", batches=20)
    assert found.worst <= TOLERANCE
    assert facts["inputs"]["audio"][-1] == 24  # all layers come in


def test_bundles_that_state_no_width_of_a_layer_stay_readable() -> None:
    weights = {"source": "file", "sha256": "a" * 64, "licence": ""}
    own = {"layers": [0, 1], "layers_joined": "each", "layer_width": 16}
    built: Any = {"name": "hf:vit@all", "stream": "video", "raw_width": 32, "parameters": own, "weights": weights}
    older = {**built, "parameters": {key: value for key, value in own.items() if key != "layer_width"}}
    other = {**built, "parameters": {**own, "layer_width": 8}}
    inference._check_encoder("video", built, built, "a" * 64)
    inference._check_encoder("video", older, built, "a" * 64)
    with pytest.raises(FingerprintMismatchError, match="layer_width"):
        inference._check_encoder("video", other, built, "a" * 64)
