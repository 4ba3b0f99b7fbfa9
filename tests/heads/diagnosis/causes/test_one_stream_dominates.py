"""A head that makes little use of a stream that is worth something."""

from __future__ import annotations

import pytest
from dualstream.heads.diagnosis.causes.one_stream_dominates import one_stream_dominates

from tests.heads.diagnosis.measured import change, evidence, worth

HELPS = change("equalise widths", 0.05)


def of(*changes, **strength):
    return one_stream_dominates(evidence(*changes, strength=worth(**strength)))


@pytest.mark.parametrize(
    ("use", "neglected"),
    [((0.1, 0.1), None), ((0.02, 0.2), "video"), ((0.2, 0.02), "audio"), ((0.071, 0.129), None), ((0.069, 0.131), "video"),
     ((-0.1, 0.2), "video")],
)  # fmt: skip
def test_use_below_seven_tenths_of_worth(use, neglected):
    """Both are worth half: each should make up half of what the head uses; 35 % is where it is named."""
    found = of(HELPS, use=use)
    assert (
        (found is None) if neglected is None else found.text.startswith(f"{neglected} alone reaches 50.0%, 50% of")
    )


def test_a_stream_that_is_worth_little_may_be_neglected():
    assert of(HELPS, video=0.28, audio=0.5, use=(0.0, 0.3)) is None  # 3 points above a chance of 25 %
    assert of(HELPS, video=0.30, audio=0.5, use=(0.0, 0.3)) is not None


def test_streams_that_are_worth_nothing():
    assert of(HELPS, video=0.25, audio=0.2, use=(0.0, 0.3)) is None


@pytest.mark.parametrize("name", ["equalise widths", "modality dropout", "join late"])
def test_equal_weights_help(name):
    assert of(change(name, 0.05), use=(0.0, 0.3)).effect == pytest.approx(0.05)
    assert of(change(name, 0.01), use=(0.0, 0.3)) is None


def test_a_head_that_uses_neither():
    assert of(HELPS, use=(0.0, 0.0)) is None
