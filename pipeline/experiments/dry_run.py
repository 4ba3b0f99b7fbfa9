"""What fits and comparisons would do: the documents of ``--dry-run``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from dualstream.heads.evaluation.majority import Majority
from dualstream.heads.variants.registry import FitOptions, Task
from dualstream.pipeline.experiments.scores import MissingFeatures

from dualstream.documents import Document


@dataclass(frozen=True)
class FitHeadPlan(Document):
    """What `fit-head --dry-run` says."""

    FORMAT: ClassVar[str] = "dualstream fit plan"

    dry_run: bool
    variant: str
    summary: str
    streams: dict[str, str]
    protocol: str
    splits: dict[str, int]
    """Utterances of each split."""
    models: int
    """How many would be fitted."""
    options: FitOptions
    warnings: tuple[str, ...]
    out: str
    replaces: bool
    """Whether a run already exists."""


@dataclass(frozen=True)
class PlannedTask(Document):
    """What would be scored of one task."""

    labelled: int
    majority: Majority | None
    train_majority: Majority | None
    without_features: MissingFeatures


@dataclass(frozen=True)
class PlannedScores(Document):
    """What would be scored."""

    split: str
    utterances: int
    tasks: dict[Task, PlannedTask]


@dataclass(frozen=True)
class ComparisonPlan(Document):
    """What `compare --dry-run` says."""

    FORMAT: ClassVar[str] = "dualstream comparison plan"

    dry_run: bool
    variants: tuple[str, ...]
    left_out: dict[str, str]
    """Variants that the corpus does not allow, each with its reason."""
    end_to_end: tuple[str, ...]
    streams: dict[str, str]
    speaker_norm: bool
    protocol: str
    seeds: int
    folds: int | None
    fits: int
    splits: dict[str, int]
    scored: PlannedScores
    options: FitOptions
    warnings: tuple[str, ...]
    out: str
    replaces: bool
    """Whether a comparison already exists."""
