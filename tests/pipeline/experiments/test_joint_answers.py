"""One joint answer on the way from a fit to a run, its folder, `evaluate`, `--like` and a comparison."""

from __future__ import annotations

import csv
import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from dualstream.heads.variants.joint import Joint
from dualstream.heads.variants.joint_model import JointModel
from dualstream.heads.variants.registry import FitOptions
from dualstream.pipeline import experiments
from dualstream.pipeline.cache import Cache, write_cache
from dualstream.pipeline.commands.compare import CompareOptions, compare_on
from dualstream.pipeline.commands.evaluate import evaluate
from dualstream.pipeline.commands.fit_head import FitHeadOptions, fit_head, fit_head_on
from dualstream.pipeline.experiments.predictions import read_predictions
from dualstream.pipeline.experiments.protocol import DecodingOptions
from dualstream.pipeline.experiments.training_data import corpus_of
from dualstream.pipeline.options.heads import FitHeadCommand
from dualstream.pipeline.options.preset import from_run

from tests.pipeline.planted_corpus import planted_cache

FIT = FitOptions(seeds=(0,), loss="cross_entropy", penalty=16.0)
APART = dataclasses.replace(FIT, decoding="separate")
BARE = FitHeadOptions(report=False)


def with_an_open_emotion() -> Cache:
    """Return a cache whose third emotion goes two ways, which the second stream tells as it tells joy."""
    cache = planted_cache(strength=1.0)
    rows = cache.utterances
    rng = np.random.default_rng(4)
    other = (rows.emotion == 2) & (rng.random(len(rows.emotion)) < 0.5)
    sentiment = np.where(other, 1, rows.sentiment).astype(rows.sentiment.dtype)
    return dataclasses.replace(cache, utterances=dataclasses.replace(rows, sentiment=sentiment))


def pairs_of(corpus, index) -> set[tuple[int, int]]:
    return set(
        zip(corpus.features.emotion[index].tolist(), corpus.features.sentiment[index].tolist(), strict=True)
    )


@pytest.mark.parametrize("name", ["linear_late", "concat"])
def test_a_run_answers_pairs_that_training_showed_and_emotion_as_before(name: str, tmp_path: Path) -> None:
    corpus = corpus_of(with_an_open_emotion())
    quick = {"seeds": (0, 1), "epochs": 4, "penalty": None}
    joint = fit_head_on(corpus, name, tmp_path / "a", fit=dataclasses.replace(FIT, **quick), options=BARE)
    apart = fit_head_on(corpus, name, tmp_path / "b", fit=dataclasses.replace(APART, **quick), options=BARE)
    assert joint.metrics.joint and not apart.metrics.joint and not joint.metrics.joint_decoding
    assert joint.metrics.contradiction.mean == 0
    models = experiments.read_models(tmp_path / "a" / experiments.WEIGHTS)
    assert all(isinstance(model, JointModel) and model.joint.lead == "emotion" for model in models)
    one, two = (
        read_predictions(tmp_path / place / f"predictions_{joint.metrics.split}.csv", corpus.vocabulary)
        for place in ("a", "b")
    )
    train = corpus.train(corpus.split("train"))
    for i, (said, alone) in enumerate(zip(one.models, two.models, strict=True)):
        np.testing.assert_array_equal(said.emotion, alone.emotion)
        np.testing.assert_array_equal(one.answers(i, "emotion"), two.answers(i, "emotion"))
        answered = set(zip(one.answers(i, "emotion").tolist(), one.answers(i, "sentiment").tolist(), strict=True))
        assert answered <= pairs_of(corpus, train)
        rows = np.flatnonzero(one.true["sentiment"] >= 0)
        loss = -said.sentiment[rows, one.true["sentiment"][rows]].mean()
        assert joint.metrics.tasks["sentiment"].log_loss.seeds[i] == pytest.approx(loss)
        right = (one.answers(i, "sentiment") == one.true["sentiment"])[rows].mean()
        assert joint.metrics.tasks["sentiment"].accuracy.seeds[i] == pytest.approx(right)
    with (tmp_path / "a" / f"predictions_{joint.metrics.split}.csv").open(newline="") as lines:
        first = next(csv.DictReader(lines))
    assert first["leads"] == "emotion" and "pair:anger/positive" in first
    assert "pair:joy/negative" not in first  # never shown


def test_each_fold_has_its_own_table(tmp_path: Path) -> None:
    """A pair that one speaker alone has is not answered to that speaker."""
    cache = planted_cache()
    rows = cache.utterances
    sentiment = rows.sentiment.copy()
    sentiment[(np.array(rows.speaker) == "speaker0") & (rows.emotion == 1)] = 2
    corpus = corpus_of(dataclasses.replace(cache, utterances=dataclasses.replace(rows, sentiment=sentiment)))
    run = fit_head_on(
        corpus, "linear", tmp_path / "run", fit=FIT, options=dataclasses.replace(BARE, folds="speaker")
    )
    assert run.metrics.contradiction.mean == 0
    said = read_predictions(tmp_path / "run" / "predictions_folds.csv", corpus.vocabulary)
    speaker = dict(zip(rows.id, rows.speaker, strict=True))
    of_speaker = np.array([speaker[name] == "speaker0" for name in said.ids])
    odd = (said.answers(0, "emotion") == 1) & (said.answers(0, "sentiment") == 2)
    assert of_speaker.any() and not odd[of_speaker].any()
    (model,) = experiments.read_models(tmp_path / "run" / experiments.WEIGHTS)
    assert model.joint.counts[1, 2] > 0  # for new utterances all are counted
    assert np.isneginf(said.models[0].pairs[of_speaker, 1, 2]).all()
    assert np.isfinite(said.models[0].pairs[~of_speaker, 1, 2]).all()


def test_evaluate_answers_as_the_run_does_and_an_older_run_as_it_did(tmp_path: Path) -> None:
    cache = tmp_path / "cache.h5"
    write_cache(cache, with_an_open_emotion())
    corpus = corpus_of(with_an_open_emotion())
    for place, fit in (("joint", FIT), ("apart", APART)):
        fit_head(cache, "linear", tmp_path / place, fit=fit, options=BARE)
    config = tmp_path / "apart" / "config.json"
    document = json.loads(config.read_text())
    del document["options"]["decoding"]  # as runs of an earlier time
    config.write_text(json.dumps(document))
    found = evaluate(tmp_path / "joint", split="test")
    assert found.scores.joint and found.scores.contradiction.mean == 0
    older = evaluate(tmp_path / "apart", split="test")
    assert not older.scores.joint
    said = read_predictions(tmp_path / "apart" / "predictions_test.csv", corpus.vocabulary)
    for task in ("emotion", "sentiment"):
        np.testing.assert_array_equal(said.answers(0, task), said.models[0].task(task).argmax(1))
    assert experiments.read_run(tmp_path / "apart").config.options.decoding == "separate"
    assert from_run(FitHeadCommand, tmp_path / "apart")["decoding"] == "separate"
    assert from_run(FitHeadCommand, tmp_path / "joint")["decoding"] == "joint"


def test_the_older_word_means_what_it_did(tmp_path: Path) -> None:
    corpus = corpus_of(with_an_open_emotion())
    word = dataclasses.replace(BARE, answering=DecodingOptions(joint_decoding=True))
    first = fit_head_on(corpus, "linear", tmp_path / "a", fit=FIT, options=word)
    second = fit_head_on(
        corpus, "linear", tmp_path / "b", fit=dataclasses.replace(FIT, decoding="pairs"), options=BARE
    )
    for run in (first, second):
        assert run.metrics.joint_decoding and run.config.answering.joint_decoding
        assert run.config.options.decoding == "pairs"
    names = [tmp_path / place / "predictions_dev.csv" for place in ("a", "b")]
    assert names[0].read_bytes() == names[1].read_bytes()


def test_a_comparison_scores_joint_answers_and_their_ensemble(tmp_path: Path) -> None:
    corpus = corpus_of(with_an_open_emotion())
    fit = dataclasses.replace(FIT, seeds=(0, 1), epochs=3, penalty=None)
    for ensemble in (False, True):
        options = CompareOptions(report=False, workers=1, answering=DecodingOptions(ensemble=ensemble))
        found = compare_on(corpus, tmp_path / str(ensemble), ["linear", "concat"], fit=fit, options=options)
        for row in found.rows:
            assert row.scores.joint and row.scores.contradiction.mean == 0


def test_one_task_alone_has_no_joint_answer(tmp_path: Path) -> None:
    corpus = corpus_of(planted_cache())
    run = fit_head_on(
        corpus, "linear", tmp_path / "run", fit=dataclasses.replace(FIT, tasks=("emotion",)), options=BARE
    )
    assert not run.metrics.joint and run.metrics.contradiction is None
    said = read_predictions(tmp_path / "run" / "predictions_dev.csv", corpus.vocabulary)
    assert said.models[0].pairs is None


def test_folds_without_a_pair_keep_separate_answers() -> None:
    """One fold's rows never have both labels, another's do: rows of the first are answered by each head."""
    from dualstream.heads.variants.decode import decode
    from dualstream.heads.variants.joint import joined_rows
    from dualstream.heads.variants.registry import Prediction

    rng = np.random.default_rng(0)
    apart, plain = (Prediction(*(np.log(rng.dirichlet(np.ones(3), 5)) for _ in range(2))) for _ in range(2))
    joint = Joint(np.diag([4, 5, 6])).apply(plain)
    order = np.array([9, 0, 1, 2, 3, 4, 5, 6, 7, 8])
    emotion, sentiment = decode(joined_rows([apart, joint], order))
    own = np.concatenate([apart.emotion.argmax(1), joint.emotion.argmax(1)])[order]
    np.testing.assert_array_equal(emotion, own)
    follows = np.concatenate([apart.sentiment.argmax(1), joint.emotion.argmax(1)])[order]
    np.testing.assert_array_equal(sentiment, follows)
