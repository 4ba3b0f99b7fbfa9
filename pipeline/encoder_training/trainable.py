"""The encoders that can be trained: what each is made of, what its samples are, and which blocks thaw when.

`trainee(name, weights, augment)` builds one; a new one is a builder in `_BUILDERS`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from dualstream.features.encoders import bilstm, cnn
from dualstream.features.encoders.frozen import preprocess
from dualstream.features.encoders.vision import start_vgg16
from dualstream.features.media import Clip
from dualstream.features.weights import WeightsRecord
from dualstream.pipeline.encoder_training.augment import (
    FaceAugmentation,
    SoundAugmentation,
    augment_faces,
    mask_sound,
)
from dualstream.pipeline.encoder_training.samples import Cut, Samples
from dualstream.pipeline.errors import UsageError
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

Prepare = Callable[[Tensor, Tensor, torch.Generator | None], tuple[Tensor, ...]]
SCALER_ROWS = 4096  # samples of sound whose frames give mean and spread


@dataclass(frozen=True)
class Block:
    """Parameters that thaw together."""

    name: str
    prefixes: tuple[str, ...]
    """What the names of its parameters begin with."""


@dataclass(frozen=True, repr=False)
class Trainee:
    """An encoder about to be trained."""

    name: str
    stream: Literal["video", "audio"]
    net: nn.Module
    """Gives (B, width) from what `prepare` makes."""
    width: int
    start: WeightsRecord
    """What it begins with."""
    blocks: tuple[Block, ...]
    """From the heads downwards; the first trains from the first epoch on."""
    decode: dict[str, int | None]
    """`frame_size_px` and `sample_rate_hz` of the samples."""
    cut: Cut
    cut_parameters: dict[str, Any]
    prepare: Prepare
    """From x (B, ...), lengths (B,), and a generator where it is to augment, to the network's arguments."""
    augmentation: dict[str, Any] | None
    """JSON values for the recipe; None: nothing is changed."""
    file_name: Callable[[str], str] = field(default=lambda name: name)
    """From a tensor's name in `net` to its name in the weights file."""
    fit_scale: Callable[[Samples, NDArray[np.int64]], None] | None = None
    """Takes fixed statistics from the train split's samples, where the network has such."""

    @property
    def thaws(self) -> bool:
        """Whether it has blocks that can thaw later."""
        return len(self.blocks) > 1


def trainee(name: str, weights: str | None, *, augment: bool = True) -> Trainee:
    """Build the trainee that `name` stands for.

    Parameters
    ----------
    weights
        What it begins with: ``random:SEED``, ``imagenet`` or a file; None: its own default.

    Raises
    ------
    UsageError
        Where there is none of that name; the message lists those there are.
    ValueError, FileNotFoundError
        Where the weights do not fit, or are not there.
    """
    if name not in _BUILDERS:
        raise UsageError(f"--encoder is {name!r}; those that can be trained are: {', '.join(_BUILDERS)}")
    return _BUILDERS[name](weights, augment)


def faces(
    size_px: int, mean: Sequence[float], std: Sequence[float], augmentation: FaceAugmentation | None
) -> Prepare:
    """Return what turns uint8 frames, (B, S, S, 3), into a network's input, (B, 3, size_px, size_px)."""

    def prepare(x: Tensor, lengths: Tensor, generator: torch.Generator | None) -> tuple[Tensor, ...]:
        if generator is not None and augmentation is not None:
            frames = x.permute(0, 3, 1, 2).to(torch.float32)  # (B, 3, S, S)
            x = augment_faces(frames, augmentation, generator).permute(0, 2, 3, 1)
        return (preprocess(x, size_px, mean, std),)

    return prepare


def cut_frames(clip: Clip, length_s: float) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Take each sampled frame as a sample."""
    return clip.frames, np.ones(len(clip.frames), np.int64)


def cut_windows(clip: Clip, length_s: float) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Take the log-mel frames of each window, (K, T, bands), padded at the end with zeros."""
    longest = round(length_s * bilstm.FRAMES_PER_S) + 1
    if clip.audio is None or clip.audio_covered_s is None:
        return np.zeros((0, longest, bilstm.BANDS), np.float32), np.zeros(0, np.int64)
    frames, span_s = bilstm.covered_frames(clip.audio, clip.audio_covered_s)
    first, stop, present = bilstm.windows_of(clip.starts_s, length_s, span_s, len(frames))
    present &= len(frames) > 0
    x = np.zeros((int(present.sum()), longest, bilstm.BANDS), np.float32)
    for row, begin, end in zip(x, first[present], stop[present], strict=True):
        row[: end - begin] = frames[begin:end]
    return x, (stop - first)[present]


def _cnn5(weights: str | None, augment: bool) -> Trainee:
    net, start = cnn.start_cnn5(weights or "random:0")
    augmentation = FaceAugmentation() if augment else None
    return Trainee(
        name="cnn5",
        stream="video",
        net=net,
        width=net.embed.out_features,
        start=start,
        blocks=(Block("all", ("",)),),
        decode={"frame_size_px": cnn.SIZE_PX, "sample_rate_hz": None},
        cut=cut_frames,
        cut_parameters={"frames": True},
        prepare=faces(cnn.SIZE_PX, cnn.MEAN, cnn.STD, augmentation),
        augmentation=asdict(augmentation) if augmentation else None,
    )


VGG_BLOCKS = (
    Block("embed", ("embed.",)),
    Block("fc7", ("net.classifier.3.",)),
    Block("fc6", ("net.classifier.0.",)),
    Block("block5", ("net.features.24.", "net.features.26.", "net.features.28.")),
    Block("block4", ("net.features.17.", "net.features.19.", "net.features.21.")),
    Block("block3", ("net.features.10.", "net.features.12.", "net.features.14.")),
    Block("block2", ("net.features.5.", "net.features.7.")),
    Block("block1", ("net.features.0.", "net.features.2.")),
)


def _vgg16(weights: str | None, augment: bool) -> Trainee:
    net, start, look = start_vgg16(weights or "imagenet")
    augmentation = FaceAugmentation() if augment else None
    return Trainee(
        name="vgg16",
        stream="video",
        net=net,
        width=net.embed.out_features,
        start=start,
        blocks=VGG_BLOCKS,
        decode={"frame_size_px": look.size_px, "sample_rate_hz": None},
        cut=cut_frames,
        cut_parameters={"frames": True},
        prepare=faces(look.size_px, look.mean, look.std, augmentation),
        augmentation=asdict(augmentation) if augmentation else None,
        file_name=lambda name: name.removeprefix("net."),
    )


def _bilstm(weights: str | None, augment: bool) -> Trainee:
    net, start = bilstm.start_bilstm(weights or "random:0")
    augmentation = SoundAugmentation() if augment else None

    def prepare(x: Tensor, lengths: Tensor, generator: torch.Generator | None) -> tuple[Tensor, ...]:
        if generator is not None and augmentation is not None:
            x = mask_sound(x, lengths, augmentation, generator, net.mean)
        return x, lengths

    def fit_scale(samples: Samples, rows: NDArray[np.int64]) -> None:
        chosen = rows[:: max(1, len(rows) // SCALER_ROWS)]
        x, lengths = samples.gather(chosen)
        frames = x[np.arange(x.shape[1]) < lengths[:, None]].astype(np.float64)  # (frames, bands)
        net.mean.copy_(torch.from_numpy(frames.mean(0)))
        net.spread.copy_(torch.from_numpy(frames.std(0)).clamp_min(1e-3))

    return Trainee(
        name="bilstm",
        stream="audio",
        net=net,
        width=2 * bilstm.UNITS,
        start=start,
        blocks=(Block("all", ("",)),),
        decode={"frame_size_px": None, "sample_rate_hz": bilstm.SAMPLE_RATE_HZ},
        cut=cut_windows,
        cut_parameters={
            "bands": bilstm.BANDS,
            "frames_per_s": bilstm.FRAMES_PER_S,
            "span_samples": bilstm.SPAN,
            "band_hz": [bilstm.LOWEST_HZ, bilstm.HIGHEST_HZ],
            "floor": bilstm.FLOOR,
        },
        prepare=prepare,
        augmentation=asdict(augmentation) if augmentation else None,
        fit_scale=fit_scale if weights is None or weights.startswith("random") else None,
    )


_BUILDERS: dict[str, Callable[[str | None, bool], Trainee]] = {
    "cnn5": _cnn5,
    "vgg16": _vgg16,
    "bilstm": _bilstm,
}


def log_softmax(logits: Tensor) -> NDArray[np.float64]:
    """Return log-probabilities of logits, shape (1, B, C), as (B, C)."""
    found: NDArray[np.float64] = functional.log_softmax(logits[0].double(), dim=-1).numpy()
    return found
