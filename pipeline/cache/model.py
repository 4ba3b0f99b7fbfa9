"""What a cache holds, in memory: utterances, the windows' grid, streams, vocabulary, provenance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

FORMAT_VERSION = 1
UNLABELLED = -1


@dataclass(frozen=True, repr=False)
class Projection:
    """The affine road from an encoder's raw rows to the stream's rows: ``(raw - mean) @ components.T``."""

    kind: str
    """``pca`` or ``gaussian``."""
    mean: NDArray[np.float32]
    """Shape (raw_width,)."""
    components: NDArray[np.float32]
    """Shape (width, raw_width)."""
    fitted_on: dict[str, Any]
    """Split, number of rows and sha256 over their ids and digests; for ``gaussian`` the seed."""


@dataclass(frozen=True, repr=False)
class Stream:
    """One stream of N utterances and W windows."""

    name: str
    utterance: NDArray[np.float32]
    """Shape (N, D)."""
    present: NDArray[np.bool_]
    """Shape (N,); the row of an absent stream is zeros and means nothing."""
    windows: NDArray[np.float32] | None
    """Shape (W, D), or None for a stream without windows."""
    window_present: NDArray[np.bool_] | None
    """Shape (W,), or None with `windows`."""
    time_s: NDArray[np.float64] | None
    """Shape (W,): the instant each row stands for on its clip's clock, NaN where absent; None with `windows`."""
    spec: dict[str, Any]
    """features.encoder.EncoderSpec.to_json() of the encoder that made it."""
    projection: Projection | None = None

    def __repr__(self) -> str:
        windows = "none" if self.windows is None else str(self.windows.shape)
        return f"Stream({self.name!r}, utterance={self.utterance.shape}, windows={windows})"


@dataclass(frozen=True, repr=False)
class Utterances:
    """The N utterances in manifest order."""

    id: list[str]
    split: list[str]
    dialogue: list[str]
    """Empty string where the manifest has none."""
    turn: NDArray[np.int32]
    """-1 where the manifest has none."""
    speaker: list[str]
    """Empty string where unknown."""
    emotion: NDArray[np.int16]
    """Index into the vocabulary, -1 where unlabelled."""
    sentiment: NDArray[np.int16]
    """Index into the vocabulary, -1 where unlabelled."""
    duration_s: NDArray[np.float64]
    """Seconds; NaN where the clip could not be read."""
    sha256: list[str]
    """Hex digest of the clip's bytes; empty where there was no file."""
    status: list[str]
    """``ok`` or ``failed``."""
    reason: list[str]
    """Why it failed, or what was odd; empty where nothing was."""

    def __len__(self) -> int:
        return len(self.id)


@dataclass(frozen=True, repr=False)
class Cache:
    """A whole cache in memory."""

    utterances: Utterances
    offsets: NDArray[np.int64]
    """Shape (N+1,): windows of utterance i are rows ``offsets[i]:offsets[i+1]``."""
    start_s: NDArray[np.float64]
    """Start of each window on its clip's clock, seconds, shape (W,)."""
    streams: dict[str, Stream]
    vocabulary: dict[str, list[str]]
    """``emotion`` and ``sentiment``: class names in code order."""
    provenance: dict[str, Any]
    """How it was made: fingerprint and what it was computed from. No times, hosts or paths."""

    def __repr__(self) -> str:
        streams = ", ".join(repr(stream) for stream in self.streams.values())
        return f"Cache({len(self.utterances)} utterances, {int(self.offsets[-1])} windows, {streams})"
