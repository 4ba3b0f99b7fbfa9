"""Intervals that cover what they say they cover, and tests that raise as few false alarms as they say."""

import numpy as np
import pytest
from dualstream.heads.evaluation import confusion, statistics
from scipy import stats

PRIOR = np.array([0.47, 0.17, 0.12, 0.10, 0.08, 0.03, 0.03])  # about MELD's class shares


def corpus(rng, groups, *, models=1, per_group=9, effect=1.0):
    """Dialogues whose mood tilts the labels and whose sound tilts every model's errors."""
    sizes = np.maximum(1, rng.poisson(per_group, groups))
    group = np.repeat(np.arange(groups), sizes)
    share = PRIOR * np.exp(rng.normal(0, 0.8 * effect, (groups, 7)))[group]
    share /= share.sum(1, keepdims=True)
    truth = (rng.random((len(group), 1)) > share.cumsum(1)).sum(1).clip(0, 6)
    common = rng.normal(0, 0.5 * effect, (groups, 7))[group]
    answers = []
    for _ in range(models):
        own = rng.normal(0, 0.5 * effect, (groups, 7))[group]
        noise = rng.gumbel(size=(len(group), 7))
        answers.append((1.2 * np.eye(7)[truth] + 0.5 * np.log(PRIOR) + common + own + noise).argmax(1))
    return confusion.group_confusions(truth, np.stack(answers), 7, group)


def coverage(groups, corpora, name, seed):
    statistic = confusion.headline_statistic(name)
    rng = np.random.default_rng(seed)
    truth = float(statistic(corpus(rng, 200_000).sum(1))[0])
    inside = 0
    for _ in range(corpora):
        estimate = statistics.estimate(corpus(rng, groups), statistic, resamples=600)
        inside += estimate.low <= truth <= estimate.high
    return inside / corpora


@pytest.mark.parametrize(
    "name",
    ["balanced_accuracy", *(pytest.param(one, marks=pytest.mark.slow) for one in ("accuracy", "weighted_f1"))],
)
def test_intervals_cover_the_truth_with_dialogue_effects(name):
    # 300 corpora: the share itself wavers by +-2.5 points; the slow test below holds 93 to 97 %
    assert 0.915 <= coverage(60, 300, name, seed=5) <= 0.985


@pytest.mark.slow
@pytest.mark.parametrize("groups", [16, 60, 280])
@pytest.mark.parametrize("name", ["accuracy", "balanced_accuracy", "weighted_f1", "macro_f1"])
def test_intervals_cover_93_to_97_percent(name, groups):
    if name == "macro_f1" and groups == 16:
        pytest.skip("macro F1 over classes that hardly occur is biased; the module says so")
    assert 0.93 <= coverage(groups, 1500, name, seed=groups) <= 0.97


def test_drawing_utterances_instead_would_be_wrong():
    """The test above can fail: with utterances as groups the intervals are too narrow."""
    rng = np.random.default_rng(2)
    narrow = wide = 0.0
    for _ in range(20):
        counts = corpus(rng, 60, effect=2.0)
        wide_one = statistics.estimate(counts, confusion.headline_statistic("accuracy"))
        cells = counts.sum((0, 1)).astype(int).ravel()
        single = np.eye(49)[np.repeat(np.arange(49), cells)].reshape(1, -1, 7, 7)
        narrow_one = statistics.estimate(single, confusion.headline_statistic("accuracy"))
        wide += wide_one.high - wide_one.low
        narrow += narrow_one.high - narrow_one.low
    assert wide > 1.3 * narrow


def test_interval_of_a_mean_equals_students_t():
    """For a mean of many equal groups the interval is known: Student's t on the group means."""
    rng = np.random.default_rng(0)
    right = rng.binomial(50, 0.5 + rng.uniform(-0.3, 0.3, 25))
    counts = np.stack([right, 50 - right], -1)[None].astype(float)  # (1, G, 2)
    found = statistics.estimate(counts, lambda c: c[..., 0] / c.sum(-1), resamples=40_000)
    low, high = stats.t.interval(0.95, 24, loc=(right / 50).mean(), scale=stats.sem(right / 50))
    assert found.low == pytest.approx(low, abs=0.006)
    assert found.high == pytest.approx(high, abs=0.006)


def test_interval_over_seeds_is_wider_than_of_these_models():
    rng = np.random.default_rng(0)
    counts = np.concatenate([corpus(np.random.default_rng(1), 80)] * 4)
    counts[1:, :, :, :] += rng.poisson(0.5, counts[1:].shape) * np.arange(1, 4)[:, None, None, None]
    statistic = confusion.headline_statistic("accuracy")
    method = statistics.estimate(counts, statistic)
    models = statistics.estimate(counts, statistic, resample_seeds=False)
    assert method.high - method.low > 1.2 * (models.high - models.low)


def test_seeds_spread_is_unbiased():
    """S - 1 draws of S seeds: over corpora without group noise the variance is that of the seeds' mean."""
    values = np.array([0.4, 0.5, 0.55, 0.7])
    counts = np.stack([values * 1000, (1 - values) * 1000], -1)[:, None] * np.ones((1, 200, 1))
    found = statistics.estimate(counts, lambda c: c[..., 0] / c.sum(-1), resamples=40_000)
    drawn = statistics._over_seeds(np.repeat(values[:, None], 40_000, 1), 0, True)
    assert drawn.var() == pytest.approx(values.var(ddof=1) / 4, rel=0.03)
    assert found.mean == pytest.approx(values.mean())


def test_one_group_has_no_interval():
    found = statistics.estimate(np.ones((1, 1, 2)), lambda c: c[..., 0] / c.sum(-1))
    assert (found.low, found.high, found.mean) == (None, None, 0.5)


def test_estimates_equal_estimate():
    counts = corpus(np.random.default_rng(0), 50, models=3)
    both = statistics.estimates(counts, {n: confusion.headline_statistic(n) for n in confusion.HEADLINES})
    for name in confusion.HEADLINES:
        assert both[name] == statistics.estimate(counts, confusion.headline_statistic(name))


@pytest.mark.parametrize("shape", [(3, 4), (0, 3, 2), (2, 0, 2)])
def test_estimate_fails_on_odd_counts(shape):
    with pytest.raises(ValueError, match="expected"):
        statistics.estimate(np.ones(shape), lambda c: c[..., 0])


def test_exact_swap_test_equals_scipy():
    """With one utterance a group and accuracy as the score, swapping is scipy's paired sign permutation."""
    rng = np.random.default_rng(4)
    one, two = rng.random(11) < 0.8, rng.random(11) < 0.4
    counts = [np.stack([x, ~x], -1)[None].astype(float) for x in (one, two)]
    found = statistics.compare(*counts, lambda c: c[..., 0] / c.sum(-1))
    expected = stats.permutation_test(
        (one.astype(float), two.astype(float)),
        lambda a, b: a.mean() - b.mean(),
        permutation_type="samples",
        n_resamples=np.inf,
    )
    assert found.p_value == pytest.approx(expected.pvalue, abs=1e-12)
    assert found.difference == pytest.approx(one.mean() - two.mean())


@pytest.mark.parametrize(("groups", "corpora"), [(40, 400), pytest.param(280, 1500, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", ["balanced_accuracy", "weighted_f1"])
def test_false_alarms_are_at_the_level(groups, corpora, name):
    """Two models with the same error law on the same dialogues: 5 % of tests may say otherwise."""
    rng = np.random.default_rng(11)
    statistic = confusion.headline_statistic(name)
    alarms = outside = 0
    for _ in range(corpora):
        counts = corpus(rng, groups, models=2)
        found = statistics.compare(counts[:1], counts[1:], statistic, resamples=400, swaps=399)
        alarms += found.p_value <= 0.05
        outside += not found.low <= 0 <= found.high
    slack = 3 * np.sqrt(0.05 * 0.95 / corpora)
    assert abs(alarms / corpora - 0.05) <= slack
    assert abs(outside / corpora - 0.05) <= slack + 0.01


def test_a_real_difference_is_found():
    rng = np.random.default_rng(3)
    counts = corpus(rng, 80)
    better = counts * 0.7
    better[:, :, range(7), range(7)] += 0.3 * counts.sum(-1)  # a third of the errors fixed
    found = statistics.compare(better, counts, confusion.headline_statistic("balanced_accuracy"))
    assert found.p_value < 0.01
    assert 0 < found.low < found.difference < found.high


def test_few_groups_show_nothing():
    counts = np.array([[[9.0, 1]] * 4]), np.array([[[1.0, 9]] * 4])
    assert statistics.compare(*counts, lambda c: c[..., 0] / c.sum(-1)).p_value == 2 / 16


def test_seeds_of_unequal_number_are_paired():
    counts = corpus(np.random.default_rng(0), 30, models=5)
    found = statistics.compare(counts, counts[:1], confusion.headline_statistic("accuracy"))
    assert 0 < found.p_value <= 1


def test_compare_fails_on_other_groups():
    with pytest.raises(ValueError, match="same utterances"):
        statistics.compare(np.ones((1, 3, 2)), np.ones((1, 4, 2)), lambda c: c[..., 0])


def test_holm_by_hand():
    # sorted .005 .01 .03 .04 times 4 3 2 1, made monotone
    np.testing.assert_allclose(statistics.holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02])
    assert statistics.holm([0.6, 0.7]) == [1.0, 1.0]


@pytest.mark.parametrize("groups", [1, 2, 5, 12])
def test_smallest_p_is_that_of_a_difference_in_every_group(groups):
    good, bad = np.zeros((2, 1, groups, 2, 2))
    good[..., 0, 0] = bad[..., 0, 1] = 1
    found = statistics.compare(good, bad, lambda c: c[..., 0, 0] / c.sum((-2, -1)), resamples=10)
    assert found.p_value == statistics.smallest_p(groups)
