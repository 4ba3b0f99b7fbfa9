"""Utterances kept as columns: each comes back as it was, and many take little memory."""

from __future__ import annotations

import pickle

from dualstream.pipeline.corpus.manifest import Manifest, parse_manifest
from dualstream.pipeline.corpus.utterance import Utterance
from dualstream.pipeline.corpus.utterance_columns import UtteranceColumns

from tests.traced import traced

ROWS = (
    Utterance("a", "é/a.mp4", "train"),
    Utterance("b", "b.mp4", "dev", 0.0, 2.5, "d1", 0, "Ross", "joy", "positive", {"line": "Hi, you"}, "b.wav"),
    Utterance("c", "c.mp4", "test", None, None, "d1", 3, extra={"episode": "2"}),
    Utterance("d", "d.mp4", "train", 1.5, 2.0, extra={"line": "", "episode": "3"}),
)


def test_utterances_come_back_as_they_were() -> None:
    columns = UtteranceColumns.of(ROWS)
    last = Utterance("d", "d.mp4", "train", 1.5, 2.0, extra={"episode": "3"})  # blanks are left out
    assert list(columns) == [*ROWS[:3], last] and columns[-1] == last
    assert columns == [*ROWS[:3], last] and columns != ROWS[:3]
    assert Manifest(ROWS).extra_columns == ("line", "episode")


def test_slices_are_views_and_travel_as_tuples() -> None:
    columns = UtteranceColumns.of(ROWS[:3])
    assert columns[1:] == ROWS[1:3] and columns[1:][0] == ROWS[1] and columns[::-1] == ROWS[2::-1]
    assert pickle.loads(pickle.dumps(columns[1:])) == ROWS[1:3]
    with columns.at_hand():
        assert columns[1] == ROWS[1] and next(iter(columns[1:])) is next(iter(columns[1:]))
    assert list(columns[1:]) == list(ROWS[1:3])


def test_an_utterance_takes_less_than_120_bytes() -> None:
    count = 4_000
    lines = (
        f"d{n // 10}_u{n % 10},clips/joy/d{n // 10}_u{n % 10}.wav,train,d{n // 10},{n % 10},s{n % 7}"
        for n in range(count)
    )
    raw = "\n".join(["id,path,split,dialogue,turn,speaker", *lines]).encode()
    manifest, memory = traced(lambda: parse_manifest(raw))
    assert len(manifest) == count
    assert memory.held < 120 * count  # 80 to 90; an object takes 300
    assert memory.peak < 300 * count  # with what names faults by row and line, and looks for equal ids
