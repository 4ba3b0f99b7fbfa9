"""What a weights file of `train-encoder` says of itself, and what the command reports."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import ClassVar, TypedDict

from dualstream.heads.variants.registry import Task
from dualstream.pipeline.cache.model import FailedClip
from dualstream.pipeline.errors import DONE_WITH_FAILURES
from dualstream.pipeline.experiments.scores import TaskScores

from dualstream.documents import Document, JsonObject


@dataclass(frozen=True)
class DevLook(Document):
    """What an epoch's end says of dev; None where nothing of it can be scored."""

    dev_score: float | None
    """Macro F1, the mean over the tasks."""
    dev_loss: float | None


@dataclass(frozen=True)
class EpochRecord(Document):
    """One epoch of a training."""

    epoch: int = 0
    """From 1 on."""
    train_loss: float = math.nan
    learning_rate: float = math.nan
    """At its end."""
    thawed: tuple[str, ...] = ()
    """Blocks that were trained in it."""
    dev_score: float | None = None
    """Macro F1, the mean over the tasks; None where nothing of dev can be scored."""
    dev_loss: float | None = None


@dataclass(frozen=True)
class EpochNews:
    """An epoch that has just ended, and how long it took."""

    record: EpochRecord
    epochs: int
    """How many there will be at most."""
    seconds: float
    train_seconds: float
    """Without scoring dev."""


@dataclass(frozen=True)
class DevScores:
    """Scores on dev; their keys stand beside `without_sample`."""

    scores: TaskScores
    without_sample: int | None
    """Labelled utterances that gave no sample, answered by train's shares; None in files of older versions."""

    def to_json(self) -> JsonObject:
        """Return JSON values."""
        own = {} if self.without_sample is None else {"without_sample": self.without_sample}
        return self.scores.to_json() | own

    @classmethod
    def from_json(cls, values: JsonObject) -> DevScores:
        """Read what `to_json` gave."""
        return cls(TaskScores.from_json(values), values.get("without_sample"))


class TrainingEnvironment(TypedDict, total=False):
    """What may change last digits."""

    torch: str
    threads: int
    device: str


@dataclass(frozen=True)
class EncoderDocument(Document):
    """How an encoder was trained: metadata ``document`` of its weights file."""

    data: JsonObject = field(kw_only=True, default_factory=dict)
    """Digests and numbers of utterances and samples."""
    encoder: str
    recipe: JsonObject
    """All that shapes the weights but the data; the training's identity is a digest over it and `data`."""
    vocabulary: dict[Task, tuple[str, ...]]
    history: tuple[EpochRecord, ...] = ()
    best_epoch: int = 0
    """Whose weights these are, from 1 on."""
    stopped: str = ""
    """``epochs``, ``patience`` or ``interrupted``."""
    scores: dict[Task, DevScores] = field(default_factory=dict)
    """On dev, by task; one of which nothing can be scored is left out."""
    licence: str = ""
    environment: TrainingEnvironment = field(default_factory=TrainingEnvironment)

    @property
    def seed(self) -> int:
        """Of all that was drawn."""
        return int(self.recipe["training"]["seed"])

    @property
    def watches_dev(self) -> bool:
        """Whether dev chose the epoch."""
        return int(self.recipe["training"]["patience"]) > 0


@dataclass(frozen=True)
class TrainingPlan(Document):
    """What a training would do (``--dry-run``)."""

    encoder: str
    utterances: int
    to_decode: int
    """Clips whose samples are not there yet."""
    parameters: int
    trained_parameters: int


@dataclass(frozen=True)
class TrainReport(Document):
    """What `train-encoder` did."""

    FORMAT: ClassVar[str] = "dualstream encoder training"

    weights: str
    trained: bool = True
    """False where the file stood already, or for a dry run."""
    document: EncoderDocument | None = None
    """What the weights file says of itself; its keys stand beside the others."""
    plan: TrainingPlan | None = None
    """Of a dry run."""
    failed: list[FailedClip] = field(default_factory=list)
    """Utterances without a sample."""
    seconds: float = 0.0

    @property
    def exit_status(self) -> int:
        """0, or 3 where clips failed."""
        return DONE_WITH_FAILURES if self.failed else 0

    def to_json(self) -> JsonObject:
        """Return JSON values."""
        own = super().to_json()
        document, plan = own.pop("document"), own.pop("plan")
        inner = {"plan": plan} if document is None else document
        ends = {"failed": own["failed"], "seconds": round(self.seconds, 3)}
        return {"weights": self.weights, "trained": self.trained} | inner | ends
