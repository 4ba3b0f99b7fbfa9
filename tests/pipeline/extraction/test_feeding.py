"""A device of its own is fed over the boundaries of shards, and the shards are those of a processor."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from dualstream.pipeline.corpus.manifest import read_manifest
from dualstream.pipeline.extraction.build_shards import ShardJob, make_shards
from dualstream.pipeline.extraction.shards import pack_shard
from dualstream.pipeline.extraction.staleness import Hasher
from numpy.typing import NDArray

from tests.pipeline.stubs import STUBS, StubVideo, make_corpus, stub_recipe


@dataclass
class Device(StubVideo):
    """Computes when it is asked for rows; notes when batches come and rows go, and how many wait."""

    overlaps: bool = True
    events: list[str] = field(default_factory=list)

    def begin_frames(self, frames: NDArray[np.uint8]) -> Callable[[], NDArray[np.float32]]:
        copy = frames.copy()
        self.events.append("in")

        def wait() -> NDArray[np.float32]:
            self.events.append("out")
            return self.encode_frames(copy)

        return wait


def shards(tmp_path: Path, video: StubVideo, note: Callable[[int], None] = lambda index: None) -> list[bytes]:
    corpus = make_corpus(tmp_path / "clips", 9, contents={4: b"bad"})
    recipe, hasher = stub_recipe(STUBS, video=video, shard_size=3), Hasher(corpus.parent)
    utterances = read_manifest(corpus).utterances
    jobs = [ShardJob(at, utterances[3 * at : 3 * at + 3]) for at in range(3)]
    packed = []
    for made in make_shards(jobs, recipe, hasher, workers=1):
        note(made.job.index)
        packed.append(bytes(pack_shard(made.shard)))
    return packed


@pytest.mark.parametrize("batch_size", [1, 4, 100])
def test_the_next_shard_is_on_its_way_before_one_is_made(tmp_path: Path, batch_size: int) -> None:
    device = Device()
    device.batch_size = batch_size
    under_way: list[int] = []

    def note(index: int) -> None:
        under_way.append(device.events.count("in") - device.events.count("out"))

    got = shards(tmp_path, device, note)
    plain = StubVideo()
    plain.batch_size = batch_size
    assert got == shards(tmp_path, plain)
    assert len(got) == 3 and under_way[0] > 0 and under_way[1] > 0 and under_way[2] == 0


def test_a_processor_makes_each_shard_at_once(tmp_path: Path) -> None:
    device = Device(overlaps=False)
    calls: list[int] = []
    shards(tmp_path, device, lambda index: calls.append(len(device.events)))
    assert calls == [0, 0, 0]
