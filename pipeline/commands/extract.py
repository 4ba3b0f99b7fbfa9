"""extract: clips to cache.h5. Commits a shard at a time, so that a run that ends anywhere goes on from there."""

from __future__ import annotations

import contextlib
import platform
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from dualstream.pipeline.cache import Cache, open_cache, write_cache
from dualstream.pipeline.cache.model import FailedClip
from dualstream.pipeline.corpus.manifest import Manifest, find_manifest, read_manifest
from dualstream.pipeline.corpus.remote_root import RemoteRoot
from dualstream.pipeline.corpus.utterance import Utterance
from dualstream.pipeline.errors import CorruptError, UsageError, resumable
from dualstream.pipeline.extraction.build_cache import ShardFolder, build_cache, whitened_words
from dualstream.pipeline.extraction.build_shards import MadeShard, ShardJob, make_shards
from dualstream.pipeline.extraction.distributed import Cluster, cluster
from dualstream.pipeline.extraction.early_workers import EarlyWorkers
from dualstream.pipeline.extraction.encoder_choice import idle_words
from dualstream.pipeline.extraction.estimate import estimate
from dualstream.pipeline.extraction.parts import failed_clips, part_report
from dualstream.pipeline.extraction.presence import ClipPresence
from dualstream.pipeline.extraction.projection_choice import ProjectionChoice
from dualstream.pipeline.extraction.ray_session import refuse_client_address, require_ray
from dualstream.pipeline.extraction.recipe import ExtractionOptions, Recipe, make_recipe
from dualstream.pipeline.extraction.remote_clips import hasher_of
from dualstream.pipeline.extraction.request import RAY, ExtractedStream, ExtractReport, RunOptions
from dualstream.pipeline.extraction.scheduling import ExtractionJob, jobs_to_do, set_damaged_aside
from dualstream.pipeline.extraction.shards import commit_shard, pack_shard, split_in_shards
from dualstream.pipeline.extraction.staleness import record_stats
from dualstream.pipeline.options.emit import CommandResult, notice, text_result
from dualstream.pipeline.options.features import ExtractCommand
from dualstream.pipeline.places import require_file_place
from dualstream.pipeline.provenance import canonical_json, require_same
from dualstream.pipeline.reporting.extraction import describe
from dualstream.pipeline.reporting.heartbeat import format_duration
from dualstream.pipeline.reporting.progress import Progress
from dualstream.pipeline.storage.folders import make_folder, require_writable
from dualstream.pipeline.storage.lock import locked
from dualstream.pipeline.storage.sealed import is_sealed, publish, remove_leftovers

from dualstream.cores import one_blas_thread, torch_threads
from dualstream.counting import counted


def run(options: ExtractCommand) -> CommandResult:
    """Do what the command line asks."""
    report = extract(
        options.manifest,
        root=options.root,
        out=options.out,
        options=options.features,
        run=options.run,
        notice=notice,
    )
    return text_result(report, describe(report), report.exit_status)


@one_blas_thread()
def extract(
    manifest_path: Path,
    *,
    root: Path | RemoteRoot,
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
        same output (11), a cache made in another way (12), a full disk, too little memory, or clips that go away
        while they are read (1).
    """
    started_s = time.monotonic()
    manifest = _limited(read_manifest(find_manifest(manifest_path, notice)), run.limit)
    _require_places(root, out, options, run)
    if run.dry_run:
        return _dry_run(manifest, root, out, options, run, build_recipe)
    require_writable(out)
    make_folder(out.parent)
    notices: list[str] = []

    def note(text: str) -> None:
        notices.append(text)
        notice(text)

    for text in idle_words(options, run):
        note(text)
    with contextlib.ExitStack() as held, resumable():
        if run.part is None:  # parts run at the same time: they publish whole shards, and seal nothing
            held.enter_context(locked(out.with_name(out.name + ".lock")))
        remove_leftovers(out.parent, of=out.name)
        shards = _shards_of(out)
        if shards.is_dir():
            remove_leftovers(shards)
        nodes = held.enter_context(_nodes(manifest, root, out, options, run, note))
        memo = shards / "recipe-memo.json"
        early = EarlyWorkers(run.cores, options.torch_threads, len(manifest) // run.share.count)
        held.callback(early.close)
        how = {"shard_size": run.shard_size, "memo": memo, "before_networks": early.begin}
        recipe = nodes.recipe if nodes else build_recipe(options, **how)
        existing = _existing(out, recipe, run.replace, notice)
        folder = _folder(out, recipe, manifest, run.shard_size)
        _open(folder, recipe)
        hasher = hasher_of(root, (path for one in manifest for path in one.files))
        held.callback(hasher.close)
        work = ExtractionJob(manifest, folder, recipe, hasher, root, options, run, nodes, early)
        made = _make_missing(work, note)
        if run.part is not None:
            report = _part_made(out, work, made, note)
        else:
            cache, again = _sealed_at_last(out, work, existing, note)
            if whitened := whitened_words(cache, out):
                note(whitened)
            if run.region_debug is not None:
                _show_faces(run.region_debug, cache, work, note)
            report = _report(out, work, [*made, *again], cache.utterances.failed)
            report = replace(report, streams={name: ExtractedStream.of(cache, name) for name in cache.streams})
    report = replace(report, notices=notices, seconds=time.monotonic() - started_s)
    try:
        _log(out, report)
    except OSError as error:
        note(f"the run is not noted in {out.name}.log, which can't be written: {error.strerror or error}")
    return report


def _require_places(root: Path | RemoteRoot, out: Path, options: ExtractionOptions, run: RunOptions) -> None:
    """Refuse a root, an output, a folder of faces or a cluster that can't be used."""
    if not root.is_dir():
        raise UsageError(f"--root {root} is not a directory; give the folder that the manifest's paths start from")
    if run.region_debug is not None:
        _require_faces(run.region_debug, options)
    if run.executor == RAY:
        refuse_client_address(run.ray_address)
        require_ray()
    require_file_place(out)
    if out.exists() and not run.replace and not is_sealed(out, "cache"):
        raise UsageError(f"{out} is there and is no cache; choose another --out, or use --replace")


def _report(out: Path, work: ExtractionJob, made: Sequence[int], failed: Sequence[FailedClip]) -> ExtractReport:
    """Return what there is to say of a run; `made` has the number of clips of each shard that it made."""
    total = sum(len(group) for _, group in work.groups())
    return ExtractReport(
        cache=str(out),
        fingerprint=work.recipe.fingerprint,
        utterances=total,
        made=sum(made),
        kept=max(0, total - sum(made)),
        failed=list(failed),
    )


def _part_made(out: Path, work: ExtractionJob, made: list[int], note: Callable[[str], None]) -> ExtractReport:
    """Report a part; where one of its shards proves damaged only now, make it again, once."""
    try:
        failed = list(failed_clips(work))
    except CorruptError as damage:
        if not set_damaged_aside(work, note):
            raise
        note(f"{damage}")
        made = [*made, *_make_missing(work, note)]
        failed = list(failed_clips(work))
    return replace(_report(out, work, made, failed), part=part_report(work, len(made)))


def _require_faces(folder: Path, options: ExtractionOptions) -> None:
    """Refuse to show faces where no stream will have any, or where there is no place for them."""
    if set(options.region) == {"frame"}:
        raise UsageError(
            f"--region-debug {folder} shows whose face was chosen; found --region frame: name face or speaker, or "
            "leave it out"
        )
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"--region-debug {folder} is not a folder; name one")
    require_writable(folder / "faces.html", "--region-debug")


def _show_faces(folder: Path, cache: Cache, work: ExtractionJob, note: Callable[[str], None]) -> None:
    """Write what a person looks at to see whether the right faces were chosen."""
    from dualstream.pipeline.reporting.faces_page import PAGE, write_faces

    for text in write_faces(folder, cache, work.manifest, work.recipe.plan, work.hasher):
        note(f"--region-debug: {text}")
    note(f"whose face was chosen: {folder / PAGE}")


def _limited(manifest: Manifest, limit: int | None) -> Manifest:
    if limit is None:
        return manifest
    return Manifest(manifest.utterances[:limit])


def _existing(out: Path, recipe: Recipe, replace: bool, notice: Callable[[str], None]) -> Cache | None:
    """Return the cache that stands at `out`, or None; refuse to put another one in its place unasked.

    Raises
    ------
    FingerprintMismatchError
        Where the cache was made in another way.
    """
    if not out.exists() or replace:
        return None
    try:
        cache = open_cache(out)
    except CorruptError as error:
        notice(f"{error}. It is made again from its shards")
        return None
    require_same(
        recipe.document,
        cache.provenance.get("recipe", {}),
        f"{out}",
        "Choose another --out, or use --replace (its shards stay)",
    )
    return cache


def _shards_of(out: Path) -> Path:
    return out.with_name(out.name + ".shards")


def _folder(out: Path, recipe: Recipe, manifest: Manifest, size: int) -> ShardFolder:
    return ShardFolder(_shards_of(out) / recipe.fingerprint, size, len(split_in_shards(manifest.utterances, size)))


def _open(folder: ShardFolder, recipe: Recipe) -> None:
    """Make the folder where it is not there, with its recipe, and clear away what a killed run left."""
    folder.path.mkdir(parents=True, exist_ok=True)
    remove_leftovers(folder.path)
    if not (folder.path / "recipe.json").exists():
        publish(folder.path / "recipe.json", (canonical_json(recipe.document) + "\n").encode("utf-8"))


def _make_missing(work: ExtractionJob, note: Callable[[str], None]) -> list[int]:
    """Make and commit every shard that is not there, not whole, or not of these clips.

    Returns the number of clips of each that was made.
    """
    jobs = jobs_to_do(work, note)
    made = [len(job.utterances) for job in jobs]
    if not jobs:  # no encoder is built for nothing
        return []
    taken = sorted({name for job in jobs for name in job.reusable})
    if taken:
        note(f"rows of {', '.join(taken)} are taken over from shards that were made in the same way")
    folder, recipe = work.folder.path, work.recipe
    clips = (one for job in jobs for one in job.utterances) if recipe.reads_media else ()
    presence = ClipPresence.of(work.root, work.hasher, clips)
    # Closed whatever happens: an interrupt during a commit must end the threads that decode ahead, too.
    here = recipe.has_network and work.nodes is None
    torch = torch_threads(work.options.torch_threads if here else None)
    work.early.clips = sum(made)
    with torch, Progress(sum(made)) as progress, contextlib.closing(_executed(work, jobs, progress)) as shards:
        for one in shards:
            if not work.run.keep_going:
                presence.require(f"shard {one.job.index}", _failures(one))
            sealed = commit_shard(folder, one.job.index, pack_shard(one.shard))
            record_stats(folder, one.job.index, one.job.utterances, one.stats, one.shard, sealed)
    return made


def _failures(made: MadeShard) -> list[tuple[Utterance, str, str]]:
    """Return each utterance with its digest, and its reason where it failed."""
    pairs = zip(made.job.utterances, made.shard.clips, strict=True)
    return [(one, clip.sha256, clip.reason if clip.status == "failed" else "") for one, clip in pairs]


def _executed(
    work: ExtractionJob, jobs: Sequence[ShardJob], progress: Progress
) -> Generator[MadeShard, None, None]:
    """Make the jobs' shards by the executor that was chosen."""
    run, recipe = work.run, work.recipe

    def on_clip(failed: bool, frames: int) -> None:
        progress.advance(failed=failed, frames=frames)

    if work.nodes is not None:
        yield from work.nodes.make(jobs, work.hasher, on_clip)
        return
    _ = recipe.plan  # built now, where it wasn't yet: that begins the early workers
    how: dict[str, Any] = {"workers": run.cores, "batches": work.options.batches, "on_clip": on_clip}
    with contextlib.closing(work.early) as early:
        yield from make_shards(jobs, recipe, work.hasher, pool=early.pool, **how)


def _nodes(
    manifest: Manifest,
    root: Path | RemoteRoot,
    out: Path,
    options: ExtractionOptions,
    run: RunOptions,
    note: Callable[[str], None],
) -> contextlib.AbstractContextManager[Cluster | None]:
    """Return the cluster that makes the shards; None where this machine does."""
    if run.executor != RAY:
        return contextlib.nullcontext()

    def is_made(fingerprint: str) -> bool:
        return any((_shards_of(out) / fingerprint).glob("shard-*.h5"))

    return cluster(manifest, root, options, run, is_made=is_made, note=note)


def _sealed_at_last(
    out: Path, work: ExtractionJob, existing: Cache | None, note: Callable[[str], None]
) -> tuple[Cache, list[int]]:
    """Seal the cache; where a shard proves damaged only now, set it aside and make it again, once.

    Returns it, and the number of clips of each shard that was made for that.
    """
    try:
        return _sealed(out, work, existing, note), []
    except CorruptError as error:
        damage = CorruptError(str(error))  # without the frames that hold all rows which were read by then
    if not set_damaged_aside(work, note):
        raise damage
    made = _make_missing(work, note)
    return _sealed(out, work, existing, note), made


def _sealed(out: Path, work: ExtractionJob, existing: Cache | None, note: Callable[[str], None]) -> Cache:
    """Build and publish the cache, unless the one that is there was built of the very same things."""
    manifest, folder, recipe, run = work.manifest, work.folder, work.recipe, work.run
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
        spool=out,
    )
    write_cache(out, cache)
    return cache


def _dry_run(
    manifest: Manifest,
    root: Path | RemoteRoot,
    out: Path,
    options: ExtractionOptions,
    run: RunOptions,
    build_recipe: Callable[..., Recipe],
) -> ExtractReport:
    notices = idle_words(options, run)
    with contextlib.ExitStack() as held:
        nodes = held.enter_context(_nodes(manifest, root, out, options, run, notices.append))
        recipe = nodes.recipe if nodes else build_recipe(options, shard_size=run.shard_size)
        _existing(out, recipe, run.replace, notices.append)
        folder = _folder(out, recipe, manifest, run.shard_size)
        hasher = hasher_of(root, (path for one in manifest for path in one.files))
        held.callback(hasher.close)
        work = ExtractionJob(manifest, folder, recipe, hasher, root, options, run, nodes)
        to_make = [one for job in jobs_to_do(work, notices.append) for one in job.utterances]
        if nodes:
            guess = nodes.estimate(to_make)
        else:
            with torch_threads(options.torch_threads if recipe.has_network else None):
                guess = estimate(to_make, recipe, work.hasher, workers=run.cores, batches=options.batches)
    of_each = [len(to_make)] if to_make else []
    return replace(_report(out, work, of_each, []), notices=notices, estimate=guess)


def _log(out: Path, report: ExtractReport) -> None:
    """Append a line for people: when, where and how fast. It is no part of the cache, whose bytes repeat."""
    when = time.strftime("%Y-%m-%d %H:%M:%S%z")
    rate = f", {report.made / report.seconds:.2f} clips/s" if report.made else ""
    part = f"part {report.part.part}, " if report.part else ""
    line = (
        f"{when} {platform.node()}: {part}{counted(report.made, 'clip')} made, {report.kept} kept, "
        f"{len(report.failed)} failed, {format_duration(report.seconds)}{rate}, fingerprint {report.fingerprint}\n"
    )
    with open(out.with_name(out.name + ".log"), "a", encoding="utf-8") as file:
        file.write(line)
