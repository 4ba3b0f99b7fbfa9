"""Temperatures and mixtures that were planted are found; scipy's optimiser agrees."""

import numpy as np
import pytest
from dualstream.heads.evaluation import metrics
from dualstream.heads.evaluation.calibration import cross_calibrated, fit_weights, log_softmax
from scipy import optimize


def sample(rng, logits):
    return (logits + rng.gumbel(size=logits.shape)).argmax(1)


def test_log_softmax_of_huge_logits():
    np.testing.assert_allclose(log_softmax(np.array([[1e4, 0.0], [2.0, 2.0]])), [[0, -1e4], [-np.log(2)] * 2])


@pytest.mark.parametrize("true", [0.2, 1.0, 3.0])
def test_a_planted_temperature_is_found(true):
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(20_000, 5))
    assert fit_weights(logits[None], sample(rng, true * logits))[0] == pytest.approx(true, abs=0.03, rel=0.03)


def test_a_planted_mixture_is_found_and_noise_gets_nothing():
    rng = np.random.default_rng(1)
    experts = rng.normal(size=(3, 20_000, 4)) * 2
    found = fit_weights(experts, sample(rng, 0.8 * experts[0] + 0.3 * experts[1] - 0.4 * experts[2]))
    np.testing.assert_allclose(found[:2], [0.8, 0.3], atol=0.1)
    assert found[2] == 0  # a negative weight is not on offer


def test_equals_scipy():
    rng = np.random.default_rng(2)
    experts = rng.normal(size=(2, 300, 4))
    labels = sample(rng, experts.sum(0))
    target = np.full((300, 4), 1 / 304)
    target[np.arange(300), labels] += 300 / 304

    def loss(weights):
        return -(target * log_softmax(np.tensordot(weights, experts, 1))).sum()

    expected = optimize.minimize(loss, [0.5, 0.5], bounds=[(0, None)] * 2, tol=1e-12).x
    np.testing.assert_allclose(fit_weights(experts, labels), expected, rtol=1e-3)


def test_perfect_answers_stay_finite():
    labels = np.arange(60) % 3
    assert 0 < fit_weights(np.eye(3)[labels][None], labels)[0] < 20


def test_pull_keeps_weights_together():
    rng = np.random.default_rng(3)
    experts = rng.normal(size=(2, 200, 3))
    labels = sample(rng, 2 * experts[0])
    free, pulled = fit_weights(experts, labels), fit_weights(experts, labels, pull=1e6)
    assert free[0] - free[1] > 1
    assert abs(pulled[0] - pulled[1]) < 1e-2


def test_unlabelled_say_nothing():
    rng = np.random.default_rng(4)
    experts = rng.normal(size=(1, 100, 3))
    labels = sample(rng, experts[0])
    half = np.where(np.arange(100) < 50, labels, -1)
    np.testing.assert_allclose(fit_weights(experts, half), fit_weights(experts[:, :50], labels[:50]))
    np.testing.assert_allclose(fit_weights(experts.repeat(2, 0), np.full(100, -1)), [0.5, 0.5])


def overconfident(seed, count=4_000, groups=40):
    rng = np.random.default_rng(seed)
    logits = 1.5 * rng.normal(size=(count, 4))
    return log_softmax(3 * logits), sample(rng, logits), rng.integers(0, groups, count)


def test_answers_are_calibrated_by_other_groups():
    log_p, labels, groups = overconfident(5)
    fitted = cross_calibrated(log_p, labels, groups)
    np.testing.assert_array_equal(fitted.argmax(1), log_p.argmax(1))
    np.testing.assert_allclose(fitted, log_softmax(log_p / 3), atol=0.6, rtol=0.1)  # the planted temperature
    before, after, true = (
        -one[np.arange(len(labels)), labels].mean() for one in (log_p, fitted, log_softmax(log_p / 3))
    )
    assert before > after + 0.1
    assert after == pytest.approx(true, abs=0.005)


def test_a_group_has_no_say_in_its_own_temperature():
    log_p, labels, groups = overconfident(6)
    own = groups == 7
    turned = np.where(own, (labels + 1) % 4, labels)
    np.testing.assert_array_equal(
        cross_calibrated(log_p, turned, groups)[own], cross_calibrated(log_p, labels, groups)[own]
    )
    assert (cross_calibrated(log_p, turned, groups) != cross_calibrated(log_p, labels, groups)).any()


def test_one_group_is_calibrated_by_utterances():
    log_p, labels, _ = overconfident(7)
    fitted = cross_calibrated(log_p, labels, np.zeros(len(labels), np.int64))
    np.testing.assert_allclose(fitted, log_softmax(log_p / 3), atol=0.6, rtol=0.1)


def test_a_temperature_says_nothing_new_of_calibrated_answers():
    """A plain and an overconfident copy of the same answers have the same calibrated log loss, not the same log loss."""
    log_p, labels, groups = overconfident(8)
    names = ("a", "b", "c", "d")
    plain, sharp = (metrics.score(one, labels, names, groups=groups) for one in (log_softmax(log_p / 3), log_p))
    assert sharp.log_loss.mean > plain.log_loss.mean + 0.1
    assert sharp.calibrated_log_loss.mean == pytest.approx(plain.calibrated_log_loss.mean, abs=1e-3)
    assert plain.calibrated_log_loss.mean == pytest.approx(plain.log_loss.mean, abs=5e-3)
    for metric in metrics.HEADLINES:
        assert sharp.headline(metric).mean == plain.headline(metric).mean


def test_answers_without_probabilities_have_no_calibrated_log_loss():
    assert metrics.score(np.array([0, 1, 1]), np.array([0, 1, 0]), ("a", "b")).calibrated_log_loss is None
