"""What a speaker adds or multiplies is gone; labels and other parts are never looked at."""

from dataclasses import replace

import numpy as np
import pytest
from dualstream.heads.data.batch import StreamArrays
from dualstream.heads.data.normalisation import normalise_speakers

from tests.heads.small_corpora import noise_corpus, without


def with_voices(features, *, shift=5.0):
    """Every speaker shifts and scales every column."""
    rng = np.random.default_rng(1)
    people = int(features.speaker.max()) + 1
    streams = {}
    for name, stream in features.streams.items():
        move = rng.normal(size=(people, stream.width)) * shift
        scale = rng.uniform(0.3, 3, (people, stream.width))
        rows = stream.utterance * scale[features.speaker] + move[features.speaker]
        streams[name] = replace(stream, utterance=rows.astype(np.float32))
    return replace(features, streams=streams)


def test_voices_are_taken_out_exactly_without_a_prior():
    plain = noise_corpus(200)
    one, two = (normalise_speakers(each, prior_utterances=0) for each in (plain, with_voices(plain)))
    for name in plain.streams:
        np.testing.assert_allclose(one.streams[name].utterance, two.streams[name].utterance, atol=1e-4)
        for code in range(5):
            rows = one.streams[name].utterance[plain.speaker == code]
            np.testing.assert_allclose(rows.mean(0), 0, atol=1e-5)
            np.testing.assert_allclose(rows.std(0), 1, atol=1e-5)


def test_rows_that_are_not_finite_stay_so_and_spoil_no_other():
    plain = noise_corpus(60, speakers=3)
    bad = plain.streams["video"].utterance.copy()
    bad[4, 1], bad[7] = np.inf, np.nan
    broken = replace(plain, streams={**plain.streams, "video": replace(plain.streams["video"], utterance=bad)})
    found = normalise_speakers(broken).streams["video"].utterance
    assert np.flatnonzero(~np.isfinite(found).all(1)).tolist() == [4, 7]
    expected = normalise_speakers(without(plain, "video", np.array([4, 7]))).streams["video"].utterance
    good = np.isfinite(found).all(1)
    np.testing.assert_array_equal(found[good], expected[good])


def test_prior_by_hand():
    """One column, a speaker of two utterances (4, 6) among (4, 6, 0, 2): prior of two utterances."""
    corpus = noise_corpus(4, speakers=1, widths=(1, 1))
    rows = np.array([[4], [6], [0], [2]], np.float32)
    corpus = replace(
        corpus,
        speaker=np.array([0, 0, -1, -1]),
        streams={"video": StreamArrays(rows, np.ones(4, bool))},
    )
    found = normalise_speakers(corpus, prior_utterances=2).streams["video"].utterance[:, 0]
    # all: mean 3, variance 5; own: mean 5, variance 1; halves: mean 4, variance 1/2 + (5 + 1/2 * 4) / 2 = 4
    np.testing.assert_allclose(found[:2], (np.array([4, 6]) - 4) / 2, rtol=1e-6)
    np.testing.assert_allclose(found[2:], (np.array([0, 2]) - 3) / np.sqrt(5), rtol=1e-6)


def test_parts_do_not_see_each_other():
    corpus = with_voices(noise_corpus(120))
    part = (np.arange(120) >= 80).astype(np.int64)
    both = normalise_speakers(corpus, part)
    for code in (0, 1):
        rows = np.flatnonzero(part == code)
        alone = normalise_speakers(corpus.take(rows))
        for name in corpus.streams:
            np.testing.assert_array_equal(both.streams[name].utterance[rows], alone.streams[name].utterance)


def test_labels_are_not_looked_at():
    corpus = noise_corpus(60)
    other = replace(corpus, emotion=np.full(60, -1), sentiment=corpus.sentiment[::-1])
    for name in corpus.streams:
        np.testing.assert_array_equal(
            normalise_speakers(corpus).streams[name].utterance, normalise_speakers(other).streams[name].utterance
        )


def test_absent_rows_stay_zeros_and_say_nothing():
    corpus = without(noise_corpus(60), "video", np.arange(0, 60, 4))
    rows = corpus.streams["video"].utterance.copy()
    rows[::4] = 1e6
    dirty = replace(corpus, streams={**corpus.streams, "video": replace(corpus.streams["video"], utterance=rows)})
    one, two = (normalise_speakers(each).streams["video"].utterance for each in (corpus, dirty))
    np.testing.assert_array_equal(one, two)
    assert (one[::4] == 0).all()


def test_windows_weigh_by_utterance():
    """A long utterance has no more say than a short one: 1 window at 0, 3 windows at 4, mean 2 and not 3."""
    corpus = noise_corpus(2, speakers=1, widths=(1, 1))
    windows = np.array([[0], [4], [4], [4]], np.float32)
    stream = StreamArrays(np.array([[0], [4]], np.float32), np.ones(2, bool), windows, np.ones(4, bool))
    corpus = replace(corpus, streams={"video": stream}, offsets=np.array([0, 1, 4]), start_s=np.arange(4.0))
    found = normalise_speakers(corpus, prior_utterances=0).streams["video"].windows[:, 0]
    np.testing.assert_allclose(found, [-1, 1, 1, 1])


def test_constant_columns_become_zeros():
    corpus = noise_corpus(20)
    rows = corpus.streams["video"].utterance.copy()
    rows[:, 2] = 7
    flat = replace(corpus, streams={"video": replace(corpus.streams["video"], utterance=rows)})
    assert (normalise_speakers(flat).streams["video"].utterance[:, 2] == 0).all()


def test_normalise_speakers_fails():
    with pytest.raises(ValueError, match="expected 0 or more"):
        normalise_speakers(noise_corpus(5), prior_utterances=-1)
    with pytest.raises(ValueError, match=r"expected \(5,\)"):
        normalise_speakers(noise_corpus(5), np.zeros(4, np.int64))
