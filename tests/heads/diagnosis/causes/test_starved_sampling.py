"""One stream with few windows beside one with all."""

from __future__ import annotations

import pytest
from dualstream.heads.diagnosis.causes.starved_sampling import starved_sampling
from dualstream.heads.diagnosis.evidence import OTHER

from tests.heads.diagnosis.measured import NAN, change, evidence, seen


def of(video, audio, *changes, single=0.25):
    coverage = {
        "video": seen("video", windows_seen=video, single_row=single),
        "audio": seen("audio", windows_seen=audio, single_row=single),
    }
    return starved_sampling(evidence(*changes, coverage=coverage))


@pytest.mark.parametrize(
    ("video", "audio", "poor"),
    [(0.49, 0.81, "video"), (0.5, 1.0, None), (0.49, 0.8, None), (1.0, 0.2, "audio"), (0.2, 0.2, None), (NAN, 1.0, None),
     (0.2, NAN, None)],
)  # fmt: skip
def test_which_stream_is_starved(video, audio, poor):
    found = of(video, audio)
    assert (found is None) if poor is None else found.text.startswith(f"{poor} has a row for")


def test_it_says_how_many_have_one_row():
    assert of(0.2, 1.0).text == (
        "video has a row for 20% of an utterance's windows, audio for 100%; 25% of the longer utterances have one "
        "video row or none"
    )


def test_the_gain_is_that_of_the_other_cache_where_there_is_one():
    assert of(0.2, 1.0).effect == 0.0 and of(0.2, 1.0).interval is None
    found = of(0.2, 1.0, change(OTHER, 0.12))
    assert found.effect == pytest.approx(0.12) and [one.name for one in found.remedies] == [OTHER]
