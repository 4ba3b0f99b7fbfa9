"""Dev utterances that are in train."""

from __future__ import annotations

import pytest
from dualstream.heads.diagnosis.causes.leakage import leakage

from tests.heads.diagnosis.measured import evidence


@pytest.mark.parametrize(
    ("copies", "dev", "named"), [(0, 0, False), (2, 100, False), (3, 100, True), (1, 49, True), (1, 50, False)]
)
def test_more_than_one_in_fifty(copies, dev, named):
    assert (leakage(evidence(copies=copies, dev_utterances=dev)) is not None) is named


def test_its_words():
    found = leakage(evidence(copies=3))
    assert found.text.startswith("3 of 100 dev utterances (3%)") and "check" in found.advice
