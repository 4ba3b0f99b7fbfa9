"""fit-head: what it learns, what it prints and leaves behind, and that no label leaks."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from dualstream.heads.data.normalisation import LABEL
from dualstream.heads.variants import registry
from dualstream.heads.variants.registry import FitOptions, Progress
from dualstream.pipeline import experiments
from dualstream.pipeline.cache import Cache, write_cache
from dualstream.pipeline.commands.fit_head import FitHeadOptions, describe, document, fit_head, fit_head_on
from dualstream.pipeline.errors import NoCacheError, UsageError
from dualstream.pipeline.experiments import fitting, protocol
from dualstream.pipeline.experiments.history import ModelHistory
from dualstream.pipeline.experiments.interrupt import graceful_interrupt
from dualstream.pipeline.experiments.predictions import read_predictions
from dualstream.pipeline.experiments.protocol import DecodingOptions
from dualstream.pipeline.experiments.training_data import corpus_of, read_corpus
from dualstream.pipeline.reporting import figures
from dualstream.pipeline.reporting.card import flattered
from dualstream.pipeline.reporting.report import run_report, scored_name
from dualstream.pipeline.reporting.tensorboard import write_events
from matplotlib.figure import Figure
from matplotlib.text import Text
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score
from typer.testing import CliRunner

from dualstream import cli
from dualstream.signals import SAME_S
from tests.pipeline.planted_corpus import EMOTIONS, constant_variant, permute_labels, planted_cache
from tests.registries import variants

ROOT = Path(__file__).resolve().parents[3]
QUICK = FitOptions(seeds=(0, 1), epochs=6, patience=3, hidden=16, threads=1)
BARE = FitHeadOptions(report=False)


@pytest.fixture
def constant() -> Iterator[None]:
    with variants(constant_variant()):
        yield


@pytest.fixture
def cache_path(tmp_path) -> Path:
    write_cache(tmp_path / "cache.h5", planted_cache())
    return tmp_path / "cache.h5"


def weights_of(cache: Cache, folder: Path, fusion: str, fit: FitOptions, options: FitHeadOptions = BARE) -> bytes:
    fit_head_on(corpus_of(cache), fusion, folder, fit=fit, options=options)
    return (folder / experiments.WEIGHTS).read_bytes()


def test_scores_of_a_run_are_scikit_learns_of_its_predictions(cache_path, tmp_path) -> None:
    run = fit_head(cache_path, "concat", tmp_path / "run", fit=QUICK, options=BARE)
    said = read_predictions(tmp_path / "run" / "predictions_dev.csv", run.config["vocabulary"])
    assert said.names == ("seed 0", "seed 1")
    assert said.ids == tuple(f"dev_{i:04d}" for i in range(80))
    for task in ("emotion", "sentiment"):
        true = said.true[task]
        answers = [model.task(task).argmax(axis=1) for model in said.models]
        expected = {
            "accuracy": [accuracy_score(true, a) for a in answers],
            "balanced_accuracy": [balanced_accuracy_score(true, a) for a in answers],
            "weighted_f1": [f1_score(true, a, average="weighted") for a in answers],
            "macro_f1": [f1_score(true, a, average="macro") for a in answers],
        }
        one = run.metrics["tasks"][task]
        for name, values in expected.items():
            np.testing.assert_allclose(one[name]["seeds"], values, atol=1e-12)
            assert one[name]["mean"] == pytest.approx(np.mean(values))
            assert one[name]["spread"] == pytest.approx(np.std(values, ddof=1))
            low, high = one[name]["interval"]
            assert low < one[name]["mean"] < high
        assert one["groups"] == 16  # 80 utterances in dialogues of five
        majority = np.full(80, np.bincount(corpus_of(planted_cache()).features.emotion[:240]).argmax())
        assert one["majority"]["accuracy"] == pytest.approx(accuracy_score(true, majority))
    # sentiment follows emotion in the labels, so a pair that differs was never seen
    emotion, sentiment = ([m.task(t).argmax(axis=1) for m in said.models] for t in ("emotion", "sentiment"))
    rates = [np.mean(e != s) for e, s in zip(emotion, sentiment, strict=True)]
    np.testing.assert_allclose(run.metrics["contradiction"]["seeds"], rates)


def test_planted_classes_are_found(cache_path, tmp_path) -> None:
    fit = dataclasses.replace(QUICK, epochs=25, patience=8)
    run = fit_head(cache_path, "concat_norm", tmp_path / "run", fit=fit, options=BARE)
    assert run.metrics["tasks"]["emotion"]["balanced_accuracy"]["mean"] > 0.65  # chance is a third


def test_restored_run_predicts_the_same(cache_path, tmp_path) -> None:
    run = fit_head(cache_path, "concat", tmp_path / "run", fit=QUICK, options=BARE)
    said = read_predictions(tmp_path / "run" / "predictions_dev.csv", run.config["vocabulary"])
    corpus = read_corpus(cache_path)
    features = corpus.take(corpus.split("dev"))
    models = experiments.read_models(tmp_path / "run" / experiments.WEIGHTS)
    assert len(models) == 2
    for model, before in zip(models, said.models, strict=True):
        after = model.predict(features)
        np.testing.assert_allclose(after.emotion, before.emotion, atol=1e-6)
        np.testing.assert_allclose(after.sentiment, before.sentiment, atol=1e-6)


def test_run_knows_its_cache_and_how_it_was_made(cache_path, tmp_path) -> None:
    fit_head(cache_path, "concat", tmp_path / "runs" / "one", fit=QUICK)
    config = experiments.read_run(tmp_path / "runs" / "one").config
    assert config["cache"]["path"] == "../../cache.h5"
    assert config["cache"]["fingerprint"] == "f" * 64
    assert config["cache"]["digest"] == read_corpus(cache_path).digest
    assert config["options"]["epochs"] == 6 and config["options"]["seeds"] == [0, 1]
    assert config["fitted_on"]["utterances"] == 231  # 240 of train, 9 of them failed
    assert sum(config["fitted_on"]["counts"]["emotion"]) == 231
    assert config["versions"]["numpy"] == np.__version__
    page = (tmp_path / "runs" / "one" / "report.html").read_text()
    assert config["cache"]["digest"] in page
    history = experiments.read_run(tmp_path / "runs" / "one").history
    assert [one["seed"] for one in history] == [0, 1]
    assert len(history[0]["columns"]["train_loss"]) <= 6
    assert all(-1.001 <= value <= 1.001 for value in history[0]["columns"]["task_cosine"])


@pytest.mark.parametrize("task", ["emotion", "sentiment"])
def test_one_task_alone(cache_path, tmp_path, task: str) -> None:
    fit = dataclasses.replace(QUICK, tasks=(task,))
    run = fit_head(cache_path, "concat", tmp_path / "run", fit=fit)
    assert list(run.metrics["tasks"]) == [task]
    assert f"<title>concat on cache.h5: {task}</title>" in (tmp_path / "run" / "report.html").read_text()
    assert run.metrics["contradiction"] is None


@pytest.mark.parametrize("fusion", ["concat", "linear_late"])
def test_test_labels_never_change_weights(tmp_path, fusion: str) -> None:
    cache = planted_cache()
    one = weights_of(cache, tmp_path / "one", fusion, QUICK)
    for seed in range(2):
        other = weights_of(permute_labels(cache, ["test"], seed), tmp_path / f"t{seed}", fusion, QUICK)
        assert other == one
    # the check can fail: labels of train do change them
    assert weights_of(permute_labels(cache, ["train"], 0), tmp_path / "train", fusion, QUICK) != one


@pytest.mark.parametrize("fusion", ["concat", "linear_late"])
def test_dev_labels_never_change_weights_without_early_stopping(tmp_path, fusion: str) -> None:
    cache = planted_cache()
    fit = dataclasses.replace(QUICK, patience=0)
    shuffled = permute_labels(cache, ["dev", "test"], 0)
    assert weights_of(cache, tmp_path / "a", fusion, fit) == weights_of(shuffled, tmp_path / "b", fusion, fit)


def test_test_labels_never_change_folds(tmp_path) -> None:
    cache = planted_cache()
    options = FitHeadOptions(folds="speaker:3", report=False)
    one = weights_of(cache, tmp_path / "one", "concat", QUICK, options)
    other = weights_of(permute_labels(cache, ["test"], 0), tmp_path / "two", "concat", QUICK, options)
    assert one == other
    first, second = (tmp_path / name / "predictions_folds.csv" for name in ("one", "two"))
    assert first.read_bytes() == second.read_bytes()


def test_folds_score_everyone_but_test_by_models_that_never_saw_them(tmp_path) -> None:
    """Features that name the utterance: a model that saw one would know its label."""
    cache = planted_cache(sizes={"train": 120}, widths=(120, 4), strength=0.0)
    known = dataclasses.replace(
        cache.streams["video"], utterance=3 * np.eye(120, dtype=np.float32), present=np.ones(120, bool)
    )
    corpus = corpus_of(dataclasses.replace(cache, streams={**cache.streams, "video": known}))
    fit = dataclasses.replace(QUICK, epochs=30, patience=0, hidden=64, dropout=0.0)
    run = fit_head_on(
        corpus, "video", tmp_path / "run", fit=fit, options=FitHeadOptions(folds="speaker:3", report=False)
    )
    assert run.metrics["split"] == "folds" and run.metrics["unit"] == "speaker"
    assert run.metrics["utterances"] == 120
    assert run.metrics["tasks"]["emotion"]["balanced_accuracy"]["mean"] < 0.5  # chance is a third
    # the models that the run keeps were fitted on all of them, and memorised them
    models = experiments.read_models(tmp_path / "run" / experiments.WEIGHTS)
    answers = models[0].predict(corpus.features).emotion.argmax(axis=1)
    assert np.mean(answers == corpus.features.emotion) > 0.9
    assert [one["fold"] for one in run.history if one["seed"] == 0] == ["fold 1", "fold 2", "fold 3", "all"]


def test_an_ensemble_is_the_mean_of_probabilities(tmp_path) -> None:
    corpus = corpus_of(planted_cache())
    vocabulary = corpus.vocabulary
    fit_head_on(corpus, "concat", tmp_path / "seeds", fit=QUICK, options=BARE)
    together = FitHeadOptions(report=False, answering=DecodingOptions(ensemble=True))
    run = fit_head_on(corpus, "concat", tmp_path / "one", fit=QUICK, options=together)
    seeds = read_predictions(tmp_path / "seeds" / "predictions_dev.csv", vocabulary)
    one = read_predictions(tmp_path / "one" / "predictions_dev.csv", vocabulary)
    assert one.names == ("ensemble of 2",)
    expected = np.mean([np.exp(model.emotion) for model in seeds.models], axis=0)
    np.testing.assert_allclose(np.exp(one.models[0].emotion), expected, atol=1e-12)
    assert run.metrics["tasks"]["emotion"]["accuracy"]["spread"] is None
    assert len(experiments.read_models(tmp_path / "one" / experiments.WEIGHTS)) == 2


def test_joint_decoding_never_contradicts(tmp_path) -> None:
    corpus = corpus_of(planted_cache())
    separate = dataclasses.replace(QUICK, decoding="separate")
    apart = fit_head_on(corpus, "concat", tmp_path / "apart", fit=separate, options=BARE)
    joint = FitHeadOptions(report=False, answering=DecodingOptions(joint_decoding=True))
    run = fit_head_on(corpus, "concat", tmp_path / "joint", fit=QUICK, options=joint)
    assert apart.metrics["contradiction"]["mean"] > 0
    assert run.metrics["contradiction"]["mean"] == 0
    said = read_predictions(tmp_path / "joint" / "predictions_dev.csv", corpus.vocabulary)
    for i, model in enumerate(said.models):  # labels follow each other class by class: by hand
        expected = (model.emotion + model.sentiment).argmax(axis=1)
        np.testing.assert_array_equal(said.answers(i, "emotion"), expected)
        np.testing.assert_array_equal(said.answers(i, "sentiment"), expected)
        found = accuracy_score(said.true["emotion"], expected)
        assert run.metrics["tasks"]["emotion"]["accuracy"]["seeds"][i] == pytest.approx(found)
    # probabilities are what they were, and so are the scores of them
    for name in ("log_loss", "calibrated_log_loss", "calibration_error"):
        assert run.metrics["tasks"]["emotion"][name] == apart.metrics["tasks"]["emotion"][name]


def test_joint_decoding_of_one_task_fails(cache_path, tmp_path) -> None:
    options = FitHeadOptions(report=False, answering=DecodingOptions(joint_decoding=True))
    with pytest.raises(UsageError, match="--joint-decoding needs both tasks"):
        fit_head(
            cache_path,
            "concat",
            tmp_path / "run",
            fit=dataclasses.replace(QUICK, tasks=("emotion",)),
            options=options,
        )
    assert not (tmp_path / "run").exists()


def test_speaker_norm_is_called_transductive(cache_path, tmp_path) -> None:
    words = ["fit-head", str(cache_path), "--fusion", "linear", "--speaker-norm", "--out", str(tmp_path / "run")]
    found = CliRunner().invoke(cli.app, words)
    assert found.exit_code == 0, found.output
    assert "linear (transductive)" in found.stdout
    assert "emotion (transductive)" in found.stdout  # the table of its classes
    assert LABEL in " ".join(found.stdout.split())
    page = (tmp_path / "run" / "report.html").read_text()
    assert '<th scope="row">linear (transductive)</th>' in page
    assert "UAR, linear (transductive)</small>" in page
    assert f"{LABEL.capitalize()}." in page
    assert json.loads((tmp_path / "run" / "metrics.json").read_text())["speaker_norm"] is True


def test_figures_of_normalised_speakers_are_called_transductive(cache_path, tmp_path, monkeypatch) -> None:
    found = fit_head(cache_path, "linear", tmp_path / "run", fit=QUICK, options=FitHeadOptions(speaker_norm=True))
    written = []

    def render(draw, width, height):
        figure = Figure()
        draw(figure)
        written.append([text.get_text() for text in figure.findobj(Text)])
        return SimpleNamespace(inline="")

    monkeypatch.setattr(figures, "render", render)
    run_report([found])
    lines, confusion, classes = written[:3]
    assert "linear (transductive)" in lines
    assert "emotion (transductive)" in confusion and "sentiment (transductive)" in confusion
    assert "emotion (transductive)" in classes


@pytest.mark.parametrize("level", ["utterance", "windows"])
def test_utterances_that_are_not_finite_are_named(tmp_path, level: str) -> None:
    cache = planted_cache()
    video = cache.streams["video"]
    rows = getattr(video, level).copy()
    rows[int(cache.offsets[250]) if level == "windows" else 250] = np.nan
    rows[int(cache.offsets[330]) if level == "windows" else 330] = np.inf  # of test: no matter before evaluate
    broken = corpus_of(
        dataclasses.replace(cache, streams=cache.streams | {"video": dataclasses.replace(video, **{level: rows})})
    )
    with pytest.raises(UsageError, match=r"video \(video\) holds NaN .* in 1 of \d+ utterances: dev_0010;"):
        fit_head_on(broken, "linear", tmp_path / "run", fit=QUICK, options=BARE)
    fit_head_on(broken, "linear_audio", tmp_path / "run", fit=QUICK, options=BARE)
    write_cache(
        tmp_path / "c.h5",
        dataclasses.replace(cache, streams=cache.streams | {"video": dataclasses.replace(video, **{level: rows})}),
    )
    with pytest.raises(UsageError, match="dev_0010"):
        describe(tmp_path / "c.h5", "linear", tmp_path / "plan", fit=QUICK, options=BARE)


def test_what_reads_dialogues_says_where_there_are_none(tmp_path) -> None:
    cache = planted_cache()
    alone = dataclasses.replace(cache.utterances, dialogue=[""] * len(cache.utterances.id))
    for name, rows, expected in (("bare", alone, 1), ("named", cache.utterances, 0)):
        corpus = corpus_of(dataclasses.replace(cache, utterances=rows))
        run = fit_head_on(corpus, "dialogue", tmp_path / name, fit=QUICK, options=BARE)
        said = "no dialogues are known: dialogue reads each utterance as a dialogue of its own"
        assert run.metrics["warnings"].count(said) == expected


def test_labels_that_are_missing_are_counted(tmp_path) -> None:
    cache = planted_cache()
    emotion, sentiment = cache.utterances.emotion.copy(), cache.utterances.sentiment.copy()
    emotion[:100], sentiment[:240] = -1, -1  # train is the first 240, of which 9 failed
    partly = dataclasses.replace(cache.utterances, emotion=emotion, sentiment=sentiment)
    corpus = corpus_of(dataclasses.replace(cache, utterances=partly))
    run = fit_head_on(corpus, "linear", tmp_path / "run", fit=QUICK, options=BARE)
    usable = np.flatnonzero(corpus.usable[:240])
    assert f"train ({len(usable)}" in run.config["protocol"]
    assert f"; labelled: emotion in {(usable >= 100).sum()})" in run.config["protocol"]
    said = "no utterance that was fitted on has a label for sentiment: it is neither fitted nor scored"
    assert said in run.metrics["warnings"]


def test_a_task_without_labels_is_left_out(tmp_path) -> None:
    cache = planted_cache()
    rows = dataclasses.replace(cache.utterances, sentiment=np.full(400, -1, np.int16))
    corpus = corpus_of(dataclasses.replace(cache, utterances=rows))
    for fusion in ("concat", "linear"):
        run = fit_head_on(corpus, fusion, tmp_path / fusion, fit=QUICK, options=BARE)
        assert list(run.metrics["tasks"]) == ["emotion"]


@pytest.mark.parametrize(("patience", "fitted"), [(3, 80), (0, 160)])
def test_folds_fit_on_all_that_is_neither_scored_nor_watched(monkeypatch, patience: int, fitted: int) -> None:
    cache = planted_cache(sizes={"train": 240})
    whole = {
        name: dataclasses.replace(stream, present=np.ones(240, bool)) for name, stream in cache.streams.items()
    }
    plan = protocol.plan(corpus_of(dataclasses.replace(cache, streams=whole)), "speaker:3")
    sizes: list[tuple[int, int]] = []
    real = registry.fit

    def look(name, train, dev, **rest):
        sizes.append((len(train), 0 if dev is None else len(dev)))
        return real(name, train, dev, **rest)

    monkeypatch.setattr(registry, "fit", look)
    fit = dataclasses.replace(QUICK, epochs=1, patience=patience)
    fitting.fit_and_predict(plan, "concat", fit)
    assert sizes == [(fitted, 160 - fitted)] * 3 + [(240, 0)]
    sizes.clear()
    fitting.fit_and_predict(plan, "linear", fit)  # solved: it watches nothing
    assert sizes == [(160, 0)] * 3 + [(240, 0)]


def test_auto_says_what_it_chose_and_that_it_saw_dev(cache_path, tmp_path) -> None:
    if "auto" not in registry.names():
        pytest.skip("auto is not registered")
    fit = dataclasses.replace(QUICK, parameters={"candidates": "linear_video,linear_audio,linear", "repeats": 1})
    run = fit_head(cache_path, "auto", tmp_path / "run", fit=fit)
    assert run.config["choice"]["name"] in ("linear_video", "linear_audio", "linear")
    assert any("auto chose" in warning for warning in run.metrics["warnings"])
    page = (tmp_path / "run" / "report.html").read_text()
    assert f"auto: {run.config['choice']['name']}" in page
    for one in run.config["choice"]["evidence"]:
        words = f"<dt>auto: {one['candidate']}</dt><dd>{100 * one['score']['mean']:.1f}"
        if one["against_single"]:
            words += f", {100 * one['against_single']['difference']:+.1f} to the best single stream"
        assert words in page
    assert "balanced accuracy, mean over the tasks, per cent, out of fold over whole dialogues" in page


def test_a_run_of_auto_by_folds_is_named_by_the_choices_that_its_scores_come_from(cache_path, tmp_path) -> None:
    fit = dataclasses.replace(QUICK, parameters={"candidates": "linear_video,linear_audio,linear"})
    run = fit_head(cache_path, "auto", tmp_path / "run", fit=fit, options=FitHeadOptions(folds="speaker:3"))
    assert len(run.config.chosen) == 3
    assert json.loads((tmp_path / "run" / "config.json").read_text())["chosen"] == list(run.config.chosen)
    mixed = dataclasses.replace(run.config, chosen=("linear", "linear_video", "linear"))
    assert scored_name(mixed) == "auto: linear (2 of 3 folds), linear_video (1 of 3 folds)"
    assert scored_name(dataclasses.replace(mixed, chosen=())) == "auto: each fold's own choice"
    assert scored_name(dataclasses.replace(mixed, folds=None)) == f"auto: {run.config.choice.name}"
    assert scored_name(run.config) in (tmp_path / "run" / "report.html").read_text()


@pytest.mark.parametrize(
    ("fusion", "folds", "calibrated", "words"),
    [
        ("linear", "speaker:3", False, "Nothing was fitted, chosen or stopped by these utterances."),
        ("linear", None, True, "The temperature was fitted on these utterances, so they flatter a little."),
        ("linear", None, False, "Nothing was fitted, chosen or stopped by these utterances."),
        ("concat", None, False, "Dev said when training was to stop, so they flatter a little."),
    ],
)
def test_the_card_says_only_what_was_chosen(cache_path, tmp_path, fusion, folds, calibrated, words) -> None:
    options = FitHeadOptions(folds=folds, report=False)
    run = fit_head(cache_path, fusion, tmp_path / "run", fit=dataclasses.replace(QUICK, epochs=2), options=options)
    assert flattered(run.metrics, run.config, calibrated=calibrated) == words
    old = dataclasses.replace(run.metrics, stopped_by=None, states_stopping=False)
    if fusion == "linear":  # runs of versions that noted nothing: closed form, nothing was stopped
        assert flattered(old, run.config, calibrated=calibrated) == words
    else:
        assert "may have said when" in flattered(old, run.config, calibrated=calibrated)


@pytest.mark.parametrize("folds", [None, "speaker:2"])
def test_auto_on_one_stream_says_that_there_was_no_fusion(tmp_path, folds) -> None:
    cache = planted_cache()
    corpus = corpus_of(dataclasses.replace(cache, streams={"audio": cache.streams["audio"]}))
    fit = dataclasses.replace(QUICK, parameters={"candidates": "linear_video,linear_audio,linear", "repeats": 1})
    run = fit_head_on(corpus, "auto", tmp_path / "run", fit=fit, options=FitHeadOptions(folds=folds))
    assert run.config["choice"]["name"] == "linear_audio"
    said = [text for text in run.metrics["warnings"] if "no fusion to choose" in text]
    assert said and "audio alone" in said[0] and said[0].endswith("linear_audio")
    assert said[0] in (tmp_path / "run" / "report.html").read_text()


def test_refit_takes_the_folds_median_of_best_epochs() -> None:
    history = [ModelHistory(0, "", {}, best, "patience") for best in (3, 9, 4, 30, 5)]  # counted from 0
    chosen = fitting.refit_options(FitOptions(epochs=40), history)
    assert (chosen.epochs, chosen.patience) == (6, 0)
    assert fitting.refit_options(FitOptions(epochs=40), [ModelHistory(0, "", {}, None, "")]).epochs == 40


def test_no_dev_split_says_how_to_go_on(tmp_path) -> None:
    write_cache(tmp_path / "c.h5", planted_cache(sizes={"train": 60}))
    with pytest.raises(
        UsageError, match=r"no dev split \(its splits: train \(60\)\).*--folds speaker \(6 speakers\)"
    ):
        fit_head(tmp_path / "c.h5", "concat", tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_what_can_not_work_fails_before_anything_is_read(tmp_path) -> None:
    missing = tmp_path / "none.h5"
    with pytest.raises(UsageError, match=r"no fusion variant is called 'magic'.*concat"):
        fit_head(missing, "magic", tmp_path / "run")
    (tmp_path / "taken").mkdir()
    with pytest.raises(UsageError, match="--replace"):
        fit_head(missing, "concat", tmp_path / "taken")
    with pytest.raises(NoCacheError):
        fit_head(missing, "concat", tmp_path / "run")


def test_unknown_setting_fails_and_leaves_nothing(cache_path, tmp_path) -> None:
    with pytest.raises(UsageError, match="no parameter"):
        fit_head(cache_path, "concat", tmp_path / "run", fit=dataclasses.replace(QUICK, parameters={"magic": 1}))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cache.h5"]


@pytest.mark.parametrize(
    ("fusion", "fit", "expected"),
    [
        ("linear", {"epochs": 3, "hidden": 7}, ["--epochs", "--hidden"]),
        ("linear_late", {"seeds": (0, 1, 2)}, ["--seeds"]),
        ("concat", {"penalty": 2.0, "max_windows": 3}, ["--penalty", "--max-windows"]),
        ("aligned", {"penalty": 2.0, "max_windows": 3}, ["--penalty"]),
        ("video", {"modality_dropout": 0.3}, ["--modality-dropout"]),
        ("auto", {"penalty": 2.0, "max_windows": 3, "epochs": 2}, []),
        ("concat", {"loss": "focal", "adjustment": 1.0}, ["--adjustment"]),
        ("concat", {"focal_gamma": 1.0}, ["--focal-gamma"]),
        ("concat", {"task_balance": "surgery", "sentiment_weight": 2.0}, ["--sentiment-weight"]),
        ("concat", {"tasks": ("emotion",), "task_balance": "surgery"}, ["--task-balance"]),
        ("concat", {"patience": 0, "watch": "loss"}, ["--watch"]),
        ("concat", {}, []),
    ],
)
def test_options_without_an_effect_are_named(fusion: str, fit: dict, expected: list[str]) -> None:
    words = protocol.ignored_options([fusion], FitOptions(**fit))
    assert sorted(one.split()[0] for one in words) == sorted(expected)


def test_options_without_an_effect_are_said_in_the_run_and_the_plan(cache_path, tmp_path) -> None:
    fit = FitOptions(seeds=(0, 1, 2, 3, 4), epochs=3)
    run = fit_head(cache_path, "linear", tmp_path / "run", fit=fit, options=BARE)
    said = "--epochs has no effect: linear is solved, not trained"
    assert said in run.metrics["warnings"]
    planned = describe(cache_path, "linear", tmp_path / "other", fit=fit, options=BARE)
    assert planned["warnings"] == [said]


def test_options_that_solved_variants_ignore_change_nothing(tmp_path) -> None:
    """What is said to have no effect has none: the same bytes."""
    cache = planted_cache()
    plain = weights_of(cache, tmp_path / "plain", "linear_late", FitOptions(seeds=(0,)))
    other = FitOptions(
        seeds=(0,), epochs=2, batch_size=8, learning_rate=0.1, weight_decay=0.5, hidden=4, dropout=0.1,
        modality_dropout=0.4, patience=0, watch="loss", task_balance="surgery", sentiment_weight=3.0, max_windows=2,
        focal_gamma=1.0,
    )  # fmt: skip
    assert weights_of(cache, tmp_path / "other", "linear_late", other) == plain


def test_what_can_not_be_scored_is_refused_before_the_fit(tmp_path) -> None:
    cache = planted_cache()
    rows = cache.utterances
    blank = np.full(len(rows.emotion), -1, np.int16)
    unlabelled = np.where(np.array(rows.split) == "dev", blank, rows.emotion).astype(np.int16)
    changed = dataclasses.replace(rows, emotion=unlabelled, sentiment=blank)
    corpus = corpus_of(dataclasses.replace(cache, utterances=changed))
    heard: list[dict] = []
    with pytest.raises(UsageError, match="no utterance of dev is labelled"):
        fit_head_on(corpus, "concat", tmp_path / "run", fit=QUICK, options=BARE, progress=heard.append)
    assert not heard


def test_folds_over_a_trained_encoder_are_warned_of(tmp_path) -> None:
    cache = planted_cache()
    video = cache.streams["video"]
    weights = {"source": "file", "sha256": "0" * 64, "licence": "none"}
    trained = dataclasses.replace(video, spec=video.spec | {"name": "cnn5", "weights": weights})
    corpus = corpus_of(dataclasses.replace(cache, streams=cache.streams | {"video": trained}))
    folds = FitHeadOptions(folds="speaker:2", report=False)
    one = FitOptions(seeds=(0,))
    run = fit_head_on(corpus, "linear", tmp_path / "folds", fit=one, options=folds)
    assert any("the encoder of video (cnn5) learned from labels" in text for text in run.metrics["warnings"])
    run = fit_head_on(corpus, "linear", tmp_path / "dev", fit=one, options=BARE)
    assert not any("learned from labels" in text for text in run.metrics["warnings"])
    run = fit_head_on(corpus_of(cache), "linear", tmp_path / "other", fit=one, options=folds)
    assert not any("learned from labels" in text for text in run.metrics["warnings"])


def test_collapse_is_warned_of(constant, cache_path, tmp_path) -> None:
    run = fit_head(cache_path, "constant", tmp_path / "run", fit=QUICK, options=BARE)
    assert any("collapse to one class" in warning for warning in run.metrics["warnings"])
    one = run.metrics["tasks"]["emotion"]
    assert one["accuracy"]["mean"] == one["majority"]["accuracy"]


def test_few_speakers_are_warned_of(cache_path, tmp_path) -> None:
    options = FitHeadOptions(folds="speaker:2", report=False)
    run = fit_head(cache_path, "concat", tmp_path / "run", fit=QUICK, options=options)
    assert any("only 6 speakers" in warning for warning in run.metrics["warnings"])


def test_ctrl_c_keeps_the_best_so_far(tmp_path) -> None:
    def stop(event: dict) -> None:
        if event.get("epoch") == 3:
            raise KeyboardInterrupt

    fit = dataclasses.replace(QUICK, epochs=50, patience=50)
    run = fit_head_on(corpus_of(planted_cache()), "concat", tmp_path / "run", fit=fit, options=BARE, progress=stop)
    assert run.config["interrupted"]
    assert {one["stopped"] for one in run.history} == {"interrupted"}
    assert "interrupted: the models that the run keeps were not fitted to the end" in run.metrics["warnings"]
    assert len(experiments.read_models(tmp_path / "run" / experiments.WEIGHTS)) == 2


def test_ctrl_c_among_folds_leaves_nothing(tmp_path) -> None:
    def stop(event: dict) -> None:
        if event.get("fold") == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit_head_on(
            corpus_of(planted_cache()), "concat", tmp_path / "run", fit=QUICK, progress=stop,
            options=FitHeadOptions(folds="speaker:3"),
        )  # fmt: skip
    assert not (tmp_path / "run").exists()


def test_ctrl_c_in_the_last_fit_keeps_the_scores_and_says_so(tmp_path) -> None:
    """The folds are done and scored; what is cut short are the models for new utterances."""

    def stop(event: dict) -> None:
        if "fold" not in event and event["epoch"] == 1:
            raise KeyboardInterrupt

    options = FitHeadOptions(folds="speaker:2", report=False)
    corpus = corpus_of(planted_cache())
    run = fit_head_on(corpus, "concat", tmp_path / "run", fit=QUICK, options=options, progress=stop)
    assert run.config["interrupted"]
    assert {one["stopped"] for one in run.history if one["fold"] == "all"} == {"interrupted"}
    assert run.metrics["utterances"] == 320
    said = " ".join(run.metrics["warnings"])
    assert "the scores are of the folds' models" in said and "two folds leave no groups to stop by" in said


def test_a_number_of_folds_is_by_speaker_in_everything_that_is_said(tmp_path) -> None:
    options = FitHeadOptions(folds="3", report=False)
    run = fit_head_on(corpus_of(planted_cache()), "linear", tmp_path / "run", fit=QUICK, options=options)
    assert run.config["folds"] == "speaker:3"
    assert run.config["protocol"].startswith("3 folds by speaker over 320 utterances")
    assert run.metrics["unit"] == "speaker" and run.metrics["tasks"]["emotion"]["groups"] == 6


def test_a_task_that_one_fold_can_not_learn_fails(tmp_path) -> None:
    """Sentiment is labelled for one speaker alone: who holds that speaker out has nothing to learn it from."""
    cache = planted_cache()
    rows = cache.utterances
    sentiment = np.where(np.array(rows.speaker) == "speaker2", rows.sentiment, -1).astype(np.int16)
    corpus = corpus_of(dataclasses.replace(cache, utterances=dataclasses.replace(rows, sentiment=sentiment)))
    options = FitHeadOptions(folds="speaker", report=False)
    with pytest.raises(UsageError, match="leaves no label of a task"):
        fit_head_on(corpus, "linear", tmp_path / "run", fit=QUICK, options=options)
    fit = dataclasses.replace(QUICK, tasks=("emotion",))
    fit_head_on(corpus, "linear", tmp_path / "run", fit=fit, options=options)


@pytest.mark.parametrize(
    ("fusion", "patience", "said"), [("concat", 3, True), ("concat", 0, False), ("linear", 3, False)]
)
def test_it_is_said_where_dev_stops_training_and_is_scored(
    tmp_path, fusion: str, patience: int, said: bool
) -> None:
    fit = dataclasses.replace(QUICK, epochs=1, patience=patience)
    run = fit_head_on(corpus_of(planted_cache()), fusion, tmp_path / "run", fit=fit, options=BARE)
    assert ("scores too good" in run.config["protocol"]) is said


def test_first_signal_waits_for_a_report() -> None:
    seen: list[object] = []
    before = signal.getsignal(signal.SIGINT)

    def interrupted() -> None:
        with graceful_interrupt(seen.append) as report:
            report({"epoch": 1})
            os.kill(os.getpid(), signal.SIGINT)
            seen.append("still here")
            report({"epoch": 2})
            seen.append("not reached")

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert seen == [{"epoch": 1}, "still here", {"epoch": 2}]
    assert signal.getsignal(signal.SIGINT) is before


def test_a_signal_that_is_ignored_stays_ignored() -> None:
    """As a shell without job control has it of what runs in the background."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with graceful_interrupt(None) as report:
            os.kill(os.getpid(), signal.SIGINT)
            report({"epoch": 1})
        assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("error", [BrokenPipeError("gone"), RuntimeError("reentrant call inside stderr")])
def test_a_signal_costs_no_fit_where_nobody_can_be_told(error: Exception, monkeypatch) -> None:
    """The terminal is gone, or the signal came amid a line of progress."""

    class Lost:
        def write(self, text: str) -> None:
            raise error

    def interrupted() -> None:
        with graceful_interrupt(None) as report:
            with monkeypatch.context() as lost:
                lost.setattr("sys.stderr", Lost())
                os.kill(os.getpid(), signal.SIGINT)
            report({"epoch": 1})

    with pytest.raises(KeyboardInterrupt):
        interrupted()


def test_second_signal_does_not_wait() -> None:
    seen: list[str] = []

    def interrupted() -> None:
        with graceful_interrupt(None):
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)  # two at once are one wish
            seen.append("once")
            time.sleep(2 * SAME_S)
            os.kill(os.getpid(), signal.SIGINT)
            seen.append("twice")

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert seen == ["once"]


def test_progress_names_fold_and_epoch(tmp_path) -> None:
    events: list[dict] = []
    progress: Progress = events.append
    options = FitHeadOptions(folds="speaker:3", report=False)
    fit_head_on(
        corpus_of(planted_cache()), "concat", tmp_path / "run", fit=QUICK, options=options, progress=progress
    )
    assert {event.get("fold") for event in events} == {1, 2, 3, None}


def test_dry_run_writes_nothing(cache_path, tmp_path) -> None:
    planned = describe(
        cache_path, "concat", tmp_path / "run", fit=QUICK, options=FitHeadOptions(folds="speaker:3")
    )
    assert planned["models"] == 8  # two seeds in three folds, and once more on everything
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cache.h5"]


def test_tensorboard_gets_every_epoch(cache_path, tmp_path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    options = FitHeadOptions(report=False, tensorboard=tmp_path / "tb")
    run = fit_head(cache_path, "concat", tmp_path / "run", fit=QUICK, options=options)
    for one in run.history:
        events = EventAccumulator(str(tmp_path / "tb" / "run" / f"seed{one['seed']}")).Reload()
        found = [event.value for event in events.Scalars("train_loss")]
        np.testing.assert_allclose(found, one["columns"]["train_loss"], rtol=1e-6)


def test_tensorboard_stays_in_its_folder_whatever_speakers_are_called(tmp_path) -> None:
    pytest.importorskip("tensorboard")
    history = [ModelHistory(0, "../../up", {"train_loss": (1.0,)}, None, "epochs")]
    (place,) = write_events(tmp_path / "deep" / "tb", "run", history)
    assert place.resolve().is_relative_to((tmp_path / "deep" / "tb" / "run").resolve())
    assert [path.name for path in tmp_path.iterdir()] == ["deep"]


def test_command_prints_the_table_and_where_things_are(cache_path, tmp_path) -> None:
    words = ["fit-head", str(cache_path), "--fusion", "concat", "--seeds", "2", "--epochs", "4", "--threads", "1"]
    found = CliRunner().invoke(cli.app, [*words, "--out", str(tmp_path / "run")])
    assert found.exit_code == 0, found.output
    printed = " ".join(found.stdout.split())
    for expected in (
        *(
            "majority: neutral",
            "UAR",
            "weighted",
            "F1",
            "±",
            "bootstrap over 16 dialogues",
            "anger",
            "contradicting",
        ),
        *("no label of the test split was looked at", str(tmp_path / "run" / "report.html")),
    ):
        assert expected in printed
    again = CliRunner().invoke(cli.app, [*words, "--out", str(tmp_path / "run")])
    assert again.exit_code == 2 and "--replace" in again.stderr


def test_command_prints_one_json_document(cache_path, tmp_path) -> None:
    words = [
        "fit-head",
        str(cache_path),
        "--fusion",
        "concat",
        "--seeds",
        "1",
        "--epochs",
        "2",
        "--json",
        "--no-report",
    ]
    found = CliRunner().invoke(cli.app, [*words, "--threads", "1", "--out", str(tmp_path / "run")])
    assert found.exit_code == 0, found.output
    read = json.loads(found.stdout)
    assert read["scores"]["tasks"]["emotion"]["names"] == EMOTIONS
    assert read["report"] is None
    assert read == json.loads(json.dumps(document(experiments.read_run(tmp_path / "run")).stamped()))


@pytest.mark.parametrize(
    ("words", "status", "expected"),
    [
        (["--fusion", "magic"], 2, "no fusion variant"),
        (["--fusion", "concat", "--tasks", "mood"], 2, "--tasks"),
        (["--fusion", "concat", "--set", "nothing"], 2, "key=value"),
        (["--fusion", "concat", "--folds", "moon"], 2, "--folds"),
        (["--fusion", "concat", "--streams", "video="], 2, "--streams"),
        (["--fusion", "concat", "--streams", "video=face"], 2, "no stream 'face'"),
        (["--fusion", "concat", "--loss", "magic"], 2, "loss is 'magic'; expected one of: cross_entropy"),
        (["--fusion", "linear", "--task-balance", "magic"], 2, "expected one of: fixed, uncertainty, surgery"),
        (["--fusion", "concat", "--dropout", "1"], 2, "dropout is 1.0"),
        (["--fusion", "lowrank", "--set", "rank=0"], 2, "expected a whole number, 1 or more, such as 4"),
        (["--fusion", "aligned", "--set", "width=wide", "--dry-run"], 2, "width='wide'"),
        (["--fusion", "auto", "--set", "repeats=x"], 2, "repeats='x'"),
        (["--fusion", "concat", "--set", "rank=2", "--dry-run"], 2, "no parameter ['rank']"),
        (["--fusion", "linear", "--resample", "--dry-run"], 2, "no use for resampling"),
        (["--fusion", "linear_late", "--loss", "focal"], 2, "no use for the loss focal"),
        (
            ["--fusion", "linear", "--set", "solver=lda", "--penalty", "2", "--dry-run"],
            2,
            "estimates its shrinkage",
        ),
        (
            ["--fusion", "auto", "--set", "candidates=linear", "--dry-run"],
            2,
            "none of linear reads a single stream",
        ),
        (["--fusion", "concat", "--tasks", "emotion", "--joint-decoding", "--dry-run"], 2, "needs both tasks"),
    ],
)
def test_command_says_what_is_wrong(cache_path, tmp_path, words: list[str], status: int, expected: str) -> None:
    found = CliRunner().invoke(cli.app, ["fit-head", str(cache_path), *words, "--out", str(tmp_path / "run")])
    assert found.exit_code == status
    assert expected in found.stderr
    assert not (tmp_path / "run").exists()


def test_command_without_a_cache_says_ten(tmp_path) -> None:
    found = CliRunner().invoke(cli.app, ["fit-head", str(tmp_path / "no.h5"), "--fusion", "concat"])
    assert found.exit_code == 10


@pytest.mark.parametrize(
    ("fusion", "never"),
    [
        ("concat", ["torchvision", "librosa", "ffmpeg", "imageio_ffmpeg", "sklearn"]),
        ("linear_late", ["torch", "torchvision", "librosa", "ffmpeg", "imageio_ffmpeg"]),
    ],
)
def test_imports_stay_light(cache_path, tmp_path, fusion: str, never: list[str]) -> None:
    if fusion not in registry.names():
        pytest.skip(f"{fusion} is not registered")
    script = (
        "import sys, cli\n"
        f"sys.argv = ['dualstream', 'fit-head', {str(cache_path)!r}, '--fusion', {fusion!r}, '--seeds', '1',\n"
        f"            '--epochs', '1', '--no-report', '--out', {str(tmp_path / 'run')!r}]\n"
        "try:\n    cli.app()\nexcept SystemExit as end:\n    assert not end.code, end.code\n"
        f"print('LOADED', [name for name in {never!r} if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "LOADED []" in found.stdout
