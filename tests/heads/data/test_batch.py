"""FeatureSet and Batch: shapes are checked, utterances keep their windows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from dualstream.heads.data.batch import Batch, FeatureSet, StreamArrays

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
    fields = {
        "video": torch.zeros(2, 3, 4),
        "audio": torch.zeros(2, 3, 5),
        "video_mask": torch.ones(2, 3, dtype=torch.bool),
        "audio_mask": torch.ones(2, 3, dtype=torch.bool),
        "video_utterance": torch.zeros(2, 4),
        "audio_utterance": torch.zeros(2, 5),
        "video_present": torch.ones(2, dtype=torch.bool),
        "audio_present": torch.ones(2, dtype=torch.bool),
        "dialogue": torch.zeros(2, dtype=torch.int64),
    }
    assert repr(Batch(**fields)) == "Batch(video=(2, 3, 4), audio=(2, 3, 5))"
    with pytest.raises(ValueError, match="audio windows have shape"):
        Batch(**fields | {"audio": torch.zeros(2, 2, 5)})
    with pytest.raises(ValueError, match="audio utterance rows have shape"):
        Batch(**fields | {"audio_utterance": torch.zeros(2, 4)})
