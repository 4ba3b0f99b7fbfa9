"""A note of what options came to, beside the shards: while what it rests on is the same, no encoder is built."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from dualstream.features.encoder import SpecDocument
from dualstream.features.faces.detection import GROUP as DETECTORS_GROUP
from dualstream.features.faces.embedding import GROUP as EMBEDDERS_GROUP
from dualstream.features.faces.scoring import GROUP as SCORERS_GROUP
from dualstream.features.single_read import digest_of_file
from dualstream.pipeline.extraction.encoder_choice import STREAMS, files_of
from dualstream.pipeline.extraction.options import ExtractionOptions
from dualstream.pipeline.provenance import RecipeDocument, canonical_json, digest_of
from dualstream.pipeline.storage.sealed import publish

from dualstream import features
from dualstream.discovery import ENCODERS_GROUP, origins

GROUPS = (ENCODERS_GROUP, DETECTORS_GROUP, SCORERS_GROUP, EMBEDDERS_GROUP)  # whose code shapes rows


def memo_key(
    options: ExtractionOptions, shard_size: int, device: str, binaries: Sequence[str], packages: Mapping[str, str]
) -> str:
    """Return a digest of all that the document rests on: options, our own source, packages, and files by stamp.

    Parameters
    ----------
    device
        What `options` name, or ``auto`` stands for.
    binaries
        The ffmpegs that there are to choose from.
    packages
        Versions, by name.
    """
    sources = sorted(Path(features.__file__).parent.rglob("*.py"))
    try:
        named = [path for stream in STREAMS for path in files_of(stream, options)]
    except (ValueError, OSError):  # building the encoders will say so
        named = []
    home = os.environ.get("TORCH_HOME", os.path.expanduser("~/.cache/torch"))  # "~" itself where there is no home
    hub = Path(home) / "hub" / "checkpoints"
    published = sorted(hub.glob("*")) if os.path.isdir(hub) else []  # not so either of a home that is shut to us
    return digest_of(
        {
            "options": {key: str(value) for key, value in vars(options).items() if key != "device"},
            "shard_size": shard_size,
            "device": device,
            "sources": [digest_of_file(path) for path in sources],
            "packages": dict(packages),
            "outside": [[name, *_stamps(path)] for group in GROUPS for name, path in origins(group)],
            "files": [_stamp(path) for path in [*named, *published, *map(Path, binaries)]],
        }
    )


def read_memo(memo: Path, key: str) -> tuple[RecipeDocument, dict[str, SpecDocument]] | None:
    """Return document and specs where the note is about the same things; it is a shortcut only."""
    try:
        note = json.loads(memo.read_bytes())
        if note["key"] == key and isinstance(note["document"], dict) and isinstance(note["specs"], dict):
            return cast(RecipeDocument, note["document"]), note["specs"]
    except (OSError, ValueError, TypeError, KeyError):
        pass
    return None


def write_memo(memo: Path, key: str, document: RecipeDocument, specs: Mapping[str, SpecDocument]) -> None:
    """Note document and specs."""
    memo.parent.mkdir(parents=True, exist_ok=True)
    note = {"key": key, "document": document, "specs": specs}
    publish(memo, canonical_json(note).encode("utf-8"), durable=False)


def _stamp(path: Path) -> list[Any]:
    """Return a file's real path, size and time of change; the path alone where it is not a file (``random:0``)."""
    try:
        facts = path.stat()
        return [str(path.resolve()), facts.st_size, facts.st_mtime_ns]
    except OSError:
        return [str(path)]


def _stamps(place: Path | None) -> list[list[Any]]:
    """Return the stamps of the Python files of an installed package, or of a single module."""
    if place is None:
        return []
    return [_stamp(path) for path in (sorted(place.rglob("*.py")) if place.is_dir() else [place])]
