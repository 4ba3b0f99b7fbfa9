"""What a scorer of "does this face talk?" is, and the registry that names those there are.

A new scorer is one file: a class that keeps `SpeakerScorer`, and a builder under a decorator. The file stands in
features/faces/scorers/, or in any installed package with an entry point in the group
``dualstream.speaker_scorers``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from dualstream.features.faces.parts import Entry, PartRegistry
from numpy.typing import NDArray

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


@runtime_checkable
class LaggedScorer(SpeakerScorer, Protocol):
    """A scorer that tells, too, how well a face fits sound that is shifted: see fit.py."""

    least_fit: float
    """By how many spreads a shot must fit its sound better than shifted sound, or nobody is chosen in it."""

    def score_lags(
        self, crops: NDArray[np.uint8], audio: NDArray[np.float32]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return what `score` does, and the scores at each lag of fit.LAGS, shape (L, T)."""
        ...


@dataclass(frozen=True)
class ScoreModel:
    """What a face's mean score over a stretch of one voice is made of; pooling.py weighs scores by it."""

    talking: float
    """By how much the one who talks scores higher."""
    face: float
    """Spread of what a face scores throughout, whoever talks."""
    stretch: float
    """Spread of a long stretch, beside that."""
    tick: float
    """Spread of a very short one, beside both."""
    settled_ticks: int
    """Ticks of a stretch at which half of the variance of `tick` is gone."""
    change: float
    """Sum of scores by which another face must lead for a while to begin a stretch."""
    resting: float
    """A stretch in which no face scores more is nobody's: breath, or noise."""
    per_nat: float
    """What a nat of a face's odds counts as, on the scale of `least_margin`."""


def model_of(scorer: SpeakerScorer) -> ScoreModel | None:
    """Return a scorer's optional `by_voice`; without it the faces of each window are compared by themselves."""
    model = getattr(scorer, "by_voice", None)
    assert model is None or isinstance(model, ScoreModel)
    return model


def contexts_s(scorer: SpeakerScorer) -> tuple[float, ...]:
    """Return how much beside a window is compared, seconds: `context_s`, then, where undecided, its `wider_s`.

    `wider_s` is optional: a scorer without it is compared once.
    """
    return (scorer.context_s, *getattr(scorer, "wider_s", ()))


ScorerEntry = Entry[SpeakerScorer]
REGISTRY: PartRegistry[SpeakerScorer] = PartRegistry(
    "speaker scorer",
    package="dualstream.features.faces.scorers",
    group=GROUP,
    option="--speaker-weights",
    without="has no weights to choose",
)
register, build_scorer = REGISTRY.register, REGISTRY.build
