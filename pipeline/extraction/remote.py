"""One shard made in another process, perhaps on another machine: the same recipe, or a refusal."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from pathlib import Path

from dualstream.pipeline.errors import UsageError
from dualstream.pipeline.extraction.build_shards import MadeShard, ShardJob, make_shards
from dualstream.pipeline.extraction.recipe import ExtractionOptions, Recipe, make_recipe
from dualstream.pipeline.extraction.staleness import Hasher

from dualstream.cores import torch_threads

WORKERS = 2  # threads that decode for one task


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
    with torch_threads(remote.options.torch_threads if recipe.has_network else None):
        (made,) = make_shards([remote.job], recipe, Hasher(remote.root), workers=WORKERS)
    return made
