"""Principal components that do better when they are turned."""

from __future__ import annotations

from dataclasses import replace

import pytest
from dualstream.heads.diagnosis.causes.whitened_projection import whitened_projection
from dualstream.heads.diagnosis.evidence import OTHER, TURN

from tests.heads.diagnosis.measured import change, evidence, with_spaces

COMPONENTS = {"correlation": 0.02, "steepness": 4.0}
VIDEO, AUDIO = "video alone, components turned", "audio alone, components turned"


@pytest.mark.parametrize(
    ("joined", "alone", "named"),
    [
        (0.05, 0.05, True),
        (0.05, 0.0, True),
        (0.0, 0.05, True),
        (0.0, 0.0, False),
        (0.01, 0.01, False),
        (-0.05, -0.05, False),
    ],
)
def test_turning_gains_in_the_head_or_in_the_stream(joined, alone, named):
    found = whitened_projection(
        with_spaces(change(TURN, joined), change(VIDEO, alone, score=0.58), video=COMPONENTS)
    )
    assert (found is not None) is named
    if found:
        assert found.effect == pytest.approx(0.05)
        assert (
            "the 20 columns of video hardly correlate (0.02), and 5 of them would hold its variance" in found.text
        )
        assert "video alone reaches 50.0% with them as they are, 58.0% turned" in found.text
        assert found.text.endswith(f"concat itself, turned: {joined:+.1%}")


def test_both_streams_are_told_of():
    tried = (change(TURN, 0.05), change(VIDEO, 0.03), change(AUDIO, 0.0))
    found = whitened_projection(with_spaces(*tried, video=COMPONENTS, audio=COMPONENTS))
    assert "columns of video" in found.text and "columns of audio" in found.text


def test_the_cache_of_raw_columns_is_a_remedy_too():
    tried = (change(TURN, 0.05), change(VIDEO, 0.03), change(OTHER, 0.09))
    found = whitened_projection(with_spaces(*tried, video=COMPONENTS))
    assert [one.name for one in found.remedies] == [TURN, VIDEO, OTHER]
    assert found.effect == pytest.approx(0.05)  # of turning: another cache may differ in more


def test_what_was_not_turned_is_no_cause():
    assert whitened_projection(evidence()) is None


def test_of_several_turns_one_lucky_gain_is_not_believed():
    lucky = change(VIDEO, 0.05)
    lucky = replace(lucky, gain=replace(lucky.gain, p_value=0.03))  # times 3, by Holm
    tried = (change(TURN, 0.0), lucky, change(AUDIO, 0.0))
    assert whitened_projection(with_spaces(*tried, video=COMPONENTS, audio=COMPONENTS)) is None
