"""Mixed layers as a torch module: `heads.data.layers.LayerMix.rows` before another module, for other runtimes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from dualstream.heads.data.layers import LayerMix
from dualstream.heads.linear.design import CLIP
from dualstream.heads.variants.contract import SeedModule, Task
from torch import Tensor


class LayeredModule:
    """A seed's module whose streams come as layers side by side."""

    def __init__(self, below: SeedModule, mixes: Mapping[str, LayerMix]) -> None:
        self.below, self.mixes = below, {name: mix for name, mix in mixes.items() if name in below.widths}
        self.widths = {
            name: width * (len(self.mixes[name].layers) if name in self.mixes else 1)
            for name, width in below.widths.items()
        }
        self.windowed, self.over_dialogues = below.windowed, below.over_dialogues
        self.max_windows, self.tasks = below.max_windows, below.tasks

    def __call__(self, inputs: Mapping[str, Tensor]) -> dict[Task, Tensor]:
        """Return log-probabilities (B, C) of each task."""
        return self.below(dict(inputs) | {name: mixed(inputs[name], mix) for name, mix in self.mixes.items()})


def mixed(rows: Tensor, mix: LayerMix) -> Tensor:
    """Return rows (..., D) of rows (..., L * D)."""
    if mix.mean is not None and mix.spread is not None:
        inverse = np.divide(1, mix.spread, out=np.zeros_like(mix.spread), where=mix.spread > 0)
        rows = ((rows - torch.from_numpy(mix.mean)) * torch.from_numpy(inverse)).clamp(-CLIP, CLIP)
    weights = torch.from_numpy(mix.weights.astype(np.float32)).unsqueeze(-1)  # (L, 1)
    return (rows.unflatten(-1, (len(mix.layers), -1)) * weights).sum(-2)
