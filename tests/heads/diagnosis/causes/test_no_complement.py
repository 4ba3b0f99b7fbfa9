"""A second stream that adds nothing, told apart from one of which nothing can be told."""

from __future__ import annotations

from dataclasses import replace

import pytest
from dualstream.heads.diagnosis.causes.no_complement import no_complement

from tests.heads.diagnosis.measured import change, estimate, evidence, gain


def of(*changes, fused=0.0, half=0.02, late=0.0, late_half=0.02, **fields):
    joined = replace(change("join late", 0.0), over_best=gain(late, late_half))
    return no_complement(evidence(joined, *changes, fused_over_best=gain(fused, half), **fields))


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({}, True),
        ({"fused": -0.1}, True),
        ({"fused": 0.1}, False),  # joining helps
        ({"late": 0.1}, False),
        ({"half": 0.09}, False),  # a gain of 9 points may hide
        ({"half": 0.08}, True),
        ({"late_half": 0.09}, False),
    ],
)
def test_no_gain_and_none_that_may_hide(given, named):
    assert (of(**given) is not None) is named


@pytest.mark.parametrize(
    "name", ["standardise", "equalise widths", "modality dropout", "align windows", "regularise"]
)
def test_any_way_of_joining_that_helps_is_a_complement(name):
    helps = replace(change(name, 0.0), over_best=gain(0.05, 0.01))
    assert of(helps) is None
    small = replace(change(name, 0.0), over_best=gain(0.015, 0.001))
    assert of(small) is not None


def test_a_stream_that_does_not_beat_chance_has_no_complement_to_speak_of():
    scores = {name: estimate(0.26) for name in ("fused", "video", "audio", "late_sum")}
    assert of(scores=scores) is None
    scores = {name: replace(estimate(0.5), low=None, high=None) for name in scores}  # one dialogue: no interval
    assert of(scores=scores) is None


def test_its_words():
    found = of(fused=0.01)
    assert found.text.startswith("audio alone reaches 50.0%; no way of joining video to it brings more than 1.0%")
    assert "0.10" in found.text and found.advice.startswith("use --fusion audio")
    assert "more than 0.0%" in of(fused=-0.1, late=-0.05).text
