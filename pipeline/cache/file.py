"""A `Cache` to cache.h5 and back, all of it in memory, or its rows left on disk."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar, cast

from dualstream.features.encoder import SpecDocument
from dualstream.pipeline.cache.face_rows import FACE_FIELDS, face_rows, face_values
from dualstream.pipeline.cache.model import FORMAT_VERSION, Cache, StoredProjection, Stream, Utterances
from dualstream.pipeline.cache.rules import VOCABULARIES, check
from dualstream.pipeline.errors import CorruptError, NoCacheError
from dualstream.pipeline.provenance import Provenance, canonical_json
from dualstream.pipeline.storage.container import require_holds, unpack, unpack_open
from dualstream.pipeline.storage.descriptor import ReadFile
from dualstream.pipeline.storage.packing import pack_into
from dualstream.pipeline.storage.schema import TEXT, Field, Schema, Value, Values
from dualstream.pipeline.storage.sealed import digest_in, open_sealed, publish_built, read_sealed, read_twice

from dualstream.documents import JsonObject

KIND = "cache"
CAN_REPLACE_OPEN_FILES = os.name != "nt"

Found = TypeVar("Found")

_TEXTS = ("id", "split", "dialogue", "speaker", "sha256", "status", "reason")

SCHEMA = Schema(
    kind=KIND,
    version=FORMAT_VERSION,
    fields={
        **{f"utterances/{name}": Field(TEXT, 1) for name in _TEXTS},
        "utterances/turn": Field("<i4", 1),
        "utterances/emotion": Field("<i2", 1),
        "utterances/sentiment": Field("<i2", 1),
        "utterances/duration_s": Field("<f8", 1),
        "windows/offsets": Field("<i8", 1),
        "windows/start_s": Field("<f8", 1, on_disk=True),
        "streams/*/utterance": Field("<f4", 2, on_disk=True),
        "streams/*/present": Field("bool", 1),
        "streams/*/windows": Field("<f4", 2, required=False, on_disk=True),
        "streams/*/window_present": Field("bool", 1, required=False, on_disk=True),
        "streams/*/time_s": Field("<f8", 1, required=False, on_disk=True),
        **FACE_FIELDS,
        "streams/*/spec": Field(TEXT, 0),
        "streams/*/projection/kind": Field(TEXT, 0),
        "streams/*/projection/mean": Field("<f4", 1),
        "streams/*/projection/components": Field("<f4", 2),
        "streams/*/projection/fitted_on": Field(TEXT, 0),
        "vocabulary/emotion": Field(TEXT, 1),
        "vocabulary/sentiment": Field(TEXT, 1),
        "provenance": Field(TEXT, 0),
    },
)


def read_cache(path: Path) -> Cache:
    """Validate a cache and read all of it.

    Raises
    ------
    NoCacheError
        Where there is no such file.
    CorruptError
        Where the file is not exactly of the format, or a checksum does not hold; it is read twice before that.
    MemoryShortageError
        Where there is no room for it.
    """
    return read_cache_and_digest(path)[0]


def read_cache_and_digest(path: Path) -> tuple[Cache, str]:
    """Read a cache, and return with it the SHA-256 of the bytes that it was read from; see `read_cache`.

    Another file may stand at `path` by the time that this returns, so its digest is never taken from there.
    """
    return _found(path, lambda: _read_once(path))


def _found(path: Path, read: Callable[[], Found]) -> Found:
    """Return what `read` finds at `path`; see `read_twice`."""
    if path.is_dir():  # which Windows calls a file that may not be read
        raise NoCacheError(f"{path} is a folder; expected a cache such as {path}/cache.h5")
    try:
        return read_twice(read)
    except FileNotFoundError as error:
        raise NoCacheError(f"there is no cache {path}; make one with extract") from error


def _read_once(path: Path) -> tuple[Cache, str]:
    image = read_sealed(path, KIND)
    digest = digest_in(image)
    return _checked(_from_values(unpack(SCHEMA, image, str(path)), str(path)), path), digest


def _checked(cache: Cache, path: Path) -> Cache:
    try:
        check(cache)
    except ValueError as error:
        raise CorruptError(f"{path} breaks a rule of the format: {error}") from error
    return cache


def open_cache(path: Path) -> Cache:
    """Validate a cache and read all of it but the rows of its windows and streams, which are `RowsOnDisk`.

    All is checked that `read_cache` checks, a block at a time, and a file that takes the cache's place later
    does not change what is read. Where open files can't be replaced (Windows), all is read into memory.

    Raises
    ------
    NoCacheError, CorruptError, MemoryShortageError
        As `read_cache`.
    """
    if not CAN_REPLACE_OPEN_FILES:
        return read_cache(path)
    return _found(path, lambda: _open_once(path))


def _open_once(path: Path) -> Cache:
    descriptor, _ = open_sealed(path, KIND)
    values = unpack_open(SCHEMA, descriptor, str(path))
    return _checked(_from_values(values, str(path)), path)


def write_cache(path: Path, cache: Cache) -> str:
    """Publish a cache at `path`, whole or not at all, and return the digest in its header.

    Rows go to the disk a block at a time, from memory or from where they lie (`RowsOnDisk`).

    Raises
    ------
    ValueError
        Where the arrays break a rule of the format: a fault of the caller.
    DualstreamError
        Where the disk is full or refuses.
    """
    check(cache)
    values = _to_values(cache)
    return publish_built(
        path,
        KIND,
        lambda descriptor: pack_into(descriptor, SCHEMA, values),
        lambda descriptor: require_holds(SCHEMA, ReadFile(descriptor), values, str(path)),
    )


def _to_values(cache: Cache) -> Values:
    values: Values = {f"utterances/{name}": column for name, column in vars(cache.utterances).items()}
    values["windows/offsets"] = cache.offsets
    values["windows/start_s"] = cache.start_s
    for name, stream in cache.streams.items():
        at = f"streams/{name}"
        values[f"{at}/utterance"] = stream.utterance
        values[f"{at}/present"] = stream.present
        if stream.windows is not None and stream.window_present is not None and stream.time_s is not None:
            values[f"{at}/windows"] = stream.windows
            values[f"{at}/window_present"] = stream.window_present
            values[f"{at}/time_s"] = stream.time_s
        values |= {f"{at}/{column}": array for column, array in face_values(stream.faces).items()}
        values[f"{at}/spec"] = canonical_json(stream.spec)
        if stream.projection is not None:
            values[f"{at}/projection/kind"] = stream.projection.kind
            values[f"{at}/projection/mean"] = stream.projection.mean
            values[f"{at}/projection/components"] = stream.projection.components
            values[f"{at}/projection/fitted_on"] = canonical_json(stream.projection.fitted_on)
    for name in VOCABULARIES:
        values[f"vocabulary/{name}"] = list(cache.vocabulary[name])
    values["provenance"] = canonical_json(cache.provenance)
    return values


def _from_values(values: JsonObject, name: str) -> Cache:
    utterances = {
        path.partition("/")[2]: value for path, value in values.items() if path.startswith("utterances/")
    }
    streams = sorted({path.split("/")[1] for path in values if path.startswith("streams/")})
    return Cache(
        utterances=Utterances(**utterances),
        offsets=values["windows/offsets"],
        start_s=values["windows/start_s"],
        streams={stream: _stream(values, stream, name) for stream in streams},
        vocabulary={key: values[f"vocabulary/{key}"] for key in VOCABULARIES},
        provenance=cast(Provenance, _object(values["provenance"], f"{name}: /provenance")),
    )


def _stream(values: JsonObject, stream: str, name: str) -> Stream:
    at = f"streams/{stream}"
    projection = None
    if f"{at}/projection/kind" in values:
        projection = StoredProjection(
            kind=values[f"{at}/projection/kind"],
            mean=values[f"{at}/projection/mean"],
            components=values[f"{at}/projection/components"],
            fitted_on=_object(values[f"{at}/projection/fitted_on"], f"{name}: /{at}/projection/fitted_on"),
        )
    return Stream(
        name=stream,
        utterance=values[f"{at}/utterance"],
        present=values[f"{at}/present"],
        windows=values.get(f"{at}/windows"),
        window_present=values.get(f"{at}/window_present"),
        time_s=values.get(f"{at}/time_s"),
        spec=cast(SpecDocument, _object(values[f"{at}/spec"], f"{name}: /{at}/spec")),
        projection=projection,
        faces=face_rows(values, at),
    )


def _object(text: str | Value, place: str) -> JsonObject:
    """Read a JSON object; NaN, infinities and deep nesting are refused."""
    try:
        value = json.loads(str(text), parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise CorruptError(f"{place} is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise CorruptError(f"{place} is {type(value).__name__}; expected a JSON object")
    return value


def _no_constant(text: str) -> float:
    raise ValueError(f"{text} is not a JSON number")
