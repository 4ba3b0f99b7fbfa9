"""A stream whose encoder was fitted on the labels, by what a probe of it is certain of."""

from __future__ import annotations

import pytest
from dualstream.heads.diagnosis.causes.memorised_labels import memorised_labels
from dualstream.heads.diagnosis.signs.joins import Join
from dualstream.heads.diagnosis.signs.kinds import TwoKinds
from dualstream.heads.evaluation.memorised import Certainty

from tests.heads.diagnosis.measured import evidence
from tests.heads.diagnosis.signs.test_signs import WHOLE, of, signs_of


def certainty(stream="video", *, other_accuracy=0.5, **changes):
    given = {"train": 0.9, "other": 0.4, "drop": 0.3, "ratio": 0.5, "t": 6.0, "train_accuracy": 0.95, **changes}
    return Certainty(stream, "emotion", other_accuracy=other_accuracy, **given)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({}, True),
        ({"t": 1.4}, False),
        ({"t": 2.0}, True),  # below 2.5, but 45 points are lost
        ({"t": 2.0, "other_accuracy": 0.7}, False),  # 25 points
        ({"t": 2.5, "other_accuracy": 0.7}, True),
        ({"t": 9.0, "other_accuracy": 0.84}, False),  # 11 points: people differ
        ({"ratio": 0.04}, False),
        ({"drop": -0.01}, False),
        ({"other_accuracy": None}, True),  # no label of it is read: certainty alone has to say it
        ({"other_accuracy": None, "t": 4.4}, False),
        ({"other_accuracy": None, "ratio": 0.29}, False),
        ({"other_accuracy": None, "drop": 0.04}, False),
    ],
)
def test_more_certain_and_more_often_right(changes, named):
    assert (memorised_labels(evidence(certainty=(certainty(**changes),))) is not None) is named


def test_each_stream_is_told_of():
    found = memorised_labels(evidence(certainty=(certainty("video"), certainty("audio", other_accuracy=None))))
    first, second = found.text.split("; ")
    assert first == (
        "video knows the emotion labels of train: a linear probe is 0.90 certain of train rows that it was not fitted "
        "on, 0.40 of other rows, and right in 95% against 50%"
    )
    assert second.startswith("audio knows") and "right in" not in second


def test_one_that_was_not_looked_at():
    assert memorised_labels(evidence(certainty=())) is None


@pytest.mark.parametrize(
    ("how", "named"),
    [("columns 0.6 times as wide by no one function", True), ("columns of mean 0 and deviation 1", False)],
)
def test_rows_of_dev_that_only_spread_otherwise_are_what_such_an_encoder_makes(how, named):
    kinds = TwoKinds("video", "kinds", 8.0, 0.6, "split", (), (), how=how)
    signs = signs_of(of(WHOLE), kinds=(kinds,))
    assert (memorised_labels(evidence(signs=signs, certainty=(certainty(),))) is not None) is named


def test_rows_of_other_utterances_are_no_such_encoders():
    join = Join("audio", "video", z=1.0, best="1 row later", best_z=40.0, kind="order", moved="video")
    signs = signs_of(of(WHOLE), joins=(join,))
    assert memorised_labels(evidence(signs=signs, certainty=(certainty(),))) is None
