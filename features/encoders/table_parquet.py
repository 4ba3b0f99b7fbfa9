"""Tables of features in Parquet: a number per cell, or a list per cell, as datasets of Hugging Face hold them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from dualstream.features.encoders.table_columns import TIME_COLUMNS, Columns, stem_of
from dualstream.features.encoders.table_reading import Rows, TableError, TableReading, sorted_columns, where
from dualstream.features.memory import raise_shortage
from dualstream.features.packages import require
from numpy.typing import NDArray

Values = NDArray[np.float64]


def read_parquet(file: BinaryIO, path: Path, how: TableReading) -> Rows:
    """Read a Parquet file. Where columns hold lists, those are the features, and other columns are left out.

    Raises
    ------
    TableError
        Naming row and column of what is wrong.
    MissingPackageError
        Where pyarrow is not installed.
    """
    parquet: Any = require("pyarrow.parquet", "tables in Parquet", "parquet")
    arrow: Any = require("pyarrow", "tables in Parquet", "parquet")
    try:
        table = parquet.ParquetFile(file).read()
    except (arrow.ArrowException, OSError) as error:
        raise_shortage(error)
        raise TableError(f"table {path.name} can't be read as Parquet: {error}") from error
    lists = [one.name for one in table.schema if _is_list(arrow, one.type)]
    if lists:
        return _rows_of_lists(arrow, table, lists, path, how)
    columns = sorted_columns(path, list(table.column_names))
    assert columns.id_at is not None
    failed = _failed(table, columns, how)
    values = np.empty((table.num_rows, len(columns.read)), dtype=np.float64)
    for i, (at, name) in enumerate(zip(columns.read, columns.names, strict=True)):
        values[:, i] = _numbers(arrow, table.column(at), name, path, failed)
    return Rows.of(_ids(arrow, table, columns, path), columns, values, list(range(table.num_rows)), failed)


def _is_list(arrow: Any, kind: Any) -> bool:
    kinds = arrow.types
    return bool(kinds.is_list(kind) or kinds.is_large_list(kind) or kinds.is_fixed_size_list(kind))


def _ids(arrow: Any, table: Any, columns: Columns, path: Path) -> list[str]:
    ids, name = table.column(columns.id_at), table.column_names[columns.id_at]
    if not _is_text(arrow, ids.type):
        raise TableError(f"table {path.name}, column {name!r}: ids are {ids.type}; expected text")
    texts = [one or "" for one in ids.to_pylist()]
    return [stem_of(text) for text in texts] if columns.ids_are_files else texts


def _failed(table: Any, columns: Columns, how: TableReading) -> NDArray[np.bool_]:
    failed = np.zeros(table.num_rows, np.bool_)
    if columns.success_at is not None:
        failed |= [one is not None and one == 0 for one in table.column(columns.success_at).to_pylist()]
    if columns.confidence_at is not None:
        failed |= [
            one is not None and one < how.confidence for one in table.column(columns.confidence_at).to_pylist()
        ]
    return failed


def _numbers(arrow: Any, column: Any, name: str, path: Path, failed: NDArray[np.bool_]) -> Values:
    """Return a column of numbers, or of spans of time in seconds; the cells of failed rows may be empty."""
    if arrow.types.is_duration(column.type) and not column.null_count:
        nanoseconds = column.cast(arrow.duration("ns")).cast(arrow.int64()).to_numpy()
        return np.asarray(nanoseconds, dtype=np.float64) / 1e9
    if not (arrow.types.is_integer(column.type) or arrow.types.is_floating(column.type)):
        raise TableError(
            f"table {path.name}, column {name!r} holds {column.type}; expected numbers; every column but the "
            "id is a feature: take out those that are not"
        )
    is_empty = column.is_null().to_pylist() if column.null_count else []
    empty = [row for row, null in enumerate(is_empty) if null and not failed[row]]
    if empty:
        raise TableError(
            f"table {path.name}, {where('parquet', empty[0])}, column {name!r}: the cell is empty "
            f"({len(empty)} such in this column); expected a number"
        )
    found: Values = np.asarray(column.to_numpy(), dtype=np.float64)
    return found


def _rows_of_lists(arrow: Any, table: Any, lists: list[str], path: Path, how: TableReading) -> Rows:
    """Return a row for each list of numbers, or for each of a list of such lists, which are frames."""
    names = list(table.column_names)
    plain = [name for name in names if name not in lists]
    text = [name for name in plain if _is_text(arrow, table.schema.field(name).type)]
    if not text:
        raise TableError(
            f"table {path.name} has no column of text that could be the id; it has {', '.join(names)}"
        )
    told = sorted_columns(path, [*text, "list column"])
    assert told.id_at is not None
    id_name = text[told.id_at]
    ids = _ids(arrow, table, replace(told, id_at=names.index(id_name)), path)
    times = [name for name in plain if name in TIME_COLUMNS]
    nested = {_is_list(arrow, table.schema.field(name).type.value_type) for name in lists}
    if len(nested) > 1:
        raise TableError(f"table {path.name}: some of the columns {', '.join(lists)} hold frames, others one row")
    parts = [_matrices(table.column(name).to_pylist(), name, path, frames=True in nested) for name in lists]
    header = [f"{name}_{at}" for name, part in zip(lists, parts, strict=True) for at in range(_width(part))]
    left_out = tuple(name for name in plain if name not in (id_name, *times))
    if True in nested:
        return _frames(ids, parts, header, left_out, path, how)
    failed = np.array([any(part[row] is None for part in parts) for row in range(len(ids))], dtype=np.bool_)
    values = np.full((len(ids), len(header)), np.nan)
    for row in np.flatnonzero(~failed):
        values[row] = np.concatenate([part[row][0] for part in parts])  # type: ignore[index]
    whole = [values, *(_numbers(arrow, table.column(name), name, path, failed)[:, None] for name in times)]
    columns = Columns(0, (), (*header, *times), left_out, None)
    return Rows.of(ids, columns, np.concatenate(whole, axis=1), list(range(len(ids))), failed)


def _is_text(arrow: Any, kind: Any) -> bool:
    kind = kind.value_type if arrow.types.is_dictionary(kind) else kind
    return bool(arrow.types.is_string(kind) or arrow.types.is_large_string(kind))


Matrices = list[Values | None]


def _matrices(cells: list[Any], name: str, path: Path, *, frames: bool) -> Matrices:
    """Return an array (T, D) for each cell, None for an empty one; all have the same D."""
    found: Matrices = []
    width: int | None = None
    for row, cell in enumerate(cells):
        if cell is None or (frames and not cell):
            found.append(None)
            continue
        try:
            one = np.array(cell if frames else [cell], dtype=np.float64)
        except (TypeError, ValueError):  # lists of different lengths, or text
            one = np.empty(0)
        if one.ndim != 2 or width not in (None, one.shape[1]):
            raise TableError(
                f"table {path.name}, {where('parquet', row)}, column {name!r}: expected lists of "
                f"{width if width is not None else 'as many'} numbers in every row"
            )
        width = one.shape[1]
        found.append(one)
    return found


def _width(part: Matrices) -> int:
    return next((one.shape[1] for one in part if one is not None), 0)


def _frames(
    ids: list[str],
    parts: list[Matrices],
    header: list[str],
    left_out: tuple[str, ...],
    path: Path,
    how: TableReading,
) -> Rows:
    if how.rate_hz is None:
        raise TableError(
            f"table {path.name} holds frames without times; say how many there are per second: --rate HZ"
        )
    names: list[str] = []
    places: list[int] = []
    blocks = [np.empty((0, len(header) + 2))]
    for row, utterance_id in enumerate(ids):
        matrices = [one for part in parts if (one := part[row]) is not None]
        if len(matrices) < len(parts):
            continue
        if len({len(one) for one in matrices}) > 1:
            raise TableError(f"table {path.name}, {where('parquet', row)}: its lists have different lengths")
        count = len(matrices[0])
        starts_s = np.arange(count)[:, None] / how.rate_hz
        blocks.append(np.concatenate([*matrices, starts_s, starts_s + 1 / how.rate_hz], axis=1))
        names += [utterance_id] * count
        places += [row] * count
    columns = Columns(0, (), (*header, "start_s", "end_s"), left_out, None, pooled=True)
    return Rows.of(names, columns, np.concatenate(blocks), places, np.zeros(len(names), np.bool_))
