"""Scores against scikit-learn on random cases, and the conventions that the module states."""

import json
import warnings

import numpy as np
import pytest
from dualstream.heads.evaluation import metrics
from sklearn import metrics as reference
from sklearn.calibration import calibration_curve


def random_case(seed: int) -> tuple[np.ndarray, np.ndarray, int]:
    """Random truth and log-probabilities; some classes absent, some never answered."""
    rng = np.random.default_rng(seed)
    classes, count = int(rng.integers(2, 9)), int(rng.integers(1, 200))
    truth = rng.choice(classes, size=count, p=rng.dirichlet(np.full(classes, 0.4)))
    logits = rng.normal(size=(count, classes)) * rng.uniform(0.2, 6) + rng.normal(size=classes) * 2
    logits[np.arange(count), truth] += rng.uniform(0, 3)
    logits -= logits.max(1, keepdims=True)
    return truth, logits - np.log(np.exp(logits).sum(1, keepdims=True)), classes


@pytest.mark.parametrize("seed", range(100))
def test_equals_scikit_learn(seed):
    truth, log_p, classes = random_case(seed)
    answers = log_p.argmax(1)
    scores = metrics.score(log_p, truth, [f"c{i}" for i in range(classes)])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = {
            "accuracy": reference.accuracy_score(truth, answers),
            "balanced_accuracy": reference.balanced_accuracy_score(truth, answers),
            "weighted_f1": reference.f1_score(truth, answers, average="weighted", zero_division=0),
            "macro_f1": reference.f1_score(truth, answers, average="macro", zero_division=0),
        }
        precision, recall, f1, support = reference.precision_recall_fscore_support(
            truth, answers, labels=range(classes), zero_division=0
        )
    for name, value in expected.items():
        assert scores.headline(name).mean == pytest.approx(value, abs=1e-12), name
    np.testing.assert_allclose([c.precision for c in scores.classes], precision)
    np.testing.assert_allclose([c.recall for c in scores.classes], recall)
    np.testing.assert_allclose([c.f1 for c in scores.classes], f1)
    np.testing.assert_array_equal([c.support for c in scores.classes], support)
    np.testing.assert_array_equal(
        scores.confusion, reference.confusion_matrix(truth, answers, labels=range(classes))
    )
    assert scores.log_loss.mean == pytest.approx(
        reference.log_loss(truth, np.exp(log_p), labels=range(classes)), rel=1e-6
    )
    # the calibration curve has the same bins; its gaps weighted by their counts are the error
    confidence, right = np.exp(log_p.max(1)), (answers == truth).astype(float)
    observed, stated = calibration_curve(right, confidence, n_bins=metrics.CALIBRATION_BINS)
    edges = np.linspace(0, 1, metrics.CALIBRATION_BINS + 1)
    counts = np.bincount(np.searchsorted(edges[1:-1], confidence), minlength=metrics.CALIBRATION_BINS)
    error = (np.abs(observed - stated) * counts[counts > 0]).sum() / len(truth)
    assert scores.calibration_error.mean == pytest.approx(error, abs=1e-9)


def test_unlabelled_are_left_out():
    truth = np.array([0, 1, -1, 1])
    with_gap = metrics.score(np.array([0, 1, 0, 0]), truth, ["a", "b"])
    assert with_gap.count == 3
    assert with_gap.accuracy.mean == pytest.approx(2 / 3)
    assert with_gap.log_loss is None


@pytest.mark.parametrize(
    ("predictions", "truth", "message"),
    [
        (np.array([0, 1]), np.array([-1, -1]), "none of the 2 utterances is labelled"),
        (np.array([0, 1, 1]), np.array([0, 1]), r"shape \(3,\); expected \(2, 2\)"),
        (np.array([0, 2]), np.array([0, 1]), "answers run from 0 to 2"),
        (np.array([0, 1]), np.array([0, 5]), "labels run from 0 to 5"),
        (np.array([[np.nan, 0], [0, 0.0]]), np.array([0, 1]), "NaN among the log-probabilities of 1 utterance:"),
        ([], np.array([0, 1]), "no predictions"),
    ],
)
def test_score_fails(predictions, truth, message):
    with pytest.raises(ValueError, match=message):
        metrics.score(predictions, truth, ["a", "b"])


def test_seeds_are_averaged_after_scoring():
    truth = np.array([0, 0, 1, 1])
    scores = metrics.score([np.array([0, 0, 1, 1]), np.array([0, 0, 0, 0])], truth, ["a", "b"])
    assert scores.accuracy.seeds == (1.0, 0.5)
    assert scores.accuracy.mean == 0.75
    assert scores.accuracy.spread == pytest.approx(np.std([1.0, 0.5], ddof=1))
    assert scores.accuracy.low is None  # no groups were given


def test_collapse_is_said():
    truth = np.repeat([0, 1, 2], [50, 30, 20])
    answers = np.zeros(100, int)
    collapsed = metrics.score(answers, truth, ["calm", "joy", "fear"]).warnings
    assert any("collapse" in w and "'calm'" in w for w in collapsed)
    assert any("never answered: joy, fear" in w for w in collapsed)
    assert metrics.score(truth, truth, ["calm", "joy", "fear"]).warnings == ()


def test_collapse_of_one_seed_is_said():
    truth = np.repeat([0, 1], 50)
    (warning,) = metrics.score([truth, np.zeros(100, int)], truth, ["a", "b"]).warnings
    assert "1 of 2 seeds" in warning


def test_contradictions():
    seen = metrics.seen_pairs(np.array([0, 1, 1, -1]), np.array([0, 1, 2, 0]), 2, 3)
    np.testing.assert_array_equal(seen, [[True, False, False], [False, True, True]])
    rate = metrics.contradiction_rate(np.array([0, 0, 1, 1]), np.array([0, 1, 2, 0]), seen)
    assert rate == 0.5


def test_json_has_everything_and_no_nan():
    truth, log_p, classes = random_case(3)
    rng = np.random.default_rng(0)
    scores = metrics.score(
        [log_p, log_p[:, ::-1]],
        truth,
        [f"c{i}" for i in range(classes)],
        groups=rng.integers(0, 12, len(truth)),
        train_counts=np.bincount(truth, minlength=classes),
    )
    document = json.loads(json.dumps(scores.to_json(), allow_nan=False))
    low, high = document["accuracy"]["interval"]
    assert low < document["accuracy"]["mean"] < high
    assert document["majority"]["accuracy"] == pytest.approx(np.bincount(truth).max() / len(truth))
    assert document["train_majority"] is None
    assert len(document["classes"]) == classes


def test_unknown_speakers_are_groups_of_their_own():
    scores = metrics.score(np.zeros(6, int), np.zeros(6, int), ["a", "b"], groups=np.array([0, 0, 1, -1, -1, -1]))
    assert scores.groups == 5


def paired(flips: list[int]) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return truth, groups of two utterances, a model that is always right, and one that is wrong in `flips`."""
    truth = np.tile([0, 1], 4)
    wrong = truth.copy()
    wrong[flips] = 1 - wrong[flips]
    return truth, np.arange(8) // 2, truth.copy(), wrong


def test_compare_models_by_hand():
    truth, groups, right, wrong = paired(list(range(8)))
    found = metrics.compare_models([right], [wrong], truth, groups, classes=2, metric="accuracy")
    # of the 16 ways to swap four groups, none and all swapped differ as much
    assert (found.difference, found.groups, found.p_value) == (1.0, 4, 2 / 16)
    truth, groups, right, wrong = paired([0, 2, 4])
    found = metrics.compare_models([right], [wrong], truth, groups, classes=2, metric="accuracy")
    # three groups count, and the fourth is the same for both: 2 of 8
    assert (found.difference, found.p_value) == (3 / 8, 2 / 8)
    assert found.low <= 3 / 8 <= found.high
    same = metrics.compare_models([right], [right], truth, groups, classes=2)
    assert (same.difference, same.low, same.high, same.p_value) == (0, 0, 0, 1)


@pytest.mark.parametrize("metric", ["balanced_accuracy", "macro_f1", "accuracy", "weighted_f1"])
def test_compare_models_takes_the_difference_of_mean_scores(metric):
    rng = np.random.default_rng(1)
    truth, groups = rng.integers(0, 3, 90), np.arange(90) // 6
    first, second = rng.integers(0, 3, (2, 90)), rng.integers(0, 3, (3, 90))
    score = {
        "balanced_accuracy": reference.balanced_accuracy_score,
        "accuracy": reference.accuracy_score,
        "macro_f1": lambda t, a: reference.f1_score(t, a, average="macro"),
        "weighted_f1": lambda t, a: reference.f1_score(t, a, average="weighted"),
    }[metric]
    expected = np.mean([score(truth, one) for one in first]) - np.mean([score(truth, one) for one in second])
    found = metrics.compare_models(list(first), list(second), truth, groups, classes=3, metric=metric)
    assert found.difference == pytest.approx(expected, abs=1e-12)
    turned = metrics.compare_models(list(second), list(first), truth, groups, classes=3, metric=metric)
    assert turned.difference == pytest.approx(-expected, abs=1e-12)


def test_compare_models_reads_log_probabilities_and_labelled_utterances_only():
    truth, groups, right, wrong = paired([0, 2, 4])
    log_p = np.log(np.where(np.eye(2, dtype=bool)[wrong], 0.9, 0.1))
    codes = metrics.compare_models([right], [wrong], truth, groups, classes=2)
    assert metrics.compare_models([right], [log_p], truth, groups, classes=2) == codes
    more = np.concatenate([truth, [-1, -1]])  # unlabelled: whatever they are answered
    answers = [np.concatenate([one, [0, 1]]) for one in (right, wrong)]
    found = metrics.compare_models([answers[0]], [answers[1]], more, np.concatenate([groups, [0, 9]]), classes=2)
    assert found == codes


def test_compare_models_takes_an_unknown_group_for_one_of_its_own():
    truth, _, right, wrong = paired(list(range(8)))
    groups = np.full(8, -1)
    found = metrics.compare_models([right], [wrong], truth, groups, classes=2, metric="accuracy")
    assert (found.groups, found.p_value) == (8, 2 / 2**8)


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        ([np.array([0, 1])], [], "no predictions"),
        ([np.array([0, 1])], [np.array([0, 1, 1])], r"shape \(3,\)"),
        ([np.array([0, 7])], [np.array([0, 1])], "answers run from 0 to 7"),
        ([np.array([0, 1])], [np.array([[0.0, np.nan], [0, 0]])], "NaN"),
    ],
)
def test_compare_models_fails(first, second, message):
    with pytest.raises(ValueError, match=message):
        metrics.compare_models(first, second, np.array([0, 1]), np.array([0, 1]), classes=2)
