"""Streams or columns whose numbers are far larger than the others'."""

from __future__ import annotations

import pytest
from dualstream.heads.diagnosis.causes.scale_mismatch import scale_mismatch

from tests.heads.diagnosis.measured import NAN, change, with_spaces

HELPS = change("standardise", 0.05)


@pytest.mark.parametrize(
    ("video", "audio", "named"),
    [
        ({"scale": 9.9}, {}, None),
        ({"scale": 10.0}, {}, "video values are 10 times as large as audio values"),
        ({}, {"scale": 0.0}, "video values are "),
        ({"scale": 0.01}, {"scale": 2500.0}, "audio values are 250,000 times as large as video values"),
        ({"scale_spread": 12.0}, {}, "columns of video spread unevenly, the widest tenth 12 times the narrowest"),
        ({"scale_spread": NAN}, {}, None),
        (
            {"scale": 20.0},
            {"scale_spread": 30.0},
            "video values are 20 times as large as audio values; columns of audio",
        ),
    ],
)
def test_ten_times_and_standardising_helps(video, audio, named):
    found = scale_mismatch(with_spaces(HELPS, video=video, audio=audio))
    assert (found is None) if named is None else found.text.startswith(named)


@pytest.mark.parametrize(
    "helps", [change("standardise", 0.019, 0.001), change("standardise", 0.05, 0.06), change("standardise", -0.1)]
)
def test_numbers_alone_are_no_cause(helps):
    """A gain below two points, one that may be none, or a loss."""
    assert scale_mismatch(with_spaces(helps, video={"scale": 1e6})) is None
    assert scale_mismatch(with_spaces(video={"scale": 1e6})) is None  # or it was not tried


def test_the_effect_is_the_gain():
    found = scale_mismatch(with_spaces(HELPS, video={"scale": 100.0}))
    assert found.effect == pytest.approx(0.05) and found.interval == pytest.approx((0.04, 0.06))
    assert "concat_norm" in found.advice


def test_what_a_whitened_projection_explains_is_not_told_twice():
    turned = (change("turn components", 0.05), change("video alone, components turned", 0.05))
    uneven = {"scale_spread": 50.0}
    assert scale_mismatch(with_spaces(HELPS, video=uneven)) is not None
    assert scale_mismatch(with_spaces(HELPS, *turned, video=uneven)) is None
    assert scale_mismatch(with_spaces(HELPS, *turned, audio=uneven)) is not None
