"""Runs of normalised speakers: exported, predicted from and evaluated alike, by the rule that they were made with."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from dualstream.heads.data.normalisation import normalise_speakers
from dualstream.heads.variants.ensemble import ensemble
from dualstream.heads.variants.registry import FitOptions
from dualstream.pipeline import experiments
from dualstream.pipeline.bundles.folder import read_bundle
from dualstream.pipeline.cache import read_cache, write_cache
from dualstream.pipeline.commands import evaluate, export, fit_head, predict
from dualstream.pipeline.corpus.manifest import Manifest, write_manifest
from dualstream.pipeline.errors import CorruptError, UsageError
from dualstream.pipeline.experiments.predictions import read_predictions
from dualstream.pipeline.experiments.training_data import corpus_of
from typer.testing import CliRunner

from dualstream import Predictor, cli
from tests.pipeline.planted_corpus import planted_cache
from tests.pipeline.spoken_corpus import fit, make_cache, make_clips

PARITY = 1e-5
VARIANTS = ("linear_late", "aligned")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Clips of s0 and s1 in train, s2 in dev; runs and bundles of two variants; a manifest of dev alone."""
    root = tmp_path_factory.mktemp("speakers")
    manifest = make_clips(root)
    make_cache(root)
    for name in VARIANTS:
        fit(root / "cache.h5", name, root / name, speaker_norm=True)
        export.export(root / name, root / f"{name}-bundle")
    write_manifest(Manifest(tuple(row for row in manifest if row.split == "dev")), root / "dev.csv")
    return root


@pytest.fixture
def run_of_rule_1(tmp_path: Path) -> Path:
    """A run whose config.json is of a version that knew rule 1 only."""
    write_cache(tmp_path / "cache.h5", planted_cache())
    run = tmp_path / "run"
    options = fit_head.FitHeadOptions(speaker_norm=True, report=False)
    fit_head.fit_head(tmp_path / "cache.h5", "linear", run, fit=FitOptions(seeds=(0,)), options=options)
    config = json.loads((run / "config.json").read_text())
    assert config.pop("speaker_prior")["rule"] == 2 and config["version"] == 2
    (run / "config.json").write_text(json.dumps({**config, "version": 1}))
    (run / "speaker_prior.safetensors").unlink()
    return run


def said_by_run(run: Path, split: str) -> dict[str, np.ndarray]:
    """Return the mean probabilities of emotion by id."""
    found = read_predictions(run / f"predictions_{split}.csv", experiments.read_run(run).config.vocabulary)
    return dict(zip(found.ids, np.exp(ensemble(found.models).emotion), strict=True))


def said_by_bundle(found: predict.PredictionReport) -> dict[str, np.ndarray]:
    return {
        Path(one.name).stem.removeprefix("c"): np.array(list(one.emotion.uncalibrated.values()))
        for one in found.utterances
    }


# ---- export and predict


@pytest.mark.parametrize("name", VARIANTS)
def test_predict_says_what_evaluate_says_of_the_same_batch(corpus: Path, name: str) -> None:
    """The four dev clips are one batch of s2 for both; the last of them has no sound."""
    evaluate.evaluate(corpus / name, split="dev")
    expected = said_by_run(corpus / name, "dev")
    found = predict.predict(corpus / f"{name}-bundle", [corpus / "dev.csv"], predict.PredictOptions(root=corpus))
    said = said_by_bundle(found)
    assert len(said) == 4
    for clip, p in expected.items():
        np.testing.assert_allclose(said[clip.removeprefix("c")], p, atol=PARITY)
    (batch,) = found.speakers
    assert (batch.speaker, batch.utterances) == ("s2", 4)
    assert sum(batch.answers["emotion"].values()) == 4
    assert all(one.speaker == "s2" for one in found.utterances)


@pytest.mark.parametrize("name", ["linear_late", pytest.param("aligned", marks=pytest.mark.slow)])
def test_loose_files_of_a_named_speaker_are_that_batch_too(corpus: Path, name: str) -> None:
    files = [corpus / "clips" / f"{number:02d}.mp4" for number in range(8, 12)]
    table = predict.predict(corpus / f"{name}-bundle", [corpus / "dev.csv"], predict.PredictOptions(root=corpus))
    named = predict.predict(corpus / f"{name}-bundle", files, predict.PredictOptions(speaker="s2"))
    nobody = predict.predict(corpus / f"{name}-bundle", files)
    one, two, three = (said_by_bundle(each) for each in (table, named, nobody))
    for clip, p in one.items():
        np.testing.assert_allclose(two[clip], p, atol=PARITY)
    assert max(np.abs(three[clip] - p).max() for clip, p in one.items()) > 10 * PARITY
    assert [one.speaker for one in nobody.speakers] == [""]
    assert "speaker" not in nobody.utterances[0].to_json()


@pytest.mark.parametrize("name", ["linear_late", pytest.param("aligned", marks=pytest.mark.slow)])
def test_a_clip_alone_takes_the_prior_whoever_speaks(corpus: Path, name: str) -> None:
    clip = [corpus / "clips" / "09.mp4"]
    bundle = corpus / f"{name}-bundle"
    named = predict.predict(bundle, clip, predict.PredictOptions(speaker="s2"))
    unknown = predict.predict(bundle, clip)
    assert said_by_bundle(named)["09"].tolist() == said_by_bundle(unknown)["09"].tolist()
    prior = read_bundle(bundle).speaker_prior
    cache = read_cache(corpus / "cache.h5")
    train = np.array(cache.utterances.split) == "train"
    for stream in ("video", "audio"):
        rows = cache.streams[stream].utterance[train & cache.streams[stream].present].astype(np.float64)
        np.testing.assert_allclose(prior.utterance[stream].mean, rows.mean(0), rtol=1e-6, atol=1e-9)
        np.testing.assert_allclose(prior.utterance[stream].spread(), rows.std(0), rtol=1e-5, atol=1e-9)


def test_two_speakers_in_one_call_do_not_move_each_other(corpus: Path) -> None:
    bundle, rows = corpus / "linear_late-bundle", corpus / "manifest.csv"
    both = said_by_bundle(predict.predict(bundle, [rows]))
    alone = said_by_bundle(predict.predict(bundle, [corpus / "dev.csv"], predict.PredictOptions(root=corpus)))
    for clip, p in alone.items():
        np.testing.assert_allclose(both[clip], p, atol=PARITY)


def test_segments_of_a_recording_are_of_one_speaker_on_request(corpus: Path) -> None:
    bundle, clips = corpus / "linear_late-bundle", [corpus / "clips" / f"{number:02d}.mp4" for number in (8, 9)]
    each = predict.PredictOptions(segments="0.5", speaker_per_file=True)
    found = predict.predict(bundle, clips, each)
    assert [one.utterances for one in found.speakers] == [3, 3] and len({o.speaker for o in found.speakers}) == 2
    plain = predict.predict(bundle, clips, replace(each, speaker_per_file=False))
    assert [(one.speaker, one.utterances) for one in plain.speakers] == [("", 6)]
    assert found.utterances[0].emotion != plain.utterances[0].emotion


def test_a_timeline_is_normalised_as_its_clip(corpus: Path) -> None:
    """A stretch as long as the clip is the clip: its point says what the utterance's answer says."""
    options = predict.PredictOptions(root=corpus, timeline_s=10.0)
    found = predict.predict(corpus / "linear_late-bundle", [corpus / "dev.csv"], options)
    for one in found.utterances:
        for point in one.timeline:
            whole = one.emotion.probabilities
            assert point["emotion"] == pytest.approx(whole, abs=1e-3)


def test_few_clips_and_answers_of_one_class_are_named(corpus: Path) -> None:
    files = [corpus / "clips" / f"{number:02d}.mp4" for number in (8, 10)]
    words = ["predict", str(corpus / "linear_late-bundle"), *map(str, files), "--speaker", "ann"]
    found = CliRunner().invoke(cli.app, [*words, "--json"])
    assert found.exit_code == 0, found.output
    document = json.loads(found.stdout)
    (batch,) = document["speakers"]
    assert batch["speaker"] == "ann" and batch["utterances"] == 2 and 0 < batch["share"] < 0.2
    (few,) = [text for text in document["warnings"] if "fewer than 10 utterances (ann: 2" in text]
    assert few in found.stderr
    text = CliRunner().invoke(cli.app, words)
    assert "fewer than 10 utterances (ann: 2" in text.output


def test_the_python_face_takes_speakers(corpus: Path, caplog: pytest.LogCaptureFixture) -> None:
    predictor = Predictor(corpus / "linear_late-bundle")
    files = [corpus / "clips" / f"{number:02d}.mp4" for number in range(8, 12)]
    found = predictor.predict(files, speaker="s2")
    expected = predict.predict(corpus / "linear_late-bundle", files, predict.PredictOptions(speaker="s2"))
    assert [one.probabilities["emotion"] for one in found] == [
        one.emotion.probabilities for one in expected.utterances
    ]
    assert any("fewer than 10 utterances (s2: 4" in text for text in caplog.messages)


def test_a_bundle_of_plain_rows_refuses_speakers(corpus: Path, tmp_path: Path) -> None:
    fit(corpus / "cache.h5", "linear", corpus / "plain")
    export.export(corpus / "plain", tmp_path / "b")
    for options in (predict.PredictOptions(speaker="ann"), predict.PredictOptions(speaker_per_file=True)):
        with pytest.raises(UsageError, match="read rows as they are, whoever speaks"):
            predict.predict(tmp_path / "b", [corpus / "clips" / "00.mp4"], options)
    assert json.loads((tmp_path / "b" / "config.json").read_text())["version"] == 1


@pytest.mark.parametrize(
    "options", [predict.PredictOptions(speaker_per_file=True),
                predict.PredictOptions(speaker_per_file=True, segments="0.5", speaker="ann")]
)  # fmt: skip
def test_a_speaker_per_file_needs_segments_and_no_name(corpus: Path, options: predict.PredictOptions) -> None:
    with pytest.raises(UsageError, match="--speaker-per-file goes with --segments and without --speaker"):
        predict.predict(corpus / "linear_late-bundle", [corpus / "clips" / "00.mp4"], options)


def test_an_older_program_would_refuse_the_bundle_and_a_lost_prior_is_damage(corpus: Path, tmp_path: Path) -> None:
    export.export(corpus / "linear_late", tmp_path / "b")
    assert json.loads((tmp_path / "b" / "config.json").read_text())["version"] == 2
    (tmp_path / "b" / "speaker_prior.safetensors").unlink()
    with pytest.raises(CorruptError, match=r"speaker_prior.safetensors is missing"):
        read_bundle(tmp_path / "b")


def test_the_card_says_transductive(corpus: Path) -> None:
    card = (corpus / "linear_late-bundle" / "MODEL_CARD.md").read_text()
    assert "transductive" in card and "count for up to 30 utterances" in card


@pytest.mark.slow
def test_a_bundle_with_onnx_answers_as_for_unknown_speakers(corpus: Path, tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    export.export(corpus / "linear_late", tmp_path / "b", export.ExportOptions(onnx=True))
    session = onnxruntime.InferenceSession(str(tmp_path / "b" / "head.onnx"))
    cache = read_cache(corpus / "cache.h5")
    feed = {name: cache.streams[name].utterance[8:] for name in ("video", "audio")}
    feed |= {f"{name}_present": cache.streams[name].present[8:] for name in ("video", "audio")}
    said = session.run(["emotion"], feed)[0]
    files = [corpus / "clips" / f"{number:02d}.mp4" for number in range(8, 12)]
    found = predict.predict(tmp_path / "b", files)
    expected = [list(one.emotion.probabilities.values()) for one in found.utterances]
    np.testing.assert_allclose(said, expected, atol=PARITY)


# ---- evaluate


def test_a_run_states_its_rule_and_keeps_its_prior(corpus: Path) -> None:
    config = json.loads((corpus / "linear_late" / "config.json").read_text())
    assert config["version"] == 2 and config["speaker_norm"] is True
    assert config["speaker_prior"]["rule"] == 2 and "2 training speakers" in config["speaker_prior"]["chosen_by"]
    assert (corpus / "linear_late" / "speaker_prior.safetensors").is_file()


def test_evaluate_says_what_speakers_brought_in_text_and_json(tmp_path: Path) -> None:
    cache = planted_cache(sizes={"train": 240, "dev": 80, "test": 30})
    write_cache(tmp_path / "cache.h5", cache)
    words = ["fit-head", str(tmp_path / "cache.h5"), "--fusion", "linear", "--speaker-norm"]
    done = CliRunner().invoke(cli.app, [*words, "--out", str(tmp_path / "run"), "--no-report"])
    assert done.exit_code == 0, done.output
    found = CliRunner().invoke(cli.app, ["evaluate", str(tmp_path / "run"), "--json"])
    document = json.loads(found.stdout)
    assert [one["speaker"] for one in document["speakers"]] == [f"speaker{k}" for k in range(6)]
    there = np.array(cache.utterances.status)[320:] == "ok"
    names = np.array(cache.utterances.speaker)[320:][there]
    assert [one["utterances"] for one in document["speakers"]] == [
        int((names == f"speaker{k}").sum()) for k in range(6)
    ]
    (few,) = [text for text in document["scores"]["warnings"] if "6 of 6 speakers have fewer than 10" in text]
    text = " ".join(CliRunner().invoke(cli.app, ["evaluate", str(tmp_path / "run")]).output.split())
    assert few in text
    assert few in json.loads((tmp_path / "run" / "metrics_test.json").read_text())["warnings"]


def test_a_split_of_one_emotion_is_named(tmp_path: Path) -> None:
    """All test utterances are angry, and told so without doubt."""
    cache = planted_cache(sizes={"train": 240, "dev": 80, "test": 200}, strength=12.0)
    emotion = cache.utterances.emotion
    kept = np.concatenate((np.arange(320), 320 + np.flatnonzero(emotion[320:] == 2)))
    split = np.array(cache.utterances.split)
    split[np.setdiff1d(np.arange(520), kept)] = "other"
    write_cache(tmp_path / "cache.h5", replace(cache, utterances=replace(cache.utterances, split=split.tolist())))
    options = fit_head.FitHeadOptions(speaker_norm=True, report=False)
    fit_head.fit_head(
        tmp_path / "cache.h5", "linear_video", tmp_path / "run", fit=FitOptions(seeds=(0,)), options=options
    )
    found = evaluate.evaluate(tmp_path / "run")
    assert any("all answers of emotion are of one class for" in text for text in found.scores.warnings)
    assert found.scores.tasks["emotion"].accuracy.mean > 0.8


# ---- runs of rule 1


def test_a_run_of_rule_1_is_evaluated_as_it_was_made(run_of_rule_1: Path) -> None:
    """By each split's own rows, as `normalise_speakers` does it, and without a word on batches."""
    found = evaluate.evaluate(run_of_rule_1)
    assert found.speakers == () and found.scores.speaker_norm
    corpus = corpus_of(read_cache(run_of_rule_1.parent / "cache.h5"))
    rows = normalise_speakers(corpus.features, np.unique(corpus.splits, return_inverse=True)[1].reshape(-1))
    (model,) = experiments.read_models(run_of_rule_1 / experiments.WEIGHTS)
    test = np.flatnonzero(corpus.splits == "test")
    expected = np.exp(model.predict(rows.take(test)).emotion)
    said = said_by_run(run_of_rule_1, "test")
    np.testing.assert_allclose([said[corpus.ids[i]] for i in test], expected, atol=1e-12)


def test_a_run_of_rule_1_is_refused_for_export_with_what_to_do(run_of_rule_1: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"fit it again: fit-head --like .*run"):
        export.export(run_of_rule_1, tmp_path / "bundle")


def test_fitting_a_run_of_rule_1_again_takes_rule_2(run_of_rule_1: Path, tmp_path: Path) -> None:
    words = ["fit-head", str(run_of_rule_1.parent / "cache.h5"), "--like", str(run_of_rule_1), "--no-report"]
    found = CliRunner().invoke(cli.app, [*words, "--out", str(tmp_path / "again")])
    assert found.exit_code == 0, found.output
    assert json.loads((tmp_path / "again" / "config.json").read_text())["speaker_prior"]["rule"] == 2


def test_a_run_whose_prior_is_lost_says_so(run_of_rule_1: Path, tmp_path: Path) -> None:
    options = fit_head.FitHeadOptions(speaker_norm=True, report=False)
    fit_head.fit_head(
        run_of_rule_1.parent / "cache.h5", "linear", tmp_path / "r", fit=FitOptions(seeds=(0,)), options=options
    )
    (tmp_path / "r" / "speaker_prior.safetensors").unlink()
    with pytest.raises(CorruptError, match="by which speakers were normalised; fit the run again"):
        evaluate.evaluate(tmp_path / "r")
