"""What rows and names of a cache tell of mistakes without any fit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from dualstream.pipeline.experiments.mistakes import mistakes

from tests.pipeline.caches import random_cache


def test_speakers_whom_splits_share_are_named_with_numbers() -> None:
    cache = random_cache(200, audio_width=12)
    split = ["train"] * 120 + ["dev"] * 50 + ["test"] * 30
    speaker = (
        [f"t{i % 10}" for i in range(120)] + [f"d{i % 5}" for i in range(50)] + [f"e{i % 3}" for i in range(30)]
    )

    def of(names: list[str]):
        return mistakes(replace(cache, utterances=replace(cache.utterances, split=split, speaker=names)))

    assert not [one for one in of(speaker) if one.cause == "shared_speakers"]
    shared = [{"d1": "t4", "d2": "t5", "e0": "t4"}.get(name, name) for name in speaker]
    (one,) = (one for one in of(shared) if one.cause == "shared_speakers")
    assert "2 of the 5 dev speakers, with 20 of 50 utterances" in one.text
    assert "1 of the 3 test speakers, with 10 of 30 utterances" in one.text
    assert one.speakers == ("t4", "t5") and len(one.utterances) == 30


def test_a_stream_twice_and_values_for_nothing_are_told_of_a_cache() -> None:
    cache = random_cache(200, audio_width=12)
    assert mistakes(cache) == ()
    audio = cache.streams["audio"]
    rows = audio.utterance.copy()
    rows[np.random.default_rng(0).random(rows.shape) < 0.1] = -1.0
    spoilt = replace(cache, streams={**cache.streams, "audio": replace(audio, utterance=rows)})
    assert [one.cause for one in mistakes(spoilt)] == ["put_values"]
    twice = replace(cache, streams={**cache.streams, "video": replace(audio, name="video")})
    assert [one.cause for one in mistakes(twice)] == ["same_stream"]
