"""A cache of ready-made tables, in one go: what `extract` makes of them, for commands that have them already."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from dualstream.pipeline.cache import Cache
from dualstream.pipeline.corpus.manifest import Manifest
from dualstream.pipeline.extraction.build_cache import ShardFolder, build_cache
from dualstream.pipeline.extraction.build_shards import ShardJob, make_shards
from dualstream.pipeline.extraction.options import ExtractionOptions, RunOptions
from dualstream.pipeline.extraction.projection_choice import ProjectionChoice
from dualstream.pipeline.extraction.recipe import make_recipe
from dualstream.pipeline.extraction.shards import commit_shard, pack_shard, split_in_shards
from dualstream.pipeline.extraction.staleness import Hasher


def cache_of_tables(
    manifest: Manifest, options: ExtractionOptions, shards: Path, notice: Callable[[str], None]
) -> Cache:
    """Look every utterance up, commit the shards below a folder, and build the cache of them.

    Raises
    ------
    DualstreamError
        Where a table can't be read, or the disk refuses.
    """
    recipe = make_recipe(options)
    groups = split_in_shards(manifest.utterances, RunOptions.shard_size)
    folder = ShardFolder(shards / recipe.fingerprint, RunOptions.shard_size, len(groups))
    folder.path.mkdir(parents=True, exist_ok=True)
    jobs = [ShardJob(index, group) for index, group in enumerate(groups)]
    made = make_shards(jobs, recipe, Hasher(shards), workers=1, batches=1, on_clip=lambda failed, frames: None)
    for one in made:
        commit_shard(folder.path, one.job.index, pack_shard(one.shard))
    return build_cache(
        manifest,
        folder,
        document=recipe.document,
        fingerprint=recipe.fingerprint,
        specs=recipe.specs,
        choice=ProjectionChoice(),
        notice=notice,
    )
