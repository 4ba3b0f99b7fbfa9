"""A video encoder whose rows can be told by hand, and which notes its batches."""

from __future__ import annotations

import numpy as np
from dualstream.features.encoder import EncoderSpec
from numpy.typing import NDArray

SIDE = 6


class MeanColour:
    """A video encoder: mean red, green and blue."""

    def __init__(self, batch_size: int = 4, side: int = SIDE) -> None:
        self.spec = EncoderSpec("mean-colour", "video", 3, 3)
        self.frame_size_px = side
        self.batch_size = batch_size
        self.batches: list[int] = []

    def encode_frames(self, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
        self.batches.append(len(frames))
        return frames.mean(axis=(1, 2)).astype(np.float32)
