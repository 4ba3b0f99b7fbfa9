"""A cache as MERBench keeps features: NAME-UTT/ID.npy (D,) and NAME-FRA/ID.npy (T, D), a row per window.

A missing stream has no file; a missing window is a row of zeros, which windows.csv tells from others.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from dualstream.pipeline.cache.exchange.content import Columns, cache_of, read_tables, stream_of, write_tables
from dualstream.pipeline.cache.model import Cache, Stream
from dualstream.pipeline.errors import CorruptError
from dualstream.pipeline.storage.documents import write_bytes
from dualstream.pipeline.storage.folders import make_folder
from numpy.typing import NDArray

Array = NDArray[np.float32]


def write(cache: Cache, more: Columns, folder: Path) -> None:
    """Write a folder per stream and level, with a file per utterance."""
    write_tables(folder, cache, more, "npy")
    for name, stream in sorted(cache.streams.items()):
        make_folder(folder / f"{name}-UTT")
        if stream.windows is not None:
            make_folder(folder / f"{name}-FRA")
        for at, utterance_id in enumerate(cache.utterances.id):
            if not stream.present[at]:
                continue
            _save(folder / f"{name}-UTT" / f"{utterance_id}.npy", stream.utterance[at])
            if stream.windows is not None:
                rows = stream.windows[cache.offsets[at] : cache.offsets[at + 1]]
                _save(folder / f"{name}-FRA" / f"{utterance_id}.npy", rows)


def read(folder: Path) -> Cache:
    """Read what `write` wrote."""
    header, utterances, windows = read_tables(folder)
    streams: dict[str, Stream] = {}
    ids, counts = utterances["id"], utterances["windows"]
    for name, facts in header["streams"].items():
        width, present = int(facts["width"]), np.array(utterances[f"has_{name}"], dtype=np.bool_)
        rows = np.zeros((len(ids), width), dtype=np.float32)
        parts = [np.zeros((count, width), dtype=np.float32) for count in counts]
        for at in np.flatnonzero(present):
            rows[at] = _load(folder / f"{name}-UTT" / f"{ids[at]}.npy", (width,))
            if facts["has_windows"]:
                parts[at] = _load(folder / f"{name}-FRA" / f"{ids[at]}.npy", (counts[at], width))
        timed = bool(facts["has_windows"])
        time_s = np.array(windows[f"{name}_time_s"], dtype=np.float64) if timed else None
        streams[name] = stream_of(header, name, rows, present, np.concatenate(parts) if timed else None, time_s)
    return cache_of(header, utterances, windows["start_s"], streams, str(folder))


def _save(path: Path, array: Array) -> None:
    out = io.BytesIO()
    np.save(out, np.ascontiguousarray(array, dtype="<f4"))
    write_bytes(path, out.getvalue())


def _load(path: Path, shape: tuple[int, ...]) -> Array:
    try:
        found: Any = np.load(io.BytesIO(path.read_bytes()), allow_pickle=False)
    except FileNotFoundError as error:
        raise CorruptError(f"{path} is missing") from error
    except (ValueError, OSError, EOFError) as error:
        raise CorruptError(f"{path} can't be read as an array of numbers: {error}") from error
    if found.shape != shape or found.dtype.kind != "f":
        raise CorruptError(f"{path} holds {found.dtype} of shape {found.shape}; expected numbers of shape {shape}")
    return np.asarray(found, dtype=np.float32)
