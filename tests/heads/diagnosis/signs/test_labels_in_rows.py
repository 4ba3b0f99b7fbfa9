"""Rows that hold the label: ratings among the columns, and scales of the rows' own class."""

from __future__ import annotations

import numpy as np
import whole_corpora
from dualstream.heads.diagnosis.causes.label_in_column import label_in_column
from dualstream.heads.diagnosis.signs.label_columns import label_columns

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
    told = label_in_column(evidence(signs=signs_of(table, label_columns=found)))
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
