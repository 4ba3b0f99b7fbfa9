"""Tables of features in CSV: commas, semicolons or tabs, as people, OpenFace and openSMILE write them."""

from __future__ import annotations

import csv
import io
import itertools
import re
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, Protocol, TextIO

import numpy as np
from dualstream.features.encoders.table_columns import ID, SPAN_COLUMNS, Columns, bare, stem_of
from dualstream.features.encoders.table_numbers import BLOCK_ROWS, Numbers
from dualstream.features.encoders.table_reading import Rows, TableError, TableReading, sorted_columns, where

from dualstream.packed_texts import RunTexts

DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs"}

_DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+(?:[eE][+-]?\d+)?")
_TIMEDELTA = re.compile(r"(-?\d+) days?(?: \+?(\d+):(\d\d):(\d\d(?:\.\d+)?))?")  # pandas: 0 days 00:00:01.5


class _CsvReader(Protocol):
    """What `csv.reader` returns."""

    line_num: int

    def __iter__(self) -> Iterator[list[str]]: ...
    def __next__(self) -> list[str]: ...


def _delimiter(path: Path, line: str) -> str:
    """Return what separates the cells: whichever of commas, semicolons and tabs makes the most columns."""
    if line.lstrip().lower().startswith(("@relation", "@attribute")):
        raise TableError(f"table {path.name} is ARFF; expected CSV: openSMILE writes it with -csvoutput")
    counts = {
        mark: len(next(csv.reader([line], delimiter=mark, skipinitialspace=True), [])) for mark in DELIMITERS
    }
    return max(DELIMITERS, key=lambda mark: counts[mark])


def read_csv(raw: BinaryIO, path: Path, how: TableReading, *, stem: str | None = None) -> Rows:
    """Read a CSV file; `stem` is the id of all its rows, where the file is of one utterance and has no ids.

    Raises
    ------
    TableError
        Naming line and column of what is wrong.
    """
    text = io.TextIOWrapper(raw, encoding="utf-8-sig", newline="")
    try:
        read = _csv_of(path, text, how, stem)
    except UnicodeDecodeError as error:
        raise TableError(f"table {path.name} is not UTF-8 text: {error}") from error
    text.detach()  # who opened the file closes it
    return read


def _csv_of(path: Path, text: TextIO, how: TableReading, stem: str | None) -> Rows:
    first = text.readline()
    mark = _delimiter(path, first)
    lines = itertools.chain([first], text)
    reader = csv.reader(lines, delimiter=mark, skipinitialspace=mark != "\t", strict=True)
    try:
        return _csv_rows(path, reader, mark, how, stem)
    except csv.Error as error:
        raise TableError(f"table {path.name}, {where('csv', reader.line_num)}: {error}") from error


def _csv_rows(path: Path, reader: _CsvReader, mark: str, how: TableReading, stem: str | None) -> Rows:
    header = next(reader, [])
    lines = _lines(path, reader, header, mark)
    first = next(lines, None)
    has_id = stem is None or any(bare(name).lower() == ID for name in header)
    columns = sorted_columns(path, header, has_id=has_id, spans=first is not None and _has_spans(header, first[1]))
    ids = RunTexts()
    numbers = Numbers(columns.names)
    waiting: list[list[float]] = []
    places = array("Q")
    failed = bytearray()
    for line, cells in itertools.chain([first] if first is not None else [], lines):
        ids.append(_id(columns, cells) if has_id else stem or "")
        places.append(line)
        nothing = columns.success_at is not None and _is_zero(cells[columns.success_at])
        failed.append(nothing or _is_doubtful(columns, cells, how))
        wanted = [cells[at] for at in columns.read]
        try:
            found = [_number(cell) for cell in wanted]
        except ValueError:
            if not nothing:
                raise _no_number(path, line, columns.names, wanted) from None
            continue
        if not failed[-1]:
            waiting.append(found)
        if len(waiting) == BLOCK_ROWS:
            numbers.append(np.array(waiting))
            waiting.clear()
    numbers.append(np.array(waiting, dtype=np.float64).reshape(len(waiting), len(columns.names)))
    return Rows(ids, columns, numbers, places, np.frombuffer(failed, dtype=np.bool_))


def _lines(path: Path, reader: _CsvReader, header: list[str], mark: str) -> Iterator[tuple[int, list[str]]]:
    """Yield line and cells of each row; blank lines are passed over."""
    for cells in reader:
        if cells and len(cells) != len(header):
            raise TableError(
                f"table {path.name}, {where('csv', reader.line_num)} has {len(cells)} cells; the header has "
                f"{len(header)} (separated by {DELIMITERS[mark]})"
            )
        if cells:
            yield reader.line_num, cells


def _has_spans(header: list[str], cells: list[str]) -> bool:
    """Tell whether ``start`` and ``end`` hold spans of time as pandas writes them, as openSMILE's package does."""
    named = {bare(name).lower(): cell for name, cell in zip(header, cells, strict=True)}
    return all(_TIMEDELTA.fullmatch(named.get(name, "").strip()) for name in SPAN_COLUMNS)


def _id(columns: Columns, cells: list[str]) -> str:
    assert columns.id_at is not None
    text = bare(cells[columns.id_at])
    return stem_of(text) if columns.ids_are_files else text


def _is_doubtful(columns: Columns, cells: list[str], how: TableReading) -> bool:
    """Tell whether OpenFace is less sure of a row than it must be."""
    if columns.confidence_at is None:
        return False
    try:
        return _number(cells[columns.confidence_at]) < how.confidence
    except ValueError:
        return False


def _is_zero(cell: str) -> bool:
    """Tell whether a cell of ``success`` says that nothing was found."""
    try:
        return float(cell) == 0
    except ValueError:
        return cell.strip().lower() == "false"


def _number(cell: str) -> float:
    if "_" in cell:  # Python reads 1_0 as ten
        raise ValueError
    span = _TIMEDELTA.fullmatch(cell.strip())
    if span is None:
        return float(cell)
    days, hours, minutes, seconds = (float(part or 0) for part in span.groups())
    return 86400 * days + 3600 * hours + 60 * minutes + seconds


def _no_number(path: Path, line: int, names: Sequence[str], cells: Sequence[str]) -> TableError:
    for name, cell in zip(names, cells, strict=True):
        try:
            _number(cell)
        except ValueError:
            found = f"found {cell[:40]!r}" if cell.strip() else "the cell is empty"
            if _DECIMAL_COMMA.fullmatch(cell.strip()):
                found += " (a decimal comma; write a point)"
            return TableError(
                f"table {path.name}, {where('csv', line)}, column {name!r}: {found}, expected a number; every "
                "column but the id is a feature: take out those that are not"
            )
    raise AssertionError("called for a row of numbers")
