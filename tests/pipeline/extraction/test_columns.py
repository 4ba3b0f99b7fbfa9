"""Rows that grow in place: the same as a concatenation, and not much more memory than the rows themselves."""

from __future__ import annotations

import numpy as np
import pytest
from dualstream.pipeline.storage.rows import GrowingRows

from tests.traced import traced


def test_appended_rows_are_those_of_a_concatenation() -> None:
    rng = np.random.default_rng(0)
    pieces = [rng.standard_normal((count, 3)).astype(np.float32) for count in (1, 0, 700, 5, 300)]
    grown = GrowingRows()
    for piece in pieces:
        grown.append(piece)
    assert len(grown) == 1006
    np.testing.assert_array_equal(grown.rows(), np.concatenate(pieces))
    assert grown.rows().dtype == np.float32


def test_rows_of_another_width_fail() -> None:
    grown = GrowingRows()
    grown.append(np.zeros((2, 3)))
    with pytest.raises(ValueError, match=r"shape \(4,\) after rows of shape \(3,\)"):
        grown.append(np.zeros((1, 4)))


def test_no_second_copy_of_the_rows_is_held() -> None:
    piece = np.zeros((1000, 100), np.float32)

    def grow() -> np.ndarray:
        grown = GrowingRows()
        for _ in range(100):
            grown.append(piece)
        return grown.rows()

    rows, memory = traced(grow)
    assert memory.peak < 1.3 * rows.nbytes
