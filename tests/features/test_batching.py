"""Frames of many clips in full batches: each row comes back to its clip, whatever the batches were."""

from __future__ import annotations

import threading
from collections.abc import Callable

import numpy as np
import pytest
from dualstream.features.batching import MOST_AHEAD, FrameBatcher
from dualstream.features.encoder import EncoderSpec
from numpy.typing import NDArray

from tests.features.mean_colour import SIDE, MeanColour


@pytest.mark.parametrize("batch_size", [1, 3, 4, 100])
def test_batches_cross_clips_and_rows_come_back_by_clip(batch_size: int) -> None:
    rng = np.random.default_rng(0)
    clips = [rng.integers(0, 256, (count, SIDE, SIDE, 3), dtype=np.uint8) for count in (2, 0, 7, 1, 5)]
    encoder, seen = MeanColour(batch_size), []
    batcher = FrameBatcher({"video": encoder}, on_batch=seen.append)
    for frames in clips:
        batcher.add(frames)
    rows = batcher.finish()["video"]
    for frames, found in zip(clips, rows, strict=True):
        np.testing.assert_array_equal(found, frames.mean(axis=(1, 2)).astype(np.float32).reshape(-1, 3))
    full, rest = divmod(15, batch_size)
    assert encoder.batches == seen == [batch_size] * full + ([rest] if rest else [])


class Meeting(MeanColour):
    """Allows calls from several threads, and notes which thread each came from."""

    def __init__(self, batch_size: int, *, side_by_side: bool) -> None:
        super().__init__(batch_size)
        self.side_by_side = side_by_side
        self.others = threading.Barrier(2)
        self.threads: set[int] = set()

    def encode_frames(self, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
        if self.side_by_side:
            self.others.wait(10)  # breaks where no two calls run at once
        self.threads.add(threading.get_ident())
        return super().encode_frames(frames)


@pytest.mark.parametrize("side_by_side", [True, False])
def test_batches_in_work_at_once_give_the_rows_of_one_at_a_time(side_by_side: bool) -> None:
    rng = np.random.default_rng(0)
    clips = [rng.integers(0, 256, (count, SIDE, SIDE, 3), dtype=np.uint8) for count in (2, 9, 1, 4)]
    encoder = Meeting(2, side_by_side=side_by_side)
    batcher = FrameBatcher({"video": encoder}, at_once=2)
    for _ in range(2):  # it can be used again
        for frames in clips:
            batcher.add(frames)
        for frames, found in zip(clips, batcher.finish()["video"], strict=True):
            np.testing.assert_array_equal(found, frames.mean(axis=(1, 2)).astype(np.float32).reshape(-1, 3))
    assert sorted(encoder.batches) == [2] * 16
    assert (threading.get_ident() in encoder.threads) is not side_by_side


def test_an_error_of_a_batch_in_a_thread_comes_out() -> None:
    encoder = MeanColour(2)
    encoder.side_by_side = True  # type: ignore[attr-defined]
    encoder.spec = EncoderSpec("mean-colour", "video", 4, 4)
    batcher = FrameBatcher({"video": encoder}, at_once=2)
    batcher.add(np.zeros((4, SIDE, SIDE, 3), np.uint8))
    with pytest.raises(RuntimeError, match="its spec says 4 columns"):
        batcher.finish()


def test_a_batcher_can_be_used_again() -> None:
    batcher = FrameBatcher({"video": MeanColour()})
    for _ in range(2):
        batcher.add(np.zeros((3, SIDE, SIDE, 3), np.uint8))
        assert [len(rows) for rows in batcher.finish()["video"]] == [3]


class Ahead(MeanColour):
    """Begins batches and computes them when it is asked, as a device of its own would."""

    def __init__(self, batch_size: int, *, overlaps: bool) -> None:
        super().__init__(batch_size)
        self.overlaps = overlaps
        self.waiting: list[int] = []

    def begin_frames(self, frames: NDArray[np.uint8]) -> Callable[[], NDArray[np.float32]]:
        copy = frames.copy()
        self.waiting.append(len(frames))
        assert len(self.waiting) <= MOST_AHEAD

        def wait() -> NDArray[np.float32]:
            self.waiting.pop(0)
            return super(Ahead, self).encode_frames(copy)

        return wait


@pytest.mark.parametrize("overlaps", [True, False])
def test_a_device_gets_a_batch_while_it_is_at_another(overlaps: bool) -> None:
    rng = np.random.default_rng(0)
    clips = [rng.integers(0, 256, (count, SIDE, SIDE, 3), dtype=np.uint8) for count in (2, 9, 1, 4)]
    encoder = Ahead(3, overlaps=overlaps)
    batcher, most = FrameBatcher({"video": encoder}), 0
    for frames in clips:
        batcher.add(frames)
        most = max(most, len(encoder.waiting))
    for frames, found in zip(clips, batcher.finish()["video"], strict=True):
        np.testing.assert_array_equal(found, frames.mean(axis=(1, 2)).astype(np.float32).reshape(-1, 3))
    assert encoder.batches == [3] * 5 + [1] and not encoder.waiting
    assert most == (MOST_AHEAD if overlaps else 0)
