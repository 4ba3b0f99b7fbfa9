"""Where utterances were taken from, and how much of it two share."""

from __future__ import annotations

import pytest
from dualstream.pipeline.corpus.checks.spans import Stretch, overlap, stretch, stretch_of_file, table_span
from dualstream.pipeline.corpus.utterance import Utterance

INF = float("inf")


def row(span=(None, None), **extra: str) -> Utterance:
    return Utterance("a", "a.mp4", "train", start_s=span[0], end_s=span[1], extra=extra)


@pytest.mark.parametrize(
    ("extra", "span"),
    [
        ({"table_start_s": "1.5", "table_end_s": "3"}, (1.5, 3.0)),
        ({"table_start_s": "2", "table_end_s": "2"}, (2.0, 2.0)),  # MELD has such rows
        ({"table_start_s": "3", "table_end_s": "2"}, None),
        ({"table_start_s": "-1", "table_end_s": "2"}, None),
        ({"table_start_s": "0", "table_end_s": "inf"}, None),
        ({"table_start_s": "nan", "table_end_s": "2"}, None),
        ({"table_start_s": "0:01", "table_end_s": "2"}, None),
        ({"table_start_s": "1"}, None),
        ({}, None),
    ],
)
def test_a_table_s_span(extra, span):
    assert table_span(row(**extra)) == span


def test_an_episode_s_time_goes_before_the_file_s():
    times = {"table_start_s": "60", "table_end_s": "62"}
    assert stretch(row(**times, episode="s1e2")) == ("s1e2", 60.0, 62.0)
    assert stretch(row(**times)) == ("a.mp4", 0.0, INF)  # times of no known recording
    assert stretch(row((1.0, 2.0), episode="s1e2")) == ("a.mp4", 1.0, 2.0)
    assert stretch_of_file("b.wav", row((1.0, 2.0))) == ("b.wav", 1.0, 2.0)
    assert stretch_of_file("b.wav", row()) == ("b.wav", 0.0, INF)


@pytest.mark.parametrize(
    ("a", "b", "share"),
    [
        ((0, 4), (2, 6), 0.5),
        ((0, 4), (4, 6), 0.0),
        ((0, 4), (5, 6), 0.0),
        ((0, 10), (2, 4), 1.0),  # the whole of the shorter one
        ((0, 4), (0, 4), 1.0),
        ((2, 2), (2, 2), 1.0),  # the very same, of no length
        ((2, 2), (2, 3), 0.0),
        ((0, INF), (5, 6), 1.0),
        ((0, INF), (0, INF), 1.0),
        ((0, 3), (2, 6), 1 / 3),
    ],
)
def test_overlap_is_of_the_shorter(a, b, share):
    assert overlap(Stretch("x", *map(float, a)), Stretch("x", *map(float, b))) == pytest.approx(share)
