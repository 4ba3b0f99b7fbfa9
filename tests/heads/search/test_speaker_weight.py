"""The prior's weight is chosen inside train, and looks at nothing else."""

from dataclasses import replace

import numpy as np
import pytest
from dualstream.heads.data.speaker_prior import DEFAULT_WEIGHT
from dualstream.heads.search.speaker_weight import (
    BATCHES,
    WEIGHTS,
    batch_scores,
    fit_speaker_prior,
    simulated_batches,
)

from tests.heads.data.test_speaker_prior import with_voices
from tests.heads.small_corpora import noise_corpus, with_signal


def voiced(shift, *, signal=1.0, seed=0):
    corpus = with_signal(noise_corpus(480, speakers=8, seed=seed), video=signal, audio=signal)
    return with_voices(corpus, shift=shift, seed=seed)[0]


def test_batches_are_what_they_are_called():
    rng = np.random.default_rng(0)
    speaker, labels = rng.integers(0, 4, 200), rng.integers(0, 5, 200)
    found = simulated_batches(speaker, labels, seed=0)
    assert list(found) == list(BATCHES)
    assert sum(BATCHES.values()) == pytest.approx(1)
    for name, batch in found.items():
        for code in np.unique(speaker):
            groups = [np.flatnonzero((speaker == code) & (batch == number)) for number in np.unique(batch)]
            groups = [one for one in groups if len(one)]
            assert sum(map(len, groups)) == (speaker == code).sum()  # each utterance once
            if name.isdigit():
                assert all(len(one) == int(name) for one in groups[:-1]) and len(groups[-1]) <= int(name)
            classes = [len(np.unique(labels[one])) for one in groups]
            if name == "whole":
                assert len(groups) == 1
            elif name == "one class":
                assert max(classes) == 1
            elif name == "two classes":
                assert max(classes) == 2 and len(groups) == 3


def test_large_offsets_ask_for_a_small_weight_and_none_for_a_large_one():
    """Where speakers differ by ten times what classes do, only their own rows help; else they only harm."""
    loud, quiet = voiced(10.0), voiced(0.0)
    scores = {name: batch_scores(each, each.emotion) for name, each in (("loud", loud), ("quiet", quiet))}
    assert scores["loud"][7.5]["whole"] > scores["loud"][120.0]["whole"] + 0.02
    assert scores["quiet"][120.0]["one class"] > scores["quiet"][7.5]["one class"] + 0.02
    assert fit_speaker_prior(loud).weight < fit_speaker_prior(quiet).weight


def test_a_choice_says_how_it_was_made():
    prior = fit_speaker_prior(voiced(1.0))
    assert prior.weight in WEIGHTS
    assert prior.choice.chosen_by.startswith("4 folds of 8 training speakers, by the balanced accuracy of emotion")
    assert set(prior.choice.scores) == {f"{weight:g}" for weight in WEIGHTS}


def test_noise_keeps_the_default():
    assert fit_speaker_prior(noise_corpus(600, speakers=10)).weight == DEFAULT_WEIGHT


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"speaker": np.full(60, -1)}, "fewer than two known speakers"),
        ({"speaker": np.zeros(60, int)}, "fewer than two known speakers"),
        ({"emotion": np.full(60, -1), "sentiment": np.full(60, -1)}, "fewer than two classes"),
    ],
)
def test_what_can_not_be_chosen_takes_the_default_and_says_why(change, reason):
    prior = fit_speaker_prior(replace(noise_corpus(60), **change))
    assert prior.weight == DEFAULT_WEIGHT and reason in prior.choice.chosen_by


def test_another_task_chooses_where_emotion_has_no_labels():
    corpus = voiced(1.0)
    prior = fit_speaker_prior(replace(corpus, emotion=np.full(len(corpus), -1)))
    assert "of sentiment over batches" in prior.choice.chosen_by


def test_unlabelled_rows_and_missing_streams_are_no_obstacle():
    corpus = voiced(1.0)
    stream = corpus.streams["video"]
    rows, present = stream.utterance.copy(), stream.present.copy()
    present[::7], rows[::7], rows[3] = False, 0, np.nan
    emotion = corpus.emotion.copy()
    emotion[::5] = -1
    streams = {**corpus.streams, "video": replace(stream, utterance=rows, present=present)}
    assert fit_speaker_prior(replace(corpus, emotion=emotion, streams=streams)).weight in WEIGHTS
