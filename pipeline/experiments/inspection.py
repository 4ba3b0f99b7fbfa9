"""What `inspect` says of a cache."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from dualstream.features.weights import WeightsDocument
from dualstream.heads.evaluation.majority import Majority
from dualstream.heads.variants.options import Task
from dualstream.pipeline.cache.model import FailedClip
from dualstream.pipeline.experiments.mistakes import Mistake
from dualstream.pipeline.experiments.ranges import Outliers
from dualstream.pipeline.provenance import Environment, IdentityDocument, RecipeDocument

from dualstream.documents import Document, JsonObject


@dataclass(frozen=True)
class OddClip(Document):
    """An utterance whose clip was read with something odd in it."""

    id: str
    note: str


@dataclass(frozen=True)
class SplitCoverage(Document):
    """What a stream has of one split."""

    utterances: int
    present: int
    windows: int | None = None
    """None, and no key, where the stream has no windows."""
    windows_present: int | None = None

    def to_json(self) -> JsonObject:
        """Return JSON values."""
        return {key: value for key, value in super().to_json().items() if value is not None}


@dataclass(frozen=True)
class Health(Document):
    """What the present rows of a stream look like."""

    rows: int
    dead_columns: tuple[int, ...]
    """Columns that never change."""
    repeated_rows: int
    """Rows, windows where there are some, that are the same as an earlier one: silence and tables have many."""
    not_finite: int
    least: float | None = None
    largest: float | None = None
    mean_norm: float | None = None
    repeated_utterances: int = 0
    """Utterances with rows, each of which is another utterance's too."""

    def to_json(self) -> JsonObject:
        """Return JSON values; of a stream without rows only their numbers."""
        own = super().to_json()
        values = ("least", "largest", "mean_norm") if self.rows else ()
        return {
            key: own[key]
            for key in ("rows", "dead_columns", "repeated_rows", "repeated_utterances", *values, "not_finite")
        }


@dataclass(frozen=True)
class StreamReport(Document):
    """One stream of a cache."""

    encoder: str | None
    weights: WeightsDocument | None
    """As the cache has it: source, digest, licence."""
    raw_width: int | None
    """Columns of the encoder."""
    width: int
    """Columns after projection."""
    windows: bool
    projection: JsonObject | None
    """Its kind, and what it was fitted on."""
    coverage: dict[str, SplitCoverage]
    health: Health
    layers: tuple[int, ...] = ()
    """Numbers of a network's layers that stand side by side, which heads can weigh; empty where there are none."""

    @property
    def layer_words(self) -> str:
        """How many layers there are, and of how many columns each."""
        numbers = ", ".join(map(str, self.layers))
        return f"{len(self.layers)} layers of {self.width // len(self.layers)}: {numbers}"

    faces: JsonObject | None = None
    """Windows by how their face was chosen, where the encoder saw faces; the share with several faces in view, and
    the median of the margins."""


@dataclass(frozen=True)
class MajorityLine(Document):
    """What always answering one class scores on a split, and train's commonest where that is another."""

    line: Majority
    train_majority: Majority | None

    def to_json(self) -> JsonObject:
        """Return JSON values, those of the line beside ``train_majority``."""
        own = super().to_json()
        return own.pop("line") | own


@dataclass(frozen=True)
class MajorityReport(Document):
    """The majority lines of a task."""

    name: str
    """The commonest class of `base`."""
    base: str
    """``train``, or the first split that has labels."""
    splits: dict[str, MajorityLine]
    outside_test: MajorityLine | None
    """Of what `--folds` assigns to folds, where that is more than one split."""

    def to_json(self) -> JsonObject:
        """Return JSON values."""
        own = super().to_json()
        return {"class": own.pop("name"), "from": own.pop("base")} | own


@dataclass(frozen=True)
class LabelReport(Document):
    """How one task's labels fall."""

    counts: dict[str, dict[str, int]]
    """By split: utterances of each class, and ``unlabelled``."""
    majority: MajorityReport | None
    """None where nothing is labelled."""


@dataclass(frozen=True)
class InspectReport(Document):
    """What there is to say of a cache."""

    FORMAT: ClassVar[str] = "dualstream inspection"

    cache: str
    bytes: int
    utterances: int
    windows: int
    seconds_of_clips: float
    failed: tuple[FailedClip, ...]
    odd: tuple[OddClip, ...]
    fingerprint: str | None
    recipe: RecipeDocument
    """Empty where the cache does not say."""
    environments: tuple[Environment, ...]
    streams: dict[str, StreamReport]
    labels: dict[Task, LabelReport]
    outliers: dict[str, Outliers]
    warnings: tuple[str, ...]
    mistakes: tuple[Mistake, ...] = ()
    """Of those that `diagnose` names, what rows tell without a fit."""
    identity: IdentityDocument | None = None
    """Which faces go with which speakers, of a cache that uses speaker names (``--identity``)."""
    verified: tuple[str, ...] | None = None
    """What was checked; None, and no key, without ``--verify``."""
    not_verified: tuple[str, ...] | None = None
    """What could not be checked, and why."""

    def to_json(self) -> JsonObject:
        """Return JSON values."""
        own = super().to_json()
        gone = () if self.verified is not None else ("verified", "not_verified")
        return {key: value for key, value in own.items() if key not in gone}
