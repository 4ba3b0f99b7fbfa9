"""Heads over video and audio are what they were before heads joined any number of streams."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from dualstream.heads.data.batch import FeatureSet

from tests.heads import two_streams

EXPECTED = json.loads(two_streams.FILE.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def corpus() -> FeatureSet:
    return two_streams.corpus()


@pytest.mark.parametrize("name", two_streams.NAMES)
def test_two_streams_give_what_they_gave(name: str, corpus: FeatureSet) -> None:
    found, expected = two_streams.measured(name, corpus), EXPECTED[name]
    assert found["shapes"] == expected["shapes"]
    for key, size in expected["sizes"].items():
        assert found["sizes"][key] == pytest.approx(size, rel=1e-2, abs=1e-4), key  # processors differ
    for task, rows in expected["answers"].items():
        np.testing.assert_allclose(found["answers"][task], rows, atol=3e-3)


def test_their_order_in_the_corpus_says_nothing(corpus: FeatureSet) -> None:
    turned = replace(corpus, streams={name: corpus.streams[name] for name in ("video", "audio")})
    assert two_streams.measured("concat", turned) == two_streams.measured("concat", corpus)
