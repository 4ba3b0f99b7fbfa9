"""Rows that were predicted from another stream are found, and streams that go together as they should are not."""

from __future__ import annotations

import numpy as np
import pytest
import whole_corpora
from dualstream.heads.diagnosis.causes.imputed_rows import imputed_rows
from dualstream.heads.diagnosis.signs.predicted import predicted

from tests.heads.diagnosis.measured import evidence
from tests.heads.diagnosis.signs.test_signs import of, signs_of

WHOLE = whole_corpora.planted(0, speakers=12)
ROWS = WHOLE.rows


def having(**rows):
    return of(WHOLE.having({**WHOLE.rows, **rows}))


def regression(rows, other, known, penalty):
    """Return what a regression, fitted on the known rows, says of all."""
    seen = np.c_[(other - other.mean(axis=0)) / other.std(axis=0), np.ones(len(other))]
    product = seen[known].T @ seen[known] + penalty * np.eye(seen.shape[1])
    return seen @ np.linalg.solve(product, seen[known].T @ rows[known])


@pytest.mark.parametrize(("name", "other"), [("audio", "video"), ("video", "audio")])
@pytest.mark.parametrize(("share", "penalty"), [(0.3, 10.0), (0.1, 1e-6)])
def test_rows_of_a_regression_on_the_other_stream_are_named(name, other, share, penalty):
    missing = np.random.default_rng(0).random(len(WHOLE.ids)) < share
    said = regression(ROWS[name], ROWS[other], ~missing, penalty)
    table = having(**{name: np.where(missing[:, None], said, ROWS[name])})
    (found,) = predicted(table, ())
    assert (found.stream, found.kind) == (name, "predicted")
    named = np.isin(np.arange(len(missing)), found.utterances)
    assert named[missing].mean() > 0.97 and not named[~missing].any()
    told = imputed_rows(evidence(signs=signs_of(table, fills=(found,))))
    assert "were predicted" in told.text and len(told.utterances) == len(found.utterances)


def test_streams_that_were_measured_are_not_predicted():
    assert predicted(of(WHOLE), ()) == ()


def test_a_stream_that_is_a_function_of_another_was_not_filled_in():
    turn = np.random.default_rng(0).normal(size=(96, 35))
    assert predicted(having(video=ROWS["audio"] @ turn), ()) == ()
    assert predicted(having(video=ROWS["audio"][:, :35]), ()) == ()


def test_rows_that_were_filled_in_otherwise_are_not_predicted():
    missing = np.random.default_rng(0).random(len(WHOLE.ids)) < 0.3
    assert predicted(having(video=np.where(missing[:, None], ROWS["video"].mean(axis=0), ROWS["video"])), ()) == ()
    quiet = np.where(missing[:, None], 0.1 * ROWS["video"], ROWS["video"])
    assert predicted(having(video=quiet), ()) == ()
