"""What stands beside the scores knows no label of what is scored: pairs and the majority line, fold by fold."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from dualstream.heads.evaluation import metrics
from dualstream.heads.evaluation.majority import majority_lines
from dualstream.heads.variants.decode import joint_decode
from dualstream.heads.variants.registry import FitOptions, Prediction
from dualstream.pipeline.cache import Cache
from dualstream.pipeline.commands.fit_head import FitHeadOptions, fit_head_on
from dualstream.pipeline.experiments import fitting, protocol
from dualstream.pipeline.experiments.label_support import LabelSupport, TrainingLabels
from dualstream.pipeline.experiments.protocol import DecodingOptions
from dualstream.pipeline.experiments.scoring import score_predictions
from dualstream.pipeline.experiments.training_data import corpus_of

from tests.pipeline.planted_corpus import planted_cache

FIT = FitOptions(seeds=(0,), loss="cross_entropy", penalty=16.0)
JOINT = FitHeadOptions(folds="speaker", report=False, answering=DecodingOptions(joint_decoding=True))


def with_a_pair_of_one_speaker() -> Cache:
    """Return a cache in which the joy of speaker0, and nobody else's, is negative."""
    cache = planted_cache()
    rows = cache.utterances
    sentiment = rows.sentiment.copy()
    sentiment[(np.array(rows.speaker) == "speaker0") & (rows.emotion == 1)] = 2
    return dataclasses.replace(cache, utterances=dataclasses.replace(rows, sentiment=sentiment))


def with_speakers_of_one_class() -> Cache:
    """Return a cache of three speakers, each of whom has an emotion of their own: 120, 110 and 90 utterances."""
    cache = planted_cache(sizes={"train": 320})
    rows = cache.utterances
    emotion = np.repeat([0, 1, 2], [120, 110, 90]).astype(np.int16)
    speaker = [f"speaker{code}" for code in emotion]
    changed = dataclasses.replace(rows, emotion=emotion, sentiment=emotion, speaker=speaker)
    return dataclasses.replace(cache, utterances=changed)


def test_joint_decoding_by_folds_knows_no_pair_of_who_is_scored(tmp_path) -> None:
    corpus = corpus_of(with_a_pair_of_one_speaker())
    run = fit_head_on(corpus, "linear", tmp_path / "run", fit=FIT, options=JOINT)
    plan = protocol.plan(corpus, "speaker")
    outcome = fitting.fit_and_predict(plan, "linear", FIT, refit=False)
    decoded = JOINT.answering.apply(outcome.predictions, LabelSupport.of(plan).pairs).decoded[0]
    of_speaker = corpus.speakers[plan.scored] == "speaker0"
    pair = (decoded["emotion"] == 1) & (decoded["sentiment"] == 2)
    assert not pair[of_speaker].any() and of_speaker.any()
    # and the table says that some labels contradict what the fold saw: these, and no others
    odd = (corpus.features.emotion[plan.scored] == 1) & (corpus.features.sentiment[plan.scored] == 2)
    assert (odd <= of_speaker).all() and odd.any()
    assert run.metrics["contradiction"]["labels"] == pytest.approx(odd.mean())
    assert run.metrics["contradiction"]["mean"] == 0
    # a model for new utterances has seen them all
    assert TrainingLabels.of_run(run.config.fitted_on).pairs[1, 2] > 0


def test_majority_line_by_folds_is_not_below_chance() -> None:
    """Each speaker has one class: the commonest outside a fold is never right inside, the commonest of all is."""
    corpus = corpus_of(with_speakers_of_one_class())
    plan = protocol.plan(corpus, "speaker")
    scored = np.bincount(corpus.features.emotion[plan.scored], minlength=3)
    majority, _ = majority_lines(scored, corpus.vocabulary["emotion"], LabelSupport.of(plan).train["emotion"])
    assert majority is not None
    assert (majority.name, majority.accuracy) == ("neutral", 120 / 320)
    assert majority.balanced_accuracy == pytest.approx(1 / 3)


def test_classes_that_training_never_showed_are_named(tmp_path) -> None:
    cache = planted_cache()
    rows = cache.utterances
    emotion = rows.emotion.copy()
    emotion[(np.array(rows.split) == "train") & (emotion == 2)] = 0
    corpus = corpus_of(dataclasses.replace(cache, utterances=dataclasses.replace(rows, emotion=emotion)))
    run = fit_head_on(corpus, "linear", tmp_path / "run", fit=FIT, options=FitHeadOptions(report=False))
    count = int((emotion[np.array(rows.split) == "dev"] == 2).sum())
    (said,) = [text for text in run.metrics["warnings"] if "did not show" in text]
    assert said.startswith(f"emotion: {count} of 80 scored utterances") and "(anger)" in said


def test_a_speaker_s_own_class_is_unknown_to_the_fold_that_leaves_the_speaker_out() -> None:
    plan = protocol.plan(corpus_of(with_speakers_of_one_class()), "speaker")
    features = plan.corpus.features
    said = LabelSupport.of(plan).unseen_classes("emotion", features.emotion[plan.scored], features.emotion_names)
    assert len(said) == 1 and said[0].startswith("emotion: 320 of 320 scored utterances")
    all_known = LabelSupport.throughout(TrainingLabels.of(plan.corpus, plan.scored), 320)
    assert all_known.unseen_classes("emotion", features.emotion[plan.scored], features.emotion_names) == []


def test_training_of_one_class_is_said() -> None:
    corpus = corpus_of(with_speakers_of_one_class())
    support = LabelSupport.throughout(TrainingLabels.of(corpus, np.arange(120)), 5)
    said = support.unseen_classes("emotion", np.zeros(5, np.int64), corpus.features.emotion_names)
    assert said == ["emotion: training showed only one class: there was nothing to tell apart"]


def test_a_class_that_was_seen_once_counts() -> None:
    names = ["neutral", "joy", "anger"]
    for counts, words in (([1, 0, 0], 1), ([1, 1, 0], 0), ([5, 1, 0], 0), ([5, 0, 0], 1)):
        seen = TrainingLabels(
            {"emotion": np.array(counts), "sentiment": np.ones(3, np.int64)}, np.zeros((3, 3), np.int64)
        )
        said = LabelSupport.throughout(seen, 4).unseen_classes("emotion", np.zeros(4, np.int64), names)
        assert len(said) == words, counts


def test_without_folds_all_rows_are_shown_train() -> None:
    corpus = corpus_of(planted_cache())
    plan = protocol.plan(corpus)
    support = LabelSupport.of(plan)
    assert support.pairs.shape == (80, 3, 3)
    np.testing.assert_array_equal(support.pairs[0], np.eye(3, dtype=bool))
    # what check counts, who knows no features: 240, of which 9 have none
    np.testing.assert_array_equal(support.train["emotion"], np.bincount(corpus.features.emotion[:240]))
    assert support.train["emotion"].sum() == 240 and support.parts[0].counts["emotion"].sum() == 231


def test_train_without_labels_of_a_task_leaves_the_scored_line_alone() -> None:
    corpus = corpus_of(planted_cache())
    none = TrainingLabels(
        {"emotion": np.array([3, 0, 0]), "sentiment": np.zeros(3, np.int64)}, np.zeros((3, 3), np.int64)
    )
    support = LabelSupport.throughout(none, 80)
    plan = protocol.plan(corpus)
    predictions = fitting.fit_and_predict(plan, "linear", FIT).predictions
    scores = score_predictions(predictions, corpus.vocabulary, groups=plan.clusters(), support=support)
    sentiment = scores["tasks"]["sentiment"]
    assert sentiment["train_majority"] is None and scores["contradiction"] is None
    truth = corpus.features.sentiment[plan.scored]
    assert sentiment["majority"]["accuracy"] == np.bincount(truth).max() / 80
    assert scores["tasks"]["emotion"]["majority"]["name"] == "neutral"


def test_pairs_by_row_decode_as_each_alone() -> None:
    rng = np.random.default_rng(0)
    prediction = Prediction(rng.normal(size=(30, 4)), rng.normal(size=(30, 3)))
    prediction.emotion[0, :] = -np.inf  # type: ignore[index]
    tables = rng.random((2, 4, 3)) < 0.4
    part = rng.integers(0, 2, size=30)
    found = np.stack(joint_decode(prediction, tables[part]))
    assert tables[part, found[0], found[1]].all()
    for number in range(2):
        alone = np.stack(joint_decode(prediction, tables[number]))
        np.testing.assert_array_equal(found[:, part == number], alone[:, part == number])
    seen = tables[part]
    rate = metrics.contradiction_rate(np.zeros(30, np.int64), np.zeros(30, np.int64), seen)
    assert rate == pytest.approx((~tables[part, 0, 0]).mean())
