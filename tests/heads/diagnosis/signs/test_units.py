"""Units, normalisations, few values, columns of a split: each is found where it was planted, and only there."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import whole_corpora
from dualstream.heads.diagnosis.causes.drift import drift
from dualstream.heads.diagnosis.causes.scale_by_group import scale_by_group
from dualstream.heads.diagnosis.causes.two_kinds_of_rows import two_kinds_of_rows
from dualstream.heads.diagnosis.signs.fills import fills
from dualstream.heads.diagnosis.signs.group_columns import told_groups
from dualstream.heads.diagnosis.signs.kinds import scales_apart, two_kinds
from dualstream.heads.diagnosis.signs.label_columns import label_columns
from dualstream.heads.diagnosis.signs.remedies import ALIKE, measured

from tests.heads.diagnosis.measured import evidence
from tests.heads.diagnosis.signs.test_signs import of, signs_of

WHOLE = whole_corpora.planted(0, speakers=12)
SPEAKER = WHOLE.features.speaker
FIRST = np.isin(SPEAKER, (1, 4, 6, 10))  # two of them in dev
TABLE = of(WHOLE)
VIDEO = TABLE.raw["video"]


def having(rows, name="video", **changes):
    return replace(TABLE, raw={**TABLE.raw, name: rows}, **changes)


def where(some, changed, rows=VIDEO):
    return np.where(some[:, None], changed, rows)


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda x: np.sign(x) * np.log1p(np.abs(x)), "log(1 + x)"),
        (lambda x: np.sign(x) * np.abs(x) ** 0.5, "the square root"),
        (lambda x: 2.5 * x, ""),
    ],
)
def test_what_some_speakers_rows_are_of_the_others(function, words):
    table = having(where(FIRST, function(VIDEO)))
    found = two_kinds(table, "video")
    assert (found.by, set(found.speakers), found.function) == ("speaker", {1, 4, 6, 10}, words)
    assert set(found.utterances) == set(np.flatnonzero(FIRST))
    assert found.kind == ("kinds" if words else "scale") and two_kinds(table, "audio") is None
    if not words:
        assert abs(found.factor / 2.5 - 1) < 0.1
    signs = signs_of(table, kinds=(found,))
    cause = (two_kinds_of_rows if words else scale_by_group)(evidence(signs=signs))
    assert (words or "as large as the others") in cause.text and len(cause.speakers) == 4
    if words:  # the function undone gives the rows of before
        assert ALIKE in measured(table, signs, "speaker")


def test_a_value_that_comes_back_tells_the_unit():
    rng = np.random.default_rng(0)
    rows = np.where(
        rng.random(VIDEO.shape) < 0.1, 1.0, rng.random(VIDEO.shape) ** 2
    )  # shares, of which many are 1
    assert two_kinds(having(rows), "video") is None
    found = two_kinds(having(where(FIRST, 100 * rows, rows)), "video")
    assert (found.kind, found.factor, set(found.speakers)) == ("scale", 100.0, {1, 4, 6, 10})


def test_louder_speakers_are_no_other_unit():
    rng = np.random.default_rng(0)
    louder = np.exp(0.3 * rng.normal(size=12))[SPEAKER]  # each person's own gain
    assert two_kinds(having(VIDEO.mean(axis=0) + louder[:, None] * (VIDEO - VIDEO.mean(axis=0))), "video") is None


def test_columns_in_another_order_are_no_factor():
    rng = np.random.default_rng(0)
    rows = np.exp(0.2 * rng.normal(size=(400, 30))) * np.exp(3 * rng.normal(size=30))
    some = np.arange(400) < 100
    assert scales_apart(np.where(some[:, None], 9 * rows, rows))[2] == pytest.approx(9, rel=0.1)
    turned = np.where(some[:, None], 9 * rows[:, rng.permutation(30)], rows)
    assert scales_apart(turned) is None


def test_a_split_that_was_standardised_alone_is_drift():
    own = VIDEO[TABLE.dev]
    table = having(where(TABLE.dev, (VIDEO - own.mean(axis=0)) / own.std(axis=0)))
    found = two_kinds(table, "video")
    assert found.by == "split" and "mean 0 and deviation 1" in found.how
    assert set(found.utterances) == set(np.flatnonzero(TABLE.dev))
    signs = signs_of(table, kinds=(found,))
    signs = replace(signs, remedies=measured(table, signs, "speaker"))
    cause = drift(evidence(signs=signs))
    assert cause.name == "drift" and cause.remedies[0].name == ALIKE and cause.effect > 0
    both = having((VIDEO - VIDEO.mean(axis=0)) / VIDEO.std(axis=0))  # by the figures of all: nothing is wrong
    assert two_kinds(both, "video") is None


def test_speakers_who_were_standardised_and_rows_of_length_1():
    rows = VIDEO.copy()
    for code in (1, 4):
        mine = code == SPEAKER
        rows[mine] = (rows[mine] - rows[mine].mean(axis=0)) / rows[mine].std(axis=0)
    assert set(two_kinds(having(rows), "video").speakers) == {1, 4}
    some = np.arange(len(VIDEO)) % 3 == 0
    found = two_kinds(having(where(some, VIDEO / np.linalg.norm(VIDEO, axis=1)[:, None])), "video")
    assert "length 1" in found.how and set(found.utterances) == set(np.flatnonzero(some))


def test_speakers_whose_columns_hold_few_values():
    found = two_kinds(having(where(FIRST, (np.median(VIDEO, axis=0) < VIDEO).astype(float))), "video")
    assert found.how.startswith("2 different values") and set(found.speakers) == {1, 4, 6, 10}


def test_train_with_noise_and_dev_without():
    noise = 1.5 * VIDEO.std(axis=0) * np.random.default_rng(0).normal(size=VIDEO.shape)
    found = two_kinds(having(where(~TABLE.dev, VIDEO + noise)), "video")
    assert found.by == "split" and "times as wide" in found.how


def test_a_mean_among_votes_was_filled_in():
    rng = np.random.default_rng(0)
    votes = rng.multinomial(10, np.full(5, 0.2), size=len(VIDEO)) / 10
    assert fills(having(votes), "video", {}) == ()
    some = np.arange(len(votes)) % 4 == 0
    (found,) = fills(having(where(some, votes.mean(axis=0), votes)), "video", {})
    assert found.kind == "mean" and set(found.utterances) == set(np.flatnonzero(some))


def test_a_column_that_tells_a_group_of_classes():
    rng = np.random.default_rng(0)
    marks = np.isin(TABLE.label, (1, 4, 5)) + 0.05 * rng.normal(size=len(VIDEO))
    (found,) = label_columns(having(np.insert(VIDEO, 3, marks, axis=1)), "video")
    group = {TABLE.classes[code] for code in (1, 4, 5)}
    assert found.column == 3 and set(found.group) == group and found.accuracy > 0.97 > found.usual
    smile = (TABLE.label == 4) + 0.05 * rng.normal(size=len(VIDEO))  # one class: what a measurement may tell
    fold = rng.permutation(len(VIDEO)) % 2
    assert told_groups(np.insert(VIDEO, 3, smile, axis=1), TABLE.label, np.ones(36), fold) == []
