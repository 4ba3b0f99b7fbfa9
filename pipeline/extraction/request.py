"""What `extract` is asked, in the command line's words, and what it answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from dualstream.features.encoder import Precision
from dualstream.features.media.settings import Channels, Fit, Speed
from dualstream.pipeline.errors import DONE_WITH_FAILURES, one_of
from dualstream.pipeline.extraction.build_cache import KINDS, ProjectionKind
from dualstream.pipeline.extraction.estimate import Estimate
from dualstream.pipeline.extraction.recipe import ExtractionOptions
from dualstream.pipeline.extraction.shards import DEFAULT_SHARD_SIZE

LOCAL, RAY = "local", "ray"


@dataclass(frozen=True)
class RunOptions:
    """What `extract` does with the clips, none of which changes a number."""

    workers: int = 0
    """Threads that decode; 0: one for each core that this process may use."""
    executor: Literal["local", "ray"] = "local"
    shard_size: int = DEFAULT_SHARD_SIZE
    """Utterances in a shard: what is lost at most when a run is killed. It does shape the last digits."""
    projection: ProjectionKind | None = None
    """None: as in the cache that is already there, else ``auto``."""
    replace: bool = False
    """Replace a cache that was made in another way."""
    verify_clips: bool = False
    """Read every clip and shard again, and make shards anew that are damaged or whose clips' bytes changed."""
    retry_failed: bool = False
    """Make shards anew that hold a failed clip."""
    keep_going: bool = False
    """Record clips as missing that went away while the run read them, however many there are."""
    limit: int | None = None
    """Only the first so many utterances."""
    dry_run: bool = False
    """Say what would be made and how long it takes; write nothing."""


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
    estimate: Estimate | None = None
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


def checked_options(**words: Any) -> ExtractionOptions:
    """Return the options that words of the command line stand for.

    Raises
    ------
    UsageError
        Where a word is none of those that there are; the message lists them.
    """
    for name, valid in (
        ("precision", get_args(Precision)),
        ("fit", get_args(Fit)),
        ("channels", get_args(Channels)),
        ("decode", get_args(Speed)),
    ):
        one_of(name, words[name], valid)
    return ExtractionOptions(**words)


def checked_run(**words: Any) -> RunOptions:
    """Return the run's options; see `checked_options`."""
    one_of("executor", words["executor"], (LOCAL, RAY))
    if words["projection"] is not None:
        one_of("projection", words["projection"], KINDS)
    return RunOptions(**words)
