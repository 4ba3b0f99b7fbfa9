"""``--executor ray``: what a run tells its nodes, which recipe counts, and the way from jobs to shards."""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from dualstream.features.encode import ClipPlan
from dualstream.features.encoder import build, find
from dualstream.features.media import DecodeSettings, MediaError, version_of
from dualstream.features.single_read import digest_of_file
from dualstream.features.weights import WeightsChoice
from dualstream.pipeline.corpus.manifest import Manifest
from dualstream.pipeline.corpus.remote_root import RemoteRoot
from dualstream.pipeline.corpus.utterance import Utterance
from dualstream.pipeline.errors import DualstreamError, UsageError
from dualstream.pipeline.extraction.build_shards import MadeShard, ShardJob
from dualstream.pipeline.extraction.encoder_choice import (
    FACE_FILES,
    STREAMS,
    build_encoders,
    files_of,
    has_network,
    refuse_early,
)
from dualstream.pipeline.extraction.estimate import TimeEstimate
from dualstream.pipeline.extraction.ray_actors import Actors, words
from dualstream.pipeline.extraction.ray_pool import OnClip, RayPool
from dualstream.pipeline.extraction.ray_session import ray_session
from dualstream.pipeline.extraction.recipe import ExtractionOptions, Recipe, named_ffmpeg
from dualstream.pipeline.extraction.remote import NodeRequest, NodeStatement
from dualstream.pipeline.extraction.remote_clips import hasher_of
from dualstream.pipeline.extraction.request import RunOptions
from dualstream.pipeline.extraction.seen import SeenFile, see_file, seen_ahead
from dualstream.pipeline.extraction.staleness import Hasher
from dualstream.pipeline.provenance import fingerprint

SAMPLED_CLIPS = 8  # that every node must see before it is given work


@dataclass(repr=False)
class Cluster:
    """A run's nodes, with one recipe."""

    pool: RayPool
    recipe: Recipe
    options: ExtractionOptions
    root: Path | RemoteRoot

    def make(self, jobs: Sequence[ShardJob], hasher: Hasher, on_clip: OnClip) -> Iterator[MadeShard]:
        """Make shards, in the order in which they are done; `RayPool.make` says what may go wrong."""
        here = [
            replace(job, reusable={name: (path.absolute(), there) for name, (path, there) in job.reusable.items()})
            for job in jobs
        ]
        with contextlib.closing(seen_ahead(here, hasher, reads_media=self.recipe.reads_media)) as seen:
            yield from self.pool.make(seen, hasher, self.root, on_clip)

    def estimate(self, utterances: Sequence[Utterance]) -> TimeEstimate:
        """Measure a few clips on one node, and reckon with all."""
        found: TimeEstimate = self.pool.actors.ask(utterances, self.options.batches)
        return found


@contextlib.contextmanager
def cluster(
    manifest: Manifest,
    root: Path | RemoteRoot,
    options: ExtractionOptions,
    run: RunOptions,
    *,
    is_made: Callable[[str], bool],
    note: Callable[[str], None],
) -> Iterator[Cluster]:
    """Connect to the cluster of a run, and agree on a recipe with its nodes.

    Parameters
    ----------
    is_made
        Tells whether there are shards of a fingerprint already: a run that goes on keeps its recipe.
    note
        Called with what a person should know.

    Raises
    ------
    DualstreamError
        Where there is no cluster, none of its nodes can take part, or options do not fit.
    """
    refuse_early(options)
    networks = has_network(options)
    if networks and options.device.startswith("cuda:"):
        raise UsageError(
            f"--device {options.device} names one GPU of one machine; with --executor ray say --device cuda, and "
            "each process gets a GPU of its own"
        )
    there, files = _absolute(options)
    root = root.absolute()
    request = NodeRequest(root, there, run.shard_size, files, _sample(manifest, hasher_of(root)))
    with ray_session(run.ray_address) as ray, _one_error(ray):
        has_gpus = ray.cluster_resources().get("GPU", 0) >= 1
        gpus = networks and (options.device == "cuda" or (options.device == "auto" and has_gpus))
        shards = -(-len(manifest) // run.shard_size)
        actors = Actors(
            ray,
            request,
            gpus=gpus,
            most_cores=run.workers,
            most_actors=-(-shards // run.share.count),
            note=note,
        )
        with contextlib.closing(actors):
            pool = RayPool(actors, note)
            chosen = pool.agree(lambda found: _choice(found, options, is_made))
            yield Cluster(pool, _recipe(chosen, options), options, root)


@contextlib.contextmanager
def _one_error(ray: Any) -> Iterator[None]:
    """Have a cluster that goes away end the run with one line."""
    try:
        yield
    except ray.exceptions.RayError as error:
        raise DualstreamError(
            f"the Ray cluster does not answer any more: {words(error)}. What was committed stands: say the same "
            "command again once it does"
        ) from error


def _absolute(options: ExtractionOptions) -> tuple[ExtractionOptions, dict[str, str]]:
    """Return the options with absolute paths, and the digests of the files that they name."""
    changed: dict[str, Any] = {}
    for stream in STREAMS:
        changed[stream] = tuple(_absolute_encoder(stream, text) for text in getattr(options, stream))
        changed[f"{stream}_weights"] = tuple(map(_absolute_weights, getattr(options, f"{stream}_weights")))
    changed |= {name: path.absolute() for name in FACE_FILES if (path := getattr(options, name)) is not None}
    named = named_ffmpeg(options)
    if named is not None and os.path.basename(named) != named:  # a bare name is looked for on PATH, there as here
        changed["ffmpeg"] = Path(named).absolute()
    there = replace(options, **changed)
    files = {path.absolute() for stream in STREAMS for path in files_of(stream, there) if path.is_file()}
    return there, {str(path): digest_of_file(path) for path in sorted(files)}


def _absolute_encoder(stream: Any, text: str) -> str:
    entry = find(stream, text)
    kind, colon, argument = text.partition(":")
    if entry is None or not argument or not (entry.table or entry.folder):
        return text
    return f"{kind}{colon}{os.path.abspath(argument)}"


def _absolute_weights(text: str) -> str:
    path = WeightsChoice.parse(text).path
    return text if path is None else str(path.absolute())


def _sample(manifest: Manifest, hasher: Hasher) -> dict[str, SeenFile]:
    """Return a few clips that this machine sees, spread over the manifest."""
    picked = sorted({*np.linspace(0, len(manifest) - 1, SAMPLED_CLIPS, dtype=int).tolist()})
    paths = [path for number in picked for path in manifest.utterances[number].files]
    seen = {path: see_file(path, hasher, read=False) for path in paths}
    return {path: one for path, one in seen.items() if one.fault is None}


def _choice(
    found: Sequence[NodeStatement], options: ExtractionOptions, is_made: Callable[[str], bool]
) -> NodeStatement | None:
    """Return the recipe that counts: of shards that are there, else with this machine's decoder, else of most.

    None where this machine's decoder is not among them, and a node that has it may still come.
    """
    groups = Counter(_key(one) for one in found)
    begun = [one for one in found if is_made(_key(one))]
    if len({_key(one) for one in begun}) == 1:
        return begun[0]
    mine = _own_decoder(options)
    alike = [one for one in found if one.document is not None and one.document["decoder"] in (None, mine)]
    if mine is not None and not alike:
        return None
    return max(alike or found, key=lambda one: (groups[_key(one)], _key(one)))


def _key(statement: NodeStatement) -> str:
    return fingerprint(statement.document or {})


def _own_decoder(options: ExtractionOptions) -> str | None:
    """Return what decodes on this machine, as a recipe says it; None where nothing does."""
    try:
        return version_of(DecodeSettings(decoder=options.decoder), named_ffmpeg(options))
    except MediaError:
        return None


def _recipe(chosen: NodeStatement, options: ExtractionOptions) -> Recipe:
    """Return the nodes' recipe. This machine builds none of its networks, and needs no GPU."""
    assert chosen.document is not None and chosen.specs is not None and chosen.environment is not None
    environment = chosen.environment
    return Recipe(chosen.document, chosen.specs, lambda: _tables(options), lambda: environment)


def _tables(options: ExtractionOptions) -> ClipPlan:
    """Return a plan with the tables alone, in which the run looks for the manifest's ids."""

    def build_table(stream: Any, text: str, how: Any) -> Any:
        entry = find(stream, text)
        return build(stream, text, how) if entry is not None and entry.table else None

    built = {
        name: one
        for stream in STREAMS
        for name, one in build_encoders(stream, options, "cpu", build_table).items()
        if one is not None
    }
    return ClipPlan(built, decode=None)
