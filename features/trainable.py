"""What an encoder is that train-encoder can train: its network, its samples, and which blocks unfreeze when.

The hook stands in the encoder's own file, under a decorator, and is found with it:

    @register_trainable("cnn5")
    def trainable_cnn5(weights: str | None, augment: bool) -> TrainableEncoder: ...
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import numpy as np
from dualstream.features.encoder import StreamName
from dualstream.features.encoders.frozen import preprocess
from numpy.typing import NDArray

from dualstream.discovery import ENCODERS_GROUP, Registry, UnknownNameError
from dualstream.documents import JsonObject

if TYPE_CHECKING:
    import torch
    from dualstream.features.augment import FaceAugmentation
    from dualstream.features.media import Clip
    from dualstream.features.weights import WeightsRecord
    from torch import Tensor, nn


class Cut(Protocol):
    """From a decoded clip to samples of one shape: (x of shape (K, ...), lengths of shape (K,))."""

    def __call__(self, clip: Clip, length_s: float) -> tuple[NDArray[Any], NDArray[np.int64]]: ...


class Prepare(Protocol):
    """From x (B, ...), lengths (B,), and a generator where it is to augment, to the network's arguments."""

    def __call__(self, x: Tensor, lengths: Tensor, generator: torch.Generator | None) -> tuple[Tensor, ...]: ...


class SampleRows(Protocol):
    """The samples of a corpus, as `fit_scale` reads them."""

    def gather(self, rows: NDArray[np.int64]) -> tuple[NDArray[Any], NDArray[np.int64]]:
        """Return the samples of these rows: x of shape (R, ...), and lengths (R,)."""
        ...


@dataclass(frozen=True)
class ParameterBlock:
    """Parameters that unfreeze together."""

    name: str
    prefixes: tuple[str, ...]
    """What the names of its parameters begin with."""


@dataclass(frozen=True, repr=False)
class TrainableEncoder:
    """An encoder about to be trained."""

    name: str
    stream: StreamName
    net: nn.Module
    """Gives (B, width) from what `prepare` makes."""
    width: int
    start: WeightsRecord
    """What it begins with."""
    decode: dict[str, int | None]
    """`frame_size_px` and `sample_rate_hz` of the samples."""
    cut: Cut
    cut_parameters: JsonObject
    """All that shapes what `cut` makes, JSON values: samples on disk are named by its digest."""
    prepare: Prepare
    blocks: tuple[ParameterBlock, ...] = (ParameterBlock("all", ("",)),)
    """From the heads downwards; the first trains from the first epoch on."""
    augmentation: JsonObject | None = None
    """JSON values for the recipe; None: nothing is changed."""
    file_name: Callable[[str], str] = field(default=lambda name: name)
    """From a tensor's name in `net` to its name in the weights file."""
    fit_scale: Callable[[SampleRows, NDArray[np.int64]], None] | None = None
    """Takes fixed statistics from the train split's samples, where the network has such."""

    @property
    def unfreezes(self) -> bool:
        """Whether it has blocks that can unfreeze later."""
        return len(self.blocks) > 1


TrainableBuilder = Callable[[str | None, bool], TrainableEncoder]
T = TypeVar("T", bound=TrainableBuilder)

TRAINABLE: Registry[TrainableBuilder] = Registry(
    "trainable encoder", package="dualstream.features.encoders", group=ENCODERS_GROUP
)


def register_trainable(name: str) -> Callable[[T], T]:
    """Put a builder of trainable encoders into the registry under `name`; a name given twice is an error.

    The builder receives what to begin with (``random:SEED``, ``imagenet``, a file, or None for its own default)
    and whether samples are to be augmented. `name` is that of the encoder that takes the weights when frozen.
    """

    def add(builder: T) -> T:
        TRAINABLE.add(name, builder, builder.__module__)
        return builder

    return add


def build_trainable(name: str, weights: str | None, *, augment: bool = True) -> TrainableEncoder:
    """Build the trainable encoder that `name` stands for.

    Parameters
    ----------
    weights
        What it begins with: ``random:SEED``, ``imagenet`` or a file; None: its own default.

    Raises
    ------
    ValueError, FileNotFoundError
        Where there is none of that name (the message lists those there are), or the weights do not fit, or are
        not there.
    """
    return require_trainable(name)(weights, augment)


def require_trainable(name: str) -> TrainableBuilder:
    """Return what builds the trainable encoder of that name; nothing is built, and torch is not imported.

    Raises
    ------
    UnknownNameError
        Where there is none; the message lists those there are.
    """
    builder = TRAINABLE.find(name)
    if builder is None:
        raise UnknownNameError(f"--encoder is {name!r}; those that can be trained are: {TRAINABLE.listed()}")
    return builder


def cut_frames(clip: Clip, length_s: float) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Take each sampled frame as a sample."""
    return clip.frames, np.ones(len(clip.frames), np.int64)


def prepare_frames(
    size_px: int, mean: Sequence[float], std: Sequence[float], augmentation: FaceAugmentation | None
) -> Prepare:
    """Return what turns uint8 frames, (B, S, S, 3), into a network's input, (B, 3, size_px, size_px)."""

    def prepare(x: Tensor, lengths: Tensor, generator: torch.Generator | None) -> tuple[Tensor, ...]:
        if generator is not None and augmentation is not None:
            import torch
            from dualstream.features.augment import augment_faces

            frames = x.permute(0, 3, 1, 2).to(torch.float32)  # (B, 3, S, S)
            x = augment_faces(frames, augmentation, generator).permute(0, 2, 3, 1)
        return (preprocess(x, size_px, mean, std),)

    return prepare
