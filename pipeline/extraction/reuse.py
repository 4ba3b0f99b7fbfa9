"""Rows that another recipe left behind and that this one would make again just so: they are taken over.

A changed channel policy touches the sound alone, another network the picture alone. The stream that nothing
touched is copied from the sibling folder, shard for shard; its clips are still decoded, since both streams share
one clock and one grid, but not encoded.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dualstream.features.encoder import is_table
from dualstream.pipeline.corpus.utterance import Utterance
from dualstream.pipeline.errors import CorruptError
from dualstream.pipeline.extraction.recipe import Recipe
from dualstream.pipeline.extraction.shards import Shard, read_shard, shard_path
from dualstream.pipeline.extraction.staleness import Hasher, check_freshness
from dualstream.pipeline.provenance import Environment, RecipeDocument, digest_of, fingerprint


@dataclass(frozen=True)
class SiblingRecipes:
    """Folders of shards beside the one to be made, each with the streams that are as here."""

    folders: dict[Path, dict[str, str]]
    """Folder → {name of the stream here: its name there}."""

    @classmethod
    def beside(cls, folder: Path, recipe: Recipe) -> SiblingRecipes:
        """Look through the folders beside `folder` for recipes that share a stream with `recipe`."""
        keys = {name: stream_key(recipe.document, name) for name in recipe.specs}
        found: dict[Path, dict[str, str]] = {}
        for path in sorted(folder.parent.glob("*/recipe.json")):
            document = _read_document(path)
            if path.parent == folder or document is None:
                continue
            theirs = {stream_key(document, name): name for name in document["streams"]}
            shared = {name: theirs[key] for name, key in keys.items() if key is not None and key in theirs}
            if shared:
                found[path.parent] = shared
        return cls(found)

    def reusable(self, index: int, utterances: Sequence[Utterance], hasher: Hasher) -> dict[str, tuple[Path, str]]:
        """Return for each stream that a sibling has for these very clips: that shard, and its name there."""
        found: dict[str, tuple[Path, str]] = {}
        for folder, shared in self.folders.items():
            wanted = {name: there for name, there in shared.items() if name not in found}
            if (
                wanted
                and shard_path(folder, index).exists()
                and check_freshness(folder, index, utterances, hasher).fresh
            ):
                found |= {name: (shard_path(folder, index), there) for name, there in wanted.items()}
        return found


def stream_key(document: RecipeDocument, name: str) -> str | None:
    """Return a digest of all that shapes one stream's rows; None for a table, which is looked up at once."""
    spec, decode = document["streams"][name], document["decode"]
    if decode is None or is_table(spec):
        return None
    shaping = {
        "version": document["version"],
        "spec": spec,
        "windows": document["windows"],
        "decoder": document["decoder"],
        "device": document["device"],
        "precision": document["precision"],
        # The clock runs to the end of the streams that are read, so what is read beside this one counts.
        "reads": [decode["frame_size_px"] is not None, decode["sample_rate_hz"] is not None],
        "reading": decode["reading"],
        "max_clip_s": decode["max_clip_s"],
        "speed": decode["speed"],
    }
    if spec["stream"] == "video":
        shaping |= {key: decode[key] for key in ("frame_size_px", "fit")}
        shaping |= {key: document[key] for key in ("sampling", "shard_size")}
        if "watched" in document and "region" in spec["parameters"]:
            shaping["watched"] = document["watched"]
    else:
        shaping |= {key: decode[key] for key in ("sample_rate_hz", "channels")}
        shaping |= {"scramble_s": document["scramble_s"]} if "scramble_s" in document else {}
    return digest_of(shaping)


def read_reusable(reusable: dict[str, tuple[Path, str]], environment: Environment) -> dict[str, tuple[Shard, str]]:
    """Read donor shards; leave out what is damaged, was made elsewhere, or has notes that belong to its rows."""
    found: dict[str, tuple[Shard, str]] = {}
    read: dict[Path, Shard | None] = {}
    for name, (path, there) in reusable.items():
        if path not in read:
            try:
                read[path] = read_shard(path)
            except (OSError, CorruptError):
                read[path] = None
        shard = read[path]
        if shard is None or not _same(shard.environment, environment, name):
            continue
        if not any("not finite" in clip.reason for clip in shard.clips):
            found[name] = (shard, there)
    return found


def _same(there: Environment, here: Environment, stream: str) -> bool:
    """Tell whether rows would come out alike; shards did not always note BLAS's threads, which only sound uses."""
    if stream.partition(".")[0] == "video":
        return {**there, "blas_threads": None} == {**here, "blas_threads": None}
    return there == here


def _read_document(path: Path) -> RecipeDocument | None:
    """Return the recipe beside shards, or None where it is not the one that the folder is named after."""
    try:
        document = json.loads(path.read_bytes())
        return document if fingerprint(document) == path.parent.name else None
    except (OSError, ValueError, TypeError):
        return None
