"""extract: clips to cache.h5. Commits a shard at a time, so that a run that ends anywhere goes on from there."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from features.encoder import Precision
from features.media.settings import Channels, Fit, Speed
from pipeline.assembly import MadeShard, ShardJob, make_shards
from pipeline.cache import Cache, read_cache, write_cache
from pipeline.clipstate import ABSENT, Hasher, judge, remember
from pipeline.errors import DONE_WITH_FAILURES, CorruptError, UsageError
from pipeline.estimate import Estimate, estimate
from pipeline.executors import ray_tasks
from pipeline.lock import locked
from pipeline.manifest import Manifest, read_manifest
from pipeline.progress import Progress, spoken_duration
from pipeline.provenance import canonical_json, require_same
from pipeline.recipe import ExtractionOptions, Recipe, make_recipe
from pipeline.reuse import Siblings
from pipeline.sealed import is_sealed, publish, remove_leftovers
from pipeline.sealing import KINDS, ProjectionChoice, ProjectionKind, ShardFolder, build_cache
from pipeline.shards import DEFAULT_SHARD_SIZE, commit_shard, pack_shard, read_shard, shard_path, split_in_shards

LOCAL, RAY = "local", "ray"
SHOWN_FAILURES = 40


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
    """Read every clip again, and make shards anew whose clips' bytes changed, whatever sizes and times say."""
    retry_failed: bool = False
    """Make shards anew that hold a failed clip."""
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


def extract(
    manifest_path: Path,
    *,
    root: Path,
    out: Path,
    options: ExtractionOptions,
    run: RunOptions,
    notice: Callable[[str], None] = lambda text: None,
    build_recipe: Callable[..., Recipe] = make_recipe,
) -> ExtractReport:
    """Extract every clip of a manifest into `out`, or as much as was not extracted before.

    Raises
    ------
    DualstreamError
        And its kinds, each with its exit status: a manifest or options that do not fit, another run on the
        same output (11), a cache made in another way (12), a full disk (1).
    """
    started_s = time.monotonic()
    manifest = _limited(read_manifest(manifest_path), run.limit)
    if not root.is_dir():
        raise UsageError(f"--root {root} is no folder; give the folder that the manifest's paths start from")
    if run.dry_run:
        return _dry_run(manifest, root, out, options, run, build_recipe)
    out.parent.mkdir(parents=True, exist_ok=True)
    with locked(out.with_name(out.name + ".lock")):
        remove_leftovers(out.parent, prefix=out.name)
        shards = out.with_name(out.name + ".shards")
        if shards.is_dir():
            remove_leftovers(shards)
        recipe = build_recipe(options, shard_size=run.shard_size, memo=shards / "recipe-memo.json")
        existing = _existing(out, recipe, run.replace, notice)
        report = ExtractReport(str(out), recipe.fingerprint, len(manifest))

        def note(text: str) -> None:
            report.notices.append(text)
            notice(text)

        folder = _open_folder(shards, recipe, manifest, run.shard_size)
        hasher = Hasher(root)
        jobs = _jobs(manifest, folder, recipe, hasher, run, note)
        report.made = sum(len(job.utterances) for job in jobs)
        report.kept = len(manifest) - report.made
        if report.made == len(manifest):
            _require_some_clips(manifest, recipe, hasher, root)
        taken = sorted({name for job in jobs for name in job.donors})
        if taken:
            note(f"rows of {', '.join(taken)} are taken over from shards that were made in the same way")
        if jobs:
            _check_tables(manifest, recipe, note)
        with Progress(report.made) as progress:
            for made in _executed(jobs, recipe, hasher, root, options, run, progress):
                commit_shard(folder.path, made.job.index, pack_shard(made.shard))
                remember(folder.path, made.job.index, made.job.utterances, made.looks, made.shard)
        cache = _sealed(out, manifest, folder, recipe, existing, run, note)
    report.failed = [
        (name, reason)
        for name, status, reason in zip(
            cache.utterances.id, cache.utterances.status, cache.utterances.reason, strict=True
        )
        if status == "failed"
    ]
    report.streams = {name: _stream_facts(cache, name) for name in cache.streams}
    report.seconds = time.monotonic() - started_s
    _log(out, report)
    return report


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
    ):
        _require_one_of(name, words[name], valid)
    _require_one_of("decode", words["decode"], get_args(Speed))
    return ExtractionOptions(**words)


def checked_run(**words: Any) -> RunOptions:
    """Return the run's options; see `checked_options`."""
    _require_one_of("executor", words["executor"], (LOCAL, RAY))
    if words["projection"] is not None:
        _require_one_of("projection", words["projection"], KINDS)
    return RunOptions(**words)


def describe(report: ExtractReport) -> str:
    """Return the report as text for a person."""
    guess = report.estimate
    if guess is not None:
        time_text = "unknown" if guess.seconds is None else f"about {spoken_duration(guess.seconds)}"
        lines = [
            f"would make {report.cache}: {report.made} of {report.utterances} clips, {report.kept} are done",
            f"time {time_text}, from {guess.measured} clips measured; about {guess.windows:,} windows, "
            f"{guess.shard_bytes / 1e6:,.1f} MB of shards",
            f"fingerprint {report.fingerprint}",
        ]
        lines += [f"{guess.absent} clips have no file and would fail"] if guess.absent else []
        return "\n".join([*lines, *(f"note: {text}" for text in report.notices)])
    lines = [
        f"{report.cache}: {report.utterances} utterances, {report.made} made and {report.kept} kept "
        f"in {spoken_duration(report.seconds)}",
        f"fingerprint {report.fingerprint}",
    ]
    for name, facts in report.streams.items():
        windows = "" if facts["windows"] is None else f", {facts['windows']:,} windows"
        road = f" by {facts['projection']}" if facts["projection"] else ""
        lines.append(
            f"  {name}: {facts['encoder']}, {facts['width']} columns{road}; "
            f"{facts['utterances']:,} utterances{windows}"
        )
    if report.failed:
        lines.append(f"{len(report.failed)} clips failed and are masked:")
        lines += [f"  {name}: {reason}" for name, reason in report.failed[:SHOWN_FAILURES]]
        if len(report.failed) > SHOWN_FAILURES:
            lines.append(f"  … and {len(report.failed) - SHOWN_FAILURES} more: inspect --json lists all")
    return "\n".join(lines)


def _require_one_of(name: str, found: str, valid: Sequence[str]) -> None:
    if found not in valid:
        raise UsageError(f"--{name} is {found!r}; expected one of: {', '.join(valid)}")


def _limited(manifest: Manifest, limit: int | None) -> Manifest:
    if limit is None:
        return manifest
    if limit < 1:
        raise UsageError(f"--limit is {limit}; expected 1 or more")
    return Manifest(manifest.utterances[:limit])


def _existing(out: Path, recipe: Recipe, replace: bool, notice: Callable[[str], None]) -> Cache | None:
    """Return the cache that stands at `out`, or None; refuse to put another one in its place unasked.

    Raises
    ------
    UsageError
        Where something else stands there.
    FingerprintMismatchError
        Where the cache was made in another way.
    """
    if not out.exists() or replace:
        return None
    if not is_sealed(out, "cache"):
        raise UsageError(f"{out} is there and is no cache; choose another --out, or say --replace")
    try:
        cache = read_cache(out)
    except CorruptError as error:
        notice(f"{error}. It is made again from its shards")
        return None
    require_same(
        recipe.document,
        cache.provenance.get("recipe", {}),
        f"{out}",
        "Choose another --out, or say --replace (its shards stay)",
    )
    return cache


def _open_folder(shards: Path, recipe: Recipe, manifest: Manifest, size: int) -> ShardFolder:
    path = shards / recipe.fingerprint
    path.mkdir(parents=True, exist_ok=True)
    remove_leftovers(path)
    if not (path / "recipe.json").exists():
        publish(path / "recipe.json", (canonical_json(recipe.document) + "\n").encode("utf-8"))
    count = len(split_in_shards(manifest.utterances, size))
    return ShardFolder(path, size, count)


def _jobs(
    manifest: Manifest,
    folder: ShardFolder,
    recipe: Recipe,
    hasher: Hasher,
    run: RunOptions,
    note: Callable[[str], None],
) -> list[ShardJob]:
    """Return the shards to make: those that are not there, not whole, or not of these clips."""
    jobs: list[ShardJob] = []
    siblings = Siblings.beside(folder.path, recipe) if recipe.reads_media else Siblings({})
    for index, group in enumerate(split_in_shards(manifest.utterances, folder.size)):
        verdict = judge(folder.path, index, group, hasher, reread=run.verify_clips, reads_media=recipe.reads_media)
        if verdict.fresh and run.retry_failed:
            shard = read_shard(shard_path(folder.path, index))
            if any(clip.status == "failed" for clip in shard.clips):
                jobs.append(ShardJob(index, group))
                continue
        if not verdict.fresh:
            jobs.append(ShardJob(index, group, siblings.donors(index, group, hasher)))
            if shard_path(folder.path, index).exists():
                note(f"shard {index} is made again: {verdict.why}")
    return jobs


def _require_some_clips(manifest: Manifest, recipe: Recipe, hasher: Hasher, root: Path) -> None:
    """Stop before thousands of failures where the root is plainly the wrong folder."""
    if not recipe.reads_media or any(hasher.look(one.path) != ABSENT for one in manifest.utterances):
        return
    raise UsageError(
        f"none of the {len(manifest)} clips is under {root} (the first is {manifest.utterances[0].path}); "
        "give the folder that the paths start from as --root"
    )


def _check_tables(manifest: Manifest, recipe: Recipe, note: Callable[[str], None]) -> None:
    """Stop where a table knows none of the manifest's ids, and say where it lacks some."""
    nothing = np.zeros(1)
    for name, table in recipe.plan.tables.items():
        lacking = [one.id for one in manifest if not table.lookup(one.id, nothing, 1.0).present]
        if len(lacking) == len(manifest):
            raise UsageError(
                f"{table.spec.name} has no row for any of the {len(manifest)} utterances, such as {lacking[0]!r}: "
                "its ids must be those of the manifest"
            )
        if lacking:
            shown = ", ".join(lacking[:5]) + (", …" if len(lacking) > 5 else "")
            note(f"stream {name}: {table.spec.name} has no row for {len(lacking)} of {len(manifest)}: {shown}")


def _executed(
    jobs: Sequence[ShardJob],
    recipe: Recipe,
    hasher: Hasher,
    root: Path,
    options: ExtractionOptions,
    run: RunOptions,
    progress: Progress,
) -> Iterator[MadeShard]:
    if not jobs:  # no encoder is built for nothing
        return
    workers = run.workers or available_cores()

    def on_clip(failed: bool, frames: int) -> None:
        progress.advance(failed=failed, frames=frames)

    if run.executor == LOCAL:
        yield from make_shards(jobs, recipe, hasher, workers=workers, on_clip=on_clip)
        return
    if run.executor != RAY:
        raise UsageError(f"--executor is {run.executor!r}; expected local or ray")
    tasks = [RemoteJob(job, root.resolve(), options, run.shard_size, recipe.fingerprint) for job in jobs]
    for _, made in ray_tasks(make_remotely, tasks, workers=workers):
        for clip in made.shard.clips:
            on_clip(clip.status == "failed", 0)
        yield made


@dataclass(frozen=True)
class RemoteJob:
    """One shard as another process is asked for it."""

    job: ShardJob
    root: Path
    options: ExtractionOptions
    shard_size: int
    fingerprint: str


_recipes: dict[str, Recipe] = {}  # in a worker process: encoders are built once


def make_remotely(remote: RemoteJob) -> MadeShard:
    """Make one shard in this process.

    Raises
    ------
    UsageError
        Where this machine would give other numbers than the one that asks: another ffmpeg, other weights.
    """
    recipe = _recipes.get(remote.fingerprint)
    if recipe is None:
        recipe = make_recipe(remote.options, shard_size=remote.shard_size)
        if recipe.fingerprint != remote.fingerprint:
            raise UsageError(
                f"{platform.node()} would extract in another way than the machine that asks "
                f"(fingerprint {recipe.fingerprint[:12]}, asked for {remote.fingerprint[:12]}): its ffmpeg, "
                "weights, tables or device differ"
            )
        _recipes[remote.fingerprint] = recipe
    (made,) = make_shards([remote.job], recipe, Hasher(remote.root), workers=2)
    return made


def _sealed(
    out: Path,
    manifest: Manifest,
    folder: ShardFolder,
    recipe: Recipe,
    existing: Cache | None,
    run: RunOptions,
    note: Callable[[str], None],
) -> Cache:
    """Build and publish the cache, unless the one that is there was built of the very same things."""
    choice = ProjectionChoice(run.projection or "auto")
    if existing is not None:
        before = existing.provenance
        if run.projection is None:
            choice = ProjectionChoice.from_json(before["projection"])
        if (
            before["shards"] == folder.to_json()
            and before["manifest"] == {"sha256": manifest.sha256, "utterances": len(manifest)}
            and before["projection"] == choice.to_json()
        ):
            return existing
    cache = build_cache(
        manifest,
        folder,
        document=recipe.document,
        fingerprint=recipe.fingerprint,
        specs=recipe.specs,
        choice=choice,
        notice=note,
    )
    write_cache(out, cache)
    return cache


def _stream_facts(cache: Cache, name: str) -> dict[str, Any]:
    stream = cache.streams[name]
    return {
        "encoder": stream.spec["name"],
        "weights": stream.spec["weights"],
        "width": stream.utterance.shape[1],
        "utterances": int(stream.present.sum()),
        "windows": None if stream.window_present is None else int(stream.window_present.sum()),
        "projection": stream.projection.kind if stream.projection else None,
    }


def _dry_run(
    manifest: Manifest,
    root: Path,
    out: Path,
    options: ExtractionOptions,
    run: RunOptions,
    build_recipe: Callable[..., Recipe],
) -> ExtractReport:
    recipe = build_recipe(options, shard_size=run.shard_size)
    notices: list[str] = []
    _existing(out, recipe, run.replace, notices.append)
    groups = split_in_shards(manifest.utterances, run.shard_size)
    folder = ShardFolder(out.with_name(out.name + ".shards") / recipe.fingerprint, run.shard_size, len(groups))
    hasher = Hasher(root)
    missing = [index for index, group in enumerate(groups) if not shard_path(folder.path, index).exists()]
    to_make = [one for index in missing for one in groups[index]]
    report = ExtractReport(str(out), recipe.fingerprint, len(manifest), notices=notices)
    report.made, report.kept = len(to_make), len(manifest) - len(to_make)
    report.estimate = estimate(to_make, recipe, hasher, workers=run.workers or available_cores())
    return report


def available_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _log(out: Path, report: ExtractReport) -> None:
    """Append a line for people: when, where and how fast. It is no part of the cache, whose bytes repeat."""
    when = time.strftime("%Y-%m-%d %H:%M:%S%z")
    rate = f", {report.made / report.seconds:.2f} clips/s" if report.made else ""
    line = (
        f"{when} {platform.node()}: {report.made} clips made, {report.kept} kept, {len(report.failed)} failed, "
        f"{spoken_duration(report.seconds)}{rate}, fingerprint {report.fingerprint}\n"
    )
    with open(out.with_name(out.name + ".log"), "a", encoding="utf-8") as file:
        file.write(line)
