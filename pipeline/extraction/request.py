"""What `extract` reports."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from dualstream.features.weights import WeightsDocument
from dualstream.pipeline.cache.model import Cache, FailedClip
from dualstream.pipeline.errors import DONE_WITH_FAILURES
from dualstream.pipeline.extraction.estimate import TimeEstimate
from dualstream.pipeline.extraction.options import LOCAL as LOCAL
from dualstream.pipeline.extraction.options import RAY as RAY
from dualstream.pipeline.extraction.options import RunOptions as RunOptions
from dualstream.pipeline.storage.rows import blocks

from dualstream.documents import Document, JsonObject


@dataclass(frozen=True)
class ExtractedStream(Document):
    """One stream of a cache that was made."""

    encoder: str
    weights: WeightsDocument | None
    width: int
    utterances: int
    """Those that have it."""
    windows: int | None
    """Those that have it; None for a stream without windows."""
    projection: str | None
    """Its kind."""

    @classmethod
    def of(cls, cache: Cache, name: str) -> ExtractedStream:
        """Return what there is to say of a stream."""
        stream = cache.streams[name]
        present = stream.window_present
        return cls(
            encoder=stream.spec["name"],
            weights=stream.spec["weights"],
            width=stream.utterance.shape[1],
            utterances=int(stream.present.sum()),
            windows=None if present is None else sum(int(rows.sum()) for _, rows in blocks(present)),
            projection=stream.projection.kind if stream.projection else None,
        )


@dataclass(frozen=True)
class PartReport(Document):
    """What one part of many came to."""

    part: str
    """``I/N``."""
    shards: int
    """Shards of the part."""
    shards_made: int
    """Shards that this run made."""
    shards_of_all: int
    """Shards of the whole manifest."""
    missing: list[int]
    """Shards of the whole manifest that are not there yet, from 0; other parts, or a run without --part, make
    them."""


@dataclass(frozen=True)
class ExtractReport(Document):
    """What a run did."""

    FORMAT: ClassVar[str] = "dualstream extraction"

    cache: str
    fingerprint: str
    utterances: int
    made: int = 0
    """Clips that were decoded and encoded in this run."""
    kept: int = 0
    """Clips whose rows stood already."""
    failed: list[FailedClip] = field(default_factory=list)
    """Every failed clip in the cache; of a part, in its shards."""
    notices: list[str] = field(default_factory=list)
    streams: dict[str, ExtractedStream] = field(default_factory=dict)
    seconds: float = 0.0
    estimate: TimeEstimate | None = None
    """Of a dry run; no key where there was none."""
    part: PartReport | None = None
    """Of a run with --part, which seals no cache; no key where there was none."""

    @property
    def exit_status(self) -> int:
        """0, or 3 where clips failed."""
        return DONE_WITH_FAILURES if self.failed else 0

    def to_json(self) -> JsonObject:
        """Return JSON values."""
        own = super().to_json() | {"seconds": round(self.seconds, 3)}
        for key in ("estimate", "part"):
            if own[key] is None:
                del own[key]
        return own
