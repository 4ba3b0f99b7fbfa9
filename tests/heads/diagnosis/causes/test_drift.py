"""Dev rows that look unlike train rows."""

from __future__ import annotations

import pytest
from dualstream.heads.diagnosis.causes.drift import drift

from tests.heads.diagnosis.measured import NAN, evidence, gain, with_spaces


@pytest.mark.parametrize(
    ("auc", "p_value", "named"),
    [
        (0.74, 0.001, False),
        (0.75, 0.005, True),
        (0.75, 0.01, False),
        (0.9, 0.02, False),
        (0.9, 0.001, True),
        (NAN, NAN, False),
    ],
)
def test_an_area_that_is_no_luck(auc, p_value, named):
    assert (drift(with_spaces(video={"drift_auc": auc, "drift_p_value": p_value})) is not None) is named


def test_the_worse_stream_is_named():
    found = drift(
        with_spaces(
            video={"drift_auc": 0.8, "drift_p_value": 0.001}, audio={"drift_auc": 0.95, "drift_p_value": 0.002}
        )
    )
    assert (
        "dev audio rows from train rows with an area under the curve of 0.95" in found.text
        and "p 0.002" in found.text
    )


def test_a_stream_that_could_not_be_told_does_not_hide_the_other():
    found = drift(with_spaces(video={"drift_auc": NAN}, audio={"drift_auc": 0.8, "drift_p_value": 0.001}))
    assert found is not None and "dev audio rows" in found.text


ODD = {"drift_auc": 0.9, "drift_p_value": 0.001}


@pytest.mark.parametrize(
    ("drop", "named"), [(None, False), (gain(0.01, 0.05), False), (gain(0.1, 0.1), False), (gain(0.1, 0.02), True)]
)
def test_new_speakers_look_new_and_are_named_where_it_costs(drop, named):
    found = drift(with_spaces(video=ODD, grouped_by="speaker", drop_to_dev=drop))
    assert (found is not None) is named
    if found:
        assert found.effect == pytest.approx(0.1) and found.interval == pytest.approx((0.08, 0.12))


def test_it_advises_what_was_not_done():
    assert "--speaker-norm" in drift(with_spaces(video=ODD)).advice
    assert "--speaker-norm" not in drift(with_spaces(video=ODD, speaker_norm=True)).advice
    assert drift(with_spaces(video=ODD)).effect == 0.0  # nothing measured what it costs
    assert drift(evidence()) is None
