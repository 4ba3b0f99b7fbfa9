"""Numbers of a table in blocks: what spills to disk reads as what does not, and the first fault is named."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from dualstream.features.encoders import table_numbers
from dualstream.features.encoders.table_numbers import Numbers


@pytest.mark.parametrize("spill_bytes", [1 << 30, 4096])
def test_rows_are_read_by_their_numbers(spill_bytes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_numbers, "SPILL_BYTES", spill_bytes)
    values = np.random.default_rng(0).standard_normal((5000, 3))
    numbers = Numbers.of(("a", "time_s", "b"), values)
    expected = values[:, [0, 2]].astype(np.float32)
    assert numbers.features.shape == (5000, 2) and numbers.first_bad is None
    for rows in ([0, 1, 2], [4999, 17, 17, 0], [], [3000]):
        assert np.array_equal(numbers.features[np.array(rows, np.intp)], expected[rows])
    assert np.array_equal(np.asarray(numbers.features), expected)
    assert np.array_equal(np.asarray(pickle.loads(pickle.dumps(numbers.features))), expected)
    assert np.array_equal(numbers.times()["time_s"], values[:, 1])


def test_a_full_disk_keeps_rows_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(**options: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(table_numbers, "SPILL_BYTES", 4096)
    monkeypatch.setattr(table_numbers.tempfile, "TemporaryFile", full)
    values = np.arange(9000.0).reshape(3000, 3)
    numbers = Numbers.of(("a", "b", "c"), values)
    assert np.array_equal(np.asarray(numbers.features), values.astype(np.float32))


def test_the_first_number_that_is_not_finite_is_kept() -> None:
    values = np.zeros((3000, 2))
    values[2100, 1], values[2500, 0] = 1e39, np.nan
    numbers = Numbers.of(("a", "b"), values)
    assert numbers.first_bad == (2100, "b", 1e39) and numbers.bad_cells == 2
