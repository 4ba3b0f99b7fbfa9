"""Several variants on the same utterances: the document of compare.json."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from dualstream.features.encoder import SpecDocument
from dualstream.heads.search.choice import Choice
from dualstream.heads.variants.registry import FitOptions, Task
from dualstream.pipeline.experiments.history import ModelHistory
from dualstream.pipeline.experiments.presence import ALL
from dualstream.pipeline.experiments.protocol import DecodingOptions
from dualstream.pipeline.experiments.run_config import CacheOrigin, SplitCertainty
from dualstream.pipeline.experiments.scores import HEADLINE, SplitScores

from dualstream.documents import Document, JsonObject

DONE, FAILED, NOT_APPLICABLE, INTERRUPTED = "done", "failed", "not applicable", "interrupted"


@dataclass(frozen=True)
class WeightsSeed(Document):
    """A weights file whose own heads answer, and the seed of its training."""

    name: str
    sha256: str
    seed: int


@dataclass(frozen=True)
class EndToEndFacts(Document):
    """What a row of encoders that were trained with heads of their own says of them."""

    encoder: str
    weights: tuple[WeightsSeed, ...]
    streams: tuple[str, ...]
    """Streams of the cache that these weights made."""
    without_answer: tuple[str, ...]
    """Ids of scored utterances that gave no sample."""


@dataclass(frozen=True)
class VariantRow(Document):
    """One variant of a comparison: its scores, or why there are none."""

    variant: str
    single: bool
    """Whether it reads one stream."""
    scores: SplitScores | None = None
    status: str = DONE
    """``done``, ``failed``, ``not applicable`` or ``interrupted``."""
    reason: str = ""
    """Why there are no scores."""
    fit_s: float | None = None
    """Seconds spent in fits; None where nothing was fitted."""
    choice: Choice | None = None
    """What `auto` chose for new utterances, and why."""
    chosen: tuple[str, ...] = ()
    """What `auto` chose for what is scored, one name a fold."""
    history: tuple[ModelHistory, ...] = ()
    end_to_end: EndToEndFacts | None = None

    def to_json(self) -> JsonObject:
        """Return JSON values: of a row without scores its reason, and ``end_to_end`` where there is something."""
        own = super().to_json()
        if self.status != DONE:
            return {key: own[key] for key in ("variant", "single", "scores", "status", "reason")}
        return {key: value for key, value in own.items() if key != "end_to_end" or value is not None}


@dataclass(frozen=True)
class PairedTest(Document):
    """A variant against the best single stream, one task."""

    variant: str
    task: Task
    against: str
    difference: float
    """Headline score of the variant minus that of `against`."""
    interval: tuple[float, float] | None
    p_value: float
    groups: int
    p_holm: float
    """Corrected over the rows of the task."""


@dataclass(frozen=True)
class StreamGain(Document):
    """What one of three streams or more adds to the others, one task."""

    stream: str
    task: Task
    variant: str
    """That joins all streams."""
    without: str
    """The same without this stream."""
    difference: float
    """Headline score with the stream minus that without it."""
    interval: tuple[float, float] | None
    p_value: float
    groups: int
    p_holm: float
    """Corrected over the streams of the task."""


@dataclass(frozen=True)
class Comparison(Document):
    """compare.json."""

    FORMAT: ClassVar[str] = "dualstream comparison"

    cache: CacheOrigin
    streams: dict[str, str]
    specs: dict[str, SpecDocument]
    protocol: str
    split: str
    options: FitOptions
    import_torch_s: float
    rows: tuple[VariantRow, ...]
    """Single streams, then fusions, each the best first."""
    best_single: dict[Task, str]
    tests: tuple[PairedTest, ...]
    warnings: tuple[str, ...]
    speaker_norm: bool = False
    scored: str = ALL
    answering: DecodingOptions = field(default_factory=DecodingOptions)
    metric: str = HEADLINE
    certainty: tuple[SplitCertainty, ...] = ()
    interrupted: bool = False
    stream_gains: tuple[StreamGain, ...] = ()
    """What each stream adds to the others; empty where heads join fewer than three."""
    created: str = ""
    """When, in UTC; empty in documents of before 0.3."""

    def to_json(self) -> JsonObject:
        """Return JSON values."""
        own = super().to_json()
        return {key: own[key] for key in _KEYS}


_KEYS = (
    *("cache", "streams", "specs", "speaker_norm", "scored", "answering", "protocol", "split", "options"),
    *("import_torch_s", "metric", "rows", "best_single", "tests", "warnings", "certainty", "interrupted"),
    "stream_gains",
    "created",
)
