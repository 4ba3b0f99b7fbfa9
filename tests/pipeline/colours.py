"""Parts that know people by their colours: an encoder, and a detector and an embedder to register for a while."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from dualstream.features.encoder import EncoderOptions, EncoderSpec
from dualstream.features.faces import detection, embedding
from dualstream.features.faces.embedding import AlignSpec
from numpy.typing import NDArray

from tests.features.planted_faces import ColourDetector


class MeanOfMiddle:
    """The mean colour of a frame's middle: whose face it is."""

    def __init__(self) -> None:
        self.spec = EncoderSpec("middle", "video", 3, 3)
        self.frame_size_px, self.batch_size = 32, 4

    def encode_frames(self, frames: Any) -> Any:
        return frames[:, 11:16, 11:21].mean(axis=(1, 2)).astype(np.float32)


class MeanColour:
    """Keeps the FaceEmbedder protocol: a person is a colour."""

    name = "colour"
    align = AlignSpec(16, (0.5, 0.4), (0.5, 0.7))
    same_person = 0.9

    def to_json(self) -> dict[str, Any]:
        return {"name": self.name, "version": 1, "same_person": self.same_person}

    def embed(self, faces: NDArray[np.uint8]) -> NDArray[np.float32]:
        return faces.mean(axis=(1, 2)).astype(np.float32)


def build(stream: str, text: str, options: EncoderOptions) -> Any:
    return MeanOfMiddle()


@contextmanager
def colours_known() -> Iterator[None]:
    """Have a detector and an embedder, both called ``colour``, in the registries."""
    registries = detection.REGISTRY, embedding.REGISTRY
    for registry in registries:
        registry.names()
    detector = detection.DetectorEntry("colour", lambda weights: ColourDetector(), weights=False)
    detection.REGISTRY.add("colour", detector, __name__)
    embedding.REGISTRY.add("colour", embedding.EmbedderEntry("colour", lambda _: MeanColour(), False), __name__)
    yield
    for registry in registries:
        del registry._entries["colour"]
