"""TensorSet: a FeatureSet as tensors, scaled once, from which batches are gathered by index.

windows  [u0 u0 u0|u1 u1|u2 u2 u2 u2|0]     flat; the last row is zeros, where padding points
batch    u2 u2 u2 u2
         u1 u1 0  0                          padded to the batch's own longest
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from dualstream.heads.data.batch import STREAM_FIELDS, Batch, FeatureSet, StreamArrays, StreamBatch
from dualstream.heads.fusion.network import Network, Scale, Settings
from numpy.typing import NDArray
from torch import Tensor

CLIP = 10.0  # standard deviations: beyond lies a broken column, and one value would outweigh a row
CONSTANT = 1e-6  # a column whose spread is below this share of its size is constant
AT_ONCE = 64  # batches of utterances' rows that are gathered together

Hidden = dict[str, NDArray[np.bool_]]  # by stream: from which utterances of a batch it is taken away, shape (B,)
Gathered = dict[tuple[str, str], Tensor]  # by stream and field of a `StreamBatch`


@dataclass(frozen=True)
class Scaler:
    """How the columns of one stream are centred and scaled; learned from train rows alone."""

    kind: Scale
    mean: NDArray[np.float32]
    """Shape (D,)."""
    spread: NDArray[np.float32]
    """Shape (D,), standard deviation; 1 where the column is constant."""
    layers: int = 1
    """Layers side by side, each of which is normed by itself."""

    @classmethod
    def fit(cls, rows: NDArray[np.float32], present: NDArray[np.bool_], kind: Scale, layers: int = 1) -> Scaler:
        """Learn from the rows that are present."""
        width = rows.shape[1]
        if kind == "raw" or not present.any():
            return cls(kind, np.zeros(width, np.float32), np.ones(width, np.float32), layers)
        used = rows[present].astype(np.float64)
        mean, spread = used.mean(axis=0), used.std(axis=0)
        constant = spread <= CONSTANT * np.maximum(np.abs(mean), CONSTANT)
        return cls(kind, mean.astype(np.float32), np.where(constant, 1.0, spread).astype(np.float32), layers)

    def __call__(self, rows: NDArray[np.float32], present: NDArray[np.bool_]) -> Tensor:
        """Return scaled rows, zeros where a row is absent."""
        scaled = torch.from_numpy(np.ascontiguousarray(rows, dtype=np.float32)).clone()
        if self.kind != "raw":
            scaled = ((scaled - torch.from_numpy(self.mean)) / torch.from_numpy(self.spread)).clamp_(-CLIP, CLIP)
        if self.kind == "normed":
            by_layer = scaled.unflatten(1, (self.layers, -1)) if self.layers > 1 else scaled
            scaled = torch.nn.functional.layer_norm(by_layer, by_layer.shape[-1:]).reshape(scaled.shape)
        scaled[torch.from_numpy(~present)] = 0.0
        return scaled


class TensorSet:
    """Tensors of a FeatureSet for one network.

    Parameters
    ----------
    features
        The utterances.
    network
        Whether streams are read whole or by windows, and how they are scaled.
    settings
        Which streams are read, their widths, and how many windows of an utterance are kept.
    scalers
        By stream; None: learned from `features`.
    """

    def __init__(
        self,
        features: FeatureSet,
        network: type[Network],
        settings: Settings,
        scalers: dict[str, Scaler] | None,
    ) -> None:
        self.count = len(features)
        self.reads, self.scale = network.reads, network.scale
        self.whole_dialogues = network.whole_dialogues
        self.widths = settings.widths
        self.layers = settings.layers
        self.dialogue_codes, self.turn = features.dialogue, features.turn
        self.dialogue = torch.from_numpy(features.dialogue)
        max_windows = settings.max_windows
        rows, counts = subsample(features.offsets, max_windows)
        self.lengths = counts if self.reads == "windows" else np.zeros(self.count, np.int64)
        self._starts = torch.from_numpy(np.concatenate(([0], np.cumsum(counts)))[:-1].astype(np.int64))
        self._lengths = torch.from_numpy(self.lengths)
        self.scalers: dict[str, Scaler] = {}
        self.values: dict[str, Tensor] = {}
        self.present: dict[str, Tensor] = {}
        self.window_present: dict[str, Tensor] = {}
        for stream in settings.streams:
            self._add(stream, features.streams.get(stream), rows, None if scalers is None else scalers[stream])
        self.there = np.stack([present.numpy() for present in self.present.values()], axis=1)
        """Which streams each utterance has, shape (N, streams)."""

    def _add(
        self, stream: str, arrays: StreamArrays | None, rows: NDArray[np.int64], scaler: Scaler | None
    ) -> None:
        width = self.widths[stream]
        windowed = self.reads == "windows"
        absent = StreamArrays(np.zeros((self.count, width), np.float32), np.zeros(self.count, np.bool_))
        arrays = arrays or absent
        if arrays.width != width:
            raise ValueError(f"the {stream} stream has {arrays.width} columns; this model was fitted on {width}")
        if windowed:
            if arrays.windows is None or arrays.window_present is None:
                if arrays is not absent:
                    raise ValueError(f"the {stream} stream has no windows, which this variant reads")
                values, there = np.zeros((len(rows), width), np.float32), np.zeros(len(rows), np.bool_)
            else:
                values, there = arrays.windows[rows], arrays.window_present[rows]
                there = there & np.repeat(arrays.present, self.lengths)
            self.window_present[stream] = torch.from_numpy(np.append(there, False))
        else:
            values, there = arrays.utterance, arrays.present
        scaler = scaler or Scaler.fit(values, there, self.scale, len(self.layers.get(stream, ())) or 1)
        self.scalers[stream] = scaler
        scaled = scaler(values, there)
        self.values[stream] = torch.cat([scaled, torch.zeros(1, width)]) if windowed else scaled
        self.present[stream] = torch.from_numpy(arrays.present.copy())

    def epoch(
        self, batches: Sequence[NDArray[np.int64]], hide: Callable[[NDArray[np.int64]], Hidden | None]
    ) -> Iterator[Batch]:
        """Give one batch after the other; ``hide`` is asked of each in turn.

        Where utterances' rows are read, many batches are gathered at once and cut: for a small head, an index
        into each array at each step is a twentieth of its time.
        """
        if self.reads == "windows":
            for index in batches:
                yield self.batch(index, hide(index))
            return
        for start in range(0, len(batches), AT_ONCE):
            some = batches[start : start + AT_ONCE]
            sizes = [len(index) for index in some]
            at = np.concatenate(some)
            dialogues = self._at(self.dialogue, at).split(sizes)
            cut = {key: rows.split(sizes) for key, rows in self._gathered(at, None).items()}
            for position, index in enumerate(some):
                parts = {key: each[position] for key, each in cut.items()}
                yield self._batch(_taken_away(parts, hide(index)), dialogues[position])

    def batch(self, index: NDArray[np.int64], hidden: Hidden | None = None) -> Batch:
        """Gather utterances; ``hidden`` takes streams away from some of them."""
        gathered = self._gathered(index, hidden)
        if self.reads != "windows":
            gathered = _taken_away(gathered, hidden)
        return self._batch(gathered, self._at(self.dialogue, index))

    def told(self, index: NDArray[np.int64], streams: Collection[str]) -> Batch:
        """Gather utterances as if these were the only streams that they have."""
        every = np.ones(len(index), dtype=bool)
        return self.batch(index, {name: ~every if name in streams else every for name in self.widths})

    def _batch(self, rows: Gathered, dialogue: Tensor) -> Batch:
        return Batch({s: StreamBatch(*(rows[s, field] for field in STREAM_FIELDS)) for s in self.widths}, dialogue)

    @staticmethod
    def _at(rows: Tensor, index: NDArray[np.int64]) -> Tensor:
        return rows.index_select(0, torch.from_numpy(np.ascontiguousarray(index, dtype=np.int64)))

    def _gathered(self, index: NDArray[np.int64], hidden: Hidden | None) -> Gathered:
        """Return the fields of the streams; windows alone are taken away here already."""
        at = torch.from_numpy(np.ascontiguousarray(index, dtype=np.int64))
        gathered: Gathered = {}
        if self.reads == "windows":
            lengths = self._lengths[at]
            steps = torch.arange(int(lengths.max()))
            inside = steps < lengths[:, None]  # (B, T)
            rows = torch.where(inside, self._starts[at][:, None] + steps, -1)
        for stream, width in self.widths.items():
            present = self.present[stream].index_select(0, at)
            if self.reads == "windows":
                if hidden is not None:
                    present = present & ~torch.from_numpy(hidden[stream])
                mask = self.window_present[stream][rows] & present[:, None]
                flat = torch.where(mask, rows, len(self.values[stream]) - 1).view(-1)
                windows = self.values[stream].index_select(0, flat).view(*rows.shape, width)
                whole = torch.zeros(len(at), width)
            else:
                mask = torch.zeros(len(at), 0, dtype=torch.bool)
                windows = torch.zeros(len(at), 0, width)
                whole = self.values[stream].index_select(0, at)
            for field, value in zip(STREAM_FIELDS, (windows, mask, whole, present), strict=True):
                gathered[stream, field] = value
        return gathered


def _taken_away(rows: Gathered, hidden: Hidden | None) -> Gathered:
    """Take streams away from some utterances' rows: zeros, in place."""
    for stream, drawn in (hidden or {}).items():
        gone = torch.from_numpy(drawn)
        rows[stream, "present"] = rows[stream, "present"] & ~gone
        rows[stream, "utterance"][gone] = 0.0
    return rows


def subsample(offsets: NDArray[np.int64], limit: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the flat rows that remain, and how many of each utterance, when none may have more than `limit`."""
    counts = np.diff(offsets)
    kept = np.minimum(counts, limit)
    step = np.arange(kept.sum()) - np.repeat(np.cumsum(kept) - kept, kept)  # 0 .. kept-1 in each utterance
    spacing = counts / np.maximum(kept, 1)
    inside = np.floor((step + 0.5) * np.repeat(spacing, kept)).astype(np.int64)  # the middle of each share
    return np.repeat(offsets[:-1], kept) + inside, kept
