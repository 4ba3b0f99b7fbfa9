"""The network of face-api that tells people apart: dlib's residual network, 5.6 million weights.

face 150 px ─▶ 72 ─▶ 35 ─▶ 17 ─▶ 8 ─▶ 4 ─▶ 2 ─▶ mean ─▶ 128
channels  3    32    32    64   128  256  256
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, max_pool2d, pad

SIZE_PX = 150
FEATURES = 128
MEAN = (122.782, 117.001, 104.298)  # of red, green and blue, on the scale 0 to 255
# Names of the published tensors, with channels before and after, in order; those that differ halve the side, too.
STEPS = (
    *((f"conv32_{number}", 32, 32) for number in (1, 2, 3)),
    ("conv64_down", 32, 64),
    *((f"conv64_{number}", 64, 64) for number in (1, 2, 3)),
    ("conv128_down", 64, 128),
    *((f"conv128_{number}", 128, 128) for number in (1, 2)),
    ("conv256_down", 128, 256),
    *((f"conv256_{number}", 256, 256) for number in (1, 2)),
    ("conv256_down_out", 256, 256),
)


class Scaled(nn.Module):
    """A convolution whose channels are scaled and moved, as a normalisation was before it was frozen."""

    def __init__(self, before: int, after: int, size: int, *, stride: int = 1, padding: int = 0) -> None:
        super().__init__()
        self.conv = nn.Conv2d(before, after, size, stride, padding)
        self.weights = nn.Parameter(torch.ones(after))
        self.biases = nn.Parameter(torch.zeros(after))

    def forward(self, x: Tensor) -> Tensor:
        """Turn (B, before, H, W) into (B, after, H', W')."""
        return self.conv(x) * self.weights[:, None, None] + self.biases[:, None, None]


class Residual(nn.Module):
    """Two convolutions beside what came in; where the side is halved, what came in is pooled."""

    def __init__(self, before: int, after: int, *, halves: bool) -> None:
        super().__init__()
        self.halves, self.more = halves, after - before
        self.conv1 = Scaled(before, after, 3, stride=2 if halves else 1, padding=0 if halves else 1)
        self.conv2 = Scaled(after, after, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Turn (B, before, S, S) into (B, after, S, S), or half the side."""
        out = self.conv2(self.conv1(x).relu())
        if self.halves:
            x = avg_pool2d(x, 2, 2)
            out = pad(out, (0, x.shape[3] - out.shape[3], 0, x.shape[2] - out.shape[2]))
            x = pad(x, (0, 0, 0, 0, 0, self.more))  # the channels that are new
        return (x + out).relu()


class RecognitionNet(nn.Module):
    """Aligned faces, RGB, 0 to 255, shape (B, 3, 150, 150), to descriptors, shape (B, 128)."""

    def __init__(self) -> None:
        super().__init__()
        self.first = Scaled(3, 32, 7, stride=2)
        self.steps = nn.ModuleList(
            Residual(before, after, halves=name.partition("_")[2].startswith("down"))
            for name, before, after in STEPS
        )
        self.fc = nn.Linear(STEPS[-1][2], FEATURES, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return the descriptors, not normalised."""
        x = (x - x.new_tensor(MEAN)[:, None, None]) / 255
        x = max_pool2d(self.first(x).relu(), 3, 2)
        for step in self.steps:
            x = step(x)
        descriptors: Tensor = self.fc(x.mean((2, 3)))
        return descriptors


def own_name(name: str) -> str:
    """Return a tensor's name here; that of ``conv64_down/conv1/scale/weights`` is ``steps.3.conv1.weights``."""
    if name == "fc":
        return "fc.weight"
    block, _, rest = name.partition("/")
    place = "first" if block == "conv32_down" else f"steps.{[step[0] for step in STEPS].index(block)}"
    ends = {
        "conv/filters": "conv.weight",
        "conv/bias": "conv.bias",
        "scale/weights": "weights",
        "scale/biases": "biases",
    }
    inner, _, end = rest.partition("/") if rest.count("/") == 2 else ("", "", rest)
    return ".".join(part for part in (place, inner, ends[end]) if part)
