"""LR-ASD: does the face that these crops show say what is heard? 0.8 million parameters.

Liao et al. 2025, LR-ASD: lightweight and robust network for active speaker detection, International Journal of
Computer Vision. Written from the paper and from the names and shapes of its published tensors (MIT licence):

    crops (T, 112, 112) ─► 3 blocks: 5x5, 3x3 in space, then 5, 3 in time, pooled ─► (T, 128) ┐
    MFCC  (4T, 13)      ─► 3 blocks: 5, 3 in frequency, then 5, 3 in time, pooled ─► (T, 128) ┴► (T, 256)
    ─► channel attention ─► GRU of 64 forwards and of 64 backwards ─► channel attention ─► silent, talking (T, 2)

What names and shapes leave open (strides, pooling, the attention's sigmoid) follows from the statistics that the
published normalisations hold: on real faces each layer's mean and spread come out as they were in training.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

GREY_MEAN, GREY_STD = 0.4161, 0.1688  # of the crops that it was trained on, on the scale 0 to 1
Sizes = tuple[tuple[int, ...], ...]
SEEN: Sizes = ((1, 5, 5), (1, 3, 3), (5, 1, 1), (3, 1, 1))  # time, height, width
HEARD: Sizes = ((5, 1), (3, 1), (1, 5), (1, 3))  # frequency, time
BATCH_NORM = {"momentum": 0.01, "eps": 0.001}


class _Steps(nn.Module):
    """Four convolutions under the names of the published tensors, each normalised and rectified."""

    def __init__(
        self, prefix: str, sizes: Sizes, channels: tuple[int, ...], first_stride: tuple[int, ...]
    ) -> None:
        super().__init__()
        convolution, norm = (nn.Conv3d, nn.BatchNorm3d) if sizes is SEEN else (nn.Conv2d, nn.BatchNorm2d)
        self._names = [f"{prefix}_1", f"{prefix}_2", "t_1", "t_2"]
        for at, (name, size) in enumerate(zip(self._names, sizes, strict=True)):
            stride = first_stride if at == 0 else (1,) * len(size)
            padding = tuple(side // 2 for side in size)
            step = convolution(channels[at], channels[at + 1], size, stride, padding, bias=False)  # type: ignore[arg-type]
            self.add_module(name, step)
            self.add_module(_norm_of(name), norm(channels[at + 1], **BATCH_NORM))  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        """Apply them in turn."""
        for name in self._names:
            x = torch.relu(self.get_submodule(_norm_of(name))(self.get_submodule(name)(x)))
        return x


def _norm_of(name: str) -> str:
    return name.replace("_", "_norm_")


class _VisualEncoder(nn.Module):
    """Crops to (B, T, 128): the strongest response anywhere in the face."""

    def __init__(self) -> None:
        super().__init__()
        self.block1 = _Steps("s", SEEN, (1, 16, 32, 32, 32), (1, 2, 2))
        self.block2 = _Steps("s", SEEN, (32, 32, 64, 64, 64), (1, 1, 1))
        self.block3 = _Steps("s", SEEN, (64, 64, 128, 128, 128), (1, 1, 1))
        self.pool = nn.MaxPool3d((1, 3, 3), stride=(1, 2, 2), padding=(0, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Take (B, 1, T, 112, 112)."""
        x = self.pool(self.block1(x))  # (B, 32, T, 28, 28)
        x = self.pool(self.block2(x))  # (B, 64, T, 14, 14)
        return self.block3(x).amax(dim=(3, 4)).transpose(1, 2)


class _AudioEncoder(nn.Module):
    """Coefficients to (B, T, 128): the mean over the coefficients."""

    def __init__(self) -> None:
        super().__init__()
        self.block1 = _Steps("m", HEARD, (1, 16, 32, 32, 32), (1, 1))
        self.block2 = _Steps("m", HEARD, (32, 32, 64, 64, 64), (1, 1))
        self.block3 = _Steps("m", HEARD, (64, 64, 128, 128, 128), (1, 1))
        self.pool = nn.MaxPool2d((1, 3), stride=(1, 2), padding=(0, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Take (B, 1, 13, 4T)."""
        x = self.pool(self.block1(x))  # (B, 32, 13, 2T)
        x = self.pool(self.block2(x))  # (B, 64, 13, T)
        return self.block3(x).mean(dim=2).transpose(1, 2)


class _ChannelAttention(nn.Module):
    """Weighs each channel at each instant by what all channels say."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.attention = nn.Conv1d(channels, channels, 1, bias=False)
        self.bn = nn.BatchNorm1d(channels, **BATCH_NORM)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        """Take and return (B, T, channels)."""
        by_channel = x.transpose(1, 2)
        weights = torch.sigmoid(self.bn(self.attention(by_channel)))
        return (by_channel * weights).transpose(1, 2)


class _Detector(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.gru_forward = nn.GRU(256, 64, batch_first=True)
        self.gru_backward = nn.GRU(256, 64, batch_first=True)
        self.attention = _ChannelAttention(128)

    def forward(self, x: Tensor) -> Tensor:
        """Take (B, T, 256), return (B, T, 128)."""
        ahead, _ = self.gru_forward(x)
        back, _ = self.gru_backward(x.flip(1))
        attended: Tensor = self.attention(torch.cat([ahead, back.flip(1)], dim=2))
        return attended


class _Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.visualEncoder = _VisualEncoder()
        self.audioEncoder = _AudioEncoder()
        self.fusion = _ChannelAttention(256)
        self.detector = _Detector()


class _Loss(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.FC = nn.Linear(128, 2)


class LrAsd(nn.Module):
    """Crops and coefficients to a score at each tick. Modules have the names of the published tensors."""

    def __init__(self) -> None:
        super().__init__()
        self.model = _Model()
        self.lossAV = _Loss()
        self.lossV = _Loss()  # of the crops alone: a help in training

    def see(self, crops: Tensor) -> Tensor:
        """Return what is seen in crops, 0 to 255, shape (T, 112, 112), as (1, T, 128)."""
        x = ((crops.float() / 255 - GREY_MEAN) / GREY_STD)[None, None]  # (1, 1, T, 112, 112)
        seen: Tensor = self.model.visualEncoder(x)
        return seen

    def hear(self, coefficients: Tensor) -> Tensor:
        """Return what is heard in coefficients, shape (4T, 13), as (1, T, 128)."""
        heard: Tensor = self.model.audioEncoder(coefficients.T[None, None])
        return heard

    def compare(self, heard: Tensor, seen: Tensor) -> Tensor:
        """Return the logit of talking less that of not, shape (B, T)."""
        logits: Tensor = self.lossAV.FC(self.model.detector(self.model.fusion(torch.cat([heard, seen], dim=2))))
        return logits[:, :, 1] - logits[:, :, 0]
