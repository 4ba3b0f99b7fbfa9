"""The manifest: one row per utterance, read, checked and written.

docs/manifest.md says what a manifest MUST and MAY hold.
"""

from __future__ import annotations

import codecs
import csv
import hashlib
import io
import os
import re
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, islice
from pathlib import Path
from sys import intern
from typing import BinaryIO, cast

from dualstream.pipeline.corpus.labels import EMOTIONS, SENTIMENTS, vocabulary
from dualstream.pipeline.corpus.plain_table import Line, completed, is_plain
from dualstream.pipeline.corpus.utterance import (
    COLUMNS,
    NO_EXTRA,
    REQUIRED_COLUMNS,
    SOUND,
    SPLITS,
    InvalidRowError,
    Utterance,
)
from dualstream.pipeline.corpus.utterance_columns import UtteranceColumns
from dualstream.pipeline.disk import put_in_place, sync_descriptor
from dualstream.pipeline.errors import UsageError

from dualstream.installation import packaged
from dualstream.packed_texts import repeated

__all__ = [
    "COLUMNS",
    "SPLITS",
    "InvalidRowError",
    "Manifest",
    "ManifestError",
    "Utterance",
    "find_manifest",
    "manifest_text",
    "parse_manifest",
    "read_manifest",
    "write_manifest",
]

PROBLEMS_SHOWN = 50
LINES_AT_ONCE = 1024
TEXT_AT_ONCE = 1 << 20  # bytes
NAMES = ("dialogue", "speaker", "emotion", "sentiment")  # which many rows share, and which are held once
NO_TEXT = {
    b"dualstream sealed file": "a cache, or another sealed file of dualstream",
    b"\x89HDF": "an HDF5 file",
    b"PK\x03\x04": "a zip file, as workbooks of spreadsheets are",
}
"""How files begin that are named in the place of a manifest, and what they are."""
MELD_MANIFEST = "data_manifest.csv"  # the one that comes with the package

_NEEDS_QUOTES = re.compile(r'[",\r\n]')


class ManifestError(UsageError):
    """A manifest, or a table that one is made from, is not what it should be; all its faults are named."""

    def __init__(self, headline: str, problems: Iterable[str] = ()) -> None:
        self.problems = tuple(problems)
        shown = [f"  {problem}" for problem in self.problems[:PROBLEMS_SHOWN]]
        if len(self.problems) > PROBLEMS_SHOWN:
            shown.append(f"  … and {len(self.problems) - PROBLEMS_SHOWN} more")
        super().__init__("\n".join([headline, *shown]))


@dataclass(frozen=True, repr=False)
class Manifest:
    """All utterances in the order of the file; cache and shards follow that order."""

    utterances: Sequence[Utterance]
    """At least one, ids unique. They are kept as columns, and made when they are asked for."""

    def __post_init__(self) -> None:
        columns = UtteranceColumns.of(self.utterances)
        object.__setattr__(self, "utterances", columns)
        if not len(columns):
            raise ManifestError("a manifest needs at least one utterance; found none")
        twice = [columns.id[place] for place, _ in repeated(columns.id)]
        if twice:
            raise ManifestError("ids are not unique:", (f"id {name!r} appears more than once" for name in twice))

    @property
    def columns(self) -> UtteranceColumns:
        """The utterances, column by column."""
        return cast(UtteranceColumns, self.utterances)

    def __len__(self) -> int:
        return len(self.utterances)

    def __iter__(self) -> Iterator[Utterance]:
        return iter(self.utterances)

    def __repr__(self) -> str:
        return f"Manifest({len(self)} utterances, emotions={self.emotions}, sentiments={self.sentiments})"

    @cached_property
    def emotions(self) -> tuple[str, ...]:
        """The emotion vocabulary in code order: MELD's names in MELD's order, then the rest by name."""
        return vocabulary(self.columns.emotion.names, EMOTIONS)

    @cached_property
    def sentiments(self) -> tuple[str, ...]:
        """The sentiment vocabulary in code order, likewise."""
        return vocabulary(self.columns.sentiment.names, SENTIMENTS)

    @cached_property
    def extra_columns(self) -> tuple[str, ...]:
        """Names of the columns beyond the contract, as they first occur."""
        return tuple(self.columns.extra)

    @cached_property
    def sha256(self) -> str:
        """Hex digest of the canonical text of the ten columns, and of `sound` where a row has one.

        Line ends, quoting and extra columns do not touch it.
        """
        sha = hashlib.sha256()
        for part in _csv_parts(*_contract(self)):
            sha.update(part)
        return sha.hexdigest()


def find_manifest(path: Path, notice: Callable[[str], None]) -> Path:
    """Return the path, or that of MELD's manifest in the package, where it is named and isn't in the folder."""
    ours = packaged(MELD_MANIFEST)
    if path == Path(MELD_MANIFEST) and not path.exists() and ours.is_file():
        notice(f"there is no {path} in this folder: the one that comes with dualstream is read, {ours}")
        return ours
    return path


def read_manifest(path: Path) -> Manifest:
    """Read and check a manifest: CSV, UTF-8 with or without BOM, any line ends, columns in any order.

    Raises
    ------
    ManifestError
        Naming every fault by row, line and column; or that there is no such file.
    """
    try:
        with open(path, "rb") as file:
            return _parsed(file if file.seekable() else io.BytesIO(file.read()))
    except FileNotFoundError as e:
        raise ManifestError(f"no manifest at {path}: `manifest` makes one from a corpus") from e
    except OSError as e:
        raise ManifestError(f"cannot read the manifest {path}: {e.strerror}; expected a CSV file") from e
    except UnicodeDecodeError as e:
        raise ManifestError(f"{path} changed while it was read; run the same command again") from e
    except ManifestError as e:
        e.args = (f"{path}: {e}",)
        raise


def parse_manifest(raw: bytes) -> Manifest:
    """Read a manifest from its bytes; see `read_manifest`."""
    return _parsed(io.BytesIO(raw))


def _parsed(file: BinaryIO) -> Manifest:
    """Read a manifest from a file that is at its start, in parts."""
    header, rows = _table(file)
    extras = [name for name in header if name not in (*COLUMNS, SOUND)]
    problems: list[tuple[int, str]] = []
    columns = UtteranceColumns()
    places: list[array[int]] = [array("Q"), array("Q")]  # row and line of each utterance
    for number, (line, cells) in enumerate(rows, start=1):
        if len(cells) != len(header):
            problems.append(
                (number, f"{_where(number, line)}: has {len(cells)} cells; the header has {len(header)}")
            )
            continue
        values = dict(zip(header, cells, strict=True))
        utterance, faults = _utterance(values, extras)
        problems += [(number, f"{_where(number, line)}, column {column}: {text}") for column, text in faults]
        if utterance is not None:
            columns.append(utterance)
            for column, value in zip(places, (number, line), strict=True):
                column.append(value)
    for at, before in repeated(columns.id):
        number, line = (column[at] for column in places)
        text = (
            f"{_where(number, line)}, column id: {columns.id[at]!r} appears in row {places[0][before]} already; "
            "ids are unique over all splits, so let them carry the split"
        )
        problems.append((number, text))
    if not len(columns) and not problems:
        raise ManifestError("no row is below the header; expected one per utterance: `manifest` makes them")
    if problems:
        told = [text for _, text in sorted(problems, key=lambda one: one[0])]
        raise ManifestError(f"{len(told)} fault(s) in the manifest:", told)
    places.clear()
    return Manifest(columns.closed())


def _where(number: int, line: int) -> str:
    return f"row {number} (line {line})"


def manifest_text(manifest: Manifest) -> str:
    """Return the canonical text of a manifest, lines ending in LF.

    Its ten columns, then `sound` where a row has one, then the extra ones.
    """
    return b"".join(manifest_parts(manifest)).decode()


def manifest_parts(manifest: Manifest) -> Iterator[bytes]:
    """Yield the canonical text of a manifest in parts, in UTF-8; see `manifest_text`."""
    extras = manifest.extra_columns
    header, rows = _contract(manifest)
    full = (
        (*cells, *(u.extra.get(name, "") for name in extras))
        for cells, u in zip(rows, manifest.utterances, strict=True)
    )
    return _csv_parts((*header, *extras), full)


def is_written(manifest: Manifest, path: Path) -> bool:
    """Tell whether a file holds just this manifest's canonical text."""
    with open(path, "rb") as file:
        return all(file.read(len(part)) == part for part in manifest_parts(manifest)) and not file.read(1)


def _contract(manifest: Manifest) -> tuple[tuple[str, ...], Iterator[tuple[str, ...]]]:
    """Return the header and the cells of the columns that the contract knows."""
    if not any(manifest.columns.sound.names):
        return COLUMNS, (u.cells() for u in manifest.utterances)
    return (*COLUMNS, SOUND), ((*u.cells(), u.sound) for u in manifest.utterances)


def write_manifest(manifest: Manifest, path: Path) -> None:
    """Write a manifest whole or not at all: to a temporary name beside `path`, then renamed."""
    temporary = path.parent / f".{path.name[:40]}.{os.getpid()}.tmp"
    temporary.unlink(missing_ok=True)
    try:
        with open(temporary, "xb") as file:
            file.writelines(manifest_parts(manifest))
            file.flush()
            sync_descriptor(file.fileno())
        put_in_place(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _utterance(values: Mapping[str, str], extras: list[str]) -> tuple[Utterance | None, list[tuple[str, str]]]:
    """Make an utterance of a row's cells, or say by column why not."""
    faults: list[tuple[str, str]] = []

    def number(column: str) -> float | None:
        text = values.get(column, "").strip()
        try:
            return float(text.replace("_", "?")) if text else None  # Python alone reads 1_000 as a number
        except ValueError:
            faults.append((column, f"found {text[:80]!r}; expected seconds such as 12.5, or a blank"))
            return None

    def whole_number(column: str) -> int | None:
        text = values.get(column, "").strip()
        if text and not re.fullmatch(r"[0-9]{1,10}", text):
            faults.append((column, f"found {text[:80]!r}; expected a whole number from 0 on, or a blank"))
            return None
        return int(text) if text else None

    start_s, end_s, turn = number("start_s"), number("end_s"), whole_number("turn")
    unread = {column for column, _ in faults}
    if unread & {"start_s", "end_s"}:  # the span as a whole can't be judged
        start_s = end_s = None
    names = {column: intern(values.get(column, "").strip()) for column in NAMES}
    extra = {column: values[column] for column in extras if values[column]} or NO_EXTRA
    try:
        utterance = Utterance(
            *(values["id"].strip(), values["path"], intern(values["split"].strip()), start_s, end_s),
            *(names["dialogue"], turn, names["speaker"], names["emotion"], names["sentiment"]),
            sound=sound if (sound := values.get(SOUND, "")).strip() else "",
            extra=extra,
        )
    except InvalidRowError as e:
        return None, [*faults, *e.problems]
    return (utterance, []) if not faults else (None, faults)


def _table(file: BinaryIO) -> tuple[list[str], Iterable[Line]]:
    """Return the header, and (line, cells) of each row as it is asked for; a plain table is completed."""
    _require_text(file)
    lines = _lines(file)
    first = next(lines, None)
    if first is None:
        raise ManifestError(f"the file is empty; expected a header with the columns {', '.join(COLUMNS)}")
    header, rows = [name.strip() for name in first[1]], cast(Iterable[Line], lines)
    if is_plain(header):
        header, rows = completed(header, list(rows))
    _check_header(header)
    return header, rows


def _require_text(file: BinaryIO) -> None:
    """Refuse what is no UTF-8; it is decoded in parts, which are dropped, and the file is at its start again."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    head = file.read(max(map(len, NO_TEXT)))
    if what := next((what for start, what in NO_TEXT.items() if head.startswith(start)), ""):
        raise ManifestError(f"found {what}; expected a manifest, a CSV file: `manifest` makes one from a corpus")
    file.seek(0)
    lines = 0
    while True:
        part = file.read(TEXT_AT_ONCE)
        before = decoder.getstate()[0]  # bytes of a character that the part before began
        try:
            decoder.decode(part, final=not part)
        except UnicodeDecodeError as e:
            at = e.start - len(before)
            line = lines + part.count(b"\n", 0, max(at, 0)) + 1
            is_utf16 = head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
            found = "UTF-16" if is_utf16 else f"byte 0x{(before + part)[e.start]:02x} in line {line}"
            raise ManifestError(f"found {found}; a manifest is CSV in UTF-8, so save it as that") from e
        if not part:
            break
        lines += part.count(b"\n")
    file.seek(0)


def _lines(file: BinaryIO) -> Iterator[Line]:
    """Yield (line, cells) of each line of a CSV that is not blank."""
    reader = csv.reader(io.TextIOWrapper(file, encoding="utf-8-sig", newline=""), strict=True)
    line = 1
    try:
        for cells in reader:
            if cells:
                yield line, cells
            line = reader.line_num + 1
    except csv.Error as e:
        raise ManifestError(f"line {line} is not CSV: {e}") from e


def _check_header(header: list[str]) -> None:
    problems = [f"column {name} is missing" for name in REQUIRED_COLUMNS if name not in header]
    problems += [f"column {name!r} appears twice" for name in sorted({n for n in header if header.count(n) > 1})]
    problems += ["a column has no name" for name in header if not name]
    if len(header) == 1 and any(mark in header[0] for mark in ";\t"):
        problems.append("the cells seem to be parted by ';' or tabs; expected commas")
    if problems:
        raise ManifestError(f"line 1 is not a manifest's header ({', '.join(COLUMNS)}):", problems)


def _csv_parts(header: Iterable[str], rows: Iterable[Iterable[str]]) -> Iterator[bytes]:
    """Yield CSV with LF line ends, many lines at a time; a cell is quoted where it must be, a lone CR included."""
    lines = (",".join(map(_cell, row)) + "\n" for row in chain((header,), rows))
    while part := "".join(islice(lines, LINES_AT_ONCE)):
        yield part.encode()


def _cell(text: str) -> str:
    return '"' + text.replace('"', '""') + '"' if _NEEDS_QUOTES.search(text) else text
