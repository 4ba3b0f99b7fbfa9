"""What every format of exchange says of a cache beside its arrays: vocabularies, provenance, its two tables."""

from __future__ import annotations

import base64
import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
from dualstream.pipeline.cache.model import UNLABELLED, Cache, StoredProjection, Stream, Utterances
from dualstream.pipeline.cache.rules import VOCABULARIES, check
from dualstream.pipeline.errors import CorruptError
from dualstream.pipeline.storage.documents import read_json, write_bytes, write_json
from numpy.typing import NDArray

from dualstream.documents import JsonObject

EXCHANGE_FORMAT, EXCHANGE_VERSION = "dualstream exchange", 1
HEADER, UTTERANCES, WINDOWS = "config.json", "utterances.csv", "windows.csv"
TEXTS = ("id", "split", "dialogue", "speaker", "status", "reason", "sha256")

Columns = dict[str, list[Any]]


def header_of(cache: Cache, kind: str) -> JsonObject:
    """Return what the arrays don't say, as JSON values."""
    return {
        "format": EXCHANGE_FORMAT,
        "version": EXCHANGE_VERSION,
        "kind": kind,
        "vocabulary": {name: list(cache.vocabulary[name]) for name in VOCABULARIES},
        "streams": {
            name: {
                "width": int(stream.utterance.shape[1]),
                "has_windows": stream.windows is not None,
                "spec": stream.spec,
                "projection": None if stream.projection is None else _projection(stream.projection),
            }
            for name, stream in sorted(cache.streams.items())
        },
        "provenance": cache.provenance,
    }


def is_ours(path: Path) -> bool:
    """Tell whether a folder is one that `convert` wrote."""
    try:
        return bool(read_header(path / HEADER)["format"] == EXCHANGE_FORMAT)
    except CorruptError:
        return False


def read_header(path: Path) -> JsonObject:
    """Read a header, and check what the other files are read by.

    Raises
    ------
    CorruptError
        Where it is none.
    """
    return checked_header(read_json(path), str(path))


def checked_header(header: Any, where: str) -> JsonObject:
    """Return a header whose parts are there; raise CorruptError where one is not."""
    if not isinstance(header, dict) or header.get("format") != EXCHANGE_FORMAT:
        raise CorruptError(f"{where} is not what `convert` writes; found no format {EXCHANGE_FORMAT!r}")
    if header.get("version") != EXCHANGE_VERSION:
        raise CorruptError(f"{where} has version {header.get('version')}; this program reads {EXCHANGE_VERSION}")
    if not all(isinstance(header.get(key), dict) for key in ("vocabulary", "streams", "provenance")):
        raise CorruptError(f"{where} lacks vocabulary, streams or provenance")
    return header


def utterance_table(cache: Cache, more: Mapping[str, Sequence[Any]]) -> Columns:
    """Return one value per utterance under each name: plain Python values, None where there is none."""
    rows = cache.utterances
    table: Columns = {name: list(getattr(rows, name)) for name in ("id", "split", "dialogue")}
    table["turn"] = [None if turn < 0 else turn for turn in rows.turn.tolist()]
    table["speaker"] = list(rows.speaker)
    for name in VOCABULARIES:
        words = [*cache.vocabulary[name], None]
        table[name] = [words[code] for code in getattr(rows, name).tolist()]
    table["duration_s"] = [None if math.isnan(one) else one for one in rows.duration_s.tolist()]
    table |= {name: list(getattr(rows, name)) for name in ("status", "reason", "sha256")}
    table["windows"] = np.diff(cache.offsets).tolist()
    return table | {name: list(values) for name, values in more.items()}


def window_table(cache: Cache) -> Columns:
    """Return one value per window under each name: whose it is, when it begins, which instant each row is of."""
    counts = np.diff(cache.offsets)
    table: Columns = {"id": np.repeat(np.array(cache.utterances.id, dtype=object), counts).tolist()}
    table["window"] = (np.arange(len(cache.start_s)) - np.repeat(cache.offsets[:-1], counts)).tolist()
    table["start_s"] = cache.start_s.tolist()
    for name, stream in sorted(cache.streams.items()):
        if stream.time_s is not None:
            table[f"{name}_time_s"] = [None if math.isnan(one) else one for one in stream.time_s.tolist()]
    return table


def cache_of(
    header: JsonObject,
    utterances: Columns,
    start_s: Sequence[float],
    streams: Mapping[str, Stream],
    where: str,
) -> Cache:
    """Put a cache together and check it; its provenance says that it came by another format.

    Raises
    ------
    CorruptError
        Where what was read breaks a rule of the format.
    """
    try:
        offsets = np.concatenate(([0], np.cumsum(utterances["windows"]))).astype(np.int64)
        codes = {
            name: {word: code for code, word in enumerate(header["vocabulary"][name])} | {None: UNLABELLED, "": -1}
            for name in VOCABULARIES
        }
        cache = Cache(
            utterances=Utterances(
                **{name: [str(one or "") for one in utterances[name]] for name in TEXTS},  # type: ignore[arg-type]
                turn=np.array([-1 if one is None else one for one in utterances["turn"]], dtype=np.int32),
                **{
                    name: np.array([codes[name][one] for one in utterances[name]], dtype=np.int16)
                    for name in VOCABULARIES
                },  # type: ignore[arg-type]
                duration_s=np.array(
                    [math.nan if one is None else one for one in utterances["duration_s"]], dtype=np.float64
                ),
            ),
            offsets=offsets,
            start_s=np.array(start_s, dtype=np.float64),
            streams=dict(streams),
            vocabulary={name: list(header["vocabulary"][name]) for name in VOCABULARIES},
            provenance=cast(Any, {**header["provenance"], "converted": {"kind": header.get("kind", "")}}),
        )
        check(cache)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise CorruptError(f"{where} does not make a cache: {error!r}") from error
    return cache


def stream_of(
    header: JsonObject,
    name: str,
    utterance: NDArray[np.float32],
    present: NDArray[np.bool_],
    windows: NDArray[np.float32] | None,
    time_s: NDArray[np.float64] | None,
) -> Stream:
    """Return a stream of arrays that were read; a window is there where it has a time."""
    facts = header["streams"][name]
    stored = facts["projection"]
    return Stream(
        name=name,
        utterance=utterance,
        present=present,
        windows=windows,
        window_present=None if time_s is None else np.isfinite(time_s),
        time_s=time_s,
        spec=facts["spec"],
        projection=None if stored is None else _stored(stored),
    )


def _projection(projection: StoredProjection) -> JsonObject:
    return {
        "kind": projection.kind,
        "fitted_on": projection.fitted_on,
        "shape": list(projection.components.shape),
        "mean": _packed(projection.mean),
        "components": _packed(projection.components),
    }


def _stored(values: JsonObject) -> StoredProjection:
    shape = tuple(map(int, values["shape"]))
    mean, components = (np.frombuffer(base64.b64decode(values[key]), "<f4") for key in ("mean", "components"))
    return StoredProjection(values["kind"], mean.copy(), components.reshape(shape).copy(), values["fitted_on"])


def _packed(array: NDArray[np.float32]) -> str:
    return base64.b64encode(np.ascontiguousarray(array, dtype="<f4").tobytes()).decode("ascii")


# The two tables as CSV, for formats that hold arrays alone


def write_tables(folder: Path, cache: Cache, more: Columns, kind: str) -> None:
    """Write header, utterances and windows beside the arrays of a format."""
    write_json(folder / HEADER, header_of(cache, kind))
    there = {f"has_{name}": stream.present.tolist() for name, stream in sorted(cache.streams.items())}
    write_bytes(folder / UTTERANCES, _csv(utterance_table(cache, {**there, **more})))
    write_bytes(folder / WINDOWS, _csv(window_table(cache)))


def read_tables(folder: Path) -> tuple[JsonObject, Columns, Columns]:
    """Return header, utterances and windows that `write_tables` wrote.

    Raises
    ------
    CorruptError
        Where they are not there or not whole.
    """
    header = read_header(folder / HEADER)
    utterances, windows = _from_csv(folder / UTTERANCES), _from_csv(folder / WINDOWS)
    try:
        utterances["turn"] = [int(one) if one else None for one in utterances["turn"]]
        utterances["windows"] = [int(one) for one in utterances["windows"]]
        utterances["duration_s"] = [float(one) if one else None for one in utterances["duration_s"]]
        for name in header["streams"]:
            utterances[f"has_{name}"] = [one == "True" for one in utterances[f"has_{name}"]]
            if f"{name}_time_s" in windows:
                windows[f"{name}_time_s"] = [float(one) if one else math.nan for one in windows[f"{name}_time_s"]]
        windows["start_s"] = [float(one) for one in windows["start_s"]]
        if sum(utterances["windows"]) != len(windows["start_s"]):
            raise ValueError(f"{len(windows['start_s'])} windows; expected {sum(utterances['windows'])}")
    except (KeyError, ValueError) as error:
        raise CorruptError(f"{folder}: its tables are not those that `convert` writes: {error!r}") from error
    return header, utterances, windows


def _csv(table: Columns) -> bytes:
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(table)
    writer.writerows(zip(*table.values(), strict=True))
    return out.getvalue().encode()


def _from_csv(path: Path) -> Columns:
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.reader(file, strict=True)
            header, rows = next(reader, []), list(reader)
        return {name: [row[at] for row in rows] for at, name in enumerate(header)}
    except FileNotFoundError as error:
        raise CorruptError(f"{path} is missing") from error
    except (csv.Error, IndexError, UnicodeDecodeError) as error:
        raise CorruptError(f"{path} is not the CSV that `convert` writes: {error!r}") from error


def json_of(text: str, where: str) -> JsonObject:
    """Return a header that stands as text inside a file."""
    try:
        return checked_header(json.loads(text), where)
    except (ValueError, RecursionError) as error:
        raise CorruptError(f"{where} is not JSON: {error}") from error
