"""What the machine that asks saw of each clip: it goes with the job, and only it may call a clip missing.

A node that does not see the clips (a folder that is not mounted there, an older copy) would record good clips as
missing. So each job carries the size and the digest of its files, or why there is none; who makes it compares.
"""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Generator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from dualstream.pipeline.corpus.clip_files import NoClipError
from dualstream.pipeline.corpus.utterance import Utterance
from dualstream.pipeline.executors import STOP_EVERY_S
from dualstream.pipeline.extraction.build_shards import ShardJob
from dualstream.pipeline.extraction.staleness import ABSENT, DigestKey, Hasher

READERS = 4  # threads that hash ahead
JOBS_AHEAD = 8


@dataclass(frozen=True)
class SeenFile:
    """One file of a clip, as the machine that asks saw it."""

    size_bytes: int = -1
    """-1 where nobody knows."""
    sha256: str = ""
    """Empty where it could not be read."""
    fault: tuple[str, str] | None = None
    """Kind and text of the NoClipError where it is no file."""


@dataclass(frozen=True, repr=False)
class SeenJob:
    """One shard to make, with what was seen of its clips."""

    job: ShardJob
    files: Mapping[str, SeenFile]
    """By path in the manifest; empty where no media is read."""
    stats: tuple[tuple[int, int], ...]
    """Size and time of each clip, as `Hasher.stat` gives them."""


def see(job: ShardJob, hasher: Hasher, *, reads_media: bool = True) -> SeenJob:
    """Look at the clips of a job; their bytes are read once."""
    if not reads_media:
        return SeenJob(job, {}, tuple(ABSENT for _ in job.utterances))
    paths = dict.fromkeys(path for one in job.utterances for path in one.files)
    stats = tuple(hasher.stat(*one.files) for one in job.utterances)
    return SeenJob(job, {path: see_file(path, hasher) for path in paths}, stats)


def see_file(path: str, hasher: Hasher, *, read: bool = True) -> SeenFile:
    """Look at one file; False for `read`, or where it would have to be fetched: its size only."""
    size_bytes = hasher.stat(path)[0]
    if size_bytes < 0 or hasher.reads_cheaply:
        try:
            hasher.require(path)
        except NoClipError as error:
            return SeenFile() if error.kind == "unfetched" else SeenFile(fault=(error.kind, error.text))
    return SeenFile(size_bytes, hasher.digest(path) if read and hasher.reads_cheaply else "")


def seen_ahead(jobs: Sequence[ShardJob], hasher: Hasher, *, reads_media: bool) -> Generator[SeenJob, None, None]:
    """Yield the jobs in order, looked at; the next few are read meanwhile."""
    waiting: deque[Future[SeenJob]] = deque()
    following = iter(jobs)
    with ThreadPoolExecutor(READERS, thread_name_prefix="dualstream-see") as pool:
        try:
            while True:
                while len(waiting) < JOBS_AHEAD and (job := next(following, None)) is not None:
                    waiting.append(pool.submit(see, job, hasher, reads_media=reads_media))
                if not waiting:
                    return
                yield waiting.popleft().result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
            while any(not future.done() for future in waiting):
                hasher.stop()
                time.sleep(STOP_EVERY_S)


class SeenHasher(Hasher):
    """Clips on a node: a file that the machine that asks called missing is so here, whatever lies there."""

    def __init__(self, here: Hasher, files: Mapping[str, SeenFile]) -> None:
        super().__init__(Path())
        self._here = here
        self._files = files
        self.reads_cheaply = here.reads_cheaply

    def held(self, *paths: str) -> contextlib.AbstractContextManager[None]:
        """Keep files at hand within a block."""
        return self._here.held(*paths)

    def bring(self, *paths: str) -> None:
        """Fetch files that are `held`, but for those that the machine that asks called missing."""
        self._here.bring(*(path for path in paths if not self._fault(path)))

    def for_worker(self, *paths: str) -> Hasher:
        """Return who answers for a clip's files in a worker process, in the words of who asks."""
        seen = {path: self._files[path] for path in paths if path in self._files}
        return SeenHasher(self._here.for_worker(*(path for path in paths if not self._fault(path))), seen)

    def known(self, *paths: str) -> dict[DigestKey, str]:
        """Return the digests that are known of clips as they are now."""
        return self._here.known(*paths)

    def learn(self, known: Mapping[DigestKey, str]) -> None:
        """Take digests that another process worked out."""
        self._here.learn(known)

    def require(self, path: str) -> Path:
        """Return where a manifest's path leads; raise NoClipError in the words of who asks."""
        if fault := self._fault(path):
            raise NoClipError(*fault)
        return self._here.require(path)

    def stop(self) -> None:
        """End what other threads wait for."""
        self._here.stop()

    def is_readable(self, path: str) -> bool:
        """Tell whether a clip can be read just now."""
        return self._here.is_readable(path)

    def unseen(self, utterances: Sequence[Utterance]) -> dict[str, str]:
        """Return the files that are not here as they were seen, each with the reason."""
        found = {path: self.why(path) for one in utterances for path in one.files if path in self._files}
        return {path: why for path, why in found.items() if why}

    def why(self, path: str) -> str:
        """Say why a file is not here as it was seen; empty where it is."""
        seen = self._files[path]
        if seen.fault or seen.size_bytes < 0:
            return ""
        size = self.stat(path)[0]
        if size < 0:
            try:
                self._here.require(path)
            except NoClipError as error:
                return str(error)
        if size != seen.size_bytes:
            return f"{max(size, 0):,} bytes where the machine that asks sees {seen.size_bytes:,}"
        if not self.is_readable(path):
            return "it can't be read"
        if not seen.sha256 or (sha256 := self.digest(path)) == seen.sha256:
            return ""
        return f"other bytes than the machine that asks sees (SHA-256 {sha256[:12]})"

    def _stat(self, path: str) -> tuple[int, int]:
        return ABSENT if self._fault(path) else self._here.stat(path)

    def _digest(self, path: str) -> str:
        return "" if self._fault(path) else self._here.digest(path)

    def _fault(self, path: str) -> tuple[str, str] | None:
        seen = self._files.get(path)
        return seen.fault if seen else None
