"""Rows far outside of the rest."""

from __future__ import annotations

import pytest
from dualstream.heads.diagnosis.causes.outlying_rows import outlying_rows
from dualstream.heads.diagnosis.outlying import Outlying

from tests.heads.diagnosis.measured import evidence


@pytest.mark.parametrize(
    ("rows", "far", "worst", "named"),
    [(400, 0, 0.5, False), (400, 2, 19.9, False), (400, 1, 20.0, True), (400, 3, 1.1, True), (1000, 5, 5.0, False),
     (1000, 6, 1.1, True), (100, 2, 1.5, False)],
)  # fmt: skip
def test_one_very_far_or_several(rows, far, worst, named):
    found = outlying_rows(
        evidence(outlying=(Outlying("video", rows, 0, 0.2), Outlying("audio", rows, far, worst)))
    )
    assert (found is not None) is named
    if found:
        assert found.text.startswith(f"{far} of {rows} audio rows lie far outside") and "video" not in found.text


def test_nothing_was_measured():
    assert outlying_rows(evidence(outlying=())) is None
