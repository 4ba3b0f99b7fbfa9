"""What a stream has seen of each utterance, counted by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from dualstream.heads.data.batch import StreamArrays
from dualstream.heads.diagnosis.coverage import coverage

from tests.heads.diagnosis.test_changes import corpus, masked


def test_everything_is_there():
    found = coverage(corpus(), "video")  # utterances of 3, 1, 4 and 2 windows
    assert (found.utterances_present, found.windows_seen, found.rows_per_utterance) == (1, 1, 2.5)
    assert (found.single_row, found.saw_nothing) == (0, 0)


def test_windows_that_are_missing():
    found = coverage(masked(corpus(), "video", windows=[0, 1, 4, 5, 6, 8]), "video")
    # seen: 1 of 3, 1 of 1, 1 of 4, 1 of 2
    assert found.windows_seen == pytest.approx(np.mean([1 / 3, 1, 1 / 4, 1 / 2]))
    assert found.rows_per_utterance == 1 and found.single_row == 1  # of the three that are longer than a window
    assert found.saw_nothing == 0


def test_an_utterance_without_the_stream_counts_apart():
    found = coverage(masked(corpus(), "video", rows=[2], windows=[4, 5, 6, 7]), "video")
    assert (found.utterances_present, found.saw_nothing) == (0.75, 1)
    assert (found.windows_seen, found.single_row, found.rows_per_utterance) == (1, 0, 2)


def test_a_stream_without_windows_has_no_share_of_them():
    features = corpus()
    video = features.streams["video"]
    bare = replace(features, streams={**features.streams, "video": StreamArrays(video.utterance, video.present)})
    found = coverage(bare, "video")
    assert (
        found.utterances_present == 1
        and np.isnan([found.windows_seen, found.rows_per_utterance, found.single_row]).all()
    )
    assert found.to_json()["windows_seen"] is None and found.to_json()["saw_nothing"] == 0


def test_a_stream_that_is_nowhere():
    found = coverage(masked(corpus(), "audio", rows=range(4), windows=range(10)), "audio")
    assert (found.utterances_present, found.saw_nothing) == (0, 4) and np.isnan(found.windows_seen)
