"""One of a thing is not several."""

from __future__ import annotations

import pytest

from dualstream.counting import counted


@pytest.mark.parametrize(
    ("number", "expected"), [(0, "0 clips"), (1, "1 clip"), (2, "2 clips"), (1208, "1,208 clips")]
)
def test_a_number_and_its_noun(number: int, expected: str) -> None:
    assert counted(number, "clip", ",") == expected
    assert counted(number, "clip") == expected.replace(",", "")
