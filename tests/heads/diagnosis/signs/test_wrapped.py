"""Values that ran over the end of a small type are found; columns that are cut off or far off did not run over."""

from __future__ import annotations

import numpy as np
import pytest
import whole_corpora
from dualstream.heads.diagnosis.causes.put_values import put_values
from dualstream.heads.diagnosis.signs.wrapped import wrapped

from tests.heads.diagnosis.measured import evidence
from tests.heads.diagnosis.signs.test_signs import of, signs_of

WHOLE = whole_corpora.planted(0, speakers=12)
NOBODY = np.zeros(len(WHOLE.ids), dtype=bool)


def found_in(rows, name="video"):
    return wrapped(of(WHOLE.having({**WHOLE.rows, name: rows})), name, NOBODY)


@pytest.mark.parametrize("name", ["audio", "video"])
def test_values_of_a_byte_that_was_too_small_are_named(name):
    rows = WHOLE.rows[name]
    unit = np.quantile(np.abs(rows), 0.96, axis=0) / 128
    found = found_in(np.rint(rows / unit).astype(np.int64).astype(np.int8).astype(np.float64), name)
    assert found.kind == "wrapped" and found.columns >= 0.5 * rows.shape[1]
    assert 0.005 <= found.share <= 0.04
    table = of(WHOLE)
    told = put_values(evidence(signs=signs_of(table, values=(found,))))
    assert "ran over the end" in told.text and "a type that holds its values" in told.advice


def test_values_of_a_type_that_is_large_enough_are_not():
    rows = WHOLE.rows["video"]
    assert found_in(rows) is None
    assert found_in(np.rint(rows / np.abs(rows).max(axis=0) * 127)) is None
    low, high = np.quantile(rows, [0.04, 0.96], axis=0)
    assert found_in(np.clip(rows, low, high)) is None


def test_rows_that_are_wrong_as_a_whole_ran_over_nothing():
    rng, rows = np.random.default_rng(0), WHOLE.rows["video"]
    low, high = rows.min(axis=0), rows.max(axis=0)
    some = rng.random(len(rows)) < 0.1
    assert found_in(np.where(some[:, None], rng.uniform(low, high, size=rows.shape), rows)) is None
