"""Columns and rows that carry nothing, each just below and just above where it is named."""

from __future__ import annotations

import pytest
from dualstream.heads.diagnosis.causes.broken_features import broken_features

from tests.heads.diagnosis.measured import evidence, seen, with_spaces


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"dead_columns": 1}, None),  # 5 % of 20
        ({"dead_columns": 2}, "2 of 20 audio columns never change"),
        ({"not_finite": 4, "not_finite_columns": 1}, None),  # 1 % of 400
        ({"not_finite": 5, "not_finite_columns": 3}, "5 audio rows hold NaN or infinity, in 3 of 20 columns"),
        ({"zero_rows": 4}, None),
        ({"zero_rows": 5}, "5 audio rows are all zeros without being marked as missing"),
    ],
)
def test_a_stream_s_rows(changes, named):
    found = broken_features(with_spaces(audio=changes))
    assert (found and found.text) == named


@pytest.mark.parametrize(
    ("missing", "not_finite", "named"), [(200, 0, False), (201, 0, True), (204, 4, False), (205, 4, True)]
)
def test_a_stream_that_most_utterances_lack(missing, not_finite, named):
    """Rows that aren't finite are masked and count as absent there; they are another fault."""
    found = broken_features(
        with_spaces(
            video={"not_finite": not_finite},
            coverage={"video": seen("video", saw_nothing=missing), "audio": seen("audio")},
        )
    )
    assert (found is not None) is named
    if found:
        assert found.text == "video is missing from 201 of 400 utterances"


def test_all_faults_are_told():
    found = broken_features(with_spaces(video={"dead_columns": 20}, audio={"zero_rows": 400}))
    assert found.text.count(";") == 1 and (found.effect, found.interval, found.remedies) == (0.0, None, ())


def test_nothing_broken():
    assert broken_features(evidence()) is None
