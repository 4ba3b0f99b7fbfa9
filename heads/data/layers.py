"""One row of D columns from a stream that holds L layers of a network side by side.

    stream   [ layer 0: D columns | layer 1: D columns | ... ]      (N, L * D)
    mix      w0 * scaled layer 0  +  w1 * scaled layer 1  + ...     (N, D)

Rows are means over time, and a mean over time and a weighted sum over layers commute: the weights of SUPERB
(Yang et al. 2021, https://arxiv.org/abs/2105.01051) can be fitted on the rows of a cache.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from dualstream.heads.data.batch import FeatureSet, StreamArrays
from dualstream.heads.linear.design import CLIP, CONSTANT
from numpy.typing import NDArray

Rows = NDArray[np.float32]


@dataclass(frozen=True, repr=False)
class LayerMix:
    """How the layers of one stream become one row."""

    layers: tuple[int, ...]
    """Their numbers, L of them."""
    weights: NDArray[np.float64]
    """Shape (L,), 0 or more, sum 1."""
    mean: Rows | None = None
    """Of the columns before they are mixed, shape (L * D,); None: columns are mixed as they are."""
    spread: Rows | None = None
    """Standard deviation, shape (L * D,); 0 marks a constant column, which is read as zeros. None with `mean`."""

    @classmethod
    def single(cls, layers: tuple[int, ...], number: int) -> LayerMix:
        """Return the mix that takes one layer as it is."""
        return cls(layers, (np.array(layers) == number).astype(np.float64))

    @classmethod
    def average(cls, layers: tuple[int, ...]) -> LayerMix:
        """Return the plain mean, as ``hf:FOLDER@FIRST-LAST`` has it."""
        return cls(layers, np.full(len(layers), 1 / len(layers)))

    @classmethod
    def standardised(cls, stream: StreamArrays, weights: NDArray[np.float64]) -> LayerMix:
        """Return a mix of layers whose columns are standardised by the utterances that have the stream."""
        used = stream.utterance[stream.present].astype(np.float64)
        mean = used.mean(0) if len(used) else np.zeros(stream.width)
        spread = used.std(0) if len(used) else np.zeros(stream.width)
        spread[spread <= CONSTANT * np.maximum(np.abs(mean), CONSTANT)] = 0
        return cls(stream.layers, weights, mean.astype(np.float32), spread.astype(np.float32))

    def layer(self, rows: Rows, at: int) -> Rows:
        """Return the columns of one layer as they are mixed, (N, D) of rows (N, L * D)."""
        width = rows.shape[1] // len(self.layers)
        part = slice(at * width, (at + 1) * width)
        if self.mean is None or self.spread is None:
            return rows[:, part]
        spread = self.spread[part]
        inverse = np.divide(1, spread, out=np.zeros_like(spread), where=spread > 0)
        return np.clip((rows[:, part] - self.mean[part]) * inverse, -CLIP, CLIP)

    def rows(self, rows: Rows) -> Rows:
        """Return rows (N, D) of rows (N, L * D).

        Raises
        ------
        ValueError
            Where they are not as wide as those that the mix was made for.
        """
        expected = None if self.mean is None else len(self.mean)
        if rows.shape[1] % len(self.layers) or expected not in (None, rows.shape[1]):
            raise ValueError(
                f"a stream of {len(self.layers)} layers has {rows.shape[1]} columns; "
                f"the head was fitted on {expected or 'layers of one width'}"
            )
        used = np.flatnonzero(self.weights)
        if len(used) == 1:  # as it is, to the last bit
            return np.ascontiguousarray(self.layer(rows, int(used[0])))
        mixed = np.zeros((len(rows), rows.shape[1] // len(self.layers)), np.float32)
        for at in used:
            mixed += np.float32(self.weights[at]) * self.layer(rows, int(at))
        return mixed

    def stream(self, stream: StreamArrays, *, windows: bool = True) -> StreamArrays:
        """Return a stream of D columns and no layers, without its windows where nobody reads them."""
        rows = self.rows(stream.utterance)
        rows[~stream.present] = 0
        if stream.windows is None or stream.window_present is None or not windows:
            return replace(stream, utterance=rows, windows=None, window_present=None, layers=())
        flat = self.rows(stream.windows)
        flat[~stream.window_present] = 0
        return replace(stream, utterance=rows, windows=flat, layers=())

    def __repr__(self) -> str:
        shown = ", ".join(f"{number}: {one:.2f}" for number, one in zip(self.layers, self.weights, strict=True))
        return f"LayerMix({shown})"


def mixed_streams(features: FeatureSet, mixes: dict[str, LayerMix], *, windows: bool = True) -> FeatureSet:
    """Return `features` with the layers of these streams mixed, where they are there."""
    streams = {
        name: mixes[name].stream(one, windows=windows) if name in mixes else one
        for name, one in features.streams.items()
    }
    return replace(features, streams=streams)


def layered(features: FeatureSet) -> dict[str, tuple[int, ...]]:
    """Return the numbers of the layers of each stream that has several."""
    return {name: one.layers for name, one in features.streams.items() if one.layers}
