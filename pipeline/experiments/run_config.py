"""What a run's folder states beside its scores: how it was fitted and on what, and each look at test."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from dualstream.features.encoder import SpecDocument
from dualstream.heads.evaluation.memorised import Certainty
from dualstream.heads.search.choice import Choice
from dualstream.heads.variants.registry import FitOptions, Task
from dualstream.pipeline.experiments.presence import ALL
from dualstream.pipeline.experiments.protocol import DecodingOptions, stored_folds
from dualstream.pipeline.experiments.speaker_prior import SpeakerNorm
from dualstream.pipeline.provenance import Provenance

from dualstream.documents import Document, JsonObject, read_fields


@dataclass(frozen=True)
class CacheOrigin(Document):
    """The cache that was read."""

    name: str
    digest: str
    """SHA-256 of its bytes."""
    fingerprint: str
    """Of the extraction; empty: not stated."""
    provenance: Provenance
    """How it was made, as the cache has it."""


@dataclass(frozen=True)
class FittedCache(Document):
    """The cache that a run was fitted on, and where it was."""

    name: str
    path: str | None
    """Relative to the run, so that both can move together; None: it was never a file."""
    digest: str
    fingerprint: str
    provenance: Provenance

    @property
    def origin(self) -> CacheOrigin:
        """The same without its place."""
        return CacheOrigin(self.name, self.digest, self.fingerprint, self.provenance)


@dataclass(frozen=True)
class FittedOn(Document):
    """The utterances whose labels a run learned from."""

    utterances: int
    sha256: str
    """Over their ids."""
    counts: dict[Task, tuple[int, ...]]
    """Utterances of each class."""
    pairs: tuple[tuple[int, ...], ...]
    """Utterances of each pair of classes, (E, S)."""


@dataclass(frozen=True)
class SplitCertainty:
    """How certain a probe is of train's labels, against a split (`integrity.memorised`)."""

    split: str
    of: Certainty

    def to_json(self) -> JsonObject:
        """Return JSON values."""
        return {"split": self.split, **self.of.to_json()}

    @classmethod
    def from_json(cls, values: JsonObject) -> SplitCertainty:
        """Read what `to_json` gave."""
        own = {key: value for key, value in values.items() if key not in ("split", "memorised")}
        return cls(values["split"], Certainty(**own))


@dataclass(frozen=True)
class RunConfig(Document):
    """config.json of a run."""

    FORMAT: ClassVar[str] = "dualstream run"
    SPEAKER_VERSION: ClassVar[int] = 2
    """Of runs with a speakers' prior: older programs, which would normalise by rule 1, refuse them."""

    variant: str
    options: FitOptions
    protocol: str
    """Who was fitted on and who scored, in a sentence."""
    streams: dict[str, str]
    """Which stream of the cache stood for ``video`` and for ``audio``."""
    vocabulary: dict[Task, tuple[str, ...]]
    cache: FittedCache
    fitted_on: FittedOn
    versions: dict[str, str]
    created: str
    fit_s: float
    widths: dict[str, int]
    specs: dict[str, SpecDocument]
    """Spec of each stream's encoder, as the cache has it."""
    answering: DecodingOptions
    folds: str | None = None
    choice: Choice | None = None
    """What `auto` chose and why, of the models that are kept."""
    chosen: tuple[str, ...] = ()
    """What `auto` chose for the scores of ``metrics.json``, one name for each fold; empty in older runs."""
    whole_dialogues: bool = False
    """Whether folds by speaker keep dialogues whole: older versions cut them."""
    scored: str = ALL
    speaker_norm: bool = False
    speaker_prior: SpeakerNorm | None = None
    """By which rule speakers were normalised; None with `speaker_norm`: by rule 1, as older versions did."""
    train_counts: dict[Task, tuple[int, ...]] | None = None
    """Utterances of train with each class, with features or without; None in runs of older versions."""
    interrupted: bool = False
    certainty: tuple[SplitCertainty, ...] = ()

    @property
    def stored_folds(self) -> str | None:
        """Which folds the run was made with, as `protocol.plan` takes them."""
        return stored_folds(self.folds, whole_dialogues=self.whole_dialogues)

    def to_json(self) -> JsonObject:
        """Return JSON values."""
        own = super().to_json()
        return {key: own[key] for key in _RUN_KEYS}

    def stamped(self) -> JsonObject:
        """Return JSON values with ``format`` and ``version`` before them."""
        version = self.VERSION if self.speaker_prior is None else self.SPEAKER_VERSION
        return super().stamped() | {"version": version}

    @classmethod
    def from_json(cls, values: JsonObject) -> Self:
        """Read what `to_json` gave, of this version or of one whose heads answered each for itself."""
        options = values.get("options")
        older = {"options": {"decoding": "separate", **options}} if isinstance(options, dict) else {}
        return read_fields(cls, values | older)


_RUN_KEYS = (
    *("variant", "choice", "options", "folds", "whole_dialogues", "scored", "protocol", "streams", "widths"),
    *("specs", "speaker_norm", "speaker_prior", "answering", "vocabulary", "cache", "fitted_on"),
    *("train_counts", "versions", "created", "fit_s", "interrupted", "certainty", "chosen"),
)


@dataclass(frozen=True)
class LoggedScore(Document):
    """A score as the test log keeps it."""

    mean: float
    interval: tuple[float, float] | None


@dataclass(frozen=True)
class LoggedScores(Document):
    """The headline scores of each task."""

    tasks: dict[Task, dict[str, LoggedScore]]


@dataclass(frozen=True)
class LoggedCache(Document):
    """The cache whose test split was scored."""

    digest: str
    fingerprint: str = ""
    named: bool = False
    """Whether it was named on the command line."""


@dataclass(frozen=True)
class LogEntry(Document):
    """One line of the test log: a time that the test split was scored."""

    when: str
    split: str
    cache: LoggedCache
    utterances: int
    scores: LoggedScores
    earlier_fit: bool = False
    """Whether the run was fitted anew since."""

    def to_json(self) -> JsonObject:
        """Return JSON values; ``earlier_fit`` stands only where it is true."""
        own = super().to_json()
        return own if self.earlier_fit else {key: value for key, value in own.items() if key != "earlier_fit"}
