"""Confusion counts and their scores, against scikit-learn."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from dualstream.heads.evaluation.confusion import (
    HEADLINES,
    group_confusions,
    headline_statistic,
    headlines,
    margins,
    quotient,
)
from sklearn import metrics

CLASSES, ROWS, MODELS = 4, 200, 3


@pytest.fixture
def drawn():
    rng = np.random.default_rng(0)
    truth = rng.choice(CLASSES, ROWS, p=[0.5, 0.3, 0.15, 0.05])
    answers = np.where(rng.random((MODELS, ROWS)) < 0.6, truth, rng.integers(0, CLASSES, (MODELS, ROWS)))
    return truth, answers, rng.integers(0, 12, ROWS)


def test_counts_are_scikit_learns_group_by_group(drawn):
    truth, answers, groups = drawn
    found = group_confusions(truth, answers, CLASSES, groups)
    assert found.shape == (MODELS, groups.max() + 1, CLASSES, CLASSES)
    for model in range(MODELS):
        for group in range(groups.max() + 1):
            mine = groups == group
            expected = metrics.confusion_matrix(truth[mine], answers[model][mine], labels=range(CLASSES))
            np.testing.assert_array_equal(found[model, group], expected)


def test_a_group_without_rows_counts_nothing():
    found = group_confusions(np.array([0, 1]), np.array([[0, 0]]), 2, np.array([0, 2]))
    assert found[0, 1].sum() == 0 and found[0, 2].tolist() == [[0, 0], [1, 0]]  # truth in rows, answers in columns


def test_headlines_are_scikit_learns(drawn):
    truth, answers, groups = drawn
    found = headlines(group_confusions(truth, answers, CLASSES, groups).sum(axis=1))
    assert found.shape == (len(HEADLINES), MODELS)
    for model in range(MODELS):
        expected = (
            metrics.accuracy_score(truth, answers[model]),
            metrics.balanced_accuracy_score(truth, answers[model]),
            metrics.f1_score(truth, answers[model], average="weighted"),
            metrics.f1_score(truth, answers[model], average="macro"),
        )
        np.testing.assert_allclose(found[:, model], expected)


@pytest.mark.parametrize(
    ("truth", "answers"),
    [([0, 0, 1, 1], [0, 0, 0, 0]), ([0, 0, 0], [1, 2, 0]), ([2, 2], [2, 2]), ([0, 1], [1, 0])],
)
def test_classes_that_are_missing_from_truth_or_answers(truth, answers):
    """A class of which there is neither truth nor answer is in no mean; one that is only answered is in macro F1."""
    counts = metrics.confusion_matrix(truth, answers, labels=range(CLASSES)).astype(float)
    found = dict(zip(HEADLINES, headlines(counts), strict=True))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert found["balanced_accuracy"] == pytest.approx(metrics.balanced_accuracy_score(truth, answers))
        assert found["macro_f1"] == pytest.approx(
            metrics.f1_score(truth, answers, average="macro", zero_division=0)
        )
        assert found["weighted_f1"] == pytest.approx(
            metrics.f1_score(truth, answers, average="weighted", zero_division=0)
        )
    assert found["accuracy"] == pytest.approx(np.mean(np.equal(truth, answers)))


def test_nothing_counted_is_zero_and_no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert headlines(np.zeros((2, 3, 3))).tolist() == [[0, 0]] * 4


@pytest.mark.parametrize("name", HEADLINES)
def test_a_statistic_is_its_row_of_the_headlines(name, drawn):
    counts = group_confusions(*drawn[:2], CLASSES, drawn[2])
    np.testing.assert_array_equal(headline_statistic(name)(counts), headlines(counts)[HEADLINES.index(name)])


def test_a_score_that_there_is_not():
    with pytest.raises(ValueError, match=r"no score is called 'f1'; there are: accuracy, balanced_accuracy"):
        headline_statistic("f1")


def test_margins_of_a_table_by_hand():
    hits, support, answered = margins(np.array([[3.0, 1.0], [2.0, 4.0]]))
    assert (hits.tolist(), support.tolist(), answered.tolist()) == ([3, 4], [4, 6], [5, 5])


def test_a_quotient_over_nothing_is_nothing():
    assert quotient(np.array([1.0, 2.0, 3.0]), np.array([2, 0, -1])).tolist() == [0.5, 0, 0]
