"""Read a table of features from CSV, NPZ or Parquet; say row and column of whatever is wrong with it."""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from features.encoder import require
from features.memory import raise_shortage
from features.single_read import open_hashed

TIME_COLUMNS = ("time_s", "start_s", "end_s")
MAX_BYTES = 16 * 2**30  # what an NPZ may declare; a table of MELD's windows with 4,096 columns has 1.4 GB


class TableError(ValueError):
    """A table of features can't be used; the message names the file, and the row and column where it can."""


@dataclass(frozen=True, repr=False)
class Table:
    """N rows of D columns, checked: ids not empty, all numbers finite."""

    path: Path
    format: str
    """``csv``, ``npz`` or ``parquet``."""
    sha256: str
    """Of the whole file, hex: of the bytes that the rows were read from."""
    ids: list[str]
    columns: tuple[str, ...]
    features: NDArray[np.float32]
    """Shape (N, D)."""
    times: dict[str, NDArray[np.float64]]
    """Those of ``time_s``, ``start_s``, ``end_s`` that the table has, each of shape (N,), seconds."""

    places: list[int]
    """Where each row stands: the line of a CSV file (from 1), else the row (from 0)."""

    def where(self, row: int) -> str:
        """Return how a person finds row `row` (from 0) in the file."""
        return _where(self.format, self.places[row])


def read_table(path: Path) -> Table:
    """Read a table by the ending of its name.

    Raises
    ------
    FileNotFoundError
        Where there is no such file.
    TableError
        Where the file has another ending or form, or a cell is no finite number.
    MissingPackageError
        For Parquet without pyarrow.
    """
    readers = {".csv": _read_csv, ".npz": _read_npz, ".parquet": _read_parquet}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise TableError(f"table {path.name} ends in {path.suffix!r}; expected .csv, .npz or .parquet")
    if not path.is_file():
        raise FileNotFoundError(f"table {path} does not exist")
    kind = path.suffix.lower()[1:]
    try:
        with open_hashed(path) as (file, sha256):
            ids, columns, values, places = reader(file, path)  # values: (N, columns), float64
    except TableError:
        raise
    except ValueError as error:  # it changed meanwhile
        raise TableError(f"table {path.name}: {error}") from error
    _check_columns(path, columns)
    if not len(ids):
        raise TableError(f"table {path.name} has no rows")
    for row, utterance_id in enumerate(ids):
        if not utterance_id:
            raise TableError(f"table {path.name}, {_where(kind, places[row])}: the id is empty")
    with np.errstate(over="ignore"):
        single = values.astype(np.float32)  # what is stored; above 3.4e38 it becomes infinite
    bad = np.argwhere(~np.isfinite(single))
    if len(bad):
        row, column = bad[0]
        raise TableError(
            f"table {path.name}, {_where(kind, places[row])}, column {columns[column]!r}: found "
            f"{values[row, column]}, expected a finite number ({len(bad)} such cells); "
            "leave out utterances without features: they are masked"
        )
    is_time = [name in TIME_COLUMNS for name in columns]
    features = np.ascontiguousarray(single[:, ~np.array(is_time)])
    if not features.shape[1]:
        raise TableError(f"table {path.name} has no feature columns beside the id and times")
    return Table(
        path=path,
        format=kind,
        sha256=sha256,
        ids=ids,
        columns=tuple(name for name, time in zip(columns, is_time, strict=True) if not time),
        features=features,
        times={name: values[:, i] for i, name in enumerate(columns) if is_time[i]},
        places=places,
    )


# Ids, names of the other columns, their values (N, columns), and the places of the rows.
_Read = tuple[list[str], list[str], NDArray[np.float64], list[int]]


def _read_csv(raw: BinaryIO, path: Path) -> _Read:
    ids: list[str] = []
    rows: list[list[float]] = []
    lines: list[int] = []
    try:
        text = io.TextIOWrapper(raw, encoding="utf-8-sig", newline="")
        reader = csv.reader(text, strict=True)
        header = next(reader, [])
        at = _id_column(path, header)
        names = header[:at] + header[at + 1 :]
        for cells in reader:
            if not cells:  # a blank line
                continue
            line = reader.line_num
            if len(cells) != len(header):
                raise TableError(
                    f"table {path.name}, {_where('csv', line)} has {len(cells)} cells; "
                    f"the header has {len(header)}"
                )
            ids.append(cells.pop(at).strip())
            lines.append(line)
            try:
                rows.append([_number(cell) for cell in cells])
            except ValueError:
                raise _no_number(path, line, names, cells) from None
        text.detach()  # who opened the file closes it
    except UnicodeDecodeError as error:
        raise TableError(f"table {path.name} is not UTF-8 text: {error}") from error
    except csv.Error as error:
        raise TableError(f"table {path.name}, {_where('csv', reader.line_num)}: {error}") from error
    return ids, names, np.array(rows, dtype=np.float64).reshape(len(rows), len(names)), lines


def _number(cell: str) -> float:
    if "_" in cell:  # Python reads 1_0 as ten
        raise ValueError
    return float(cell)


def _no_number(path: Path, line: int, names: Sequence[str], cells: Sequence[str]) -> TableError:
    for name, cell in zip(names, cells, strict=True):
        try:
            _number(cell)
        except ValueError:
            found = f"found {cell[:40]!r}" if cell.strip() else "the cell is empty"
            return TableError(
                f"table {path.name}, {_where('csv', line)}, column {name!r}: {found}, expected a number; every "
                "column but the id is a feature: take out those that are not"
            )
    raise AssertionError("called for a row of numbers")


def _read_npz(file: BinaryIO, path: Path) -> _Read:
    try:
        with zipfile.ZipFile(file) as archive:
            declared = sum(entry.file_size for entry in archive.infolist())
        if declared > MAX_BYTES:
            raise TableError(f"table {path.name} declares {declared} bytes; at most {MAX_BYTES} are read")
        file.seek(0)
        with np.load(file, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except (zipfile.BadZipFile, ValueError, OSError, EOFError, KeyError) as error:
        if isinstance(error, TableError):
            raise
        raise_shortage(error)
        raise TableError(
            f"table {path.name} can't be read as an NPZ of plain arrays (object arrays are pickles, and refused): "
            f"{error}"
        ) from error
    known = {"id", "features", "columns", *TIME_COLUMNS}
    if not {"id", "features"} <= set(arrays) or not set(arrays) <= known:
        raise TableError(
            f"table {path.name} holds the arrays {', '.join(sorted(arrays)) or 'none'}; expected id and features, "
            f"beside them at most {', '.join(sorted(known - {'id', 'features'}))}"
        )
    features, ids = arrays["features"], arrays["id"]
    if features.ndim != 2 or features.dtype.kind not in "fiu":
        raise TableError(
            f"table {path.name}: features are {features.dtype} of shape {features.shape}; expected numbers "
            "of shape (rows, columns)"
        )
    if ids.shape != features.shape[:1] or ids.dtype.kind not in "US":
        raise TableError(
            f"table {path.name}: id is {ids.dtype} of shape {ids.shape}; expected text of shape "
            f"{features.shape[:1]}"
        )
    names = [str(name) for name in arrays.get("columns", [f"f{i}" for i in range(features.shape[1])])]
    if len(names) != features.shape[1]:
        raise TableError(
            f"table {path.name}: {len(names)} names in columns, {features.shape[1]} columns in features"
        )
    values = [features.astype(np.float64)]
    for name in TIME_COLUMNS:
        if name in arrays:
            time = arrays[name]
            if time.shape != ids.shape or time.dtype.kind not in "fiu":
                raise TableError(
                    f"table {path.name}: {name} is {time.dtype} of shape {time.shape}; expected numbers of shape "
                    f"{ids.shape}"
                )
            values.append(time.astype(np.float64)[:, None])
            names.append(name)
    texts = [one.decode() if isinstance(one, bytes) else str(one) for one in ids.tolist()]
    return texts, names, np.concatenate(values, axis=1), list(range(len(texts)))


def _read_parquet(file: BinaryIO, path: Path) -> _Read:
    parquet: Any = require("pyarrow.parquet", "tables in Parquet", "parquet")
    arrow: Any = require("pyarrow", "tables in Parquet", "parquet")
    try:
        table = parquet.ParquetFile(file).read()
    except (arrow.ArrowException, OSError) as error:
        raise_shortage(error)
        raise TableError(f"table {path.name} can't be read as Parquet: {error}") from error
    header = list(table.column_names)
    at = _id_column(path, header)
    ids = table.column(at)
    kind = ids.type.value_type if arrow.types.is_dictionary(ids.type) else ids.type
    if not (arrow.types.is_string(kind) or arrow.types.is_large_string(kind)):
        raise TableError(f"table {path.name}, column {header[at]!r}: ids are {ids.type}; expected text")
    names: list[str] = []
    values = np.empty((table.num_rows, len(header) - 1), dtype=np.float64)
    for i, name in enumerate(header):
        if i == at:
            continue
        column = table.column(i)
        if not (arrow.types.is_integer(column.type) or arrow.types.is_floating(column.type)):
            raise TableError(
                f"table {path.name}, column {name!r} holds {column.type}; expected numbers; every column but the "
                "id is a feature: take out those that are not"
            )
        if column.null_count:
            row = column.is_null().to_pylist().index(True)
            raise TableError(
                f"table {path.name}, {_where('parquet', row)}, column {name!r}: the cell is empty "
                f"({column.null_count} such in this column); expected a number"
            )
        values[:, len(names)] = column.to_numpy()
        names.append(name)
    return [one or "" for one in ids.to_pylist()], names, values, list(range(table.num_rows))


def _id_column(path: Path, header: Sequence[str]) -> int:
    if len(header) < 2:
        raise TableError(
            f"table {path.name} has the columns {list(header)}; expected an id and features, separated by commas"
        )
    return list(header).index("id") if "id" in header else 0


def _check_columns(path: Path, columns: Sequence[str]) -> None:
    for name in columns:
        if not name.strip() or list(columns).count(name) > 1:
            raise TableError(f"table {path.name}: column name {name!r} is blank or stands twice")


def _where(kind: str, place: int) -> str:
    return f"line {place}" if kind == "csv" else f"row {place} (from 0)"
