"""A `Cache` to cache.h5 and back; the rules that its arrays keep beyond names, types and ranks."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import cast

import numpy as np
from dualstream.features.encoder import SpecDocument
from dualstream.pipeline.cache.face_rows import FACE_FIELDS, face_rows, face_values
from dualstream.pipeline.cache.model import FORMAT_VERSION, UNLABELLED, Cache, StoredProjection, Stream, Utterances
from dualstream.pipeline.errors import CorruptError, NoCacheError
from dualstream.pipeline.provenance import Provenance, canonical_json
from dualstream.pipeline.storage.container import pack, require_holds, unpack
from dualstream.pipeline.storage.schema import TEXT, Field, Schema, Value, Values
from dualstream.pipeline.storage.sealed import digest_in, publish, read_sealed, read_twice, seal
from numpy.typing import NDArray

from dualstream.documents import JsonObject

KIND = "cache"
STATUSES = ("ok", "failed")
VOCABULARIES = ("emotion", "sentiment")
UTTERANCE_ID = r"[A-Za-z0-9._-]+"
SHA256 = r"(?:[0-9a-f]{64})?"

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
        "windows/start_s": Field("<f8", 1),
        "streams/*/utterance": Field("<f4", 2),
        "streams/*/present": Field("bool", 1),
        "streams/*/windows": Field("<f4", 2, required=False),
        "streams/*/window_present": Field("bool", 1, required=False),
        "streams/*/time_s": Field("<f8", 1, required=False),
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
    if path.is_dir():  # which Windows calls a file that may not be read
        raise NoCacheError(f"{path} is a folder; expected a cache such as {path}/cache.h5")
    try:
        return read_twice(lambda: _read_once(path))
    except FileNotFoundError as error:
        raise NoCacheError(f"there is no cache {path}; make one with extract") from error


def _read_once(path: Path) -> tuple[Cache, str]:
    image = read_sealed(path, KIND)
    digest = digest_in(image)
    cache = _from_values(unpack(SCHEMA, image, str(path)), str(path))
    try:
        check(cache)
    except ValueError as error:
        raise CorruptError(f"{path} breaks a rule of the format: {error}") from error
    return cache, digest


def write_cache(path: Path, cache: Cache) -> str:
    """Publish a cache at `path`, whole or not at all, and return the digest in its header.

    Raises
    ------
    ValueError
        Where the arrays break a rule of the format: a fault of the caller.
    DualstreamError
        Where the disk is full or refuses.
    """
    check(cache)
    values = _to_values(cache)
    image = pack(SCHEMA, values)
    digest = seal(image, KIND)
    require_holds(SCHEMA, np.frombuffer(image, dtype=np.uint8), values, str(path))
    publish(path, image)
    return digest


def check(cache: Cache) -> None:
    """Raise ValueError where a cache breaks a rule that its readers rely on."""
    utterances, count = cache.utterances, len(cache.utterances)
    if count == 0:
        raise ValueError("it holds no utterance")
    for name, column in vars(utterances).items():
        if len(column) != count:
            raise ValueError(f"utterances/{name} has {len(column)} rows; expected {count}")
    _check_texts(utterances)
    for name in VOCABULARIES:
        labels = cache.vocabulary[name]
        codes: NDArray[np.int16] = getattr(utterances, name)
        if len(set(labels)) != len(labels) or "" in labels:
            raise ValueError(f"vocabulary/{name} has a name twice, or an empty one")
        if codes.min() < UNLABELLED or codes.max() >= len(labels):
            raise ValueError(f"utterances/{name} has a code outside -1 to {len(labels) - 1}")
    duration_s = utterances.duration_s
    if np.isinf(duration_s).any() or (duration_s < 0).any():
        raise ValueError("utterances/duration_s has a negative or infinite value")
    _check_windows(cache.offsets, cache.start_s, count)
    if not cache.streams:
        raise ValueError("it holds no stream")
    for stream in cache.streams.values():
        _check_stream(stream, cache.offsets)


def _check_texts(utterances: Utterances) -> None:
    if len(set(utterances.id)) != len(utterances):
        raise ValueError("utterances/id has an id twice")
    _match_all("utterances/id", utterances.id, UTTERANCE_ID, "letters, digits, dot, dash, underscore")
    _match_all("utterances/sha256", utterances.sha256, SHA256, "a SHA-256 in hex, or nothing")
    if unknown := set(utterances.status) - set(STATUSES):
        raise ValueError(f"utterances/status has {sorted(unknown)}; expected {' or '.join(STATUSES)}")


def _match_all(name: str, texts: list[str], pattern: str, expected: str) -> None:
    """Match all texts at once, which is fast, and one by one where that fails, to name the one."""
    if re.fullmatch(f"(?:{pattern}\n)*", "\n".join([*texts, ""])) is not None and "\n" not in "".join(texts):
        return
    odd = next((text for text in texts if not re.fullmatch(pattern, text)), "a line break")
    raise ValueError(f"{name} has {odd!r}; expected {expected}")


def _check_windows(offsets: NDArray[np.int64], start_s: NDArray[np.float64], count: int) -> None:
    if offsets.shape != (count + 1,) or offsets[0] != 0 or (np.diff(offsets) < 1).any():
        raise ValueError(f"windows/offsets must be {count + 1} numbers that rise from 0 by at least 1")
    if start_s.shape != (offsets[-1],):
        raise ValueError(f"windows/start_s has shape {start_s.shape}; expected ({offsets[-1]},)")
    if not np.isfinite(start_s).all() or (start_s < 0).any():
        raise ValueError("windows/start_s has a negative or non-finite value")
    rises = np.diff(start_s) > 0
    rises[offsets[1:-1] - 1] = True  # from one utterance to the next it may fall
    if not rises.all():
        raise ValueError("windows/start_s does not rise inside an utterance")


def _check_stream(stream: Stream, offsets: NDArray[np.int64]) -> None:
    name, count = stream.name, len(offsets) - 1
    if stream.utterance.ndim != 2 or len(stream.utterance) != count or stream.present.shape != (count,):
        raise ValueError(
            f"stream {name} has {stream.utterance.shape} and {stream.present.shape}; expected {count} rows"
        )
    if stream.utterance.shape[1] < 1:
        raise ValueError(f"stream {name} has no columns")
    if stream.utterance[~stream.present].any():
        raise ValueError(f"stream {name}: the row of an absent utterance is not zeros")
    parts = (stream.windows, stream.window_present, stream.time_s)
    if stream.windows is None or stream.window_present is None or stream.time_s is None:
        if any(part is not None for part in parts):
            raise ValueError(f"stream {name} must have windows, window_present and time_s together, or none")
    else:
        windows, present, time_s = stream.windows, stream.window_present, stream.time_s
        rows, width = int(offsets[-1]), stream.utterance.shape[1]
        if windows.shape != (rows, width) or present.shape != (rows,) or time_s.shape != (rows,):
            raise ValueError(f"stream {name}: windows have shape {windows.shape}; expected ({rows}, {width})")
        if (np.isfinite(time_s) != present).any():
            raise ValueError(f"stream {name}: time_s must be finite where a window is present, NaN elsewhere")
        if windows[~present].any():
            raise ValueError(f"stream {name}: the row of an absent window is not zeros")
        if (present & ~np.repeat(stream.present, np.diff(offsets))).any():
            raise ValueError(f"stream {name}: a window is present in an utterance that is absent")
    if stream.faces is not None:
        stream.faces.check(int(offsets[-1]))
        if stream.window_present is None or (stream.window_present & (stream.faces.track < 0)).any():
            raise ValueError(f"stream {name}: a window is present that shows no face")
    if stream.projection is not None:
        mean, components = stream.projection.mean, stream.projection.components
        if components.shape != (stream.utterance.shape[1], len(mean)):
            raise ValueError(f"stream {name}: projection {components.shape} does not fit mean {mean.shape}")


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
