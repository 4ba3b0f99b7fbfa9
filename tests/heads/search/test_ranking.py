"""The rule of `auto` on counts and losses that are written down by hand."""

import numpy as np
import pytest
from dualstream.heads.evaluation import confusion
from dualstream.heads.search.ranking import Record, rank

ACCURACY = confusion.headline_statistic("accuracy")
GROUPS, EACH = 10, 40


def statistic(counts):
    return ACCURACY(counts.reshape(*counts.shape[:-1], 2, 2))


def record(rights, losses):
    """Return a record of two classes: right answers of each group, of 40, and mean log losses of each."""
    rights, losses = np.asarray(rights, float), np.asarray(losses, float)
    counts = np.stack([rights, EACH - rights, np.zeros(GROUPS), np.zeros(GROUPS)], axis=1)
    return Record([counts], [losses / GROUPS])


def flat(value):
    return np.full(GROUPS, float(value))


def wobble(size, seed):
    return size * np.random.default_rng(seed).standard_normal(GROUPS)


SINGLE = record(flat(20), flat(0.7))
ORDER = ("linear_video", "linear_lda_late", "linear_late", "linear", "lda_late")


def chosen(**fusions):
    return rank({"linear_video": SINGLE, **fusions}, ORDER, statistic, 0.05)


def test_log_loss_decides_where_the_score_cannot():
    """`linear` has two points more, in five groups of ten; its log loss is higher in every group."""
    ahead = np.where(np.arange(GROUPS) % 2, 32 + 4, 32 - 2)
    found = chosen(linear=record(ahead, flat(0.6)), linear_late=record(flat(32), flat(0.4)))
    assert found.scores["linear"] > found.scores["linear_late"]
    assert (found.chosen, set(found.tied), found.close) == (
        "linear_late",
        {"linear", "linear_late"},
        ("linear_late",),
    )
    assert found.reason("linear", ["video", "audio"]) == "significantly better, but its log loss is higher"
    assert found.reason("linear_late", []) == "lowest log loss of those that can't be told apart from linear"


def test_a_score_that_is_significantly_better_is_taken_whatever_its_log_loss():
    found = chosen(linear=record(flat(36), flat(0.6)), linear_late=record(flat(32), flat(0.4)))
    assert (found.chosen, found.tied) == ("linear", ("linear",))


def test_the_first_of_the_list_is_taken_where_neither_tells_apart():
    ahead, loss = np.where(np.arange(GROUPS) % 2, 33, 31), 0.4 + wobble(0.05, 1)
    found = chosen(linear=record(ahead, loss - 0.001), linear_lda_late=record(flat(32), 0.4 + wobble(0.05, 2)))
    assert found.chosen == "linear_lda_late" and set(found.close) == {"linear", "linear_lda_late"}
    assert found.reason("linear", []) == "significantly better, but not to be told apart from linear_lda_late"


def test_a_lower_log_loss_shows_what_the_score_is_too_coarse_for():
    """A point more right answers, spread over the groups, and half the loss in each."""
    few = np.where(np.arange(GROUPS) % 3, 21, 19)
    found = chosen(linear_late=record(few, flat(0.35)))
    assert found.against_single["linear_late"].p_value > 0.05
    assert found.chosen == "linear_late" and found.corrected_p["linear_late"] == pytest.approx(2 / 2**GROUPS)


@pytest.mark.parametrize(
    ("rights", "losses"),
    [
        (np.where(np.arange(GROUPS) % 3, 21, 19), flat(0.7)),  # neither is significant
        (np.where(np.arange(GROUPS) % 3, 19, 21), flat(0.35)),  # sharper, but fewer right answers
        (flat(12), flat(1.5)),
    ],
)
def test_else_the_single_stream_is_taken(rights, losses):
    found = chosen(linear_late=record(rights, losses))
    assert (found.chosen, found.significant) == ("linear_video", ())
    assert found.reason("linear_late", []) == "not significantly better than the best single"


@pytest.mark.parametrize("times", [60, pytest.param(200, marks=pytest.mark.slow)])
def test_planted_ties_are_within_a_point(times):
    """So often four fusions of equal true accuracy, or one better by less than a point, that err on their own."""
    behind = []
    for seed in range(times):
        rng = np.random.default_rng([seed, 3])
        true = np.full(4, 0.8) + (rng.uniform(0, 0.01) * (np.arange(4) == rng.integers(4)) if seed % 2 else 0)
        fusions = {}
        for name, accuracy in zip(ORDER[1:], true, strict=True):
            right = rng.binomial(EACH, accuracy, GROUPS)
            fusions[name] = record(right, 0.5 + 0.5 * (1 - right / EACH) + 0.02 * rng.standard_normal(GROUPS))
        at = list(fusions).index(chosen(**fusions).chosen)
        behind.append(true.max() - true[at])
    assert np.mean(np.array(behind) <= 0.01) >= 0.95
