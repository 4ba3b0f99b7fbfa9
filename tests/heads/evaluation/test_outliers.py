"""Rows far outside of the rest are named, rows of honest heavy tails are not."""

import os
from pathlib import Path

import numpy as np
import pytest
from dualstream.heads.evaluation.outliers import UsualRange, zero_rows

DATA = os.environ.get("DUALSTREAM_DATA")


def far(train, rows):
    usual = UsualRange.of(train)
    assert usual is not None
    return np.flatnonzero(usual.excess(rows) > 1)


@pytest.mark.parametrize("value", [1e25, -1e25, 1e38, 147.0])
@pytest.mark.parametrize("seed", range(5))
def test_one_value_is_found_in_its_row_and_column(value, seed):
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(300, 17)).astype(np.float32)
    rows[41, 5] = value
    usual = UsualRange.of(rows)
    assert np.flatnonzero(usual.excess(rows) > 1).tolist() == [41]
    assert usual.columns(rows[41]) == [5]


def test_broken_rows_in_training_do_not_widen_what_is_usual():
    rows = np.random.default_rng(0).normal(size=(1000, 17)).astype(np.float32)
    rows[:30] = np.random.default_rng(1).uniform(40, 150, size=(30, 17))
    assert far(rows, rows).tolist() == list(range(30))


def test_rows_of_another_encoder_are_far():
    """Nothing stands out in one column, all of it does together."""
    rng = np.random.default_rng(0)
    assert len(far(rng.normal(size=(500, 64)), 8 * rng.normal(size=(50, 64)))) == 50


DRAWS = {
    "normal": lambda rng, size: rng.normal(size=size),
    "student t, 3": lambda rng, size: rng.standard_t(3, size),
    "student t, 2": lambda rng, size: rng.standard_t(2, size),
    "cauchy": lambda rng, size: rng.standard_cauchy(size),
    "lognormal": lambda rng, size: np.exp(rng.normal(size=size)),
    "mostly zero": lambda rng, size: rng.exponential(size=size) * (rng.random(size) < 0.1),
    "two of a kind": lambda rng, size: rng.integers(0, 2, size) * 9.0 + rng.normal(size=size),
}


@pytest.mark.parametrize("name", list(DRAWS))
@pytest.mark.parametrize("width", [17, 192, 1000])
def test_honest_tails_raise_no_flood(name, width):
    rng = np.random.default_rng(0)
    train, rows = (DRAWS[name](rng, (count, width)) for count in (1000, 3000))
    assert len(far(train, rows)) <= 0.003 * len(rows)
    assert len(far(train, train)) <= 0.003 * len(train)


def test_constant_and_rare_columns_are_no_alarm():
    rng = np.random.default_rng(0)
    rows = np.column_stack([np.full(2000, 3.0), (rng.random(2000) < 0.01) * 1.0, rng.normal(size=(2000, 6))])
    assert not len(far(rows[:1000], rows))
    rows[7, 0] = 1e6  # what never changed does
    assert far(rows[:1000], rows).tolist() == [7]


def test_zeros_are_no_outliers_and_are_named():
    rows = np.random.default_rng(0).normal(loc=50, size=(100, 4))
    rows[[3, 60]] = 0
    present = np.ones(100, dtype=bool)
    present[60] = False
    assert not len(far(rows, rows))
    assert zero_rows(rows, present).tolist() == [3]
    assert not len(zero_rows(rows[:, :1], present))  # of one column 0 is a value


def test_few_rows_say_nothing():
    assert UsualRange.of(np.ones((19, 3))) is None
    assert UsualRange.of(np.full((40, 3), np.nan)) is None


@pytest.mark.realdata
@pytest.mark.skipif(not DATA, reason="DUALSTREAM_DATA is not set")
def test_the_broken_rows_of_melds_action_units_are_found():
    """Action units end at 5; 67 rows of train have values up to 147."""
    with np.load(Path(str(DATA)) / "meld" / "openface_au17_train_dev.npz") as file:
        ids, rows = file["id"], file["features"]
    train = np.char.startswith(ids, "train")
    broken = np.flatnonzero((rows > 5.01).any(axis=1))
    found = far(rows[train], rows)
    assert len(broken) == 67 and set(broken) <= set(found)
    assert len(found) <= 70  # three more, each with a unit that hardly ever moves at a hundred times its scale
