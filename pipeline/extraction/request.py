"""What `extract` reports."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from dualstream.pipeline.errors import DONE_WITH_FAILURES
from dualstream.pipeline.extraction.estimate import TimeEstimate
from dualstream.pipeline.extraction.options import LOCAL as LOCAL
from dualstream.pipeline.extraction.options import RAY as RAY
from dualstream.pipeline.extraction.options import RunOptions as RunOptions


@dataclass
class ExtractReport:
    """What a run did."""

    cache: str
    fingerprint: str
    utterances: int
    made: int = 0
    """Clips that were decoded and encoded in this run."""
    kept: int = 0
    """Clips whose rows stood already."""
    failed: list[tuple[str, str]] = field(default_factory=list)
    """(id, reason) of every failed clip in the cache."""
    notices: list[str] = field(default_factory=list)
    streams: dict[str, dict[str, Any]] = field(default_factory=dict)
    seconds: float = 0.0
    estimate: TimeEstimate | None = None
    """Of a dry run."""

    @property
    def exit_status(self) -> int:
        """0, or 3 where clips failed."""
        return DONE_WITH_FAILURES if self.failed else 0

    def to_json(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        document: dict[str, Any] = {
            "cache": self.cache,
            "fingerprint": self.fingerprint,
            "utterances": self.utterances,
            "made": self.made,
            "kept": self.kept,
            "failed": [{"id": name, "reason": reason} for name, reason in self.failed],
            "notices": self.notices,
            "streams": self.streams,
            "seconds": round(self.seconds, 3),
        }
        if self.estimate is not None:
            document["estimate"] = self.estimate.to_json()
        return document
