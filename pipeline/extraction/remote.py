"""What a process on a node does: it states its recipe, and makes the shards that it is given.

Encoders are built once for a process, on the node's device. Nothing of ray is imported here: a process that ray
starts imports this module, makes one `ShardMaker`, and calls it.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dualstream.features.encoder import SpecDocument
from dualstream.features.single_read import digest_of_file
from dualstream.pipeline.corpus.remote_root import RemoteRoot
from dualstream.pipeline.corpus.utterance import Utterance
from dualstream.pipeline.errors import DualstreamError
from dualstream.pipeline.extraction.build_shards import MadeShard, make_shards
from dualstream.pipeline.extraction.clip_workers import WorkerPool
from dualstream.pipeline.extraction.estimate import TimeEstimate, estimate
from dualstream.pipeline.extraction.recipe import ExtractionOptions, Recipe, make_recipe
from dualstream.pipeline.extraction.remote_clips import hasher_of
from dualstream.pipeline.extraction.seen import SeenFile, SeenHasher, SeenJob
from dualstream.pipeline.extraction.staleness import ABSENT
from dualstream.pipeline.memory import MemoryShortageError, shortage_words
from dualstream.pipeline.provenance import Environment, RecipeDocument

from dualstream.cores import one_blas_thread, torch_threads
from dualstream.version import __version__

SHOWN_FILES = 3


@dataclass(frozen=True)
class NodeRequest:
    """What every process of a run is told."""

    root: Path | RemoteRoot
    """Absolute."""
    options: ExtractionOptions
    """Its paths are absolute."""
    shard_size: int
    files: Mapping[str, str]
    """SHA-256 of weights and tables by absolute path, on the machine that asks."""
    sample: Mapping[str, SeenFile]
    """A few clips, without digests, which every node must see."""


@dataclass(frozen=True)
class NodeStatement:
    """What a process says of itself before it is given anything to make."""

    version: str
    document: RecipeDocument | None = None
    specs: dict[str, SpecDocument] | None = None
    environment: Environment | None = None
    fault: str = ""
    """Why it can't take part; empty where it can."""
    gpus: str = ""
    """What CUDA_VISIBLE_DEVICES held."""


@dataclass(frozen=True, repr=False)
class Outcome:
    """What became of a job: exactly one of the first four is given."""

    made: MadeShard | None = None
    unseen: Mapping[str, str] | None = None
    """Files that are not here as the machine that asks saw them, with the reason."""
    refusal: str = ""
    """What is wrong with this node; another one may do better."""
    shortage: str = ""
    """Memory ran short: it may not next time."""
    frames: tuple[tuple[bool, int], ...] = ()
    """Of each clip that was made: whether it failed, and its number of frames."""


class ShardMaker:
    """Makes shards in a process of its own."""

    def __init__(self, request: NodeRequest, cores: int) -> None:
        self._request = request
        self._cores = cores
        self._recipe: Recipe | None = None
        self._lock = threading.Lock()
        self._shard = -1
        self._frames: list[tuple[bool, int]] = []
        self._hasher = hasher_of(request.root)
        self._pool = WorkerPool()
        """Worker processes, kept from shard to shard."""
        self._clips = 0

    def state(self) -> NodeStatement:
        """Build the encoders, and say what the rows that are made here depend on."""
        gpus = os.environ.get("CUDA_VISIBLE_DEVICES", "")
        try:
            self._require_files()
            recipe = make_recipe(self._request.options, shard_size=self._request.shard_size)
            self._recipe = recipe
            _ = recipe.plan  # built now, not with the first shard
            statement = NodeStatement(
                __version__, recipe.document, recipe.specs, recipe.environment, self._blind(recipe), gpus
            )
        except DualstreamError as error:
            return NodeStatement(__version__, fault=str(error), gpus=gpus)
        except (OSError, ValueError, RuntimeError, ImportError) as error:
            return NodeStatement(__version__, fault=f"{type(error).__name__}: {error}", gpus=gpus)
        return statement

    def make(self, seen: SeenJob) -> Outcome:
        """Make one shard, unless its clips are not here as they were seen."""
        assert self._recipe is not None, "a process states its recipe before it is given a job"
        job, recipe = seen.job, self._recipe
        with self._lock:
            self._shard, self._frames = job.index, []
        hasher = SeenHasher(self._hasher, seen.files)
        if unseen := hasher.unseen(job.utterances):
            return Outcome(unseen=unseen)
        threads = torch_threads(self._request.options.torch_threads if recipe.has_network else None)
        if self._pool.is_closed:  # a job before came to a bad end
            self._pool.close()
            self._pool = WorkerPool()
        before, self._clips = self._clips, self._clips + len(job.utterances)
        how: dict[str, Any] = {"workers": self._cores, "batches": self._batches, "on_clip": self._note}
        try:
            with one_blas_thread(), threads:
                (made,) = make_shards([job], recipe, hasher, pool=self._pool, clips_before=before, **how)
        except MemoryShortageError as error:
            return Outcome(shortage=str(error))
        except DualstreamError as error:
            return Outcome(refusal=str(error))
        except Exception as error:
            if words := shortage_words(error):
                return Outcome(shortage=words)
            raise
        if unseen := self._gone(made, seen):
            return Outcome(unseen=unseen)
        return Outcome(made=made, frames=tuple(self._frames))

    def progress(self) -> tuple[int, tuple[tuple[bool, int], ...]]:
        """Return which shard is being made, and its clips so far; called from another thread than `make`."""
        with self._lock:
            return self._shard, tuple(self._frames)

    def estimate(self, utterances: Sequence[Utterance], workers: int, batches: int) -> TimeEstimate:
        """Measure a few clips on this node."""
        assert self._recipe is not None
        threads = torch_threads(self._request.options.torch_threads if self._recipe.has_network else None)
        with one_blas_thread(), threads:
            return estimate(utterances, self._recipe, self._hasher, workers=workers, batches=batches)

    @property
    def _batches(self) -> int:
        return 1 if self._request.options.threads else self._cores

    def _note(self, failed: bool, frames: int) -> None:
        with self._lock:
            self._frames.append((failed, frames))

    def _require_files(self) -> None:
        """Refuse weights and tables that are not here, or not those of the machine that asks."""
        for path, sha256 in self._request.files.items():
            try:
                found = digest_of_file(Path(path))
            except OSError as error:
                raise DualstreamError(f"{path} can't be read there: {error.strerror}") from error
            if found != sha256:
                raise DualstreamError(
                    f"{path} is another file there: SHA-256 {found[:12]}…, on the machine that asks {sha256[:12]}…"
                )

    def _blind(self, recipe: Recipe) -> str:
        """Say which of a few clips are not seen from here; empty where all are."""
        if not recipe.reads_media:
            return ""
        hasher = SeenHasher(self._hasher, self._request.sample)
        unseen = {path: why for path in self._request.sample if (why := hasher.why(path))}
        return unseen_words(unseen, len(self._request.sample), self._request.root) if unseen else ""

    def _gone(self, made: MadeShard, seen: SeenJob) -> dict[str, str]:
        """Return files of failed clips that went away, or were exchanged, while they were read here."""
        pairs = zip(made.job.utterances, made.shard.clips, strict=True)
        failed = [one for one, clip in pairs if clip.status == "failed"]
        return SeenHasher(self._hasher, seen.files).unseen(failed)


def unseen_words(unseen: Mapping[str, str], total: int, root: Path | RemoteRoot) -> str:
    """Return in words which files a node does not see."""
    shown = "; ".join(f"{path}: {why}" for path, why in list(unseen.items())[:SHOWN_FILES])
    more = f"; and {len(unseen) - SHOWN_FILES} more" if len(unseen) > SHOWN_FILES else ""
    return f"{len(unseen)} of {total} files are not under {root} there as they are here ({shown}{more})"


def with_stats(made: MadeShard, seen: SeenJob) -> MadeShard:
    """Return a shard with what the machine that asks saw of the clips: its folder is the one that counts.

    A clip that changed while it was read keeps `ABSENT`, so that it is looked at again.
    """
    pairs = zip(seen.stats, made.stats, strict=True)
    return replace(made, job=seen.job, stats=tuple(there if there == ABSENT else here for here, there in pairs))
