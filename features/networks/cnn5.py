"""The custom 5-layer CNN: convolution, batch norm, LeakyReLU, max pooling; a frame becomes 100 columns.

frame 96 px ─▶ 48 ─▶ 24 ─▶ 12 ─▶ 6 ─▶ 3 px ─▶ flat ─▶ 100
channels   3    32    64   128  256  256     2,304
"""

from __future__ import annotations

import torch
from dualstream.features.encoder import VIDEO_WIDTH
from torch import Tensor, nn

SIZE_PX = 96
CHANNELS = (32, 64, 128, 256, 256)  # of the five blocks; each halves the side
LEAK = 0.1  # slope of the LeakyReLU below zero
MEAN = (0.5, 0.5, 0.5)
STD = (0.5, 0.5, 0.5)


class Cnn5(nn.Module):
    """Five blocks of convolution, batch norm, LeakyReLU and max pooling, and a linear layer to the embedding.

    Parameters
    ----------
    width
        Columns of the embedding.

    Notes
    -----
    Input: frames as `features.encoders.frozen.preprocess` makes them with SIZE_PX, MEAN and STD, shape
    (B, 3, 96, 96), about -1 to 1. Output: the embedding, shape (B, width), of any sign and without a
    nonlinearity: heads are put on top of it.
    """

    def __init__(self, width: int = VIDEO_WIDTH) -> None:
        super().__init__()
        blocks: list[nn.Module] = []
        before = 3
        for after in CHANNELS:
            blocks += [
                nn.Conv2d(before, after, kernel_size=3, padding=1, bias=False),  # batch norm has the bias
                nn.BatchNorm2d(after),
                nn.LeakyReLU(LEAK),
                nn.MaxPool2d(2),
            ]
            before = after
        self.blocks = nn.Sequential(*blocks)
        side = SIZE_PX // 2 ** len(CHANNELS)
        self.embed = nn.Linear(CHANNELS[-1] * side * side, width)

    def forward(self, x: Tensor) -> Tensor:
        """Turn frames, shape (B, 3, 96, 96), into embeddings, shape (B, width)."""
        x = self.blocks(x)  # (B, 256, 3, 3)
        return self.embed(x.flatten(1))  # (B, width)

    def reset(self, seed: int) -> Cnn5:
        """Draw all weights anew from `seed` (He et al. 2015, https://arxiv.org/abs/1502.01852); return self."""
        generator = torch.Generator().manual_seed(seed)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, a=LEAK, mode="fan_out", generator=generator)
            elif isinstance(module, nn.Linear):
                nn.init.kaiming_normal_(module.weight, nonlinearity="linear", generator=generator)
                nn.init.zeros_(module.bias)
            elif isinstance(module, nn.BatchNorm2d):
                module.reset_parameters()
        return self
