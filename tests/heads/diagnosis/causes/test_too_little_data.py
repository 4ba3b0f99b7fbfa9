"""A variant that memorises its training rows."""

from __future__ import annotations

import pytest
from dualstream.heads.diagnosis.causes.too_little_data import too_little_data

from tests.heads.diagnosis.measured import change, estimate, evidence, worth


def of(*changes, **fields):
    return too_little_data(evidence(*changes, **{"utterances": 100, "train_score": 0.9, **fields}))


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({}, True),
        ({"utterances": 120}, True),  # three for each of the 40 columns
        ({"utterances": 121}, False),
        ({"train_score": 0.79}, False),  # 19 points over 60 % on held-out rows
        ({"train_score": 0.81}, True),
        ({"strength": worth(fused=0.75)}, False),
        ({"fusion": "linear"}, False),  # its penalty was chosen on rows that were not fitted
    ],
)
def test_a_gap_over_few_rows(fields, named):
    assert (of(**fields) is not None) is named


def test_where_nothing_beats_chance_there_is_nothing_to_learn():
    chance = {name: estimate(0.25) for name in ("fused", "video", "audio", "late_sum")}
    late = change("join late", 0.0, score=0.26)
    assert of(late, scores=chance) is None
    assert of(change("join late", 0.0, score=0.5), scores=chance) is not None


def test_a_wide_stream_is_another_cause():
    linear = change("regularise", 0.05)
    assert of(linear, change("equalise widths", 0.06)) is not None
    assert of(linear, change("equalise widths", 0.08)) is None


def test_its_words_and_its_effect():
    found = of(change("regularise", 0.05))
    assert found.text == "100 utterances for 40 columns: 90.0% on rows that were fitted, 60.0% on others"
    assert found.effect == pytest.approx(0.05) and of().effect == 0.0
