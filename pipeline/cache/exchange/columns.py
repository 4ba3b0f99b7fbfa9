"""A cache as two tables of Arrow, in Parquet or in Arrow's file format: a list per stream, null where missing."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from dualstream.pipeline.cache.convert import require_package
from dualstream.pipeline.cache.exchange.content import (
    HEADER,
    Columns,
    cache_of,
    header_of,
    read_header,
    stream_of,
    utterance_table,
    window_table,
)
from dualstream.pipeline.cache.model import Cache, Stream
from dualstream.pipeline.errors import CorruptError
from dualstream.pipeline.storage.documents import write_bytes, write_json
from numpy.typing import NDArray

from dualstream.documents import JsonObject

Mask = NDArray[np.bool_]
Rows = NDArray[np.float32]


def write_parquet(cache: Cache, more: Columns, folder: Path) -> None:
    """Write utterances.parquet and windows.parquet."""
    parquet = _need("pyarrow.parquet")
    _write(cache, more, folder, "parquet", lambda table, out: parquet.write_table(table, out))


def write_arrow(cache: Cache, more: Columns, folder: Path) -> None:
    """Write utterances.arrow and windows.arrow: Arrow's file format, which is Feather's too."""
    arrow = _need("pyarrow")

    def save(table: Any, out: Any) -> None:
        with arrow.ipc.new_file(out, table.schema) as writer:
            writer.write_table(table)

    _write(cache, more, folder, "arrow", save)


def read_parquet(folder: Path) -> Cache:
    """Read what `write_parquet` wrote."""
    parquet = _need("pyarrow.parquet")
    return _read(folder, "parquet", lambda path: parquet.ParquetFile(path).read())


def read_arrow(folder: Path) -> Cache:
    """Read what `write_arrow` wrote."""
    arrow = _need("pyarrow")

    def load(path: Path) -> Any:
        with arrow.OSFile(str(path)) as file, arrow.ipc.open_file(file) as reader:
            return reader.read_all()

    return _read(folder, "arrow", load)


def _need(module: str) -> Any:
    return require_package(module, "Parquet and Arrow", "pip install pyarrow")


def _write(cache: Cache, more: Columns, folder: Path, kind: str, save: Callable[[Any, Any], None]) -> None:
    arrow = _need("pyarrow")
    header = header_of(cache, kind)
    utterances, windows = utterance_table(cache, more), window_table(cache)
    lists = {name: _lists(arrow, stream.utterance, stream.present) for name, stream in _streams(cache)}
    rows = {
        name: _lists(arrow, stream.windows, stream.window_present)
        for name, stream in _streams(cache)
        if stream.windows is not None and stream.window_present is not None
    }
    types = {"turn": arrow.int32(), "duration_s": arrow.float64()}
    for name, table, arrays in (("utterances", utterances, lists), ("windows", windows, rows)):
        columns = {
            key: arrow.array(values, type=_type(arrow, key, values, types)) for key, values in table.items()
        }
        whole = arrow.table({**columns, **arrays})
        out = io.BytesIO()
        save(whole.replace_schema_metadata({"dualstream": json.dumps(header)}), out)
        write_bytes(folder / f"{name}.{kind}", out.getvalue())
    write_json(folder / HEADER, header)


def _type(arrow: Any, key: str, values: list[Any], types: dict[str, Any]) -> Any:
    if key in types:
        return types[key]
    known = next((value for value in values if value is not None), "")
    if isinstance(known, str):
        return arrow.string()
    return arrow.float64() if isinstance(known, float) else arrow.int64()


def _streams(cache: Cache) -> list[tuple[str, Stream]]:
    return sorted(cache.streams.items())


def _lists(arrow: Any, rows: Rows, present: Mask) -> Any:
    """Return a column of lists of a fixed length."""
    flat = arrow.array(np.ascontiguousarray(rows, dtype=np.float32).reshape(-1))
    return arrow.FixedSizeListArray.from_arrays(flat, rows.shape[1], mask=arrow.array(~present))


def _read(folder: Path, kind: str, load: Callable[[Path], Any]) -> Cache:
    header = read_header(folder / HEADER)
    tables = {}
    for name in ("utterances", "windows"):
        path = folder / f"{name}.{kind}"
        try:
            tables[name] = load(path)
        except FileNotFoundError as error:
            raise CorruptError(f"{path} is missing") from error
        except (OSError, ValueError) as error:  # of Arrow: its errors are these
            raise CorruptError(f"{path} can't be read: {error}") from error
    try:
        return _cache(header, tables["utterances"], tables["windows"], str(folder))
    except (KeyError, TypeError, ValueError) as error:
        raise CorruptError(f"{folder} does not hold the columns that `convert` writes: {error!r}") from error


def _cache(header: JsonObject, utterances: Any, windows: Any, where: str) -> Cache:
    names = [name for name in utterances.column_names if name not in header["streams"]]
    plain: Columns = {name: utterances.column(name).to_pylist() for name in names}
    streams = {}
    for name, facts in header["streams"].items():
        rows, present = _rows(utterances.column(name), int(facts["width"]))
        own, time_s = None, None
        if facts["has_windows"]:
            own, there = _rows(windows.column(name), int(facts["width"]))
            times = [math.nan if one is None else one for one in windows.column(f"{name}_time_s").to_pylist()]
            time_s = np.array(times, dtype=np.float64)
            if (np.isfinite(time_s) != there).any():
                raise ValueError(f"{name}: a window has a time exactly where it has a row")
        streams[name] = stream_of(header, name, rows, present, own, time_s)
    return cache_of(header, plain, windows.column("start_s").to_pylist(), streams, where)


def _rows(column: Any, width: int) -> tuple[Rows, Mask]:
    present = ~np.asarray(column.is_null().to_numpy(zero_copy_only=False), dtype=np.bool_)
    rows = np.zeros((len(column), width), dtype=np.float32)
    values = column.drop_null().combine_chunks()
    rows[present] = np.asarray(values.flatten(), dtype=np.float32).reshape(-1, width)
    return rows, present
