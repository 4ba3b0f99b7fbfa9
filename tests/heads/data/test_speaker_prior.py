"""Planted speakers: many utterances take their offset away, a single one takes the prior, and no batch collapses."""

from dataclasses import replace

import numpy as np
import pytest
from dualstream.heads.data.batch import StreamArrays
from dualstream.heads.data.speaker_prior import SpeakerPrior, WeightChoice
from dualstream.heads.variants import registry
from dualstream.heads.variants.registry import FitOptions

from tests.heads.small_corpora import noise_corpus, with_signal, without


def rows_of(values, speaker, *, windows=None, offsets=None):
    """One stream, ``video``, of these rows."""
    count = len(values)
    rows = np.asarray(values, np.float32).reshape(count, -1)
    seen = None if windows is None else np.ones(len(windows), bool)
    stream = StreamArrays(rows, np.ones(count, bool), windows, seen)
    corpus = noise_corpus(count, speakers=1, widths=(1, 1))
    offsets = np.zeros(count + 1, np.int64) if offsets is None else offsets
    start_s = np.zeros(int(offsets[-1]))
    return replace(
        corpus, speaker=np.asarray(speaker), streams={"video": stream}, offsets=offsets, start_s=start_s
    )


def with_voices(features, *, shift=3.0, seed=1):
    """Every speaker shifts and scales every column; return the corpus, the shifts and the scales."""
    rng = np.random.default_rng(seed)
    people = int(features.speaker.max()) + 1
    streams, moves, scales = {}, {}, {}
    for name, stream in features.streams.items():
        moves[name] = rng.normal(size=(people, stream.width)) * shift
        scales[name] = rng.uniform(0.5, 2, (people, stream.width))
        rows = stream.utterance * scales[name][features.speaker] + moves[name][features.speaker]
        streams[name] = replace(stream, utterance=rows.astype(np.float32))
    return replace(features, streams=streams), moves, scales


def video(features):
    return features.streams["video"].utterance


def test_rule_by_hand():
    """Train: speakers at 8 and 12, each of four rows with unbiased variance 3; weight 4; five rows about 14."""
    rows = [8 - 1.5, 8 - 1.5, 8 + 1.5, 8 + 1.5, 12 - 1.5, 12 - 1.5, 12 + 1.5, 12 + 1.5]
    prior = SpeakerPrior.fit(rows_of(rows, [0, 0, 0, 0, 1, 1, 1, 1]), weight=4)
    # all rows: mean 10, variance 2.25 + 4 = 6.25, of which 3 (18 over 3 + 3) within speakers and 3.25 between
    own = 14 + np.array([0, 1, -1, 1, -1])  # unbiased variance 1
    found = video(prior.normalise(rows_of([*own, 11], [5] * 5 + [-1])))[:, 0]
    # the prior counts for 4 * 3 / 6.25 utterances: share 4 / (4 + 1.92); the offset is 4
    share = 4 / 5.92
    spread = np.sqrt(share * 1 + (1 - share) * 3 + (1 - share) ** 2 * ((1 - share) * 3.25 + share * 16))
    np.testing.assert_allclose(found[:5], (own - 10 - share * 4) / spread, rtol=1e-6)
    np.testing.assert_allclose(found[5], (11 - 10) / 2.5, rtol=1e-6)  # unknown speaker


def test_many_utterances_take_a_planted_offset_and_scale_away():
    """Of 1,000 utterances the prior's 30 leave one part in 30 of the offset."""
    plain = noise_corpus(1000, speakers=1)
    train = noise_corpus(400, seed=1, speakers=8)
    prior = SpeakerPrior.fit(train)
    voiced, moves, scales = with_voices(plain)
    for name, one in prior.normalise(voiced).streams.items():
        left = np.abs(one.utterance.mean(0))
        assert (left < 0.035 * np.abs(moves[name][0]) / scales[name][0] + 0.01).all()
        assert (np.abs(one.utterance.std(0) - 1) < 0.15).all()


def test_large_offsets_between_training_speakers_are_trusted_sooner():
    """Speakers differ by a hundred times what their utterances do: ten utterances take nearly all of it away."""
    train, _, _ = with_voices(noise_corpus(200, speakers=10), shift=100)
    test, moves, scales = with_voices(noise_corpus(10, seed=3, speakers=1), shift=100, seed=7)
    found = SpeakerPrior.fit(train).normalise(test)
    for name, one in found.streams.items():
        assert np.median(np.abs(moves[name][0]) / scales[name][0]) > 20
        assert (np.abs(one.utterance.mean(0)) < 0.5).all()
        assert np.median(np.abs(one.utterance.mean(0))) < 0.05


@pytest.mark.parametrize("count", [2, 5, 21, 81])
def test_the_offset_shrinks_with_the_utterances(count):
    """What is left of an offset is the weight's share, 20 of count - 1 + 20."""
    train = noise_corpus(2000, speakers=10, widths=(40, 2))
    rng = np.random.default_rng(count)
    test = noise_corpus(count, speakers=1, widths=(40, 2))
    stream = test.streams["video"]
    moved = (rng.normal(size=stream.utterance.shape) + 6).astype(np.float32)
    test = replace(test, streams={**test.streams, "video": replace(stream, utterance=moved)})
    found = video(SpeakerPrior.fit(train, weight=20).normalise(test))
    share = (count - 1) / (count - 1 + 20)
    left = 6 * (1 - share)
    assert found.mean() == pytest.approx(left / np.sqrt(1 + share * left**2), rel=0.1)


def test_one_utterance_is_the_priors_alone():
    train, _, _ = with_voices(noise_corpus(300, speakers=6))
    test, _, _ = with_voices(noise_corpus(9, seed=3, speakers=9), seed=5)
    prior = SpeakerPrior.fit(train)
    unknown = replace(test, speaker=np.full(9, -1))
    for name in test.streams:
        one, two = (prior.normalise(each).streams[name].utterance for each in (test, unknown))
        np.testing.assert_array_equal(one, two)
        rows = train.streams[name].utterance.astype(np.float64)
        expected = (test.streams[name].utterance - rows.mean(0)) / rows.std(0)
        np.testing.assert_allclose(one, expected, rtol=1e-4, atol=1e-5)


def test_a_batch_of_one_class_does_not_collapse():
    """Speakers' offsets are small beside the classes: all of one class must not be moved to the middle."""
    train, _, _ = with_voices(with_signal(noise_corpus(480, speakers=8), video=1.5, audio=1.5), shift=0.5)
    test, _, _ = with_voices(
        with_signal(noise_corpus(120, seed=9, speakers=4), video=1.5, audio=1.5), shift=0.5, seed=8
    )
    prior = SpeakerPrior.fit(train)
    options = FitOptions(seeds=(0,), tasks=("emotion",), loss="cross_entropy")
    model = registry.fit("linear", prior.normalise_training(train), options=options)[0]
    right, raw = [], []
    for code in range(3):
        rows = test.take(np.flatnonzero(test.emotion == code))
        right.append((model.predict(prior.normalise(rows)).emotion.argmax(1) == code).mean())
        centred = prior.normalise(rows).streams["video"].utterance.mean(0)
        raw.append(np.abs(centred).max())
    assert np.mean(right) > 0.85  # chance 1/3
    assert min(raw) > 0.3  # the class is still to be seen in the mean


def test_training_speakers_are_drawn_towards_the_others():
    """Speakers at -5 and +5 with unbiased variance 1: the prior of each is the other's rows, which lie between none."""
    values = np.array([-6, -5, -4, 4, 5, 6])
    train = rows_of(values, [0, 0, 0, 1, 1, 1])
    found = video(SpeakerPrior.fit(train, weight=2).normalise_training(train))[:, 0]
    # share 2 / 4: centre (-5 + 5) / 2; the other's rows have variance 2/3, which is less than 1, and so all within
    spread = np.sqrt(0.5 * 1 + 0.5 * 2 / 3 + 0.25 * 0.5 * 10**2)
    np.testing.assert_allclose(found, values / spread, rtol=1e-6)
    # a new speaker with the first one's rows is drawn towards both, variance 2/3 + 25, 1 of it within
    new = video(SpeakerPrior.fit(train, weight=2).normalise(train.take(np.arange(3))))[:, 0]
    total = 2 / 3 + 25
    share = 2 / (2 + 2 / total)
    spread = np.sqrt(share + 1 - share + (1 - share) ** 2 * ((1 - share) * (total - 1) + share * 25))
    np.testing.assert_allclose(new, (values[:3] + share * 5) / spread, rtol=1e-6)


def test_the_others_moments_are_those_of_the_corpus_without_the_speaker():
    """Against fitting anew without each speaker, with unknown speakers among the rows and unequal counts."""
    corpus, _, _ = with_voices(noise_corpus(90, speakers=6))
    speaker = np.where(np.arange(90) % 11 == 3, -1, np.where(np.arange(90) < 7, 0, corpus.speaker))
    corpus = replace(corpus, speaker=speaker)
    found = SpeakerPrior.fit(corpus).normalise_training(corpus)
    for code in range(6):
        own = np.flatnonzero(speaker == code)
        prior = SpeakerPrior.fit(corpus.take(np.flatnonzero(speaker != code)))
        for name, one in prior.normalise(corpus.take(own)).streams.items():
            np.testing.assert_allclose(found.streams[name].utterance[own], one.utterance, rtol=1e-4, atol=1e-5)


def test_a_single_training_speaker_is_its_own_prior():
    train = rows_of([1, 3, 5], [7, 7, 7])
    found = video(SpeakerPrior.fit(train, weight=20).normalise_training(train))[:, 0]
    # own unbiased variance 4, all rows' 8/3, share 2/22
    spread = np.sqrt(2 / 22 * 4 + 20 / 22 * 8 / 3)
    np.testing.assert_allclose(found, (np.array([1, 3, 5]) - 3) / spread, rtol=1e-6)


def test_batches_do_not_see_each_other():
    test, _, _ = with_voices(noise_corpus(120))
    prior = SpeakerPrior.fit(noise_corpus(200, seed=4))
    batch = np.arange(120) % 3
    both = prior.normalise(test, batch)
    for code in range(3):
        rows = np.flatnonzero(batch == code)
        alone = prior.normalise(test.take(rows))
        for name in test.streams:
            np.testing.assert_array_equal(both.streams[name].utterance[rows], alone.streams[name].utterance)


def test_labels_are_not_looked_at():
    corpus = noise_corpus(60)
    other = replace(corpus, emotion=np.full(60, -1), sentiment=corpus.sentiment[::-1])
    found = [SpeakerPrior.fit(each).normalise_training(each) for each in (corpus, other)]
    np.testing.assert_array_equal(video(found[0]), video(found[1]))


def test_missing_rows_say_nothing_and_stay_zeros():
    corpus = without(noise_corpus(60), "video", np.arange(0, 60, 4))
    rows = video(corpus).copy()
    rows[::4] = 1e6
    dirty = replace(corpus, streams={**corpus.streams, "video": replace(corpus.streams["video"], utterance=rows)})
    one, two = (video(SpeakerPrior.fit(each).normalise(each)) for each in (corpus, dirty))
    np.testing.assert_array_equal(one, two)
    assert (one[::4] == 0).all()


def test_rows_that_are_not_finite_stay_so_and_spoil_no_other():
    plain = noise_corpus(60, speakers=3)
    bad = video(plain).copy()
    bad[4, 1], bad[7] = np.inf, np.nan
    broken = replace(plain, streams={**plain.streams, "video": replace(plain.streams["video"], utterance=bad)})
    found = video(SpeakerPrior.fit(broken).normalise_training(broken))
    assert np.flatnonzero(~np.isfinite(found).all(1)).tolist() == [4, 7]
    clean = without(plain, "video", np.array([4, 7]))
    good = np.isfinite(found).all(1)
    np.testing.assert_array_equal(found[good], video(SpeakerPrior.fit(clean).normalise_training(clean))[good])


def test_windows_weigh_by_utterance():
    """One window at 0, three at 4, three at 2: mean 2, variance 8/3; a speaker of one clip takes that."""
    windows = np.array([[0], [4], [4], [4], [2], [2], [2]], np.float32)
    train = rows_of([0, 4, 2], [0, 1, 2], windows=windows, offsets=np.array([0, 1, 4, 7]))
    prior = SpeakerPrior.fit(train, weight=20)
    found = prior.normalise(train).streams["video"].windows[:, 0]
    np.testing.assert_allclose(found, (windows[:, 0] - 2) / np.sqrt(8 / 3), rtol=1e-6, atol=1e-6)
    # three clips of one speaker, however many windows: share 2/22, own mean 2, unbiased variance 4
    same = prior.normalise(replace(train, speaker=np.zeros(3, int))).streams["video"].windows[:, 0]
    np.testing.assert_allclose(
        same, (windows[:, 0] - 2) / np.sqrt(2 / 22 * 4 + 20 / 22 * 8 / 3), rtol=1e-6, atol=1e-6
    )


def test_columns_that_are_constant_in_training_become_zeros():
    corpus = noise_corpus(20, speakers=20)
    rows = video(corpus).copy()
    rows[:, 2] = 7
    flat = replace(corpus, streams={"video": replace(corpus.streams["video"], utterance=rows)})
    assert (video(SpeakerPrior.fit(flat).normalise(flat))[:, 2] == 0).all()


def test_scales_are_those_of_the_batch_and_hold_for_other_rows():
    test, _, _ = with_voices(noise_corpus(120))
    prior = SpeakerPrior.fit(noise_corpus(200, seed=4))
    scales = prior.scales(test)
    whole = prior.normalise(test)
    for rows in (np.arange(120), np.array([3]), np.array([5, 11, 40])):
        found = scales.normalise(test.take(rows))
        for name in test.streams:
            expected = whole.streams[name].utterance[rows]
            np.testing.assert_array_equal(found.streams[name].utterance, expected)
    strangers = replace(test, speaker=test.speaker + 100)
    alone = prior.normalise(replace(test, speaker=np.full(120, -1)))
    np.testing.assert_array_equal(video(scales.normalise(strangers)), video(alone))


def test_state_is_the_prior():
    train = noise_corpus(40)
    prior = SpeakerPrior.fit(train, weight=7, choice=WeightChoice("hand", {"7": {"whole": 0.5}}))
    arrays, values = prior.state()
    again = SpeakerPrior.restore(arrays, values)
    assert (again.weight, again.choice) == (7, prior.choice)
    np.testing.assert_array_equal(video(again.normalise(train)), video(prior.normalise(train)))


def test_speaker_prior_fails():
    train = noise_corpus(12)
    for weight in (0, -1, np.nan, np.inf):
        with pytest.raises(ValueError, match="expected a finite number above 0"):
            SpeakerPrior.fit(train, weight=weight)
    prior = SpeakerPrior.fit(train)
    with pytest.raises(ValueError, match=r"batches have shape \(3,\); expected \(12,\)"):
        prior.normalise(train, np.zeros(3, np.int64))
    with pytest.raises(ValueError, match="video stream has utterance of 9 columns; the speakers' prior has 8"):
        prior.normalise(noise_corpus(4, widths=(9, 12)))
    arrays, values = prior.state()
    with pytest.raises(ValueError, match="by rule 3; this program knows 2"):
        SpeakerPrior.restore(arrays, {**values, "rule": 3})
