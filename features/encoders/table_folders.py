"""A stream read from a folder with a file per utterance, named as the utterance is.

    NAME-UTT/ID.npy   one row (D,), as MERBench and EmoBox keep whole utterances
    NAME-FRA/ID.npy   frames (T, D) without times: ``--rate HZ`` says how many there are per second
    ID.csv            rows of one clip, as OpenFace and openSMILE write them

Files are read when their utterance is asked for, so that memory holds one of them.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from dualstream.features.encoder import EncoderSpec, StreamFeatures, StreamName, TableEncoder, named_files
from dualstream.features.encoders.table_columns import Columns, stem_of
from dualstream.features.encoders.table_csv import read_csv
from dualstream.features.encoders.table_files import TableRows, table_of
from dualstream.features.encoders.table_reading import Rows, TableError, TableReading
from dualstream.features.single_read import read_hashed
from numpy.typing import NDArray

from dualstream.documents import JsonObject

SUFFIXES = (".npy", ".csv")
MAX_NAMED = 5

MakeTable = Callable[[TableRows, StreamName, TableReading], TableEncoder]


def folder_files(argument: str, weights: str | None) -> list[Path]:
    """Return the files that a table rests on: itself, or those in the folder."""
    path = Path(argument)
    return sorted(_below(path)) if argument and path.is_dir() else named_files(argument, weights)


@dataclass(frozen=True, repr=False)
class _Found:
    """What the files of a folder hold together."""

    first: TableRows
    """Of the first file that has rows."""
    rows: int
    failed: int
    """Rows that are left out because the tool found nothing there."""
    most: int
    """Rows of the longest file, with those that are left out."""
    without_rows: int
    """Files of which no row is left."""


class FeatureFolder:
    """Ready-made rows in a file per utterance; keeps the TableEncoder protocol.

    Raises
    ------
    TableError
        Where there is no such file, two have one name, they differ in their columns, or hold other things than
        finite numbers.
    """

    spec: EncoderSpec

    def __init__(self, path: Path, stream: StreamName, how: TableReading, make_table: MakeTable) -> None:
        self._path, self._stream, self._how, self._make = path, stream, how, make_table
        self._files = _by_id(path)
        self._digests: dict[str, str] = {}
        self._last: tuple[str, TableEncoder | None] = ("", None)
        self._timed = True
        found = self._read_all()
        self._timed = found.most > 1 or how.rate_hz is not None
        first = found.first
        if not self._timed:
            first = self._table(first.ids[0]) or first
        sha = hashlib.sha256("".join(f"{name} {self._digests[name]}\n" for name in self._files).encode())
        inner = make_table(first, stream, how).spec
        passed_over: JsonObject = {"failed_rows": found.failed, "without_rows": found.without_rows}
        self.spec = EncoderSpec(
            name=f"table:{path.name}",
            stream=stream,
            raw_width=inner.raw_width,
            width=inner.width,
            parameters={
                **{name: value for name, value in inner.parameters.items() if name != "failed_rows"},
                "sha256": sha.hexdigest(),
                "rows": found.rows,
                "files": len(self._files),
                **{name: value for name, value in passed_over.items() if value},
            },
            has_windows=inner.has_windows,
            column_names=inner.column_names,
        )

    def __repr__(self) -> str:
        return f"FeatureFolder({self.spec.name!r}, {len(self._files)} files of {self.spec.width} columns)"

    @property
    def ids(self) -> tuple[str, ...]:
        """The utterances that there is a file of, by name."""
        return tuple(self._files)

    def lookup(self, utterance_id: str, starts_s: NDArray[np.float64], length_s: float) -> StreamFeatures:
        """Return the rows of one utterance's file; `present` is False where there is none.

        Raises
        ------
        ValueError
            Where the file changed since it was first read.
        """
        table = self._encoder(utterance_id)
        if table is not None:
            return table.lookup(utterance_id, starts_s, length_s)
        return StreamFeatures.nothing(self.spec.raw_width, len(starts_s) if self.spec.has_windows else 0)

    def extent_s(self, utterance_id: str, length_s: float) -> float | None:
        """Return how far an utterance's rows reach, seconds; None where it has none or they have no times."""
        table = self._encoder(utterance_id)
        return None if table is None else table.extent_s(utterance_id, length_s)

    def _encoder(self, utterance_id: str) -> TableEncoder | None:
        if utterance_id not in self._files:
            return None
        known, encoder = self._last
        if known != utterance_id:
            table = self._table(utterance_id)
            encoder = None if table is None else self._make(table, self._stream, self._how)
            self._last = (utterance_id, encoder)
        return encoder

    def _table(self, utterance_id: str) -> TableRows | None:
        """Read one file; None where no row is left of it."""
        path = self._files[utterance_id]
        data, sha256 = read_hashed(path)
        if self._digests.setdefault(utterance_id, sha256) != sha256:
            raise TableError(f"{path} changed while the folder was read; run the same command again")
        kind = path.suffix.lower()[1:]
        if kind == "npy":
            rows = _npy_rows(data, path, utterance_id, self._how)
        else:
            rows = read_csv(io.BytesIO(data), path, self._how, stem=utterance_id)
        return table_of(path, kind, sha256, rows, timed=self._timed)

    def _read_all(self) -> _Found:
        """Read every file once; return the first table, how many rows there are, and what was passed over."""
        first: TableRows | None = None
        rows = failed = most = without_rows = 0
        for name, path in self._files.items():
            table = self._table(name)
            if table is None:
                without_rows += 1
                continue
            if first is None:
                first = table
            elif bool(table.times) != bool(first.times):
                raise TableError(f"{path} holds one row, and {first.path.name} frames, or the other way round")
            elif table.columns != first.columns:
                raise TableError(
                    f"{path} has {_told(table.columns)}; {first.path.name} has {_told(first.columns)}: the files "
                    "of a folder have the same columns"
                )
            rows += len(table.ids)
            failed += table.failed_rows
            most = max(most, len(table.ids) + table.failed_rows)
        if first is None:
            raise TableError(
                f"{self._path}: no file has a row left (success is 0, or confidence too small, in all)"
            )
        return _Found(first, rows, failed, most, without_rows)


def _told(columns: tuple[str, ...]) -> str:
    shown = ", ".join(columns[:MAX_NAMED]) + (", …" if len(columns) > MAX_NAMED else "")
    return f"{len(columns)} columns ({shown})"


def _below(folder: Path) -> Iterable[Path]:
    """Return the files below a folder that may be tables; hidden ones are passed over."""
    for path in folder.rglob("*"):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if path.suffix.lower() in SUFFIXES and not hidden and path.is_file():
            yield path


def _by_id(folder: Path) -> dict[str, Path]:
    found: dict[str, Path] = {}
    paths = sorted(_below(folder), key=lambda path: (stem_of(path.name), str(path)))
    if not paths:
        raise TableError(f"{folder} holds no .npy and no .csv file; expected one per utterance, such as ID.npy")
    kinds = {path.suffix.lower() for path in paths}
    if len(kinds) > 1:
        raise TableError(f"{folder} holds .npy and .csv files; expected one kind: name the folder of one of them")
    for path in paths:
        name = stem_of(path.name)
        if name in found:
            raise TableError(
                f"{folder} holds {found[name].relative_to(folder)} and {path.relative_to(folder)}: two files "
                "of one utterance; name the folder of one of them"
            )
        found[name] = path
    return found


def _npy_rows(data: bytes, path: Path, utterance_id: str, how: TableReading) -> Rows:
    """Return the rows of one array: (D,) is a row, (T, D) are frames."""
    try:
        array = np.load(io.BytesIO(data), allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise TableError(
            f"{path} can't be read as an array of numbers (arrays of objects are pickles, and refused): {error}"
        ) from error
    if array.ndim not in (1, 2) or array.dtype.kind not in "fiu" or not array.shape[-1]:
        raise TableError(
            f"{path} holds {array.dtype} of shape {array.shape}; expected numbers of shape (columns,), or "
            "(frames, columns)"
        )
    matrix = np.asarray(array, dtype=np.float64).reshape(-1, array.shape[-1])
    if how.rate_hz is None and len(matrix) > 1:
        raise TableError(
            f"{path} holds {len(matrix)} frames of {matrix.shape[1]} columns, without times; say how many there "
            "are per second: --rate HZ, such as --rate 50 for HuBERT, or the video's own rate for pictures"
        )
    names = [f"f{at}" for at in range(matrix.shape[1])]
    timed = how.rate_hz is not None and array.ndim == 2
    if how.rate_hz is not None and timed:
        starts_s = np.arange(len(matrix))[:, None] / how.rate_hz
        matrix = np.concatenate([matrix, starts_s, starts_s + 1 / how.rate_hz], axis=1)
        names += ["start_s", "end_s"]
    count = len(matrix)
    columns = Columns(None, (), tuple(names), (), None, pooled=timed)
    return Rows.of([utterance_id] * count, columns, matrix, list(range(count)), np.zeros(count, np.bool_))
