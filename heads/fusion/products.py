"""Variants that multiply the rows of the streams, one row per utterance each."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar

from dualstream.heads.fusion.network import Network, Settings
from dualstream.heads.fusion.pooled import StreamLayer, concat
from dualstream.heads.fusion.registration import network
from dualstream.heads.variants.options import FitOptions, Parameters
from dualstream.heads.variants.streams import joined

if TYPE_CHECKING:
    import torch
    from dualstream.heads.data.batch import Batch
    from dualstream.heads.training.weights import Dropout, Weights

MOST_PRODUCTS = 10_000  # columns of the outer product in `tensor`: of 5 seeds a batch's take 50 MB


@network(
    "lowrank",
    summary="products of the streams, kept to a low rank (LMF)",
    paper="Liu et al. 2018, Efficient Low-rank Multimodal Fusion, https://arxiv.org/abs/1806.00064",
)
class LowRank(Network):
    """Low-rank multimodal fusion, LMF (Liu et al. 2018, https://arxiv.org/abs/1806.00064).

    The outer product of the streams' rows, each with a 1 appended, under a weight tensor of rank r: the
    sum over r of products of one linear map per stream. The appended 1 is each map's bias.
    """

    joins = True
    scale = "normed"
    parameters: ClassVar[Parameters] = {"rank": 4, "factors": 64}

    def build(self, weights: Weights, settings: Settings) -> int:
        """Make a layer and the factors of each stream."""
        self.rank, width = int(settings.parameters["rank"]), max(1, settings.hidden // 2)
        out = int(settings.parameters["factors"])
        self.entries = {
            stream: StreamLayer(weights, stream, columns, width) for stream, columns in settings.widths.items()
        }
        self.factors = {
            stream: weights.linear(f"factor_{stream}", width, self.rank * out) for stream in settings.streams
        }
        return out

    def represent(self, batch: Batch, dropout: Dropout) -> torch.Tensor:
        """Return the product of all streams' factors, summed over the rank, shape (S, B, factors)."""
        parts = (
            factor(dropout.dropout(self.entries[stream](batch).relu())) for stream, factor in self.factors.items()
        )
        product = math.prod(parts, start=next(parts))  # (S, B, rank * out)
        return product.unflatten(-1, (self.rank, -1)).sum(-2)


@network(
    "tensor",
    summary="the full outer product of the streams (TFN)",
    paper="Zadeh et al. 2017, Tensor Fusion Network, https://arxiv.org/abs/1707.07250",
)
class TensorFusion(Network):
    """Tensor fusion network, TFN (Zadeh et al. 2017, https://arxiv.org/abs/1707.07250).

    Each stream is brought to a few columns with a 1 appended; their outer product holds the streams alone
    and every combination of their columns. It grows as a power of the number of streams, to `MOST_PRODUCTS`.
    """

    joins = True
    scale = "normed"
    parameters: ClassVar[Parameters] = {"columns": 15}

    @classmethod
    def refuse(cls, name: str, streams: tuple[str, ...], options: FitOptions) -> None:
        """Raise ValueError where the outer product of so many streams is too wide."""
        columns = int((cls.parameters | options.parameters)["columns"])
        count = len(streams)
        if (columns + 1) ** count > MOST_PRODUCTS:
            fits = next(k for k in range(columns, -1, -1) if (k + 1) ** count <= MOST_PRODUCTS)
            way = f"--set columns={fits}, or " if fits else ""
            raise ValueError(
                f"{name}: the outer product of {count} streams of {columns} columns and a 1 has "
                f"{(columns + 1) ** count:,} columns; expected {MOST_PRODUCTS:,} or fewer: {way}fewer streams, "
                f"such as {joined('tensor', streams[:2])}"
            )

    def build(self, weights: Weights, settings: Settings) -> int:
        """Make the layers that narrow each stream, and the one that reads their outer product."""
        columns, width = int(settings.parameters["columns"]), max(1, settings.hidden // 2)
        self.entries, self.narrow = {}, {}
        for stream in settings.streams:
            self.entries[stream] = StreamLayer(weights, stream, settings.widths[stream], width)
            self.narrow[stream] = weights.linear(f"narrow_{stream}", width, columns)
        self.after = weights.linear("after", (columns + 1) ** len(settings.streams), settings.hidden)
        return settings.hidden

    def represent(self, batch: Batch, dropout: Dropout) -> torch.Tensor:
        """Return a layer over the outer product of the narrowed streams, shape (S, B, hidden)."""
        first, *others = (self._narrowed(stream, batch, dropout) for stream in self.entries)
        outer = first
        for one in others:
            outer = (outer.unsqueeze(-1) * one.unsqueeze(-2)).flatten(-2)  # (S, B, (columns + 1) ** streams)
        return dropout.dropout(self.after(outer).relu())

    def _narrowed(self, stream: str, batch: Batch, dropout: Dropout) -> torch.Tensor:
        row = self.narrow[stream](dropout.dropout(self.entries[stream](batch).relu())).relu()
        return concat(row, row.new_ones(*row.shape[:-1], 1))
