"""A backbone with a linear layer over its features: how train-encoder narrows a large network to 100 columns."""

from __future__ import annotations

from torch import Tensor, nn


class Embedded(nn.Module):
    """`net`, then a linear layer from its `raw_width` columns to `width`."""

    def __init__(self, net: nn.Module, raw_width: int, width: int) -> None:
        super().__init__()
        self.net = net
        self.embed = nn.Linear(raw_width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Turn frames, shape (B, 3, S, S), into embeddings, shape (B, width)."""
        return self.embed(self.net(x))
