"""Whole batches of rows that were written twice, or dropped: far more rows than a shift by one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from dualstream.heads.diagnosis.signs.copies import copies
from dualstream.heads.diagnosis.signs.far_shifts import far_shifts, strengths
from dualstream.heads.diagnosis.signs.joins import joins
from dualstream.heads.diagnosis.signs.verdicts import doubles
from dualstream.heads.diagnosis.signs.written_twice import batch_twice

from tests.heads.diagnosis.signs.test_signs import WHOLE, of, signs_of

COUNT = len(WHOLE.ids)
BEGIN, BATCH = 300, 40
EARLY = 60  # of so few rows most must be moved, or it isn't sure


def with_rows(name, source):
    """Return the corpus with rows of one stream taken from other places."""
    return WHOLE.having({**WHOLE.rows, name: WHOLE.rows[name][source]})


def twice():
    here = np.arange(COUNT)
    return np.concatenate((here[: BEGIN + BATCH], here[BEGIN : COUNT - BATCH]))


def dropped():
    here = np.arange(COUNT)
    return np.concatenate((here[:EARLY], here[EARLY + BATCH :], here[:BATCH][::-1]))


def test_strengths_are_the_sums_of_squares_at_each_shift():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(17, 3)), rng.normal(size=(17, 4))
    found = strengths(x, y)
    assert found.shape == (33,)
    for shift in range(-16, 17):
        mine, theirs = (x[: 17 - shift], y[shift:]) if shift >= 0 else (x[-shift:], y[: 17 + shift])
        assert found[shift + 16] == pytest.approx(np.square(mine.T @ theirs).sum())


@pytest.mark.parametrize("shift", [-150, -7, 9, 60])
def test_the_shift_of_two_thirds_of_the_rows_is_found(shift):
    rng = np.random.default_rng(3)
    x = rng.normal(size=(600, 12))
    y = rng.normal(size=(600, 12))
    own = np.arange(200, 600)[: 600 - 200 - max(shift, 0)]
    y[own + shift, :4] = x[own, :4] + rng.normal(size=(len(own), 4))
    use = (np.ones(600, dtype=bool),) * 2
    assert far_shifts(x, y, use, 6)[0] == shift
    assert far_shifts(x, y, use, 200) == []
    assert far_shifts(x[:150], y[:150], (use[0][:150],) * 2, 6) == []  # too few


def test_unrelated_rows_have_no_far_shift():
    use = (np.ones(800, dtype=bool),) * 2
    for seed in range(10):
        rng = np.random.default_rng(seed)
        assert far_shifts(rng.normal(size=(800, 16)), rng.normal(size=(800, 16)), use, 6) == []


@pytest.mark.parametrize("name", ["video", "audio"])
def test_a_batch_that_stands_twice_is_put_back_and_is_no_copy(name):
    whole = with_rows(name, twice())
    table = of(whole)
    assert batch_twice(table, name) == (BEGIN + BATCH, BATCH)
    (join,) = [one for one in joins(table) if one.kind == "order"]
    assert join.moved == name and f"{BATCH} rows later" in join.best
    right = (whole.rows[name][list(join.source)] == WHOLE.rows[name]).all(axis=1)
    assert right[: COUNT - BATCH].mean() > 0.97  # the last rows were lost
    signs = signs_of(table, copies=(copies(table, name),))
    assert doubles(signs) and not doubles(replace(signs, joins=(join,)))


def test_a_batch_that_is_twice_beside_rows_that_are_equal_by_themselves():
    source = twice()
    whole = with_rows("video", source)
    rows = whole.rows["video"].copy()
    rows[BEGIN + 3] = rows[BEGIN + BATCH + 3] = rows[BEGIN + 1]  # also inside of the batch
    table = of(whole.having({**whole.rows, "video": rows}))
    assert batch_twice(table, "video") == (BEGIN + BATCH, BATCH)


@pytest.mark.parametrize("length", [3, 7])
def test_a_few_rows_that_come_again_are_no_batch(length):
    here = np.arange(COUNT)
    source = np.concatenate((here[: BEGIN + length], here[BEGIN : COUNT - length]))
    assert batch_twice(of(with_rows("video", source)), "video") is None


def test_copies_that_are_far_from_each_other_are_no_batch():
    source = np.arange(COUNT)
    source[500:540] = np.arange(BEGIN, BEGIN + BATCH)
    table = of(with_rows("video", source))
    assert batch_twice(table, "video") is None
    (join, *_) = joins(table)
    assert join.kind == "related" and doubles(signs_of(table, copies=(copies(table, "video"),), joins=(join,)))


@pytest.mark.parametrize("name", ["video", "audio"])
def test_rows_behind_a_batch_that_was_dropped_are_put_back(name):
    (join,) = [one for one in joins(of(with_rows(name, dropped()))) if one.kind == "order"]
    source = np.array(join.source)
    assert join.moved == name
    behind = np.arange(EARLY + BATCH, COUNT)
    assert (source[behind] == behind - BATCH).mean() > 0.95
