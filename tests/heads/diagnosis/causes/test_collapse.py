"""Nearly all answers are one class."""

from __future__ import annotations

import pytest
from dualstream.heads.diagnosis.causes.collapse import collapse

from tests.heads.diagnosis.measured import change, evidence


@pytest.mark.parametrize(
    ("share", "gain", "named"), [(0.84, 0.05, False), (0.85, 0.05, True), (1.0, 0.019, False), (1.0, -0.05, False)]
)
def test_one_answer_and_weighing_helps(share, gain, named):
    assert (
        collapse(evidence(change("rebalance classes", gain, 0.005), answered_share=share)) is not None
    ) is named


def test_one_answer_alone_may_be_all_there_is_to_say():
    assert collapse(evidence(answered_share=1.0)) is None


def test_its_words():
    found = collapse(evidence(change("rebalance classes", 0.05), answered_share=0.9))
    assert found.text == "90% of the answers are one class; the commonest class has 40% of the utterances"
    assert "balanced_softmax" in found.advice and found.effect == pytest.approx(0.05)
