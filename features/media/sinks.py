"""Where the bytes of a decoder go: frames, sound and time stamps, each kept within what was asked for."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import numpy as np
from dualstream.features.media.channels import CHANNELS
from dualstream.features.media.settings import MediaError
from numpy.typing import NDArray

SOUND_FRAME_BYTES = 8  # the centre and the mix, as they are kept
LOUDEST = 8.0  # samples beyond this many times full scale are no sound
_STAMP = re.compile(rb"frame:(\d+) +pts:(-?\d+|NOPTS)")


@dataclass
class FrameSink:
    """A sink for raw frames: keeps the wanted rows, and refuses more than there can be."""

    frame_bytes: int
    ticks: int
    """How many instants are wanted; what comes behind them is dropped."""
    most: int
    wanted: frozenset[int] | None
    count: int = 0
    kept: list[int] = field(default_factory=list)
    data: bytearray = field(default_factory=bytearray)
    _part: bytearray = field(default_factory=bytearray)

    def feed(self, data: bytes) -> None:
        """Take the next bytes."""
        self._part += data
        while len(self._part) >= self.frame_bytes:
            if self.count >= self.most:
                raise MediaError("too_large", f"ffmpeg gave more than the {self.most} frames that were asked for")
            if self.count < self.ticks and (self.wanted is None or self.count in self.wanted):
                self.keep(self.count, memoryview(self._part)[: self.frame_bytes])
            del self._part[: self.frame_bytes]
            self.count += 1

    def keep(self, row: int, data: memoryview) -> None:
        """Keep a frame as a row; rows rise."""
        self.kept.append(row)
        self.data += data


@dataclass
class AudioSamples:
    """A sink for raw sound of three channels: keeps the centre and the mix, capped, and how loud all three are."""

    most_bytes: int
    data: bytearray = field(default_factory=bytearray)
    energy: NDArray[np.float64] = field(default_factory=lambda: np.zeros(CHANNELS))
    """Sums of the squares of centre, mix and difference, shape (3,)."""
    product: float = 0.0
    """Sum of the products of mix and difference."""
    peak: NDArray[np.float64] = field(default_factory=lambda: np.zeros(CHANNELS))
    """Largest absolute sample of each, shape (3,)."""
    _part: bytes = b""

    def feed(self, data: bytes) -> None:
        """Take the next bytes."""
        self._part += data
        whole = len(self._part) // (4 * CHANNELS)
        samples = np.frombuffer(self._part, dtype="<f4", count=whole * CHANNELS).reshape(-1, CHANNELS)
        self._part = self._part[whole * 4 * CHANNELS :]
        if len(self.data) + whole * SOUND_FRAME_BYTES > self.most_bytes:
            raise MediaError("too_large", f"the sound is longer than the {self.most_bytes} bytes asked for")
        self.data += samples[:, :2].tobytes()
        if whole:
            self._weigh(np.ascontiguousarray(samples.T))

    def _weigh(self, channels: NDArray[np.float32]) -> None:
        peak = np.abs(channels).max(axis=1)
        if not (peak <= LOUDEST).all():  # or no number
            channels = np.clip(np.nan_to_num(channels), -LOUDEST, LOUDEST)
            peak = np.abs(channels).max(axis=1)
        self.peak = np.maximum(self.peak, peak)
        self.energy += np.square(channels).sum(axis=1)
        self.product += float((channels[1] * channels[2]).sum())

    def array(self) -> NDArray[np.float32]:
        """Return the samples, shape (S, 2): the centre channel (or silence), and the mix."""
        frames = len(self.data) // SOUND_FRAME_BYTES
        return np.frombuffer(self.data, dtype="<f4", count=2 * frames).reshape(-1, 2)


@dataclass
class Stamps:
    """A sink for the times that ``metadata=mode=print`` writes: one line a picture or piece of sound."""

    limit_bytes: int
    lead_us: int = 0
    """How much earlier than the clip's clock these times begin to count."""
    times_us: list[int] = field(default_factory=list)
    """Presentation times, microseconds on the clip's clock, in order of decoding."""
    first_us: int | None = None
    """The first of all, which may lie before 0: it is not in the list then."""
    lost: int = 0
    """How many have no time stamp."""
    restarted: bool = False
    """The filters began anew, because the stream changed its format: only times before that are listed."""
    _rest: bytes = b""
    _bytes: int = 0

    def feed(self, data: bytes) -> None:
        """Take the next bytes."""
        self._bytes += len(data)
        if self._bytes > self.limit_bytes:
            raise MediaError("too_large", f"the list of time stamps passed {self.limit_bytes} bytes")
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            found = _STAMP.match(line)
            if found is None or self.restarted:
                continue
            if self.first_us is not None and int(found[1]) == 0:
                self.restarted = True
            elif found[2] == b"NOPTS":
                self.lost += 1
            else:
                self.take(int(found[2]) - self.lead_us)

    def take(self, time_us: int) -> None:
        """Take the next time, microseconds."""
        if self.first_us is None:
            self.first_us = time_us
        if time_us >= 0:
            self.times_us.append(time_us)
