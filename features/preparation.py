"""What a network takes of a clip's sound, made without the network: workers do that, and the run only feeds.

    worker    sound ── Preparation.prepare ──► Prepared, by shared memory ──► run   encode_prepared ──► rows

An audio encoder that runs in torch states its preparation (`PreparingEncoder`); of any other the sound itself
comes back. Both ways give the same rows: `encode_audio` is one after the other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from dualstream.features.encoder import AudioEncoder, EncoderSpec, StreamFeatures
from numpy.typing import NDArray


@dataclass(frozen=True, repr=False)
class Prepared:
    """What the passes of a network take, of one clip."""

    inputs: tuple[NDArray[Any], ...]
    """In the order in which they go through."""
    span: tuple[int, int]
    """The samples of the clip that have sound, half-open: what `inputs` are made of."""

    @property
    def samples(self) -> int:
        """Number of samples that have sound."""
        return self.span[1] - self.span[0]


class Preparation(Protocol):
    """Makes of sound what a network takes. It is pickled, so it holds neither the network nor a device."""

    def prepare(
        self,
        audio: NDArray[np.float32],
        starts_s: NDArray[np.float64],
        length_s: float,
        covered_s: tuple[float, float],
    ) -> Prepared:
        """Take what `AudioEncoder.encode_audio` takes."""
        ...

    def warm_up(self) -> None:
        """Import what the first clip would wait for."""
        ...


@runtime_checkable
class PreparingEncoder(AudioEncoder, Protocol):
    """An audio encoder whose input other processes can prepare."""

    preparation: Preparation

    def encode_prepared(
        self, prepared: Prepared, starts_s: NDArray[np.float64], length_s: float
    ) -> StreamFeatures:
        """Turn what was prepared into the rows that `encode_audio` gives of the same sound."""
        ...


class OnlyPrepares:
    """Stands for an audio encoder of another process: it prepares the sound, and makes no row of it."""

    def __init__(self, spec: EncoderSpec, sample_rate_hz: int, preparation: Preparation) -> None:
        self.spec, self.sample_rate_hz, self.preparation = spec, sample_rate_hz, preparation

    def encode_audio(
        self,
        audio: NDArray[np.float32],
        starts_s: NDArray[np.float64],
        length_s: float,
        covered_s: tuple[float, float],
    ) -> StreamFeatures:
        """Refuse: what is prepared goes to where the encoder is."""
        raise NotImplementedError(f"{self.spec.name} is an encoder of another process")

    def warm_up(self) -> None:
        """Import what the first clip would wait for."""
        self.preparation.warm_up()


def covered_span(covered_s: tuple[float, float], rate_hz: int, size: int) -> tuple[int, int]:
    """Return the samples, of `size`, that a span of seconds covers, half-open."""
    begin = min(max(round(covered_s[0] * rate_hz), 0), size)
    return begin, min(max(round(covered_s[1] * rate_hz), begin), size)
