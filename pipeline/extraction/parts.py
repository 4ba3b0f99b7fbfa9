"""One part of many (``extract --part I/N``): what it came to, and what the whole still lacks."""

from __future__ import annotations

from collections.abc import Iterator

from dualstream.pipeline.cache.model import FailedClip
from dualstream.pipeline.errors import CorruptError
from dualstream.pipeline.extraction.request import PartReport
from dualstream.pipeline.extraction.scheduling import ExtractionJob
from dualstream.pipeline.extraction.shards import KIND, read_shard, shard_path
from dualstream.pipeline.storage.sealed import peek_digest


def part_report(work: ExtractionJob, shards_made: int) -> PartReport:
    """Return what a part came to, once its shards are committed."""
    return PartReport(
        part=str(work.run.share),
        shards=len(work.groups()),
        shards_made=shards_made,
        shards_of_all=work.folder.count,
        missing=[index for index in range(work.folder.count) if not _is_committed(work, index)],
    )


def failed_clips(work: ExtractionJob) -> Iterator[FailedClip]:
    """Read the shards of a part again, and yield each clip that failed, with its reason."""
    for index, _ in work.groups():
        for clip in read_shard(shard_path(work.folder.path, index)).clips:
            if clip.status == "failed":
                yield FailedClip(clip.id, clip.reason)


def _is_committed(work: ExtractionJob, index: int) -> bool:
    try:
        peek_digest(shard_path(work.folder.path, index), KIND)
    except (OSError, CorruptError):
        return False
    return True
