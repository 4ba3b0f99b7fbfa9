"""Read a table of features from CSV, NPZ or Parquet; say row and column of whatever is wrong with it."""

from __future__ import annotations

import csv
import io
import itertools
import re
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Protocol, TextIO

import numpy as np
from dualstream.features.encoder import require
from dualstream.features.encoders.table_columns import TIME_COLUMNS, Columns, bare, sort_columns
from dualstream.features.memory import raise_shortage
from dualstream.features.single_read import open_hashed
from numpy.typing import NDArray

DELIMITERS = ",;\t"
LONGEST_CLIP_S = 24 * 3600.0  # a tool's own time beyond this is no time on a clip's clock, in seconds
MAX_BYTES = 16 * 2**30  # what an NPZ may declare; a table of MELD's windows with 4,096 columns has 1.4 GB


_DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+(?:[eE][+-]?\d+)?")


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
    left_out: tuple[str, ...] = ()
    """Columns that a tool keeps for itself, such as OpenFace's ``frame`` and ``confidence``: no features."""
    failed_rows: int = 0
    """Rows that are left out because the tool says that it found nothing there: OpenFace's ``success`` is 0."""

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
            read = reader(file, path)
    except TableError:
        raise
    except ValueError as error:  # it changed meanwhile
        raise TableError(f"table {path.name}: {error}") from error
    ids, columns, values, places = read.ids, list(read.columns.names), read.values, read.places
    for row, utterance_id in enumerate(ids):
        if not utterance_id:
            raise TableError(f"table {path.name}, {_where(kind, places[row])}: the id is empty")
    failed = int(read.failed.sum())
    if failed:
        kept = np.flatnonzero(~read.failed)
        ids, values, places = [ids[row] for row in kept], values[kept], [places[row] for row in kept]
    if not len(ids):
        why = f": success is 0 in all {failed}" if failed else ""
        raise TableError(f"table {path.name} has no rows{why}")
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
    times = {name: values[:, i] for i, name in enumerate(columns) if name in TIME_COLUMNS}
    if read.columns.tool_time:
        _check_tool_time(path, read.columns.tool_time, times["time_s"])
        if len(set(ids)) == len(ids):  # one row per utterance: it is of the whole clip, whatever instant it names
            times = {}
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
        times=times,
        places=places,
        left_out=read.columns.left_out,
        failed_rows=failed,
    )


class _CsvReader(Protocol):
    """What `csv.reader` returns."""

    line_num: int

    def __iter__(self) -> Iterator[list[str]]: ...
    def __next__(self) -> list[str]: ...


@dataclass(frozen=True, repr=False)
class _Read:
    """N rows as they stand in the file."""

    ids: list[str]
    columns: Columns
    values: NDArray[np.float64]
    """Times and features, shape (N, len(columns.names)); NaN where a failed row holds no number."""
    places: list[int]
    failed: NDArray[np.bool_]
    """Rows in which the tool found nothing, shape (N,)."""


def _check_tool_time(path: Path, name: str, time_s: NDArray[np.float64]) -> None:
    if len(time_s) and (time_s.min() < 0 or time_s.max() > LONGEST_CLIP_S):
        raise TableError(
            f"table {path.name}, column {name!r} runs from {time_s.min():g} to {time_s.max():g}; expected the "
            "time of each row on its clip's clock, in seconds: give that as time_s, or take the column out"
        )


def _sorted(path: Path, header: Sequence[str], *, has_id: bool = True) -> Columns:
    if has_id and len(header) < 2:
        raise TableError(
            f"table {path.name} has the columns {list(header)}; expected an id and features, separated by commas, "
            "semicolons or tabs"
        )
    try:
        return sort_columns(header, has_id=has_id)
    except ValueError as error:
        raise TableError(f"table {path.name}: {error}") from error


def _delimiter(path: Path, line: str) -> str:
    """Return what separates the cells: whichever of commas, semicolons and tabs makes the most columns."""
    if line.lstrip().lower().startswith(("@relation", "@attribute")):
        raise TableError(f"table {path.name} is ARFF; expected CSV: openSMILE writes it with -csvoutput")
    counts = {
        mark: len(next(csv.reader([line], delimiter=mark, skipinitialspace=True), [])) for mark in DELIMITERS
    }
    return max(DELIMITERS, key=lambda mark: counts[mark])


def _read_csv(raw: BinaryIO, path: Path) -> _Read:
    text = io.TextIOWrapper(raw, encoding="utf-8-sig", newline="")
    try:
        read = _csv_of(path, text)
    except UnicodeDecodeError as error:
        raise TableError(f"table {path.name} is not UTF-8 text: {error}") from error
    text.detach()  # who opened the file closes it
    return read


def _csv_of(path: Path, text: TextIO) -> _Read:
    first = text.readline()
    mark = _delimiter(path, first)
    lines = itertools.chain([first], text)
    reader = csv.reader(lines, delimiter=mark, skipinitialspace=mark != "\t", strict=True)
    try:
        return _csv_rows(path, reader)
    except csv.Error as error:
        raise TableError(f"table {path.name}, {_where('csv', reader.line_num)}: {error}") from error


def _csv_rows(path: Path, reader: _CsvReader) -> _Read:
    header = next(reader, [])
    columns = _sorted(path, header)
    assert columns.id_at is not None
    ids: list[str] = []
    rows: list[list[float]] = []
    lines: list[int] = []
    failed: list[bool] = []
    for cells in reader:
        line = reader.line_num
        if not cells:  # a blank line
            continue
        if len(cells) != len(header):
            raise TableError(
                f"table {path.name}, {_where('csv', line)} has {len(cells)} cells; the header has {len(header)}"
            )
        ids.append(bare(cells[columns.id_at]))
        lines.append(line)
        failed.append(columns.success_at is not None and _is_zero(cells[columns.success_at]))
        wanted = [cells[at] for at in columns.read]
        try:
            rows.append([_number(cell) for cell in wanted])
        except ValueError:
            if not failed[-1]:
                raise _no_number(path, line, columns.names, wanted) from None
            rows.append([float("nan")] * len(wanted))
    values = np.array(rows, dtype=np.float64).reshape(len(rows), len(columns.names))
    return _Read(ids, columns, values, lines, np.array(failed, dtype=np.bool_))


def _is_zero(cell: str) -> bool:
    """Tell whether a cell of ``success`` says that nothing was found."""
    try:
        return float(cell) == 0
    except ValueError:
        return cell.strip().lower() == "false"


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
            if _DECIMAL_COMMA.fullmatch(cell.strip()):
                found += " (a decimal comma; write a point)"
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
    columns = _sorted(path, names, has_id=False)
    every = np.concatenate(values, axis=1)
    failed = np.zeros(len(texts), np.bool_) if columns.success_at is None else every[:, columns.success_at] == 0
    kept = every if len(columns.read) == every.shape[1] else every[:, list(columns.read)]
    return _Read(texts, columns, kept, list(range(len(texts))), failed)


def _read_parquet(file: BinaryIO, path: Path) -> _Read:
    parquet: Any = require("pyarrow.parquet", "tables in Parquet", "parquet")
    arrow: Any = require("pyarrow", "tables in Parquet", "parquet")
    try:
        table = parquet.ParquetFile(file).read()
    except (arrow.ArrowException, OSError) as error:
        raise_shortage(error)
        raise TableError(f"table {path.name} can't be read as Parquet: {error}") from error
    header = list(table.column_names)
    columns = _sorted(path, header)
    assert columns.id_at is not None
    ids = table.column(columns.id_at)
    kind = ids.type.value_type if arrow.types.is_dictionary(ids.type) else ids.type
    if not (arrow.types.is_string(kind) or arrow.types.is_large_string(kind)):
        raise TableError(f"table {path.name}, column {header[columns.id_at]!r}: ids are {ids.type}; expected text")
    failed = np.zeros(table.num_rows, np.bool_)
    if columns.success_at is not None:
        failed = np.array([one is not None and one == 0 for one in table.column(columns.success_at).to_pylist()])
    values = np.empty((table.num_rows, len(columns.read)), dtype=np.float64)
    for i, (at, name) in enumerate(zip(columns.read, columns.names, strict=True)):
        column = table.column(at)
        if not (arrow.types.is_integer(column.type) or arrow.types.is_floating(column.type)):
            raise TableError(
                f"table {path.name}, column {name!r} holds {column.type}; expected numbers; every column but the "
                "id is a feature: take out those that are not"
            )
        is_empty = column.is_null().to_pylist() if column.null_count else []
        empty = [row for row, null in enumerate(is_empty) if null and not failed[row]]
        if empty:
            raise TableError(
                f"table {path.name}, {_where('parquet', empty[0])}, column {name!r}: the cell is empty "
                f"({len(empty)} such in this column); expected a number"
            )
        values[:, i] = column.to_numpy()
    return _Read([one or "" for one in ids.to_pylist()], columns, values, list(range(table.num_rows)), failed)


def _where(kind: str, place: int) -> str:
    return f"line {place}" if kind == "csv" else f"row {place} (from 0)"
