"""Who is scored where features are missing: one rule in every command, said under every table."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from dualstream.heads.variants.registry import FitOptions
from dualstream.pipeline import experiments
from dualstream.pipeline.cache import Cache, write_cache
from dualstream.pipeline.commands.evaluate import evaluate
from dualstream.pipeline.commands.fit_head import FitHeadOptions, fit_head
from dualstream.pipeline.errors import UsageError
from dualstream.pipeline.experiments import fitting, protocol
from dualstream.pipeline.experiments.predictions import read_predictions
from dualstream.pipeline.experiments.presence import Presence
from dualstream.pipeline.experiments.scores import MissingFeatures
from dualstream.pipeline.experiments.training_data import corpus_of
from dualstream.pipeline.reporting.tables import presence_words
from typer.testing import CliRunner

from dualstream import cli
from tests.pipeline.planted_corpus import planted_cache

QUICK = FitOptions(seeds=(0,), epochs=2, patience=1, hidden=8, threads=1)
SOLVED = FitOptions(seeds=(0,), penalty=16.0)
FAILED = [f"dev_{i:04d}" for i in (9, 34, 59)]  # every 25th utterance of the corpus has no stream
# of dev's 80 every 20th has no video besides; one of them is among those that failed
LACKING = {"rule": "all", "streams": {"video": 6, "audio": 3}, "all_streams": 3, "left_out": 0}


@pytest.fixture
def cache_path(tmp_path: Path) -> Path:
    write_cache(tmp_path / "cache.h5", planted_cache())
    return tmp_path / "cache.h5"


def without_features(cache: Cache, rows: np.ndarray) -> Cache:
    """Return the cache with both streams taken away from some utterances."""
    streams = {}
    for name, stream in cache.streams.items():
        seen = ~np.repeat(rows, np.diff(cache.offsets)) & stream.window_present
        streams[name] = dataclasses.replace(
            stream,
            present=stream.present & ~rows,
            utterance=np.where(rows[:, None], np.float32(0), stream.utterance),
            windows=np.where(seen[:, None], stream.windows, np.float32(0)),
            window_present=seen,
            time_s=np.where(seen, stream.time_s, np.nan),
        )
    return dataclasses.replace(cache, streams=streams)


@pytest.mark.parametrize("fusion", ["concat", "linear", "video"])
def test_all_are_scored_and_what_lacks_features_by_the_prior(
    cache_path: Path, tmp_path: Path, fusion: str
) -> None:
    run = fit_head(cache_path, fusion, tmp_path / "run", fit=QUICK if fusion != "linear" else SOLVED)
    one = run.metrics["tasks"]["emotion"]
    assert run.config["scored"] == "all" and one["count"] == 80 and one["without_features"] == LACKING
    said = read_predictions(tmp_path / "run" / "predictions_dev.csv", run.config["vocabulary"])
    fitted = planted_cache().utterances.emotion[:240][np.arange(240) % 25 != 24]
    shares = (np.bincount(fitted) + 1) / (len(fitted) + 3)
    for name in FAILED:
        np.testing.assert_allclose(np.exp(said.models[0].emotion[said.ids.index(name)]), shares, atol=1e-6)
    words = "of 80 scored utterances 6 no video, 3 no audio, 3 neither"
    assert words in (tmp_path / "run" / "report.html").read_text()


def test_present_leaves_them_out_and_evaluate_follows_the_run(cache_path: Path, tmp_path: Path) -> None:
    run = fit_head(
        cache_path, "linear", tmp_path / "run", fit=SOLVED, options=FitHeadOptions(scored="present", report=False)
    )
    said = read_predictions(tmp_path / "run" / "predictions_dev.csv", run.config["vocabulary"])
    assert run.config["scored"] == "present" and len(said.ids) == 77 and not set(FAILED) & set(said.ids)
    one = run.metrics["tasks"]["emotion"]
    assert one["count"] == 77 and "3 without features left out of the scores" in run.config["protocol"]
    assert one["without_features"] == {
        "rule": "present", "streams": {"video": 3, "audio": 0}, "all_streams": 0, "left_out": 3
    }  # fmt: skip
    counts = {None: 77, "present": 77, "all": 80}
    for scored, count in counts.items():
        found = evaluate(tmp_path / "run", split="dev", scored=scored)["scores"]["tasks"]["emotion"]
        assert found["count"] == count
        if count == 77:  # the same models on the same utterances
            assert found["accuracy"]["mean"] == pytest.approx(one["accuracy"]["mean"])


def test_the_rule_changes_no_fit(cache_path: Path, tmp_path: Path) -> None:
    for scored in ("all", "present"):
        fit_head(
            cache_path, "concat", tmp_path / scored, fit=QUICK, options=FitHeadOptions(scored=scored, report=False)
        )
    first, second = (
        experiments.read_models(tmp_path / scored / experiments.WEIGHTS)[0].state()[0]
        for scored in ("all", "present")
    )
    assert all(first[key].tobytes() == second[key].tobytes() for key in first)


def test_a_fold_without_features_is_no_fold() -> None:
    """One speaker of six has no features at all: five folds score, and nobody is scored twice or lost."""
    cache = planted_cache()
    cache = without_features(cache, np.array(cache.utterances.speaker) == "speaker3")
    corpus = corpus_of(cache)
    whole, plan = protocol.plan(corpus, "speaker"), protocol.plan(corpus, "speaker", scored="present")
    assert (len(whole.parts), len(plan.parts)) == (6, 5)
    outside = np.flatnonzero(corpus.splits != "test")
    np.testing.assert_array_equal(plan.scored, outside[corpus.usable[outside]])
    np.testing.assert_array_equal(np.union1d(plan.scored, plan.left_out), outside)
    np.testing.assert_array_equal(plan.fitted_on(), whole.fitted_on())
    assert plan.training_counts()["emotion"].sum() == len(outside)
    outcome = fitting.fit_and_predict(plan, "linear", SOLVED)
    assert len(outcome.predictions.ids) == len(plan.scored)


def test_nothing_with_features_fails(tmp_path: Path) -> None:
    cache = planted_cache()
    splits = np.array(cache.utterances.split)
    with pytest.raises(UsageError, match="no utterance of dev has features"):
        protocol.plan(corpus_of(without_features(cache, splits == "dev")), scored="present")
    write_cache(tmp_path / "cache.h5", without_features(cache, splits == "test"))
    fit_head(tmp_path / "cache.h5", "linear", tmp_path / "run", fit=SOLVED, options=FitHeadOptions(report=False))
    with pytest.raises(UsageError, match="no utterance of test has features"):
        evaluate(tmp_path / "run", scored="present")
    assert experiments.read_test_log(tmp_path / "run") == []
    found = evaluate(tmp_path / "run")["scores"]["tasks"]["emotion"]
    assert found["without_features"]["all_streams"] == found["count"] == 80
    assert found["accuracy"]["mean"] == found["majority"]["accuracy"]  # neutral, train's commonest and test's


def test_only_labelled_utterances_are_counted() -> None:
    cache = planted_cache()
    emotion = cache.utterances.emotion.copy()
    emotion[[249, 259]] = -1  # dev: one that failed, one without video
    corpus = corpus_of(
        dataclasses.replace(cache, utterances=dataclasses.replace(cache.utterances, emotion=emotion))
    )
    dev = corpus.split("dev")
    labelled = corpus.features.emotion[dev] >= 0
    assert Presence.of(corpus, dev).missing("emotion", labelled).to_json() == {
        "rule": "all", "streams": {"video": 4, "audio": 2}, "all_streams": 2, "left_out": 0
    }  # fmt: skip
    present = Presence.of(corpus, dev, "present")
    assert present.left_out == {"emotion": 2, "sentiment": 3}


def test_words_for_each_case() -> None:
    facts = MissingFeatures(rule="all", streams={"audio": 2}, all_streams=2, left_out=0)
    assert presence_words(9, facts).startswith("of 9 scored utterances 2 no audio; what")
    facts = MissingFeatures(rule="all", streams={"video": 0, "audio": 0}, all_streams=0, left_out=0)
    assert presence_words(9, facts) == "all 9 have features of video and audio"
    assert presence_words(9, None) == ""  # runs of before


def test_every_command_says_it(cache_path: Path, tmp_path: Path) -> None:
    """compare, its dry run and page; fit-head; evaluate; diagnose. And each takes --scored present."""
    words = "of 80 scored utterances 6 no video, 3 no audio, 3 neither"
    left = "3 without features are left out"
    quick = ["--seeds", "1", "--epochs", "2", "--threads", "1"]
    compare = ["compare", str(cache_path), "--fusions", "linear", *quick, "--out", str(tmp_path / "cmp")]
    fit = ["fit-head", str(cache_path), "--fusion", "linear", "--out", str(tmp_path / "run"), "--seeds", "1"]
    fit.append("--no-report")
    for command in ([*compare, "--dry-run"], compare, fit):
        found = CliRunner().invoke(cli.app, [*command, "--replace", "--no-report"])
        assert found.exit_code == 0 and words in _flat(found.stdout), found.output
        found = CliRunner().invoke(cli.app, [*command, "--replace", "--scored", "present"])
        assert found.exit_code == 0 and left in _flat(found.stdout), found.output
    assert left in (tmp_path / "cmp" / "report.html").read_text()
    assert json.loads((tmp_path / "cmp" / "compare.json").read_text())["scored"] == "present"
    found = CliRunner().invoke(cli.app, ["evaluate", str(tmp_path / "run"), "--split", "dev"])
    assert left in _flat(found.stdout)
    found = CliRunner().invoke(cli.app, ["evaluate", str(tmp_path / "run"), "--split", "dev", "--scored", "all"])
    assert words in _flat(found.stdout)
    found = CliRunner().invoke(cli.app, ["evaluate", str(tmp_path / "run"), "--scored", "some"])
    assert found.exit_code == 2 and "expected all or present" in found.stderr


def _flat(text: str) -> str:
    return " ".join(text.split())
