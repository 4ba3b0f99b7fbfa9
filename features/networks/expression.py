"""The network of facial expressions of face-api: four dense blocks of separable convolutions, 324,000 weights.

frame 112 px ─▶ 56 ─▶ 28 ─▶ 14 ─▶ 7 px ─▶ mean ─▶ 256 ─▶ (seven expressions)
channels   3    32    64   128   256
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

SIZE_PX = 112
CHANNELS = (32, 64, 128, 256)  # of the four blocks
CONVOLUTIONS = 4  # of a block; the first one halves the side
FEATURES = CHANNELS[-1]
MEAN = (122.782 / 255, 117.001 / 255, 104.298 / 255)  # of red, green and blue, on the scale 0 to 1
STD = (1.0, 1.0, 1.0)


class Separable(nn.Module):
    """A 3x3 convolution of each channel, and a 1x1 convolution over the channels."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(before, before, 3, stride, groups=before, bias=False)
        self.pointwise = nn.Conv2d(before, after, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Turn a padded picture into (B, after, H, W)."""
        return self.pointwise(self.depthwise(x))


class Block(nn.Module):
    """Convolutions, each of which reads the sum of the outputs before it."""

    def __init__(self, before: int, after: int, *, first: bool) -> None:
        super().__init__()
        opening = nn.Conv2d(before, after, 3, 2) if first else Separable(before, after, 2)
        rest = (Separable(after, after, 1) for _ in range(CONVOLUTIONS - 1))
        self.convolutions = nn.ModuleList([opening, *rest])

    def forward(self, x: Tensor) -> Tensor:
        """Turn (B, before, S, S) into (B, after, S / 2, S / 2); no number is below 0."""
        opening, *rest = self.convolutions
        # As TensorFlow pads: an even side of stride 2 at its end alone, stride 1 on both sides.
        x = total = opening(pad(x, (0, 1, 0, 1))).relu()
        for convolution in rest:
            total = total + convolution(pad(x, (1, 1, 1, 1)))
            x = total.relu()
        return x


class ExpressionNet(nn.Module):
    """Faces to the features before the seven expressions.

    Notes
    -----
    Input: as `features.encoders.frozen.preprocess` makes it with SIZE_PX, MEAN and STD, shape (B, 3, 112, 112).
    Output: shape (B, 256), 0 or more.
    """

    def __init__(self) -> None:
        super().__init__()
        widths = (3, *CHANNELS)
        self.blocks = nn.Sequential(*(Block(widths[i], widths[i + 1], first=i == 0) for i in range(len(CHANNELS))))

    def forward(self, x: Tensor) -> Tensor:
        """Turn frames, shape (B, 3, 112, 112), into features, shape (B, 256)."""
        return self.blocks(x).mean((2, 3))

    def reset(self, seed: int) -> ExpressionNet:
        """Draw all weights from `seed` (He et al. 2015, https://arxiv.org/abs/1502.01852); return self."""
        generator = torch.Generator().manual_seed(seed)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu", generator=generator)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        return self
