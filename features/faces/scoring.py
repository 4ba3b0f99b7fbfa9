"""What a scorer of "does this face talk?" is, and the registry that names those there are.

A new scorer is one file: a class that keeps `SpeakerScorer`, and a builder under a decorator. The file stands in
features/faces/scorers/, or in any installed package with an entry point in the group
``dualstream.speaker_scorers``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from dualstream.discovery import Registry

GROUP = "dualstream.speaker_scorers"
TICKS_PER_S = 25  # of the clock that every scorer works on
SAMPLE_RATE_HZ = 16_000  # of the audio that every scorer takes


@dataclass(frozen=True)
class CropSpec:
    """What part of a face a scorer looks at."""

    size_px: int
    """Side of the grey square that it takes, pixels."""
    share: float
    """Side of that square in the picture, in sides of the face's box."""
    down: float
    """How far its centre lies below the box's centre, in sides of the box."""


class SpeakerScorer(Protocol):
    """A face's crops and the sound to a score at each tick. `score` may be called from several threads at once."""

    name: str
    crop: CropSpec
    context_s: float
    """A tick's score says something of the time around it, seconds to each side."""
    least_margin: float
    """By how much the best face of a shot must lead the second one, unless the options say otherwise."""

    def to_json(self) -> dict[str, Any]:
        """Return all that shapes its answers, for the fingerprint."""
        ...

    def score(self, crops: NDArray[np.uint8], audio: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return a score for each tick, shape (T,); higher is more likely the one who talks.

        Parameters
        ----------
        crops
            Grey, TICKS_PER_S a second, shape (T, size_px, size_px).
        audio
            Mono at SAMPLE_RATE_HZ, full scale ±1; the first sample stands at the first tick. Shorter than the
            crops where the sound ends before.
        """
        ...


Builder = Callable[[Path | None], SpeakerScorer]
B = TypeVar("B", bound=Builder)


@dataclass(frozen=True)
class ScorerEntry:
    """A registered scorer: what is known of it before it is built."""

    name: str
    build: Builder
    weights: bool
    """Whether it needs a file of weights."""

    @property
    def summary(self) -> str:
        """First line of the builder's docstring."""
        return (self.build.__doc__ or "").strip().partition("\n")[0]


REGISTRY: Registry[ScorerEntry] = Registry(
    "speaker scorer", package="dualstream.features.faces.scorers", group=GROUP
)


def register(name: str, *, weights: bool) -> Callable[[B], B]:
    """Put a builder, which takes the file of weights, into the registry under `name`."""

    def add(builder: B) -> B:
        REGISTRY.add(name, ScorerEntry(name, builder, weights), builder.__module__)
        return builder

    return add


def build_scorer(name: str, weights: Path | None) -> SpeakerScorer:
    """Build the scorer of that name.

    Raises
    ------
    ValueError
        Where there is none, its package is not installed, or it needs weights that are not named, or has none.
    FileNotFoundError
        Where there is no such file of weights.
    """
    entry = REGISTRY.get(name)
    if entry.weights and weights is None:
        raise ValueError(
            f"speaker scorer {name} needs a file of weights, which docs/faces.md names: --speaker-weights FILE"
        )
    if not entry.weights and weights is not None:
        raise ValueError(f"speaker scorer {name} has no weights to choose; found --speaker-weights {weights}")
    if weights is not None and not weights.is_file():
        raise FileNotFoundError(f"weights of the speaker scorer {name}: {weights} does not exist")
    return entry.build(weights)
