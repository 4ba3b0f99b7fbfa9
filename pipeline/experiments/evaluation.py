"""A run scored on a split that it was not fitted on: what `evaluate` prints and returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from dualstream.pipeline.experiments.ranges import Outliers
from dualstream.pipeline.experiments.run_config import SplitCertainty
from dualstream.pipeline.experiments.scores import SplitScores

from dualstream.documents import Document


@dataclass(frozen=True)
class EvaluatedCache(Document):
    """The cache that a run was scored on."""

    digest: str
    fingerprint: str
    same_as_fitted: bool


@dataclass(frozen=True)
class Evaluation(Document):
    """What `evaluate` found."""

    FORMAT: ClassVar[str] = "dualstream evaluation"

    run: str
    variant: str
    split: str
    cache: EvaluatedCache
    times_before: int
    """How often the run was scored on test before."""
    earlier_fits: int
    """How many of these with fits that the run replaced."""
    scores: SplitScores
    outliers: dict[str, Outliers]
    """What is odd in the scored rows, by stream."""
    certainty: tuple[SplitCertainty, ...]
    warnings: tuple[str, ...]
    """Of the cache and of labels that had a part in the fit; those of the scores are theirs."""
    report: str | None
