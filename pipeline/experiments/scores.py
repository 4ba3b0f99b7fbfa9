"""How well a variant did on one split: the scores document that metrics.json, the tables and the report share."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Self

from dualstream.heads.evaluation import metrics
from dualstream.heads.evaluation.statistics import Estimate
from dualstream.heads.variants.registry import TASKS, Task

from dualstream.documents import Document, JsonObject, plain, read_fields

HEADLINE = "balanced_accuracy"
"""What tables are ordered by and paired tests compare: chance is 1 / classes whatever the classes' shares."""


@dataclass(frozen=True)
class MissingFeatures(Document):
    """How many of a task's scored utterances lack features (`Presence`)."""

    rule: str
    """Which utterances count: ``all`` or ``present``."""
    streams: dict[str, int]
    """Scored, labelled utterances without the stream, by ``video`` and ``audio``."""
    all_streams: int
    """Those without any."""
    left_out: int
    """Labelled utterances that the rule leaves out."""


@dataclass(frozen=True)
class Contradiction(Document):
    """How often an answered pair of emotion and sentiment was never seen in training."""

    mean: float
    """Over the models."""
    seeds: tuple[float, ...]
    labels: float
    """The same of the labels."""
    pairs_seen: int = 0


@dataclass(frozen=True, repr=False)
class TaskScores(metrics.Scores):
    """Scores of one task, and which of the scored utterances had no features."""

    without_features: MissingFeatures | None = None
    """None: not known, as in runs of older versions."""

    @classmethod
    def of(cls, scores: metrics.Scores, missing: MissingFeatures | None) -> TaskScores:
        """Return scores with what is known of their utterances."""
        own = {one.name: getattr(scores, one.name) for one in dataclasses.fields(scores)}
        return cls(**own, without_features=missing)

    def metric(self, name: str) -> Estimate | None:
        """Return any of the scores, by its key; None where the answers came without probabilities."""
        return getattr(self, name)

    def to_json(self) -> JsonObject:
        """Return JSON values."""
        own = super().to_json()
        return own if self.without_features is None else own | {"without_features": plain(self.without_features)}

    @classmethod
    def from_json(cls, values: JsonObject) -> TaskScores:
        """Read what `to_json` gave, of this version or an older one."""
        return read_fields(cls, {"train_majority": None, "calibrated_log_loss": None} | values)


@dataclass(frozen=True, repr=False)
class SplitScores(Document):
    """Scores of one variant on one split, all its tasks."""

    FORMAT: ClassVar[str] = "dualstream scores"

    split: str
    """``dev``, ``test``, or ``folds`` for answers from outside the fold."""
    utterances: int
    unit: str
    """What the bootstrap resamples: ``dialogue``, ``speaker``, ``speaker group`` or ``utterance``."""
    models: tuple[str, ...]
    """Names: ``seed 0``, ``ensemble of 5``."""
    tasks: dict[Task, TaskScores]
    speaker_norm: bool = False
    """Whether speakers were normalised by their own unlabelled utterances (transductive)."""
    joint_decoding: bool = False
    """Whether the answers are the likeliest pairs, decoded of both heads (`--decoding pairs`)."""
    joint: bool = False
    """Whether the models answer both tasks as one (`heads.variants.joint`)."""
    stopped_by: str | None = None
    """The split that said when training was to stop, where it is the one that is scored."""
    contradiction: Contradiction | None = None
    """None unless both tasks are answered."""
    warnings: tuple[str, ...] = ()
    states_stopping: bool = True
    """Whether `stopped_by` was noted: older versions did not. No key of the document."""

    def to_json(self) -> JsonObject:
        """Return JSON values."""
        own = super().to_json()
        order = ("split", "utterances", "unit", "models", "speaker_norm", "joint_decoding", "joint", "stopped_by")
        return {key: own[key] for key in (*order, "tasks", "contradiction", "warnings")}

    @classmethod
    def from_json(cls, values: JsonObject) -> Self:
        """Read what `to_json` gave, of this version or an older one."""
        return read_fields(cls, {**values, "states_stopping": "stopped_by" in values})

    @property
    def lead_task(self) -> Task:
        """The task that tables are sorted by: emotion where it is scored."""
        return next(task for task in TASKS if task in self.tasks)

    def mean(self, task: Task, metric: str = HEADLINE) -> float:
        """Return one of the headline scores, its mean over the models."""
        return self.tasks[task].headline(metric).mean

    def warned(self, *more: str) -> Self:
        """Return them with further warnings."""
        return dataclasses.replace(self, warnings=(*self.warnings, *more))

    def __repr__(self) -> str:
        uar = ", ".join(f"{task} {self.mean(task):.3f}" for task in self.tasks)
        return f"SplitScores({self.split}, {self.utterances} utterances, UAR {uar or 'none'})"


def scored_by(rows: Mapping[str, SplitScores]) -> list[Task]:
    """Return the tasks that any of the variants has scores of, in the order of their documents."""
    return list(dict.fromkeys(task for scores in rows.values() for task in scores.tasks))
