"""FeatureSet and Batch: shapes are checked, utterances keep their windows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from dualstream.heads.data.batch import Batch, FeatureSet, StreamArrays, StreamBatch, join, stream_order

from tests.heads.planted import plant


@pytest.fixture(scope="module")
def corpus() -> FeatureSet:
    return plant("exclusive_or", 1, train=20, dev=2, test=2).train


def test_take_keeps_each_utterances_windows(corpus: FeatureSet) -> None:
    index = np.array([7, 0, 19, 7])
    taken = corpus.take(index)
    video, whole = taken.streams["video"].windows, corpus.streams["video"].windows
    assert video is not None and whole is not None
    for row, old in enumerate(index):
        np.testing.assert_array_equal(
            video[taken.offsets[row] : taken.offsets[row + 1]],
            whole[corpus.offsets[old] : corpus.offsets[old + 1]],
        )
    np.testing.assert_array_equal(taken.emotion, corpus.emotion[index])


def test_window_that_is_not_finite_is_named(corpus: FeatureSet) -> None:
    audio = corpus.streams["audio"]
    assert audio.windows is not None
    windows = audio.windows.copy()
    windows[corpus.offsets[4] + 1, 3] = np.inf
    broken = replace(corpus, streams=corpus.streams | {"audio": replace(audio, windows=windows)})
    with pytest.raises(ValueError, match=r"stream audio: 1 window\(s\) hold NaN .* in utterance row\(s\) 4;"):
        broken.require_finite(("video", "audio"))
    broken.require_finite(("video",))


def test_absent_rows_may_hold_anything(corpus: FeatureSet) -> None:
    audio = corpus.streams["audio"]
    rows, present = audio.utterance.copy(), audio.present.copy()
    rows[3], present[3] = np.nan, False
    holed = replace(corpus, streams=corpus.streams | {"audio": replace(audio, utterance=rows, present=present)})
    holed.require_finite(("audio",))


def test_shapes_that_do_not_fit_fail(corpus: FeatureSet) -> None:
    with pytest.raises(ValueError, match=r"expected \(N, D\) and \(N,\)"):
        StreamArrays(np.zeros((3, 2), np.float32), np.ones(4, bool))
    with pytest.raises(ValueError, match="windows and window_present go together"):
        StreamArrays(np.zeros((3, 2), np.float32), np.ones(3, bool), windows=np.zeros((5, 2), np.float32))
    with pytest.raises(ValueError, match="offsets have shape"):
        replace(corpus, offsets=corpus.offsets[:-1])


def test_batch_shapes_that_do_not_fit_fail() -> None:
    mask, present = torch.ones(2, 3, dtype=torch.bool), torch.ones(2, dtype=torch.bool)
    dialogue = torch.zeros(2, dtype=torch.int64)
    video = StreamBatch(torch.zeros(2, 3, 4), mask, torch.zeros(2, 4), present)
    audio = StreamBatch(torch.zeros(2, 3, 5), mask, torch.zeros(2, 5), present)
    assert repr(Batch({"video": video, "audio": audio}, dialogue)) == "Batch(video=(2, 3, 4), audio=(2, 3, 5))"
    with pytest.raises(ValueError, match="audio windows have shape"):
        Batch({"video": video, "audio": replace(audio, windows=torch.zeros(2, 2, 5))}, dialogue)
    with pytest.raises(ValueError, match="audio utterance rows have shape"):
        Batch({"video": video, "audio": replace(audio, utterance=torch.zeros(2, 4))}, dialogue)


def test_a_batch_names_the_fields_of_video_and_audio() -> None:
    mask = torch.tensor([[True, False], [True, True]])
    face = StreamBatch(torch.ones(2, 2, 3), mask, torch.ones(2, 3), torch.tensor([True, False]))
    batch = Batch({"face": face, "video": replace(face, windows=torch.zeros(2, 2, 3))}, torch.zeros(2))
    assert (batch.video == 0).all() and batch.video_mask is mask and batch.video_utterance is face.utterance
    assert batch.audio.shape == (2, 2, 0) and batch.audio_utterance.shape == (2, 0)
    assert not batch.audio_mask.any() and not batch.audio_present.any()
    cut = batch.take(torch.tensor([0]), 1)
    assert cut.video.shape == (1, 1, 3) and cut.streams["face"].present.tolist() == [True]


def test_streams_stand_as_given_but_the_pair() -> None:
    assert stream_order(("audio", "video")) == ("video", "audio") and stream_order(["audio"]) == ("audio",)
    assert stream_order(("b", "video", "a")) == ("b", "video", "a")


def test_joined_corpora_keep_the_order_of_their_streams(corpus: FeatureSet) -> None:
    turned = replace(corpus, streams={"video": corpus.streams["video"], "audio": corpus.streams["audio"]})
    assert list(join(turned, turned).streams) == ["video", "audio"]
