"""Rows that hold the label: ratings among the columns, and scales of the rows' own class."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import whole_corpora
from dualstream.heads.diagnosis.causes.label_in_column import label_in_column
from dualstream.heads.diagnosis.signs.class_scaled import class_scaled
from dualstream.heads.diagnosis.signs.label_columns import label_columns
from dualstream.heads.diagnosis.signs.remedies import COLUMN, measured

from tests.heads.diagnosis.measured import evidence
from tests.heads.diagnosis.signs.test_signs import of, signs_of

WHOLE = whole_corpora.planted(0, speakers=12)
LABEL, VIDEO = WHOLE.features.emotion, WHOLE.rows["video"]


def having(rows):
    return of(WHOLE.having({**WHOLE.rows, "video": rows}))


def test_ratings_among_measured_columns_are_named():
    rng = np.random.default_rng(0)
    ratings = rng.normal(size=(7, 3))[LABEL] + 0.4 * rng.normal(size=(len(LABEL), 3))
    table = having(np.concatenate([VIDEO[:, :20], ratings, VIDEO[:, 20:]], axis=1))
    found = label_columns(table, "video")
    assert [one.column for one in found] == [20, 21, 22] and all(one.rated for one in found)
    made = signs_of(table, label_columns=found)
    assert label_in_column(evidence(signs=made)) is None  # until heads are seen to live on them
    gains = measured(table, made, "dialogue")
    assert gains[COLUMN].gain.difference < -0.03
    told = label_in_column(evidence(signs=replace(made, remedies=gains)))
    assert "column 20, column 21, column 22 of video" in told.text and "rated" in told.text


def test_a_measured_column_that_tells_the_class_is_not_rated():
    """What it holds inside of classes, other columns hold as well."""
    rng = np.random.default_rng(0)
    smile = VIDEO[:, :5].sum(axis=1)
    smile = 2.5 * rng.normal(size=7)[LABEL] * smile.std() + smile
    assert label_columns(having(np.c_[VIDEO, smile]), "video") == ()
    assert label_columns(of(WHOLE), "video") == ()


def test_columns_that_share_nothing_anyway_are_not_rated():
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(len(LABEL), 20))
    rows[:, :2] += 1.5 * rng.normal(size=(7, 2))[LABEL]
    assert label_columns(having(rows), "video") == ()


def of_groups(rows, group, treat):
    made = rows.copy()
    for code in np.unique(group):
        made[group == code] = treat(rows[group == code])
    return made


def to_0_and_1(rows):
    return (rows - rows.min(axis=0)) / np.ptp(rows, axis=0)


def standardised(rows):
    return (rows - rows.mean(axis=0)) / rows.std(axis=0)


@pytest.mark.parametrize(("treat", "kind"), [(to_0_and_1, "range"), (standardised, "deviation")])
@pytest.mark.parametrize("of", ["all", "train"])
def test_rows_scaled_by_class_are_named(treat, kind, of):
    made = of_groups(VIDEO, LABEL, treat)
    if of == "train":
        made = np.where(WHOLE.dev[:, None], VIDEO, of_groups(VIDEO, np.where(WHOLE.dev, -1, LABEL), treat))
    table = having(made.astype(np.float32))
    found = class_scaled(table, "video")
    assert (found.kind, found.of, found.classes, found.share) == (kind, of, 7, 1.0)
    told = label_in_column(evidence(signs=signs_of(table, class_scaled=(found,))))
    assert "in each of 7 classes" in told.text and "their own emotion" in told.text


@pytest.mark.parametrize("treat", [to_0_and_1, standardised])
def test_rows_scaled_otherwise_are_not_scaled_by_class(treat):
    for group in (np.zeros_like(LABEL), WHOLE.features.speaker):
        assert class_scaled(having(of_groups(VIDEO, group, treat)), "video") is None
    low, high = np.quantile(VIDEO, [0.1, 0.9], axis=0)
    assert class_scaled(having(np.clip(VIDEO, low, high)), "video") is None  # ends that all classes reach
