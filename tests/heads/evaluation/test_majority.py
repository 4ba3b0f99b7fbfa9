"""The majority lines: scikit-learn's scores of constant answers, of the scored rows and of train."""

from __future__ import annotations

import numpy as np
import pytest
from dualstream.heads.evaluation import metrics
from dualstream.heads.evaluation.majority import log_shares, majority_lines
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score

NAMES = ["a", "b", "c"]


def test_meld_test_split():
    """Published: always neutral has accuracy 48.12 %, weighted F1 0.313, macro F1 0.093."""
    counts = {
        "neutral": 1256,
        "joy": 402,
        "anger": 345,
        "surprise": 281,
        "sadness": 208,
        "disgust": 68,
        "fear": 50,
    }
    line, trains = majority_lines(np.array(list(counts.values())), list(counts), np.array([9, 1, 1, 0, 0, 0, 0]))
    assert line is not None and line.name == "neutral" and trains is None
    assert line.accuracy == pytest.approx(0.4812, abs=5e-5)
    assert line.weighted_f1 == pytest.approx(0.313, abs=5e-4)
    assert line.macro_f1 == pytest.approx(0.093, abs=5e-4)
    assert line.balanced_accuracy == pytest.approx(1 / 7)


def test_both_lines_are_scikit_learns():
    """Scored are 2 a, 5 b, 0 c; train is mostly c, which does not occur: an answer that is never right."""
    truth = np.repeat([0, 1], [2, 5])
    scored, trains = majority_lines(np.array([2, 5, 0]), NAMES, np.array([1, 2, 4]))
    assert scored is not None and trains is not None and (scored.name, trains.name) == ("b", "c")
    for line, answer in ((scored, 1), (trains, 2)):
        answers = np.full(7, answer)
        assert line.accuracy == pytest.approx(accuracy_score(truth, answers))
        assert line.weighted_f1 == pytest.approx(f1_score(truth, answers, average="weighted", zero_division=0))
        assert line.macro_f1 == pytest.approx(f1_score(truth, answers, average="macro", zero_division=0))
    assert scored.balanced_accuracy == pytest.approx(balanced_accuracy_score(truth, np.full(7, 1)))
    assert trains.balanced_accuracy == 0


def test_of_equals_train_s_is_taken_and_there_is_one_line():
    line, trains = majority_lines(np.array([3, 4, 4]), NAMES, np.array([0, 1, 9]))
    assert line is not None and line.name == "c" and trains is None
    line, trains = majority_lines(np.array([3, 4, 4]), NAMES)
    assert line is not None and line.name == "b" and trains is None


def test_no_constant_answer_is_more_accurate():
    rng = np.random.default_rng(0)
    for _ in range(20):
        counts = rng.integers(0, 9, 3)
        if counts.sum():
            line, _ = majority_lines(counts, NAMES, rng.integers(0, 9, 3))
            assert line is not None and line.accuracy == counts.max() / counts.sum()


def test_nothing_labelled_has_no_line():
    assert majority_lines(np.zeros(3, int), NAMES, np.array([1, 0, 0])) == (None, None)
    assert majority_lines(np.zeros(0, int), []) == (None, None)


def test_scores_have_both():
    truth = np.array([0, 0, 1, -1, -1, -1, -1])
    found = metrics.score(np.zeros(7, int), truth, ["a", "b"], train_counts=np.array([1, 3]))
    assert found.majority is not None and (found.majority.name, found.majority.accuracy) == ("a", 2 / 3)
    assert found.train_majority is not None
    assert (found.train_majority.name, found.train_majority.accuracy) == ("b", 1 / 3)


def test_shares_are_of_the_labels_and_one_more_each():
    np.testing.assert_allclose(np.exp(log_shares(np.array([6, 2, 0]))), [7 / 11, 3 / 11, 1 / 11])
