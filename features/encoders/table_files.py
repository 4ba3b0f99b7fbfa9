"""Read a table of features from CSV, NPZ or Parquet; say row and column of whatever is wrong with it."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from dualstream.features.encoders.table_columns import TIME_COLUMNS
from dualstream.features.encoders.table_csv import read_csv
from dualstream.features.encoders.table_numbers import Grown, Numbers
from dualstream.features.encoders.table_parquet import read_parquet
from dualstream.features.encoders.table_reading import Rows, TableError, TableReading, sorted_columns, where
from dualstream.features.memory import raise_shortage
from dualstream.features.single_read import open_hashed
from numpy.typing import NDArray

LONGEST_CLIP_S = 24 * 3600.0  # a tool's own time beyond this is no time on a clip's clock, in seconds
MAX_BYTES = 16 * 2**30  # what an NPZ may declare; a table of MELD's windows with 4,096 columns has 1.4 GB


@dataclass(frozen=True, repr=False)
class TableRows:
    """N rows of D columns, checked: ids not empty, all numbers finite."""

    path: Path
    format: str
    """``csv``, ``npz``, ``parquet``, ``npy``, or what another reader is called."""
    sha256: str
    """Of the whole file, hex: of the bytes that the rows were read from."""
    ids: Sequence[str]
    columns: tuple[str, ...]
    features: NDArray[np.float32] | Grown
    """Shape (N, D); rows of it by their numbers, where it is no array."""
    times: dict[str, NDArray[np.float64]]
    """Those of ``time_s``, ``start_s``, ``end_s`` that the table has, each of shape (N,), seconds."""

    places: Sequence[int]
    """Where each row stands: the line of a CSV file (from 1), else the row (from 0)."""
    left_out: tuple[str, ...] = ()
    """Columns that a tool keeps for itself, such as OpenFace's ``frame`` and ``confidence``: no features."""
    failed_rows: int = 0
    """Rows that are left out because the tool found nothing there: OpenFace's ``success`` is 0, or its
    ``confidence`` too small."""
    pooled: bool = False
    """Whether rows stand for their whole spans: a window takes the mean of those that overlap it."""

    def where(self, row: int) -> str:
        """Return how a person finds row `row` (from 0) in the file."""
        return where(self.format, self.places[row])


OWN_SUFFIXES = (".csv", ".npz", ".parquet")
Reader = Callable[[BinaryIO, Path, TableReading], Rows]
READERS: dict[str, Reader] = {".csv": read_csv, ".parquet": read_parquet}
"""By the ending of a file's name; `register_reader` adds others."""


def register_reader(suffix: str, reader: Reader) -> None:
    """Have files that end in `suffix` read as tables by `reader`, in this process."""
    READERS[suffix] = reader


def read_table(path: Path, how: TableReading | None = None) -> TableRows:
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
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        others = "".join(f", {suffix}" for suffix in READERS if suffix not in OWN_SUFFIXES)
        raise TableError(
            f"table {path.name} ends in {path.suffix!r}; expected .csv, .npz or .parquet{others}, or a folder "
            "with a .npy or .csv file per utterance"
        )
    if not path.is_file():
        raise FileNotFoundError(f"table {path} does not exist")
    try:
        with open_hashed(path) as (file, sha256):
            read = reader(file, path, how or TableReading())
    except TableError:
        raise
    except ValueError as error:  # it changed meanwhile
        raise TableError(f"table {path.name}: {error}") from error
    found = table_of(path, path.suffix.lower()[1:], sha256, read)
    if found is None:
        failed = int(read.failed.sum())
        why = f": success is 0 in all {failed} (or confidence too small)" if failed else ""
        raise TableError(f"table {path.name} has no rows{why}")
    return found


def table_of(path: Path, kind: str, sha256: str, read: Rows, *, timed: bool | None = None) -> TableRows | None:
    """Check what was read; None where no row is left.

    Parameters
    ----------
    timed
        Whether a tool's own times mean something; None: where an utterance has several rows.

    Raises
    ------
    TableError
        Where an id is empty or a cell is no finite number.
    """
    ids, columns, places = read.ids, list(read.columns.names), read.places
    for row, utterance_id in enumerate(ids):
        if not utterance_id:
            raise TableError(f"table {path.name}, {where(kind, places[row])}: the id is empty")
    failed = int(read.failed.sum())
    if failed:
        kept = np.flatnonzero(~read.failed)
        ids, places = [ids[int(row)] for row in kept], [places[int(row)] for row in kept]
    if not len(ids):
        return None
    _require_finite(path, kind, read.numbers, places)
    times = read.numbers.times()
    if read.columns.tool_time:
        _check_tool_time(path, read.columns.tool_time, times["time_s"])
    if read.columns.tool_time or read.columns.spans:
        if timed is None:  # one row per utterance: it is of the whole clip, whatever instant it names
            timed = len(set(read.ids)) < len(read.ids)
        times = times if timed else {}
    features = read.numbers.features
    if not features.shape[1]:
        raise TableError(f"table {path.name} has no feature columns beside the id and times")
    return TableRows(
        path=path,
        format=kind,
        sha256=sha256,
        ids=ids,
        columns=tuple(name for name in columns if name not in TIME_COLUMNS),
        features=features,
        times=times,
        places=places,
        left_out=read.columns.left_out,
        failed_rows=failed,
        pooled=read.columns.pooled and bool(times),
    )


def _require_finite(path: Path, kind: str, numbers: Numbers, places: Sequence[int]) -> None:
    if numbers.first_bad is not None:
        row, column, found = numbers.first_bad
        raise TableError(
            f"table {path.name}, {where(kind, places[row])}, column {column!r}: found "
            f"{found}, expected a finite number ({numbers.bad_cells} such cells); "
            "leave out utterances without features: they are masked"
        )


def _check_tool_time(path: Path, name: str, time_s: NDArray[np.float64]) -> None:
    if len(time_s) and (time_s.min() < 0 or time_s.max() > LONGEST_CLIP_S):
        raise TableError(
            f"table {path.name}, column {name!r} runs from {time_s.min():g} to {time_s.max():g}; expected the "
            "time of each row on its clip's clock, in seconds: give that as time_s, or take the column out"
        )


def _read_npz(file: BinaryIO, path: Path, how: TableReading) -> Rows:
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
    columns = sorted_columns(path, names, has_id=False)
    every = np.concatenate(values, axis=1)
    failed = np.zeros(len(texts), np.bool_) if columns.success_at is None else every[:, columns.success_at] == 0
    kept = every if len(columns.read) == every.shape[1] else every[:, list(columns.read)]
    if columns.confidence_at is not None:
        failed |= every[:, columns.confidence_at] < how.confidence
    return Rows.of(texts, columns, kept, list(range(len(texts))), failed)


READERS[".npz"] = _read_npz
