"""Changes that a diagnosis tries, on a corpus small enough to work them out by hand or by scikit-learn."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from dualstream.heads.data.batch import FeatureSet, StreamArrays
from dualstream.heads.diagnosis.changes import (
    equalise,
    in_turn,
    pooled_rows,
    shifted,
    standardise,
    turned,
    without,
)
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

LENGTHS = (3, 1, 4, 2)
OFFSETS = np.concatenate(([0], np.cumsum(LENGTHS)))


def corpus(seed: int = 0, widths: tuple[int, int] = (5, 3), lengths=LENGTHS) -> FeatureSet:
    rng = np.random.default_rng(seed)
    offsets = np.concatenate(([0], np.cumsum(lengths))).astype(np.int64)
    count, total = len(lengths), int(offsets[-1])
    streams = {
        name: StreamArrays(
            (rng.normal(size=(count, width)) * 4 + 2).astype(np.float32), np.ones(count, bool),
            (rng.normal(size=(total, width)) * 7 - 1).astype(np.float32), np.ones(total, bool),
        )
        for name, width in zip(("video", "audio"), widths, strict=True)
    }  # fmt: skip
    blank = np.zeros(count, np.int64)
    starts = np.concatenate([np.arange(length) * 0.5 for length in lengths])
    return FeatureSet(
        streams=streams, offsets=offsets, start_s=starts, emotion=blank, sentiment=blank, emotion_names=("joy",),
        sentiment_names=("positive",), dialogue=blank, turn=np.arange(count), speaker=blank,
    )  # fmt: skip


def masked(features: FeatureSet, name: str, rows=(), windows=()) -> FeatureSet:
    stream = features.streams[name]
    present, seen = stream.present.copy(), stream.window_present.copy()
    present[list(rows)], seen[list(windows)] = False, False
    made = StreamArrays(
        np.where(present[:, None], stream.utterance, 0).astype(np.float32), present,
        np.where(seen[:, None], stream.windows, 0).astype(np.float32), seen,
    )  # fmt: skip
    return replace(features, streams={**features.streams, name: made})


def test_standardised_rows_and_windows_are_scikit_learns():
    train, other = corpus(0, lengths=(3,) * 40), corpus(1)
    change = standardise(train)
    for name in ("video", "audio"):
        for kind in ("utterance", "windows"):
            scaler = StandardScaler().fit(getattr(train.streams[name], kind))
            expected = scaler.transform(getattr(other.streams[name], kind))
            np.testing.assert_allclose(getattr(change(other).streams[name], kind), expected, atol=1e-4)


def test_what_is_missing_is_neither_learnt_from_nor_changed():
    train = masked(corpus(0, lengths=(2,) * 30), "video", rows=[0, 7], windows=[3])
    train.streams["video"].utterance[0] = 1e6
    found = standardise(train)(train).streams["video"]
    there = train.streams["video"].present
    np.testing.assert_allclose(found.utterance[there].mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(found.utterance[there].std(0), 1, atol=1e-4)
    assert not found.utterance[~there].any() and not found.windows[3].any()


def test_a_constant_column_becomes_nothing():
    train = corpus(0, lengths=(2,) * 10)
    train.streams["video"].utterance[:, 2] = 3
    other = corpus(1)
    assert not standardise(train)(other).streams["video"].utterance[:, 2].any()


def test_equal_widths_are_as_many_columns_of_the_same_variance():
    train = corpus(0, widths=(6, 3), lengths=(1,) * 200)
    found = equalise(4)(train)(train)
    for stream in found.streams.values():
        assert stream.width == 4
        assert stream.utterance.var(axis=0).sum() == pytest.approx(4, rel=1e-3)
    # video keeps the four directions of largest variance of its standardised columns: scikit-learn's, up to a turn
    scaled = StandardScaler().fit_transform(train.streams["video"].utterance)
    expected = PCA(4).fit_transform(scaled)
    ours = found.streams["video"].utterance
    expected *= np.sqrt(4 / expected.var(axis=0).sum())
    np.testing.assert_allclose(ours @ ours.T, expected @ expected.T, atol=1e-2)


def test_a_narrow_stream_is_spread_over_the_columns():
    train = corpus(0, widths=(6, 3), lengths=(1,) * 100)
    rows = equalise(5)(train)(train).streams["audio"].utterance
    assert rows.shape == (100, 5) and np.linalg.matrix_rank(rows, tol=1e-3) == 3


def test_turning_keeps_lengths_and_angles_and_leaves_the_other_stream():
    train = corpus()
    found = turned(["video"])(train)(train)
    before, after = train.streams["video"], found.streams["video"]
    for kind in ("utterance", "windows"):
        old, new = getattr(before, kind), getattr(after, kind)
        np.testing.assert_allclose(new @ new.T, old @ old.T, rtol=1e-4, atol=1e-2)
        assert np.abs(new - old).max() > 0.5
    assert found.streams["audio"] is train.streams["audio"]
    again = turned(["video"])(train)(train).streams["video"]
    np.testing.assert_array_equal(again.utterance, after.utterance)


def test_changes_in_turn_learn_from_what_the_one_before_leaves():
    train, other = corpus(0, lengths=(2,) * 40), corpus(1)
    both = in_turn(turned(["video"]), standardise)(train)
    turn = turned(["video"])(train)
    expected = standardise(turn(train))(turn(other))
    np.testing.assert_allclose(both(other).streams["video"].utterance, expected.streams["video"].utterance)
    assert in_turn()(train)(other) is other


@pytest.mark.parametrize("hops", [1, 2, -1])
def test_each_window_gets_the_audio_so_many_hops_later_in_its_own_utterance(hops):
    features = corpus()
    found = shifted(hops)(features)(features).streams["audio"]
    audio = features.streams["audio"]
    for start, stop in itertools.pairwise(OFFSETS):
        for at in range(start, stop):
            inside = start <= at + hops < stop
            assert bool(found.window_present[at]) is bool(inside)
            expected = audio.windows[at + hops] if inside else np.zeros(3)
            np.testing.assert_array_equal(found.windows[at], expected)
    np.testing.assert_array_equal(found.utterance, audio.utterance)
    assert shifted(hops)(features)(features).streams["video"] is features.streams["video"]


def test_a_window_that_is_missing_is_missing_where_it_is_moved_to():
    features = masked(corpus(), "audio", windows=[5])
    found = shifted(1)(features)(features).streams["audio"]
    assert not found.window_present[4] and not found.windows[4].any()


def test_without_a_stream():
    features = corpus()
    found = without(features, "audio")
    audio = found.streams["audio"]
    assert not audio.present.any() and not audio.window_present.any()
    assert not audio.utterance.any() and not audio.windows.any()
    assert features.streams["audio"].present.all() and found.streams["video"] is features.streams["video"]


def test_pooled_rows_are_means_of_what_is_seen():
    windows = np.arange(20, dtype=np.float32).reshape(10, 2)
    seen = np.array([1, 0, 1, 1, 0, 0, 0, 0, 1, 1], bool)
    rows, there = pooled_rows(windows, seen, OFFSETS)
    assert there.tolist() == [True, True, False, True]
    np.testing.assert_array_equal(
        rows, [(windows[0] + windows[2]) / 2, windows[3], [0, 0], (windows[8] + windows[9]) / 2]
    )


def test_utterances_without_windows_are_not_there():
    rows, there = pooled_rows(np.ones((2, 3), np.float32), np.ones(2, bool), np.array([0, 0, 2, 2]))
    assert there.tolist() == [False, True, False] and rows[1].tolist() == [1, 1, 1] and not rows[[0, 2]].any()
    rows, there = pooled_rows(np.ones((0, 3), np.float32), np.ones(0, bool), np.array([0, 0]))
    assert rows.shape == (1, 3) and not there.any()
