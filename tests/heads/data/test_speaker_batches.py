"""What is said of a speaker's batch: how many utterances, and whether the answers are of one class."""

import numpy as np
import pytest
from dualstream.heads.data.speaker_batches import batch_warnings, speaker_batches
from dualstream.heads.data.speaker_prior import SpeakerPrior

from tests.heads.small_corpora import noise_corpus

PRIOR = SpeakerPrior.fit(noise_corpus(12, speakers=0), weight=20)


def batches(speakers, answers, there=None):
    there = np.ones(len(speakers), bool) if there is None else np.array(there)
    return speaker_batches(speakers, there, PRIOR, {"emotion": answers})


def test_batches_count_utterances_and_answers():
    found = batches(["ann", "bob", "ann", "", "ann"], ["joy", "joy", "joy", "fear", "fear"])
    assert [(one.speaker, one.utterances) for one in found] == [("ann", 3), ("bob", 1), ("", 1)]
    assert [one.share for one in found] == pytest.approx([2 / 22, 0, 0])
    assert found[0].answers == {"emotion": {"joy": 2, "fear": 1}}


def test_utterances_without_features_do_not_count():
    (one,) = batches(["ann"] * 4, ["joy"] * 4, [True, False, True, True])
    assert one.utterances == 3 and one.answers == {"emotion": {"joy": 3}}


def test_few_utterances_are_named():
    speakers = ["ann"] * 12 + ["bob"] * 2
    (text,) = batch_warnings(batches(speakers, ["joy", "fear"] * 7), PRIOR)
    assert text.startswith("1 of 2 speakers have fewer than 10 utterances (bob: 2, 5% of the mean its own)")


def test_answers_of_one_class_are_named():
    (text,) = batch_warnings(batches(["ann"] * 12 + ["bob"] * 12, ["joy"] * 12 + ["joy", "fear"] * 6), PRIOR)
    assert "all answers of emotion are of one class for 1 speaker (ann: 12 of joy)" in text


def test_unknown_speakers_are_counted_and_never_of_one_class():
    (text,) = batch_warnings(batches([""] * 12, ["joy"] * 12), PRIOR)
    assert text.startswith("12 utterances are of unknown speakers")


def test_mixed_batches_of_many_have_no_warning():
    assert batch_warnings(batches(["ann"] * 12, ["joy", "fear"] * 6), PRIOR) == []
