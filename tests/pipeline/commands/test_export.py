"""export: what a bundle holds, how it is calibrated, weights that travel, ONNX, runs that can't be exported."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from dualstream.features.networks.cnn5 import Cnn5
from dualstream.heads.data.speaker_prior import SpeakerPrior
from dualstream.heads.variants import registry
from dualstream.heads.variants.registry import FitOptions
from dualstream.pipeline.bundles import folder
from dualstream.pipeline.bundles.folder import Bundle, read_bundle
from dualstream.pipeline.bundles.inference import sharpened
from dualstream.pipeline.bundles.manifest import Calibration
from dualstream.pipeline.bundles.onnx_graph import TOLERANCE, parity, write_onnx
from dualstream.pipeline.commands import export, extract, predict
from dualstream.pipeline.errors import CorruptError, FingerprintMismatchError, NoCacheError, UsageError
from dualstream.pipeline.experiments.predictions import read_predictions
from dualstream.pipeline.extraction.recipe import ExtractionOptions
from scipy.optimize import minimize_scalar

from tests.heads.planted import plant
from tests.heads.small_corpora import with_signal
from tests.pipeline.planted_bundle import bundle_of
from tests.pipeline.spoken_corpus import CLIPS, fit, make_cache, make_clips


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("spoken")
    make_clips(root)
    make_cache(root)
    return root


def test_bundle_holds_safetensors_and_json_alone(corpus: Path, tmp_path: Path) -> None:
    export.export(fit(corpus / "cache.h5", "concat_norm", corpus / "run"), tmp_path / "b")
    suffixes = {path.suffix for path in (tmp_path / "b").rglob("*") if path.is_file()}
    assert suffixes == {".safetensors", ".json", ".md"}
    text = (tmp_path / "b" / "config.json").read_text() + (tmp_path / "b" / "MODEL_CARD.md").read_text()
    assert str(corpus) not in text and str(tmp_path) not in text


def test_card_states_majority_scores_and_limits(corpus: Path, tmp_path: Path) -> None:
    export.export(fit(corpus / "cache.h5", "linear", corpus / "linear"), tmp_path / "b")
    card = (tmp_path / "b" / "MODEL_CARD.md").read_text()
    assert "majority class: joy | 50.0" in card and "must not be used for" in card
    assert "joy 4, anger 4" in card and "The test split was not looked at." in card
    assert "fedc03015e27d033" in card or "random:0" in card


def test_the_hub_reads_the_card(corpus: Path, tmp_path: Path) -> None:
    """By its own library: tags, and what each task scored on which split."""
    hub = pytest.importorskip("huggingface_hub")
    run = fit(corpus / "cache.h5", "linear", corpus / "for-the-hub")
    export.export(run, tmp_path / "b")
    data = hub.ModelCard((tmp_path / "b" / "MODEL_CARD.md").read_text()).data
    assert data.library_name == "dualstream" and data.pipeline_tag == "video-classification"
    assert {"emotion-recognition", "dualstream"} <= set(data.tags)
    scored = json.loads((run / "metrics.json").read_text())["tasks"]
    accuracy = {one.task_type: one.metric_value for one in data.eval_results if one.metric_name == "accuracy"}
    assert accuracy.keys() == {"emotion-recognition", "sentiment-recognition"}
    assert accuracy["emotion-recognition"] == pytest.approx(scored["emotion"]["accuracy"]["mean"], abs=0.01)
    assert {one.dataset_split for one in data.eval_results} == {"dev"}


def test_temperature_is_the_one_that_a_search_finds(corpus: Path, tmp_path: Path) -> None:
    """With Platt's targets: as if each class had been seen once more, whatever the clip."""
    run = fit(corpus / "cache.h5", "late", corpus / "searched")
    found = export.export(run, tmp_path / "b")["calibration"]
    config = json.loads((run / "config.json").read_text())
    said = read_predictions(run / "predictions_dev.csv", config["vocabulary"])
    p = np.mean([np.exp(model.emotion) for model in said.models], axis=0)
    truth, (count, classes) = said.true["emotion"], p.shape
    target = np.full(p.shape, 1 / (count + classes))
    target[np.arange(count), truth] += count / (count + classes)

    def loss(sharpness: float) -> float:
        return float(-(target * np.log(sharpened(np.log(p), sharpness))).sum())

    best = minimize_scalar(loss, bounds=(0, 50), method="bounded").x
    assert found["emotion"] == pytest.approx(best, rel=1e-2, abs=1e-3)


def test_folds_calibrate_out_of_fold(corpus: Path, tmp_path: Path) -> None:
    run = fit(corpus / "cache.h5", "linear", corpus / "folds", folds="dialogue:3")
    export.export(run, tmp_path / "b")
    one = read_bundle(tmp_path / "b").calibration["emotion"]
    assert one.split == "folds" and one.utterances == CLIPS
    assert predict.predict(tmp_path / "b", [corpus / "clips" / "00.mp4"])["failed"] == 0


def test_joint_decoding_travels(corpus: Path, tmp_path: Path) -> None:
    from dualstream.pipeline.experiments.protocol import DecodingOptions

    run = fit(corpus / "cache.h5", "linear", corpus / "joint", answering=DecodingOptions(joint_decoding=True))
    export.export(run, tmp_path / "b")
    assert read_bundle(tmp_path / "b").pairs is not None
    for one in predict.predict(tmp_path / "b", [corpus / "clips"])["utterances"]:
        assert (one["emotion"]["answer"], one["sentiment"]["answer"]) in {
            ("joy", "positive"),
            ("anger", "negative"),
        }


def test_joint_answers_travel_and_the_graph_says_them(corpus: Path, tmp_path: Path) -> None:
    """The default: the bundle's models carry the table, and pairs stand in the graph's outputs."""
    run = fit(corpus / "cache.h5", "linear", corpus / "as_one")
    found = export.export(run, tmp_path / "b", export.ExportOptions(onnx=True))
    bundle = read_bundle(tmp_path / "b")
    assert bundle.pairs is None and all(model.joint.counts.sum() for model in bundle.models)
    facts = found["onnx"]
    sizes = [len(bundle.vocabulary[task]) for task in ("emotion", "sentiment")]
    assert facts["outputs"] == {"emotion": sizes[0], "sentiment": sizes[1], "pairs": sizes}
    assert facts["lead"] == "emotion" and facts["parity"]["largest_difference"] < 1e-5
    for one in predict.predict(tmp_path / "b", [corpus / "clips"])["utterances"]:
        assert (one["emotion"]["answer"], one["sentiment"]["answer"]) in {
            ("joy", "positive"),
            ("anger", "negative"),
        }


# Weights from a file


@pytest.fixture(scope="module")
def from_file(tmp_path_factory: pytest.TempPathFactory, corpus: Path) -> Path:
    """A run on features that weights from a file made; the file is cnn.pth beside it."""
    root = tmp_path_factory.mktemp("weights")
    torch.save(Cnn5().reset(3).state_dict(), root / "cnn.pth")
    options = ExtractionOptions(video=("cnn5",), video_weights=(str(root / "cnn.pth"),), device="cpu", threads=1)
    extract.extract(
        corpus / "manifest.csv", root=corpus, out=root / "c.h5", options=options, run=extract.RunOptions(workers=1)
    )
    fit(root / "c.h5", "linear", root / "run")
    return root


def test_weights_are_asked_for_by_digest(from_file: Path, corpus: Path, tmp_path: Path) -> None:
    (needed,) = export.export(from_file / "run", tmp_path / "b")["needs_weights"]
    assert needed["encoder"] == "cnn5"
    clip = [corpus / "clips" / "09.mp4"]
    with pytest.raises(UsageError, match=f"sha256 {needed['sha256'][:16]}"):
        predict.predict(tmp_path / "b", clip)
    named = predict.predict(tmp_path / "b", clip, predict.PredictOptions(weights=(from_file / "cnn.pth",)))
    torch.save(Cnn5().reset(4).state_dict(), tmp_path / "other.pth")
    with pytest.raises(FingerprintMismatchError, match="other weights"):
        predict.predict(tmp_path / "b", clip, predict.PredictOptions(weights=(tmp_path / "other.pth",)))
    export.export(
        from_file / "run", tmp_path / "whole", export.ExportOptions(with_weights=(from_file / "cnn.pth",))
    )
    carried = predict.predict(tmp_path / "whole", clip)
    assert carried["utterances"][0]["emotion"] == named["utterances"][0]["emotion"]
    assert not list((tmp_path / "whole").rglob("*.pth"))
    with (tmp_path / "whole" / "weights" / "video.safetensors").open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"\x7f")
    with pytest.raises(FingerprintMismatchError, match="encoder weights"):
        predict.predict(tmp_path / "whole", clip)


def test_weights_of_no_encoder_are_not_copied(from_file: Path, tmp_path: Path) -> None:
    torch.save(Cnn5().reset(4).state_dict(), tmp_path / "other.pth")
    with pytest.raises(FingerprintMismatchError, match="of no encoder of this run"):
        export.export(
            from_file / "run", tmp_path / "b", export.ExportOptions(with_weights=(tmp_path / "other.pth",))
        )
    assert list(tmp_path.iterdir()) == [tmp_path / "other.pth"]  # nothing is left behind


# Runs that can't be exported


def test_another_cache_is_refused(corpus: Path, from_file: Path, tmp_path: Path) -> None:
    run = fit(corpus / "cache.h5", "linear", corpus / "moved")
    with pytest.raises(FingerprintMismatchError, match="not the cache"):
        export.export(run, tmp_path / "b", export.ExportOptions(cache=from_file / "c.h5"))
    with pytest.raises(NoCacheError):
        export.export(run, tmp_path / "b", export.ExportOptions(cache=corpus / "none.h5"))


def test_tables_are_refused(corpus: Path, tmp_path: Path) -> None:
    rows = ["id,a,b", *(f"c{number:02d},{number},{number % 2}" for number in range(CLIPS))]
    (tmp_path / "t.csv").write_text("\n".join(rows) + "\n")
    options = ExtractionOptions(video=(f"table:{tmp_path / 't.csv'}",), device="cpu", threads=1)
    extract.extract(
        corpus / "manifest.csv",
        root=corpus,
        out=tmp_path / "c.h5",
        options=options,
        run=extract.RunOptions(workers=1),
    )
    run = fit(tmp_path / "c.h5", "linear", tmp_path / "run")
    with pytest.raises(UsageError, match=r"table:t\.csv"):
        export.export(run, tmp_path / "b")


def test_a_folder_that_is_no_bundle_is_left_alone(corpus: Path, tmp_path: Path) -> None:
    run = fit(corpus / "cache.h5", "linear", corpus / "again")
    (tmp_path / "mine").mkdir()
    for replaced in (False, True):
        with pytest.raises(UsageError):
            export.export(run, tmp_path / "mine", export.ExportOptions(replace=replaced))
    export.export(run, tmp_path / "b")
    export.export(run, tmp_path / "b", export.ExportOptions(replace=True))


# ONNX


def planted_bundle(name: str, *, speaker_norm: bool = False) -> Bundle:
    """A bundle in memory of a variant fitted on a planted corpus; it has no road from a clip."""
    split = plant("same_window", 0, train=60, dev=20, test=8)
    train = replace(split.train, dialogue=np.arange(60) // 4, turn=np.arange(60) % 4, speaker=np.arange(60) % 5)
    prior, dev = None, split.dev
    if speaker_norm:  # as sound measured in other units: far from zero, and small
        train = with_signal(train, video=1.0, audio=1.0)
        streams = {
            stream: replace(one, utterance=one.utterance * 0.01 + 5, windows=one.windows * 0.01 + 5)
            for stream, one in train.streams.items()
        }
        prior = SpeakerPrior.fit(replace(train, streams=streams))
        train, dev = prior.normalise_training(replace(train, streams=streams)), None
    models = registry.fit(name, train, dev, options=FitOptions(seeds=(0, 1), epochs=2, threads=1))
    return bundle_of(train, name, models, registry.get(name).streams, prior)


def test_onnx_takes_batches_of_any_length(tmp_path: Path) -> None:
    """One that reads windows, which an example of other lengths was exported with."""
    pytest.importorskip("onnxscript")
    pytest.importorskip("onnxruntime")
    facts, found = write_onnx(planted_bundle("aligned"), tmp_path / "head.onnx", batches=10)
    assert found.worst <= TOLERANCE
    assert facts["inputs"]["video"][0] == "time"


def test_onnx_says_what_the_heads_say_and_others_are_told_apart(tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    pytest.importorskip("onnxruntime")
    bundle = planted_bundle("concat_norm")
    facts, found = write_onnx(bundle, tmp_path / "head.onnx", batches=40)
    assert found.worst <= TOLERANCE and found.batches == 40
    assert list(facts["inputs"]) == ["video", "video_present", "audio", "audio_present"]
    changed = {**bundle.calibration, "emotion": Calibration(1.31, "dev", 20)}
    other = Bundle(dataclasses.replace(bundle.manifest, calibration=changed), bundle.models)
    assert parity(other, tmp_path / "head.onnx", batches=5).worst > TOLERANCE


@pytest.mark.parametrize(
    "name", ["linear_late", *(pytest.param(one, marks=pytest.mark.slow) for one in ("concat_norm", "aligned"))]
)
def test_onnx_normalises_each_utterance_by_the_speakers_prior(name: str, tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    pytest.importorskip("onnxruntime")
    bundle = planted_bundle(name, speaker_norm=True)
    _, found = write_onnx(bundle, tmp_path / "head.onnx", batches=10)
    assert found.worst <= TOLERANCE
    plain = replace(
        bundle, speaker_prior=SpeakerPrior.fit(plant("same_window", 1, train=60, dev=20, test=8).train)
    )
    assert parity(plain, tmp_path / "head.onnx", batches=5).worst > TOLERANCE  # another prior, another answer


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", [*registry.names(), "dialogue:aligned"])
def test_every_variant_agrees_on_a_thousand_batches(name: str, tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    pytest.importorskip("onnxruntime")
    _, found = write_onnx(planted_bundle(name), tmp_path / "head.onnx", batches=1000)
    print(f"{name}: {found.worst:.1e}")
    assert found.batches == 1000 and found.worst <= TOLERANCE


def test_a_bundle_is_answered_from_the_bytes_that_were_checked(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other heads are put in place just after the digest was taken: they are neither used nor taken for damage."""
    export.export(fit(corpus / "cache.h5", "linear", corpus / "linear_b"), tmp_path / "b")
    place = tmp_path / "b" / "models.safetensors"
    expected = read_bundle(tmp_path / "b").models[0].state()[0]
    real = folder.read_hashed

    def hashed_then_replaced(path: Path) -> tuple[bytes, str]:
        found = real(path)
        if path == place:
            place.write_bytes(b"others")
        return found

    monkeypatch.setattr(folder, "read_hashed", hashed_then_replaced)
    found = read_bundle(tmp_path / "b").models[0].state()[0]
    assert {name: array.tobytes() for name, array in found.items()} == {
        name: np.asarray(array).tobytes() for name, array in expected.items()
    }
    with pytest.raises(CorruptError, match=r"models.safetensors was changed or damaged"):
        read_bundle(tmp_path / "b")
