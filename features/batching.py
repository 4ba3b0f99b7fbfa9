"""Frames of many clips through encoders, in full batches.

Which frames share a forward pass follows from the clips' order alone, so that no number of workers changes a bit.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol, runtime_checkable

import numpy as np
from dualstream.features.encoder import VideoEncoder
from numpy.typing import NDArray

from dualstream.cores import one_blas_thread

MOST_AHEAD = 2  # batches that a device has at a time: it computes the one while the other is copied


@runtime_checkable
class OverlappingEncoder(VideoEncoder, Protocol):
    """A video encoder that begins a batch and gives its rows later."""

    overlaps: bool
    """Whether that gains anything: it does where the network has a device of its own."""

    def begin_frames(self, frames: NDArray[np.uint8]) -> Callable[[], NDArray[np.float32]]:
        """Take frames as `encode_frames` does, copy them, and return what waits for their rows."""
        ...


class FrameBatcher:
    """Frames of many clips through encoders, in full batches that cross clips, in the order they come.

    Parameters
    ----------
    encoders
        By stream name; each gets batches of its own `batch_size`.
    on_batch
        Called with the number of frames of each batch that is sent through.
    at_once
        Batches in work at a time, each in a thread, of encoders that allow it (`VideoEncoder.batch_size`).

    An encoder on a device of its own (`OverlappingEncoder`) gets a batch while it is at the one before.
    """

    def __init__(
        self,
        encoders: Mapping[str, VideoEncoder],
        on_batch: Callable[[int], None] | None = None,
        *,
        at_once: int = 1,
    ) -> None:
        self._encoders = dict(encoders)
        self._on_batch = on_batch
        self._at_once = at_once
        self._pool: ThreadPoolExecutor | None = None
        self._running: deque[Future[NDArray[np.float32]]] = deque()
        self._counts: dict[str, list[int]] = {name: [] for name in encoders}
        self._buffers: dict[str, NDArray[np.uint8] | None] = dict.fromkeys(encoders)
        self._filled = dict.fromkeys(encoders, 0)
        self._rows: dict[str, list[_Rows]] = {name: [] for name in encoders}
        self._sent_ahead: deque[_Later] = deque()

    def add(self, frames: NDArray[np.uint8] | Mapping[str, NDArray[np.uint8]]) -> None:
        """Take the frames of the next clip, shape (F, S, S, 3), F from 0 on. They are copied.

        A mapping gives each stream's encoder frames of its own.
        """
        by_stream = frames if isinstance(frames, Mapping) else dict.fromkeys(self._encoders, frames)
        for name, encoder in self._encoders.items():
            frames = by_stream[name]
            self._counts[name].append(len(frames))
            position = 0
            while position < len(frames):
                buffer = self._buffers[name]
                if buffer is None:
                    buffer = np.empty((encoder.batch_size, *frames.shape[1:]), dtype=np.uint8)
                    self._buffers[name] = buffer
                filled = self._filled[name]
                taken = min(len(frames) - position, len(buffer) - filled)
                buffer[filled : filled + taken] = frames[position : position + taken]
                self._filled[name] = filled + taken
                position += taken
                if self._filled[name] == len(buffer):
                    self._flush(name)

    @property
    def overlaps(self) -> bool:
        """Whether an encoder has a device of its own, which need not wait until its rows are fetched."""
        return any(isinstance(one, OverlappingEncoder) and one.overlaps for one in self._encoders.values())

    def send(self) -> None:
        """Send what is left, a last batch of its own size; no frames are added any more before `finish`."""
        for name in self._encoders:
            if self._filled[name]:
                self._flush(name)

    def finish(self) -> dict[str, list[NDArray[np.float32]]]:
        """Encode what is left, and return the rows of each clip, shape (F, raw_width), by stream."""
        self.send()
        answer = {}
        for name, encoder in self._encoders.items():
            ends = np.cumsum(self._counts[name])[:-1].astype(np.int64)
            nothing = np.empty((0, encoder.spec.raw_width), np.float32)
            rows = [one if isinstance(one, np.ndarray) else one.result() for one in self._rows[name]]
            answer[name] = list(np.split(np.concatenate([nothing, *rows]), ends))
            self._rows[name] = []
            self._counts[name] = []
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None
        return answer

    def _flush(self, name: str) -> None:
        buffer, filled = self._buffers[name], self._filled[name]
        assert buffer is not None
        encoder = self._encoders[name]
        if isinstance(encoder, OverlappingEncoder) and encoder.overlaps:
            while len(self._sent_ahead) >= MOST_AHEAD:
                self._sent_ahead.popleft().result()
            later = _Later(encoder, buffer[:filled])
            self._sent_ahead.append(later)
            self._rows[name].append(later)
        elif self._at_once > 1 and getattr(encoder, "side_by_side", False):
            self._buffers[name] = None  # it is the thread's now
            self._rows[name].append(self._sent(encoder, buffer[:filled]))
        else:
            self._rows[name].append(_encoded(encoder, buffer[:filled]))
        self._filled[name] = 0
        if self._on_batch is not None:
            self._on_batch(filled)

    def _sent(self, encoder: VideoEncoder, frames: NDArray[np.uint8]) -> Future[NDArray[np.float32]]:
        """Give a batch to a thread, once one of them is free: what waits is held in memory."""
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self._at_once, thread_name_prefix="dualstream-frames")
        while len(self._running) >= self._at_once:
            self._running.popleft().result()
        self._running.append(self._pool.submit(_encoded, encoder, frames))
        return self._running[-1]


class _Later:
    """A batch on its way through a device."""

    def __init__(self, encoder: OverlappingEncoder, frames: NDArray[np.uint8]) -> None:
        self._encoder, self._count = encoder, len(frames)
        self._wait: Callable[[], NDArray[np.float32]] | None = encoder.begin_frames(frames)
        self._rows: NDArray[np.float32] | None = None

    def result(self) -> NDArray[np.float32]:
        """Wait for the rows."""
        if self._wait is not None:
            self._rows, self._wait = _checked(self._encoder, self._wait(), self._count), None
        assert self._rows is not None
        return self._rows


_Rows = NDArray[np.float32] | Future[NDArray[np.float32]] | _Later


@one_blas_thread()
def _encoded(encoder: VideoEncoder, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
    return _checked(encoder, encoder.encode_frames(frames), len(frames))


def _checked(encoder: VideoEncoder, rows: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    if rows.shape != (count, encoder.spec.raw_width):
        raise RuntimeError(
            f"encoder {encoder.spec.name} gave {rows.shape} for {count} frames; its spec says "
            f"{encoder.spec.raw_width} columns"
        )
    return np.asarray(rows, dtype=np.float32)
