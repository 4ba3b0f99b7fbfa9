"""Clips to shards: workers decode and hear, this thread encodes frames, shard after shard, in order."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from dualstream.features.batching import FrameBatcher
from dualstream.features.encode import ClipPlan, finish_clip
from dualstream.pipeline.corpus.utterance import Utterance
from dualstream.pipeline.executors import OrderedThreads
from dualstream.pipeline.extraction.clip_reading import ReadClip
from dualstream.pipeline.extraction.clip_workers import WorkerPool, clip_reading
from dualstream.pipeline.extraction.recipe import Recipe
from dualstream.pipeline.extraction.reuse import read_reusable
from dualstream.pipeline.extraction.shards import ClipRows, Shard, members_digest, short_reason
from dualstream.pipeline.extraction.staleness import Hasher

DEFAULT_BUDGET_BYTES = 512 << 20  # decoded clips that wait for the device


@dataclass(frozen=True)
class ShardJob:
    """One shard to make."""

    index: int
    utterances: Sequence[Utterance]
    reusable: dict[str, tuple[Path, str]] = field(default_factory=dict)
    """Streams whose rows another folder has: the shard there, and the stream's name in it (reuse.py)."""


@dataclass(frozen=True, repr=False)
class MadeShard:
    """One shard that was made."""

    job: ShardJob
    shard: Shard
    stats: tuple[tuple[int, int], ...]
    """Size and time of each clip before it was read (staleness.py)."""


def make_shards(
    jobs: Sequence[ShardJob],
    recipe: Recipe,
    hasher: Hasher,
    *,
    workers: int,
    batches: int = 1,
    budget_bytes: int = DEFAULT_BUDGET_BYTES,
    on_clip: Callable[[bool, int], None] | None = None,
    pool: WorkerPool | None = None,
    clips_before: int = 0,
) -> Iterator[MadeShard]:
    """Make shards one after the other, in the jobs' order, and yield each.

    Parameters
    ----------
    workers
        Clips that are read at a time, ahead over the shards' boundaries: in worker processes, or in threads where
        there are few (clip_workers.py). The bytes of a shard do not depend on it.
    batches
        Batches of frames that are encoded at a time, on a core each. Nor on this.
    budget_bytes
        What decoded clips may hold while they wait.
    on_clip
        Called with (failed, number of frames) for each clip that is encoded.
    pool
        Worker processes that go on after these jobs; default: some that end with them.
    clips_before
        How many clips this process has made before: where it makes many, workers are worth their start.

    Raises
    ------
    DualstreamError
        Where ffmpeg itself is gone. A clip that can't be read is a record with a reason, not an error.
    """
    plans: dict[int, ClipPlan] = {}
    count = clips_before + sum(len(job.utterances) for job in jobs)
    reading = clip_reading(recipe.plan, hasher, clips=count, workers=workers, pool=pool)
    threads: OrderedThreads[tuple[Utterance, ClipPlan], ReadClip] = OrderedThreads(
        lambda item: reading.read(*item),
        workers=workers,
        budget_bytes=budget_bytes,
        size_bytes=lambda one: one.begun.size_bytes,
        stop=reading.stop,
    )

    def items() -> Iterator[tuple[Utterance, ClipPlan]]:
        for job in jobs:
            plans[job.index] = _without(recipe.plan, read_reusable(job.reusable, recipe.environment))
            for utterance in job.utterances:
                yield utterance, plans[job.index]

    with contextlib.closing(reading), contextlib.closing(threads.run(items())) as clips:
        for fed in _one_behind(_feed(job, plans, clips, batches, on_clip) for job in jobs):
            made = _made(fed, recipe, plans.pop(fed.job.index))
            if made is None:  # the donor's clips turned out to be others: make it without
                alone = ShardJob(fed.job.index, fed.job.utterances)
                again = make_shards([alone], recipe, hasher, workers=1, batches=batches, budget_bytes=budget_bytes)
                (made,) = again
            yield made


@dataclass(frozen=True, repr=False)
class _FedShard:
    """A shard whose clips are read, and whose frames are on their way through the encoders."""

    job: ShardJob
    read: list[ReadClip]
    batcher: FrameBatcher


def _one_behind(shards: Iterator[_FedShard]) -> Iterator[_FedShard]:
    """Yield each shard at once; where a device computes, once the next one is fed, so that it never runs dry.

    Then a run that is killed loses the clips of two shards.
    """
    waiting: _FedShard | None = None
    for fed in shards:
        if waiting is not None:
            yield waiting
        waiting = fed
        if not fed.batcher.overlaps:
            yield fed
            waiting = None
    if waiting is not None:
        yield waiting


def _without(plan: ClipPlan, given: Collection[str]) -> ClipPlan:
    """Return the plan without the encoders of streams that are given; clips are decoded as before."""
    return replace(plan, encoders={name: one for name, one in plan.encoders.items() if name not in given})


def _feed(
    job: ShardJob,
    plans: Mapping[int, ClipPlan],
    clips: Iterator[ReadClip],
    batches: int,
    on_clip: Callable[[bool, int], None] | None,
) -> _FedShard:
    """Read the next clips, and send their frames through the encoders."""
    first = next(clips)  # from here on the job's plan is there
    plan = plans[job.index]
    batcher = FrameBatcher(plan.video, at_once=batches)
    read: list[ReadClip] = []
    for one in itertools.chain([first], itertools.islice(clips, len(job.utterances) - 1)):
        count = 0
        if not one.failure:
            batcher.add(one.begun.frames_by_stream(plan.video))
            count = one.begun.frame_count
            one.begun.release()
        read.append(one)
        if on_clip is not None:
            on_clip(bool(one.failure), count)
    batcher.send()
    return _FedShard(job, read, batcher)


def _made(fed: _FedShard, recipe: Recipe, plan: ClipPlan) -> MadeShard | None:
    """Make a shard of its clips and rows; None where a donor does not fit them after all."""
    job, read = fed.job, fed.read
    reusable = read_reusable(job.reusable, recipe.environment)
    rows = fed.batcher.finish()
    done: list[ClipRows] = []
    position = 0  # among the clips that did not fail
    for one in read:
        its_rows = {} if one.failure else {name: of_clip[position] for name, of_clip in rows.items()}
        position += not one.failure
        begun = one.begun if one.failure else finish_clip(one.begun, its_rows, plan)
        streams = dict(begun.streams)
        for name in recipe.specs.keys() - plan.encoders.keys():
            if name not in reusable:
                return None
            reused, there = reusable[name]
            cached = reused.clips[len(done)]
            if cached.sha256 != one.sha256 or not np.array_equal(cached.starts_s, begun.starts_s):
                return None
            streams[name] = cached.streams[there]
        done.append(
            ClipRows(
                id=one.utterance.id,
                sha256=one.sha256,
                duration_s=begun.duration_s,
                starts_s=begun.starts_s,
                streams={name: streams[name] for name in recipe.specs},
                status="failed" if one.failure else "ok",
                reason=short_reason(one.failure or "; ".join(begun.notes)),
            )
        )
    shard = Shard(members_digest(job.utterances), tuple(done), recipe.environment)
    return MadeShard(job, shard, tuple(one.stat for one in read))
