"""Rows far outside of the rest, planted and counted."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from dualstream.heads.diagnosis.outlying import outlying

from tests.heads.small_corpora import noise_corpus, without


def planted(features, rows, factor):
    stream = features.streams["video"]
    moved = stream.utterance.copy()
    moved[rows] *= factor
    return replace(features, streams={**features.streams, "video": replace(stream, utterance=moved)})


def test_nothing_is_far_out_in_noise():
    train, dev = noise_corpus(300, seed=0), noise_corpus(100, seed=1)
    found = outlying(train, dev, "video")
    assert (found.stream, found.rows, found.far) == ("video", 400, 0) and found.worst < 1


def test_rows_that_were_planted_are_counted_in_both_splits():
    train, dev = planted(noise_corpus(300, seed=0), [5, 9], 1e4), planted(noise_corpus(100, seed=1), [3], 1e5)
    found = outlying(train, dev, "video")
    assert found.far == 3 and found.worst > 100
    assert outlying(train, None, "video").far == 2
    assert outlying(train, dev, "audio").far == 0


def test_rows_that_are_missing_or_no_numbers_are_counted_elsewhere():
    features = planted(noise_corpus(300, seed=0), [1], np.nan)
    features = without(features, "video", np.arange(10, 20))
    found = outlying(features, None, "video")
    assert (found.rows, found.far) == (289, 0)


def test_a_stream_of_one_row_says_nothing():
    found = outlying(noise_corpus(1), None, "video")
    assert (found.rows, found.far, found.worst) == (1, 0, 0.0)
