"""What heads take and give: FeatureSet (NumPy, a corpus), Batch (tensors, padded), Logits.

Both hold streams by name, any number of them.

A FeatureSet holds windows flat, one utterance after the other, with offsets, as the cache does:

    offsets  0        3     5              9
    windows  [u0 u0 u0|u1 u1|u2 u2 u2 u2 ...]
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:  # the linear heads run without torch
    import torch

UNLABELLED = -1  # class code of an utterance without a label
PAIR = ("video", "audio")  # the streams that heads join where nobody names others


@dataclass(frozen=True, repr=False)
class StreamArrays:
    """One stream of a corpus of N utterances and W windows."""

    utterance: NDArray[np.float32]
    """Shape (N, D)."""
    present: NDArray[np.bool_]
    """Shape (N,): False where the stream is missing; the row is then zeros and means nothing."""
    windows: NDArray[np.float32] | None = None
    """Shape (W, D), or None for a stream without windows."""
    window_present: NDArray[np.bool_] | None = None
    """Shape (W,), or None with `windows`."""
    layers: tuple[int, ...] = ()
    """Numbers of a network's layers whose rows stand side by side, D / L columns each; empty: no layers."""

    def __post_init__(self) -> None:
        if self.utterance.ndim != 2 or self.present.shape != self.utterance.shape[:1]:
            raise ValueError(
                f"utterance rows have shape {self.utterance.shape} and the mask {self.present.shape}; "
                "expected (N, D) and (N,)"
            )
        if (self.windows is None) != (self.window_present is None):
            raise ValueError("windows and window_present go together: give both or neither")
        if self.windows is not None and self.window_present is not None:
            expected = (len(self.window_present), self.width)
            if self.windows.shape != expected:
                raise ValueError(f"windows have shape {self.windows.shape}; expected {expected}")
        if self.layers and self.width % len(self.layers):
            raise ValueError(f"{self.width} columns cannot be {len(self.layers)} layers of one width")

    @property
    def width(self) -> int:
        """Columns of the stream, D."""
        return int(self.utterance.shape[1])

    def __repr__(self) -> str:
        windows = "none" if self.windows is None else str(self.windows.shape)
        return f"StreamArrays(utterance={self.utterance.shape}, windows={windows})"


@dataclass(frozen=True, repr=False)
class FeatureSet:
    """A corpus as heads see it: streams, labels, and who said what in which dialogue."""

    streams: dict[str, StreamArrays]
    """By name, in the order in which heads join them (`stream_order`)."""
    offsets: NDArray[np.int64]
    """Shape (N+1,): windows of utterance i are rows ``offsets[i]:offsets[i+1]``."""
    start_s: NDArray[np.float64]
    """Start of each window on its clip's clock, seconds, shape (W,)."""
    emotion: NDArray[np.int64]
    """Class codes, shape (N,), -1 where unlabelled."""
    sentiment: NDArray[np.int64]
    """Class codes, shape (N,), -1 where unlabelled."""
    emotion_names: tuple[str, ...]
    sentiment_names: tuple[str, ...]
    dialogue: NDArray[np.int64]
    """Code of the dialogue, shape (N,); utterances without one have a dialogue of their own."""
    turn: NDArray[np.int64]
    """Order inside the dialogue, shape (N,)."""
    speaker: NDArray[np.int64]
    """Code of the speaker, shape (N,), -1 where unknown."""

    def __post_init__(self) -> None:
        count = len(self.emotion)
        if self.offsets.shape != (count + 1,):
            raise ValueError(f"offsets have shape {self.offsets.shape}; expected ({count + 1},)")
        for name, stream in self.streams.items():
            if len(stream.present) != count:
                raise ValueError(f"stream {name} has {len(stream.present)} utterances; expected {count}")
            if stream.windows is not None and len(stream.windows) != self.offsets[-1]:
                raise ValueError(f"stream {name} has {len(stream.windows)} windows; expected {self.offsets[-1]}")

    def __len__(self) -> int:
        return len(self.emotion)

    def __repr__(self) -> str:
        streams = ", ".join(f"{name}: {stream.width}" for name, stream in self.streams.items())
        return f"FeatureSet({len(self)} utterances, {int(self.offsets[-1])} windows, {{{streams}}})"

    def not_finite(self, name: str) -> NDArray[np.int64]:
        """Return the utterances in whose row or windows of a stream, where present, a value is not finite."""
        rows, windows = _not_finite(self.streams[name])
        return np.union1d(rows, self._owners(windows))

    def require_finite(self, streams: Iterable[str]) -> None:
        """Refuse features with NaN or infinite values.

        Raises
        ------
        ValueError
            Names the stream, the level, how many rows are affected and the first of them. Rows whose
            mask says that they are absent are not looked at.
        """
        for name in streams:
            if name not in self.streams:
                continue
            rows, windows = _not_finite(self.streams[name])
            if len(rows):
                raise ValueError(
                    f"stream {name}: {len(rows)} utterance row(s) hold NaN or infinite values, at {_first(rows)}; "
                    "mark them as missing in the mask, or extract them again"
                )
            if len(windows):
                raise ValueError(
                    f"stream {name}: {len(windows)} window(s) hold NaN or infinite values, in utterance row(s) "
                    f"{_first(self._owners(windows))}; mark them as missing in the mask, or extract them again"
                )

    def _owners(self, windows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the utterances that these flat rows of windows belong to, each once."""
        return np.unique(np.searchsorted(self.offsets, windows, side="right") - 1)

    def take(self, index: NDArray[np.int64]) -> FeatureSet:
        """Return the utterances that `index` names, in that order, with their windows."""
        counts = np.diff(self.offsets)[index]
        offsets = np.concatenate(([0], np.cumsum(counts))).astype(np.int64)
        # row r of the answer is old row: start of its utterance + how far r is into it
        rows = np.arange(offsets[-1]) - np.repeat(offsets[:-1] - self.offsets[index], counts)
        streams = {}
        for name, stream in self.streams.items():
            flat = stream.windows is not None and stream.window_present is not None
            streams[name] = replace(
                stream,
                utterance=stream.utterance[index],
                present=stream.present[index],
                windows=stream.windows[rows] if flat else None,  # type: ignore[index]
                window_present=stream.window_present[rows] if flat else None,  # type: ignore[index]
            )
        return replace(
            self,
            streams=streams,
            offsets=offsets,
            start_s=self.start_s[rows],
            emotion=self.emotion[index],
            sentiment=self.sentiment[index],
            dialogue=self.dialogue[index],
            turn=self.turn[index],
            speaker=self.speaker[index],
        )


@dataclass(frozen=True, repr=False)
class StreamBatch:
    """One stream of B utterances as tensors, windows padded to T."""

    windows: torch.Tensor
    """Shape (B, T, D); T is 0 for variants that read utterance rows."""
    mask: torch.Tensor
    """True where a window means something, shape (B, T)."""
    utterance: torch.Tensor
    """Shape (B, D)."""
    present: torch.Tensor
    """Shape (B,), bool."""

    def take(self, rows: torch.Tensor, length: int) -> StreamBatch:
        """Return these utterances, cut to their first `length` windows."""
        return StreamBatch(
            self.windows.index_select(0, rows)[:, :length],
            self.mask.index_select(0, rows)[:, :length],
            self.utterance.index_select(0, rows),
            self.present.index_select(0, rows),
        )

    def without_columns(self) -> StreamBatch:
        """Return a stream of the same utterances and windows that has no column and is nowhere present."""
        return StreamBatch(self.windows[..., :0], self.mask & False, self.utterance[..., :0], self.present & False)


STREAM_FIELDS = tuple(one.name for one in fields(StreamBatch))


@dataclass(frozen=True, repr=False)
class Batch:
    """B utterances as tensors, by stream.

    ``batch.video``, ``batch.video_mask``, ``batch.video_utterance`` and ``batch.video_present`` are short for the
    fields of ``batch.streams["video"]``, and so for audio; where a batch lacks the stream, they have no columns.
    """

    streams: Mapping[str, StreamBatch]
    """In the order in which the head joins them."""
    dialogue: torch.Tensor
    """Code of the dialogue, shape (B,). Utterances of one dialogue stand side by side, in turn order,
    where a variant asks for context."""

    def __post_init__(self) -> None:
        count, length = next(iter(self.streams.values())).mask.shape
        for name, one in self.streams.items():
            if one.windows.shape[:2] != (count, length) or one.mask.shape != (count, length):
                raise ValueError(
                    f"{name} windows have shape {tuple(one.windows.shape)} and mask {tuple(one.mask.shape)}; "
                    f"expected ({count}, {length}, D) and ({count}, {length})"
                )
            if one.utterance.shape != (count, one.windows.shape[2]) or one.present.shape != (count,):
                raise ValueError(
                    f"{name} utterance rows have shape {tuple(one.utterance.shape)} and presence "
                    f"{tuple(one.present.shape)}; expected ({count}, {one.windows.shape[2]}) and ({count},)"
                )

    def stream(self, name: str) -> StreamBatch:
        """Return a stream; one without columns where the batch lacks it."""
        found = self.streams.get(name)
        return next(iter(self.streams.values())).without_columns() if found is None else found

    def take(self, rows: torch.Tensor, length: int) -> Batch:
        """Return these utterances, cut to their first `length` windows."""
        streams = {name: one.take(rows, length) for name, one in self.streams.items()}
        return Batch(streams, self.dialogue.index_select(0, rows))

    @property
    def video(self) -> torch.Tensor:
        """Windows, shape (B, T, Dv)."""
        return self.stream("video").windows

    @property
    def audio(self) -> torch.Tensor:
        """Windows, shape (B, T, Da)."""
        return self.stream("audio").windows

    @property
    def video_mask(self) -> torch.Tensor:
        """True where a video window means something, shape (B, T)."""
        return self.stream("video").mask

    @property
    def audio_mask(self) -> torch.Tensor:
        """True where an audio window means something, shape (B, T)."""
        return self.stream("audio").mask

    @property
    def video_utterance(self) -> torch.Tensor:
        """Shape (B, Dv)."""
        return self.stream("video").utterance

    @property
    def audio_utterance(self) -> torch.Tensor:
        """Shape (B, Da)."""
        return self.stream("audio").utterance

    @property
    def video_present(self) -> torch.Tensor:
        """Shape (B,), bool."""
        return self.stream("video").present

    @property
    def audio_present(self) -> torch.Tensor:
        """Shape (B,), bool."""
        return self.stream("audio").present

    def __repr__(self) -> str:
        return f"Batch({', '.join(f'{name}={tuple(one.windows.shape)}' for name, one in self.streams.items())})"


@dataclass(frozen=True, repr=False)
class Logits:
    """What every variant gives. Models of several seeds, side by side, have a leading seed axis."""

    emotion: torch.Tensor
    """Shape (..., B, E); no columns where the task has no head."""
    sentiment: torch.Tensor
    """Shape (..., B, S); no columns where the task has no head."""

    def __repr__(self) -> str:
        return f"Logits(emotion={tuple(self.emotion.shape)}, sentiment={tuple(self.sentiment.shape)})"


def stream_order(names: Iterable[str]) -> tuple[str, ...]:
    """Return names of streams in the order in which heads join them: as given, but video before audio alone."""
    given = tuple(names)
    return tuple(name for name in PAIR if name in given) if set(given) <= set(PAIR) else given


def _not_finite(stream: StreamArrays) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the utterance rows and the windows that are present and hold a value that is not finite."""
    rows = np.flatnonzero(stream.present & ~np.isfinite(stream.utterance).all(axis=1))
    if stream.windows is None or stream.window_present is None:
        return rows, rows[:0]
    return rows, np.flatnonzero(stream.window_present & ~np.isfinite(stream.windows).all(axis=1))


def _first(rows: NDArray[np.int64], limit: int = 5) -> str:
    shown = ", ".join(str(row) for row in rows[:limit])
    return f"{shown}, ..." if len(rows) > limit else shown


def join(first: FeatureSet, second: FeatureSet) -> FeatureSet:
    """Return the utterances of both, the dialogues of `second` renumbered behind those of `first`."""
    streams = {}
    for name in (one for one in first.streams if one in second.streams):
        one, two = first.streams[name], second.streams[name]
        windows = seen = None
        if one.windows is not None and two.windows is not None:
            assert one.window_present is not None and two.window_present is not None
            windows = np.concatenate((one.windows, two.windows))
            seen = np.concatenate((one.window_present, two.window_present))
        streams[name] = StreamArrays(
            np.concatenate((one.utterance, two.utterance)),
            np.concatenate((one.present, two.present)),
            windows,
            seen,
            one.layers,
        )
    return replace(
        first,
        streams=streams,
        offsets=np.concatenate((first.offsets, first.offsets[-1] + second.offsets[1:])),
        start_s=np.concatenate((first.start_s, second.start_s)),
        emotion=np.concatenate((first.emotion, second.emotion)),
        sentiment=np.concatenate((first.sentiment, second.sentiment)),
        dialogue=np.concatenate((first.dialogue, second.dialogue + int(first.dialogue.max(initial=0)) + 1)),
        turn=np.concatenate((first.turn, second.turn)),
        speaker=np.concatenate((first.speaker, second.speaker)),
    )
