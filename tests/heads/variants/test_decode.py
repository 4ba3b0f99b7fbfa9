"""Answers out of log-probabilities, by hand."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from dualstream.heads.variants.contract import Prediction
from dualstream.heads.variants.decode import joint_decode, separate_decode


def of(emotion, sentiment) -> Prediction:
    with np.errstate(divide="ignore"):
        rows = (None if one is None else np.log(np.array(one, dtype=float)) for one in (emotion, sentiment))
        return Prediction(*rows)


def test_each_task_by_itself():
    found = separate_decode(of([[0.2, 0.5, 0.3], [0.7, 0.2, 0.1]], [[0.4, 0.6], [0.9, 0.1]]))
    assert [codes.tolist() for codes in found] == [[1, 0], [1, 0]]
    assert all(codes.dtype == np.int64 for codes in found)


def test_a_task_without_a_head_has_no_answer():
    emotion, sentiment = separate_decode(of([[0.2, 0.8]], None))
    assert emotion.tolist() == [1] and sentiment is None


def test_a_pair_that_was_never_seen_is_not_answered():
    seen = np.array([[True, False], [False, True], [True, True]])
    found = joint_decode(of([[0.5, 0.4, 0.1]], [[0.1, 0.9]]), seen)
    # alone: emotion 0 and sentiment 1, which no utterance has; of the seen, 0.4 * 0.9 is the largest
    assert [codes.tolist() for codes in found] == [[1], [1]]


def test_where_all_pairs_were_seen_it_is_each_task_by_itself():
    rng = np.random.default_rng(0)
    both = of(rng.dirichlet(np.ones(5), 50), rng.dirichlet(np.ones(3), 50))
    for one, other in zip(joint_decode(both, np.ones((5, 3), bool)), separate_decode(both), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("seed", range(3))
def test_it_is_the_best_of_all_seen_pairs(seed):
    rng = np.random.default_rng(seed)
    emotion, sentiment = rng.dirichlet(np.ones(4), 20), rng.dirichlet(np.ones(3), 20)
    seen = rng.random((4, 3)) < 0.5
    seen[0, 0] = True
    found = joint_decode(of(emotion, sentiment), seen)
    for row in range(20):
        pairs = [(e, s) for e, s in itertools.product(range(4), range(3)) if seen[e, s]]
        best = max(pairs, key=lambda pair: emotion[row, pair[0]] * sentiment[row, pair[1]])
        assert (found[0][row], found[1][row]) == best


def test_utterances_may_have_tables_of_their_own():
    seen = np.array([[[True, False], [False, False]], [[False, False], [False, True]]])
    rows = of([[0.1, 0.9], [0.9, 0.1]], [[0.1, 0.9], [0.9, 0.1]])
    assert [codes.tolist() for codes in joint_decode(rows, seen)] == [[0, 1], [0, 1]]


def test_a_seen_pair_of_no_probability_is_still_an_answer():
    found = joint_decode(of([[0.0, 1.0]], [[0.0, 1.0]]), np.array([[True, False], [False, False]]))
    assert [codes.tolist() for codes in found] == [[0], [0]]


@pytest.mark.parametrize(
    ("prediction", "seen", "said"),
    [
        (of([[0.5, 0.5]], None), np.ones((2, 2), bool), "needs both tasks"),
        (of([[0.5, 0.5]], [[0.5, 0.5]]), np.ones((2, 3), bool), r"shape \(2, 3\); expected \(2, 2\)"),
        (of([[0.5, 0.5]], [[0.5, 0.5]]), np.ones((3, 2, 2), bool), "expected"),
        (of([[0.5, 0.5]], [[0.5, 0.5]]), np.zeros((2, 2), bool), "no training utterance has both labels"),
    ],
)
def test_what_can_t_be_decoded(prediction, seen, said):
    with pytest.raises(ValueError, match=said):
        joint_decode(prediction, seen)
