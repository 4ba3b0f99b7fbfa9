"""evaluate: scores once, writes each look at test down, says when it was not the first, refuses other caches."""

from __future__ import annotations

import csv
import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from dualstream.heads.variants.registry import FitOptions
from dualstream.pipeline import experiments
from dualstream.pipeline.cache import Cache, write_cache
from dualstream.pipeline.commands.evaluate import evaluate
from dualstream.pipeline.commands.fit_head import FitHeadOptions, fit_head
from dualstream.pipeline.errors import FingerprintMismatchError, NoCacheError, UsageError
from dualstream.pipeline.experiments.predictions import read_predictions
from dualstream.pipeline.experiments.protocol import DecodingOptions
from dualstream.pipeline.experiments.training_data import read_corpus
from sklearn.metrics import balanced_accuracy_score
from typer.testing import CliRunner

from dualstream import cli
from tests.pipeline.planted_corpus import permute_labels, planted_cache

QUICK = FitOptions(seeds=(0, 1), epochs=8, patience=4, hidden=16, threads=1)


@pytest.fixture(scope="module")
def fitted(tmp_path_factory) -> Path:
    """Return a folder with a cache and a run, for all tests to copy."""
    folder = tmp_path_factory.mktemp("fitted")
    write_cache(folder / "cache.h5", planted_cache())
    fit_head(folder / "cache.h5", "concat", folder / "run", fit=QUICK, options=FitHeadOptions(report=False))
    return folder


@pytest.fixture
def run(fitted, tmp_path) -> Path:
    shutil.copytree(fitted, tmp_path, dirs_exist_ok=True)
    return tmp_path / "run"


def rewritten(run: Path, cache: Cache, name: str = "cache.h5") -> Path:
    write_cache(run.parent / name, cache)
    return run.parent / name


def test_test_is_scored_once_and_logged(run) -> None:
    found = evaluate(run)
    assert (found["split"], found["times_before"], found["warnings"]) == ("test", 0, [])
    cache = planted_cache()
    true = cache.utterances.emotion[320:]
    said = read_predictions(run / "predictions_test.csv", experiments.read_run(run).config["vocabulary"])
    np.testing.assert_array_equal(said.true["emotion"], true)
    expected = np.mean([balanced_accuracy_score(true, m.emotion.argmax(axis=1)) for m in said.models])
    assert found["scores"]["tasks"]["emotion"]["balanced_accuracy"]["mean"] == pytest.approx(expected)
    (entry,) = experiments.read_test_log(run)
    assert entry["scores"]["tasks"]["emotion"]["balanced_accuracy"]["mean"] == pytest.approx(expected)
    assert entry["cache"]["digest"] == experiments.read_run(run).config["cache"]["digest"]


def test_majority_class_is_that_of_test_and_trains_stands_beside_it(run) -> None:
    """The labels of test are moved on by one class, so that its commonest is another than train's, neutral."""
    cache = planted_cache()
    emotion = cache.utterances.emotion.copy()
    emotion[320:] = (emotion[320:] + 1) % 3
    moved = dataclasses.replace(cache, utterances=dataclasses.replace(cache.utterances, emotion=emotion))
    found = evaluate(run, cache=rewritten(run, moved, "other.h5"))["scores"]["tasks"]["emotion"]
    counts = np.bincount(emotion[320:], minlength=3)
    assert (found["majority"]["name"], found["majority"]["accuracy"]) == ("joy", counts[1] / 80)
    assert counts.argmax() == 1
    assert (found["train_majority"]["name"], found["train_majority"]["accuracy"]) == ("neutral", counts[0] / 80)


def test_a_task_that_dev_has_no_labels_of_is_scored_on_test(run, tmp_path) -> None:
    cache = planted_cache()
    emotion = cache.utterances.emotion.copy()
    emotion[240:320] = -1
    write_cache(
        tmp_path / "d.h5",
        dataclasses.replace(cache, utterances=dataclasses.replace(cache.utterances, emotion=emotion)),
    )
    options = FitHeadOptions(report=False)
    made = fit_head(tmp_path / "d.h5", "linear", tmp_path / "d", fit=FitOptions(seeds=(0,)), options=options)
    assert list(made.metrics["tasks"]) == ["sentiment"]
    assert list(evaluate(tmp_path / "d")["scores"]["tasks"]) == ["emotion", "sentiment"]


def test_each_further_look_is_counted(run) -> None:
    for before in range(3):
        assert evaluate(run)["times_before"] == before
    assert len(experiments.read_test_log(run)) == 3


def test_looks_before_a_refit_count_too(run) -> None:
    evaluate(run)
    fit_head(run.parent / "cache.h5", "concat", run, fit=QUICK, options=FitHeadOptions(report=False, replace=True))
    found = evaluate(run)
    assert (found["times_before"], found["earlier_fits"]) == (1, 1)


def test_other_splits_are_not_logged(run) -> None:
    found = evaluate(run, split="dev")
    assert found["scores"]["split"] == "dev"
    # the same models on the same utterances: what fit-head said
    before = experiments.read_run(run).metrics["tasks"]["emotion"]["balanced_accuracy"]
    assert found["scores"]["tasks"]["emotion"]["balanced_accuracy"]["mean"] == pytest.approx(before["mean"])
    assert experiments.read_test_log(run) == []


@pytest.mark.parametrize(
    ("folds", "patience", "split", "expected"),
    [
        (None, 4, "train", "was fitted on these utterances"),
        (None, 4, "dev", "said when training was to stop"),
        (None, 0, "dev", ""),
        ("speaker:2", 4, "dev", "was fitted on these utterances"),
        ("speaker:2", 4, "test", ""),
    ],
)
def test_a_split_that_the_fit_knew_is_called_that(run, folds, patience: int, split: str, expected: str) -> None:
    fit = dataclasses.replace(QUICK, epochs=1, patience=patience)
    options = FitHeadOptions(report=False, replace=True, folds=folds)
    fit_head(run.parent / "cache.h5", "concat", run, fit=fit, options=options)
    found = evaluate(run, split=split)
    assert [expected in one for one in found["warnings"]] == ([True] if expected else [])
    assert found["cache"]["same_as_fitted"]


def test_solved_variants_do_not_look_at_dev(run) -> None:
    options = FitHeadOptions(report=False, replace=True)
    fit_head(run.parent / "cache.h5", "linear", run, fit=FitOptions(seeds=(0,)), options=options)
    assert evaluate(run, split="dev")["warnings"] == []


def test_auto_says_that_it_chose_with_dev(run) -> None:
    fit = dataclasses.replace(QUICK, parameters={"candidates": "linear_video,linear_audio,linear", "repeats": 1})
    cache = run.parent / "cache.h5"
    fit_head(cache, "auto", run.parent / "auto", fit=fit, options=FitHeadOptions(report=False))
    (said,) = evaluate(run.parent / "auto", split="dev")["warnings"]
    assert said.startswith("auto chose linear") and "with dev's labels among others" in said


def test_a_changed_cache_is_refused_and_nothing_is_logged(run) -> None:
    rewritten(run, permute_labels(planted_cache(), ["test"], 0))
    with pytest.raises(FingerprintMismatchError, match="the cache changed"):
        evaluate(run)
    assert experiments.read_test_log(run) == []


def test_another_cache_is_scored_where_it_is_named(run) -> None:
    other = rewritten(run, planted_cache(seed=1), "other.h5")
    found = evaluate(run, cache=other)
    assert found["warnings"] == ["this is not the cache that the run was fitted on"]
    (entry,) = experiments.read_test_log(run)
    assert entry["cache"]["named"] and entry["cache"]["digest"] == found["cache"]["digest"]


def test_another_extraction_is_warned_of(run) -> None:
    other = dataclasses.replace(planted_cache(), provenance={"fingerprint": "e" * 64})
    found = evaluate(run, cache=rewritten(run, other, "other.h5"))
    assert any("made in another way" in warning and "eeee" in warning for warning in found["warnings"])


def test_another_width_is_refused(run) -> None:
    other = rewritten(run, planted_cache(widths=(5, 4)), "other.h5")
    with pytest.raises(FingerprintMismatchError, match="widths"):
        evaluate(run, cache=other)


def test_classes_in_another_order_are_matched_by_name(run) -> None:
    cache = planted_cache()
    order = [2, 0, 1]  # new code of neutral, joy, anger
    names = ["joy", "anger", "neutral"]
    moved = dataclasses.replace(
        cache,
        utterances=dataclasses.replace(
            cache.utterances, emotion=np.array(order, np.int16)[cache.utterances.emotion]
        ),
        vocabulary={**cache.vocabulary, "emotion": names},
    )
    same = evaluate(run)["scores"]["tasks"]["emotion"]
    other = evaluate(run, cache=rewritten(run, moved, "other.h5"))["scores"]["tasks"]["emotion"]
    assert other["names"] == ["neutral", "joy", "anger"]
    assert other["confusion"] == same["confusion"]


def test_classes_that_the_run_never_saw_are_refused(run) -> None:
    cache = planted_cache()
    other = dataclasses.replace(cache, vocabulary={**cache.vocabulary, "emotion": ["neutral", "joy", "awe"]})
    with pytest.raises(FingerprintMismatchError, match="never saw: awe"):
        evaluate(run, cache=rewritten(run, other, "other.h5"))


def test_run_and_cache_move_together(run, tmp_path) -> None:
    (tmp_path / "elsewhere").mkdir()
    run.rename(tmp_path / "elsewhere" / "run")
    (tmp_path / "cache.h5").rename(tmp_path / "elsewhere" / "cache.h5")
    assert evaluate(tmp_path / "elsewhere" / "run")["times_before"] == 0


def test_a_cache_that_is_gone_says_how_to_go_on(run) -> None:
    (run.parent / "cache.h5").unlink()
    with pytest.raises(NoCacheError, match="--cache FILE"):
        evaluate(run)


def test_missing_split_fails(run) -> None:
    with pytest.raises(UsageError, match="no final split"):
        evaluate(run, split="final")


def test_test_rows_that_are_not_finite_are_named_and_nothing_is_logged(run) -> None:
    cache = planted_cache()
    rows = cache.streams["audio"].utterance.copy()
    rows[np.flatnonzero(np.array(cache.utterances.split) == "test")[3]] = np.nan
    broken = dataclasses.replace(cache.streams["audio"], utterance=rows)
    write_cache(run.parent / "broken.h5", dataclasses.replace(cache, streams=cache.streams | {"audio": broken}))
    with pytest.raises(UsageError, match=r"in 1 of 80 utterances: test_0003;"):
        evaluate(run, cache=run.parent / "broken.h5")
    assert experiments.read_test_log(run) == []


def test_unlabelled_test_fails_and_is_not_logged(run) -> None:
    cache = planted_cache()
    blank = cache.utterances.emotion.copy()
    blank[320:] = -1
    other = dataclasses.replace(
        cache, utterances=dataclasses.replace(cache.utterances, emotion=blank, sentiment=blank)
    )
    with pytest.raises(UsageError, match="nothing to score"):
        evaluate(run, cache=rewritten(run, other, "other.h5"))
    assert experiments.read_test_log(run) == []


def test_ensemble_and_joint_decoding_hold_for_test_too(run, tmp_path) -> None:
    options = FitHeadOptions(report=False, answering=DecodingOptions(ensemble=True, joint_decoding=True))
    fit_head(tmp_path / "cache.h5", "concat", tmp_path / "two", fit=QUICK, options=options)
    found = evaluate(tmp_path / "two")
    assert found["scores"]["models"] == ["ensemble of 2"]
    assert found["scores"]["contradiction"]["mean"] == 0
    assert found["scores"]["joint_decoding"]


def test_command_is_loud_the_second_time(run) -> None:
    first = CliRunner().invoke(cli.app, ["evaluate", str(run), "--split", "test"])
    assert first.exit_code == 0, first.output
    assert "the first time" in first.stdout and "NOT THE FIRST TIME" not in first.output
    second = CliRunner().invoke(cli.app, ["evaluate", str(run)])
    assert "NOT THE FIRST TIME: this run was scored on test once before" in second.stdout
    third = CliRunner().invoke(cli.app, ["evaluate", str(run), "--json"])
    assert json.loads(third.stdout)["times_before"] == 2
    assert "2 times before" in third.stderr


def test_command_says_twelve_for_another_cache(run) -> None:
    rewritten(run, planted_cache(seed=1))
    found = CliRunner().invoke(cli.app, ["evaluate", str(run)])
    assert found.exit_code == 12 and "--cache FILE" in found.stderr
    assert CliRunner().invoke(cli.app, ["evaluate", str(run.parent / "none")]).exit_code == 10


def test_errors_lists_what_was_scored_and_is_asked_for(run) -> None:
    evaluate(run)
    assert not list(run.glob("errors*"))
    evaluate(run, errors=True)
    made = {path.name for path in run.glob("errors*")}
    assert made == {f"errors_test_{task}.{kind}" for task in ("emotion", "sentiment") for kind in ("html", "csv")}
    with (run / "errors_test_emotion.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    corpus = read_corpus(run.parent / "cache.h5")
    known = {name: corpus.features.emotion_names[code] for name, code in zip(
        corpus.ids, corpus.features.emotion, strict=True) if code >= 0}  # fmt: skip
    assert {one["split"] for one in rows} == {"test"} and len({one["id"] for one in rows}) == len(rows)
    assert all(known[one["id"]] == one["label"] for one in rows)
    with (run / "predictions_test.csv").open(encoding="utf-8") as file:
        scored = {one["id"] for one in csv.DictReader(file) if one["emotion"]}
    assert {one["id"] for one in rows} == scored


@pytest.mark.parametrize("streams", [{"audio": "audio"}, {"video": "audio"}])
def test_streams_that_the_run_was_not_fitted_on_fail(run, streams) -> None:
    with pytest.raises(FingerprintMismatchError, match="fitted on streams of widths"):
        evaluate(run, streams=streams)
    assert experiments.read_test_log(run) == []


def test_other_streams_of_the_same_cache_are_called_that(run) -> None:
    cache = planted_cache()
    both = {**cache.streams, "sound": cache.streams["audio"]}
    write_cache(run.parent / "cache.h5", dataclasses.replace(cache, streams=both))
    fit_head(
        run.parent / "cache.h5", "linear", run.parent / "second", fit=QUICK, options=FitHeadOptions(report=False)
    )
    found = evaluate(run.parent / "second", streams={"video": "video", "audio": "sound"})
    assert any("these are not the streams" in text and "sound" in text for text in found["warnings"])
    assert not found["cache"]["same_as_fitted"]
