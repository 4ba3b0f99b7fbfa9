"""What a run holds in its hands, and which shards it has to make: those missing, damaged, or of other clips."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from dualstream.pipeline.corpus.clip_files import NoClipError
from dualstream.pipeline.corpus.manifest import Manifest
from dualstream.pipeline.corpus.remote_root import RemoteRoot
from dualstream.pipeline.corpus.utterance import Utterance
from dualstream.pipeline.errors import CorruptError, UsageError
from dualstream.pipeline.extraction.build_cache import ShardFolder
from dualstream.pipeline.extraction.build_shards import ShardJob
from dualstream.pipeline.extraction.distributed import Cluster
from dualstream.pipeline.extraction.early_workers import EarlyWorkers
from dualstream.pipeline.extraction.presence import require_known
from dualstream.pipeline.extraction.recipe import ExtractionOptions, Recipe
from dualstream.pipeline.extraction.request import RunOptions
from dualstream.pipeline.extraction.reuse import SiblingRecipes
from dualstream.pipeline.extraction.shards import read_shard, shard_path, split_in_shards
from dualstream.pipeline.extraction.staleness import ABSENT, Hasher, check_freshness
from dualstream.pipeline.storage.sealed import set_aside


@dataclass(frozen=True, repr=False)
class ExtractionJob:
    """What a run holds in its hands."""

    manifest: Manifest
    folder: ShardFolder
    recipe: Recipe
    hasher: Hasher
    root: Path | RemoteRoot
    options: ExtractionOptions
    run: RunOptions
    nodes: Cluster | None = None
    """Who makes the shards; None: this process."""
    early: EarlyWorkers = field(default_factory=EarlyWorkers)
    """Workers of this process that start ahead of the first clip."""

    def groups(self) -> list[tuple[int, Sequence[Utterance]]]:
        """Return the shards that are asked for, each by its index and its utterances."""
        part = self.run.share
        groups = split_in_shards(self.manifest.utterances, self.folder.size)
        return [(index, group) for index, group in enumerate(groups) if part.holds(index)]


def jobs_to_do(work: ExtractionJob, note: Callable[[str], None]) -> list[ShardJob]:
    """Return the shards to make. A dry run gets the same ones, and writes nothing on the way.

    Raises
    ------
    UsageError
        Where the root holds none of the clips, or a table none of the ids.
    ClipsGoneError
        Where more than a fifth of the clips are gone that earlier runs have read.
    """
    recipe, run = work.recipe, work.run
    jobs: list[ShardJob] = []
    look_beside = recipe.reads_media and not run.dry_run
    sibling_recipes = SiblingRecipes.beside(work.folder.path, recipe) if look_beside else SiblingRecipes({})
    damaged: list[Path] = []
    gone = 0
    groups = work.groups()
    for index, group in groups:
        path = shard_path(work.folder.path, index)
        freshness = check_freshness(
            work.folder.path,
            index,
            group,
            work.hasher,
            reread=run.verify_clips,
            reads_media=recipe.reads_media,
            noting=not run.dry_run,
        )
        if not freshness.fresh:
            jobs.append(ShardJob(index, group, sibling_recipes.reusable(index, group, work.hasher)))
            gone += freshness.gone
            if path.exists():
                note(f"shard {index} is made again: {freshness.why}")
            if freshness.damaged:
                damaged.append(path)
        elif run.retry_failed and (failures := _failures(path)) != 0:
            jobs.append(ShardJob(index, group))
            if failures is None:
                damaged.append(path)
    if jobs:
        if len(jobs) == len(groups):
            _require_some_clips(work)
        if not run.keep_going:
            require_known(work.root, gone, sum(len(group) for _, group in groups))
        _check_tables(work, note)
    if not run.dry_run:
        _set_all_aside(damaged, note)
    return jobs


def set_damaged_aside(work: ExtractionJob, note: Callable[[str], None]) -> int:
    """Give shards another name whose header looks well and whose bytes are not; return how many there were."""
    damaged = []
    for index, _ in work.groups():
        try:
            work.folder.read(index)
        except CorruptError as found:
            damaged.append(shard_path(work.folder.path, index))
            note(f"{found}. It is made again")
    _set_all_aside(damaged, note)
    return len(damaged)


def _set_all_aside(damaged: list[Path], note: Callable[[str], None]) -> None:
    for path in damaged:
        try:
            aside = set_aside(path)
        except FileNotFoundError:  # a part that runs at the same time was faster
            continue
        note(f"{path.name}, which is damaged, is called {aside.name} now: remove it once you like")


def _failures(path: Path) -> int | None:
    """Return how many failed clips a shard holds; None for a damaged one."""
    try:
        return sum(clip.status == "failed" for clip in read_shard(path).clips)
    except CorruptError:
        return None


def _require_some_clips(work: ExtractionJob) -> None:
    """Stop before thousands of failures where the root is plainly the wrong folder."""
    clips = work.manifest.utterances
    if not work.recipe.reads_media or any(work.hasher.stat(*one.files) != ABSENT for one in clips):
        return
    try:
        first = str(work.hasher.require(clips[0].path))
    except NoClipError as error:
        first = str(error)
    raise UsageError(
        f"none of the {len(clips)} clips is under {work.root} (the first, {clips[0].path}: {first}); "
        "give the folder that the paths start from as --root"
    )


def _check_tables(work: ExtractionJob, note: Callable[[str], None]) -> None:
    """Stop where a table knows none of the manifest's ids, and say where it lacks some."""
    nothing, manifest = np.zeros(1), work.manifest
    for name, table in work.recipe.plan.tables.items():
        lacking = [name for name in manifest.columns.id if not table.lookup(name, nothing, 1.0).present]
        if len(lacking) == len(manifest):
            raise UsageError(
                f"{table.spec.name} has no row for any of the {len(manifest)} utterances, such as {lacking[0]!r}: "
                "its ids must be those of the manifest"
            )
        if lacking:
            shown = ", ".join(lacking[:5]) + (", …" if len(lacking) > 5 else "")
            note(f"stream {name}: {table.spec.name} has no row for {len(lacking)} of {len(manifest)}: {shown}")
        for text in _passed_over(table.spec.parameters):
            note(f"stream {name}: {table.spec.name}: {text}")


def _passed_over(parameters: Mapping[str, Any]) -> Iterator[str]:
    """Say what of a table is no feature."""
    if columns := parameters.get("left_out"):
        yield f"{', '.join(columns)} {'is no feature' if len(columns) == 1 else 'are no features'}: left out"
    if rows := parameters.get("failed_rows"):
        why = "in which no face was found (success 0)" if "success" in (columns or ()) else "which hold no number"
        doubt = ", or not surely enough (confidence)" if "confidence" in (columns or ()) else ""
        yield f"{rows} rows are left out, {why}{doubt}"
