"""Streams that say nothing at all: a whole diagnosis ends with what is wrong with them, without a warning."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import whole_corpora
from study_damages import diagnosed

CORPUS = whole_corpora.planted(0, speakers=8)


@pytest.mark.parametrize(
    ("change", "first"),
    [
        (np.ones_like, "broken_features"),
        pytest.param(np.zeros_like, "broken_features", marks=pytest.mark.slow),
        (lambda rows: np.ones((len(rows), 1)), "broken_features"),
        pytest.param(
            lambda rows: np.where(np.arange(rows.shape[1]) == 0, rows, 1.0),
            "broken_features",
            marks=pytest.mark.slow,
        ),
        (lambda rows: np.where(np.arange(len(rows))[:, None] < 2, rows, 1.0), "imputed_rows"),
        (lambda rows: rows[:, :1], "no_complement"),
    ],
    ids=["ones", "zeros", "one constant column", "one column that varies", "two rows that differ", "one column"],
)
def test_a_diagnosis_of_a_stream_that_says_nothing_ends(change, first):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert diagnosed(CORPUS.having({**CORPUS.rows, "video": change(CORPUS.rows["video"])}))[0] == first
