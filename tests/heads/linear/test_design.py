"""Rows of a design matrix against scikit-learn's scaler, and what is missing from them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from dualstream.heads.data.batch import FeatureSet, StreamArrays
from dualstream.heads.linear.design import CLIP, Design
from sklearn.preprocessing import StandardScaler

BOTH = ("video", "audio")


def corpus(video, audio, video_there=None, audio_there=None) -> FeatureSet:
    count = len(video)
    streams = {}
    for name, rows, there in (("video", video, video_there), ("audio", audio, audio_there)):
        present = np.ones(count, bool) if there is None else np.asarray(there, bool)
        streams[name] = StreamArrays(np.asarray(rows, np.float32), present)
    blank = np.zeros(count, np.int64)
    return FeatureSet(
        streams=streams, offsets=np.zeros(count + 1, np.int64), start_s=np.zeros(0), emotion=blank, sentiment=blank,
        emotion_names=("joy",), sentiment_names=("positive",), dialogue=blank, turn=blank, speaker=blank,
    )  # fmt: skip


@pytest.fixture
def drawn():
    rng = np.random.default_rng(0)
    return rng.normal(3, 2, (40, 3)), rng.normal(-1, 0.5, (40, 2))


def test_rows_are_scikit_learns_scaled_columns_side_by_side(drawn):
    features = corpus(*drawn)
    expected = np.hstack([StandardScaler().fit_transform(rows) for rows in drawn])
    found = Design.fit(features, BOTH).rows(features)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_other_rows_are_scaled_as_training_was(drawn):
    video, audio = drawn
    design = Design.fit(corpus(video[:30], audio[:30]), BOTH)
    scalers = [StandardScaler().fit(rows[:30]) for rows in drawn]
    expected = np.hstack([scaler.transform(rows[30:]) for scaler, rows in zip(scalers, drawn, strict=True)])
    np.testing.assert_allclose(design.rows(corpus(video[30:], audio[30:])), expected, atol=1e-4)


def test_a_missing_stream_is_the_mean_and_a_flag(drawn):
    there = np.arange(40) % 4 != 0
    features = corpus(*drawn, video_there=there)
    features.streams["video"].utterance[~there] = 1e6  # means nothing
    found = Design.fit(features, BOTH).rows(features)
    assert found.shape == (40, 3 + 2 + 1)
    np.testing.assert_allclose(found[there, :3], StandardScaler().fit_transform(drawn[0][there]), atol=1e-4)
    assert not found[~there, :3].any()
    np.testing.assert_array_equal(found[:, 5], (~there).astype(np.float32))


def test_a_flag_is_only_for_what_training_knew_with_and_without():
    rng = np.random.default_rng(1)
    rows = rng.normal(size=(6, 2)), rng.normal(size=(6, 2))
    assert Design.fit(corpus(*rows), BOTH).indicators == (False, False)
    assert Design.fit(corpus(*rows, video_there=[0] * 6), BOTH).indicators == (False, False)
    assert Design.fit(corpus(*rows, audio_there=[0, 1] * 3), BOTH).indicators == (False, True)
    assert Design.fit(corpus(*rows, audio_there=[0, 1] * 3), ("audio",)).indicators == (
        False,
    )  # nothing to fall back on


def test_a_constant_column_is_zeros(drawn):
    video = drawn[0].copy()
    video[:, 1] = 7.25
    design = Design.fit(corpus(video, drawn[1]), BOTH)
    assert design.spread[1] == 0
    other = video.copy()
    other[:, 1] = 1e6
    assert not design.rows(corpus(other, drawn[1]))[:, 1].any()


def test_a_column_of_rounding_errors_is_constant():
    video = np.float32(1e6) + np.zeros((8, 1))
    video[3] += 0.0625
    design = Design.fit(corpus(video, np.arange(8.0)[:, None]), BOTH)
    assert design.spread[0] == 0


def test_values_far_outside_are_cut_off(drawn):
    design = Design.fit(corpus(*drawn), BOTH)
    far = corpus(np.full((1, 3), 1e9), np.full((1, 2), -1e9))
    assert design.rows(far)[0].tolist() == [CLIP] * 3 + [-CLIP] * 2


def test_a_stream_that_a_corpus_lacks_is_missing(drawn):
    there = np.arange(40) % 4 != 0
    design = Design.fit(corpus(*drawn, audio_there=there), BOTH)
    features = corpus(*drawn)
    alone = replace(features, streams={"video": features.streams["video"]})
    found = design.rows(alone)
    assert not found[:, 3:5].any() and (found[:, 5] == 1).all()
    assert design.available(alone).all()


def test_available_is_at_least_one_stream(drawn):
    features = corpus(*(rows[:4] for rows in drawn), video_there=[1, 1, 0, 0], audio_there=[1, 0, 1, 0])
    assert Design.fit(features, BOTH).available(features).tolist() == [True, True, True, False]
    assert Design.fit(features, ("video",)).available(features).tolist() == [True, True, False, False]
    nothing = replace(features, streams={})
    assert Design.fit(features, BOTH).available(nothing).tolist() == [False] * 4


def test_another_width_is_refused(drawn):
    design = Design.fit(corpus(*drawn), BOTH)
    with pytest.raises(ValueError, match="the video stream has 2 columns; the head was fitted on 3"):
        design.rows(corpus(drawn[0][:, :2], drawn[1]))


def test_a_stream_that_is_nowhere_is_zeros(drawn):
    features = corpus(*drawn, video_there=[0] * 40)
    found = Design.fit(features, BOTH).rows(features)
    assert not found[:, :3].any() and np.isfinite(found).all()
