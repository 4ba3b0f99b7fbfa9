"""A stream read from a ready-made table of features (CSV, NPZ or Parquet), keyed by utterance id.

    CSV, Parquet   column ``id`` (or else the first one), features in the others, each a number
    NPZ            arrays ``id`` (N,) and ``features`` (N, D); ``columns`` (D,) may name the columns

Without times: one row per utterance, a stream without windows. With a column (array) ``time_s``, the instant
each row stands for, or ``start_s``, the start of its span (to ``end_s`` if given, else as long as a window):
several rows an utterance, each window takes the row nearest to its centre that lies inside it, and the
utterance vector is the mean of all its rows. Times are seconds on the clip's clock. Frames of a known rate,
rows of the CMU SDK and openSMILE's spans stand for their whole interval: a window's row is the mean of those that
overlap it, each weighted by how long it does, and a row whose interval is the window's own is the window's row.

Tables as OpenFace and openSMILE write them, with a column ``id`` before (docs/tables.md): ``timestamp`` and
``frameTime`` are times, ``frame``, ``face_id``, ``confidence``, ``success`` and ``frameIndex`` are no features,
and rows with ``success`` 0, or little ``confidence``, are left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from dualstream.features.encoder import (
    EncoderOptions,
    EncoderSpec,
    StreamFeatures,
    StreamName,
    TableEncoder,
    register,
)
from dualstream.features.encoders.table_files import TableRows, read_table
from dualstream.features.encoders.table_folders import FeatureFolder, folder_files
from dualstream.features.encoders.table_pooling import pooled
from dualstream.features.encoders.table_reading import TableReading, shaping
from dualstream.features.windows import nearest
from numpy.typing import NDArray

from dualstream.documents import JsonObject
from dualstream.packed_texts import RunTexts, TextIndex

NO_FEATURES = {  # lower case: labels, and what the manifest says of an utterance
    *("emotion", "sentiment", "label", "labels", "class", "target"),
    *("split", "fold", "speaker", "dialogue", "turn", "path"),
}
MAX_NAMED = 5  # ids or rows that one message lists


@register("video", "table", table=True, files=folder_files)
def build_video_table(argument: str, options: EncoderOptions) -> TableEncoder:
    """Read a table as the video stream; `argument` is the file."""
    return _build("video", argument, options)


@register("audio", "table", table=True, files=folder_files)
def build_audio_table(argument: str, options: EncoderOptions) -> TableEncoder:
    """Read a table as the audio stream; `argument` is the file."""
    return _build("audio", argument, options)


def _build(stream: StreamName, argument: str, options: EncoderOptions) -> TableEncoder:
    if not argument:
        raise ValueError(
            f"{stream} encoder table: lacks a file; expected table:FILE.csv, .npz or .parquet, or table:FOLDER"
        )
    return feature_table(
        Path(argument), stream, TableReading(rate_hz=options.rate_hz, confidence=options.confidence)
    )


def feature_table(path: Path, stream: StreamName, how: TableReading) -> TableEncoder:
    """Read a table, or a folder of files, as a stream.

    Raises
    ------
    FileNotFoundError, ValueError
        Where it is not there, or is no table.
    """
    if path.is_dir():
        return FeatureFolder(path, stream, how, FeatureTable)
    return FeatureTable(read_table(path, how), stream, how)


def ids_of(table: TableEncoder) -> tuple[str, ...]:
    """Return the utterances that a table has rows of; none where it does not tell."""
    return table.ids if isinstance(table, FeatureTable | FeatureFolder) else ()


@dataclass(frozen=True)
class UnknownId:
    """A row of the table that is of no utterance of the manifest."""

    id: str
    where: str
    """Such as ``line 12``."""


class FeatureTable:
    """Ready-made rows by utterance id; keeps the TableEncoder protocol.

    Raises
    ------
    ValueError
        Where an utterance has two rows (of the same time, in a table with times), where times are given in
        two ways or end before they start, or where a column seems to be a label.
    """

    spec: EncoderSpec

    def __init__(self, table: TableRows, stream: StreamName, how: TableReading | None = None) -> None:
        self._table = table
        others = [name for name in table.columns if name.strip().lower() in NO_FEATURES]
        if others:
            raise ValueError(
                f"table {table.path.name}: column {others[0]!r} would be taken for a feature, and leak to the "
                "heads what they are to find out; take it out, or rename it if it is a measurement"
            )
        self._time = _time_column(table)
        self._rows = _rows_by_id(table, self._time)
        passed_over: JsonObject = {"left_out": list(table.left_out), "failed_rows": table.failed_rows}
        passed_over |= {
            "pooled": table.pooled,
            **shaping(how or TableReading(), table.left_out, pooled=table.pooled),
        }
        self.spec = EncoderSpec(
            name=f"table:{table.path.name}",
            stream=stream,
            raw_width=len(table.columns),
            width=len(table.columns),
            parameters={
                "sha256": table.sha256,
                "rows": len(table.ids),
                "time": self._time,
                **{name: value for name, value in passed_over.items() if value},
            },
            has_windows=self._time is not None,
            column_names=table.columns,
        )

    def __repr__(self) -> str:
        return (
            f"FeatureTable({self.spec.name!r}, {len(self._rows)} utterances, {len(self._table.ids)} rows of "
            f"{self.spec.width} columns)"
        )

    @property
    def ids(self) -> tuple[str, ...]:
        """The utterances that there are rows of, in the table's order."""
        return tuple(self._rows)

    def unknown_ids(self, known: Iterable[str]) -> list[UnknownId]:
        """Return the table's ids that are not among `known`, each with its first row, in the table's order."""
        known = set(known)
        first = [(int(rows.min()), i) for i, rows in self._rows.items() if i not in known]
        return [UnknownId(i, self._table.where(row)) for row, i in sorted(first)]

    def lookup(self, utterance_id: str, starts_s: NDArray[np.float64], length_s: float) -> StreamFeatures:
        """Return the table's rows of one utterance; `present` is False where the table has none.

        Parameters
        ----------
        utterance_id
            As in the manifest.
        starts_s
            Starts of the clip's windows, seconds, shape (K,).
        length_s
            Their length, seconds.
        """
        count = len(starts_s) if self.spec.has_windows else 0
        nothing = StreamFeatures.nothing(self.spec.width, count)
        rows = self._rows.get(utterance_id)
        if rows is None:
            return nothing
        windows, window_present, time_s = nothing.windows, nothing.window_present, nothing.time_s
        features = self._table.features[rows]  # (R, D), rising in time
        if count and self._table.pooled:
            times = self._table.times
            spans_s = np.stack([times["start_s"][rows], times["end_s"][rows]], axis=1)
            windows, window_present, time_s = pooled(features, spans_s, starts_s, length_s)
        elif count:
            instants_s = self._instants_s(rows, length_s)
            choice = nearest(instants_s, starts_s + length_s / 2)  # (K,)
            chosen_s = instants_s[choice]
            window_present = (chosen_s >= starts_s) & (chosen_s < starts_s + length_s)
            windows[window_present] = features[choice[window_present]]
            time_s = np.where(window_present, chosen_s, np.nan)
        utterance = features.mean(axis=0, dtype=np.float64).astype(np.float32)
        return StreamFeatures(utterance, True, windows, window_present, time_s)

    def extent_s(self, utterance_id: str, length_s: float) -> float | None:
        """Return how far an utterance's rows reach, seconds; None where it has none or they have no times.

        A row of an instant stands in the middle of a window of `length_s`.
        """
        rows = self._rows.get(utterance_id)
        if rows is None or self._time is None:
            return None
        if "end_s" in self._table.times:
            return float(self._table.times["end_s"][rows].max())
        return float(self._instants_s(rows, length_s).max()) + length_s / 2

    def _instants_s(self, rows: NDArray[np.uint32], length_s: float) -> NDArray[np.float64]:
        """Return the instants that rows stand for, seconds, shape (R,)."""
        times = self._table.times
        if self._time == "time_s":
            return times["time_s"][rows]
        starts_s = times["start_s"][rows]
        return (starts_s + times["end_s"][rows]) / 2 if "end_s" in times else starts_s + length_s / 2


def _time_column(table: TableRows) -> str | None:
    """Return ``time_s`` or ``start_s``, whichever the table has; None for one row per utterance."""
    found = tuple(table.times)
    if not found:
        return None
    if sorted(found) not in (["time_s"], ["start_s"], ["end_s", "start_s"]):
        raise ValueError(
            f"table {table.path.name} has the time columns {', '.join(found)}; expected time_s alone, start_s "
            "alone, or start_s and end_s"
        )
    if "end_s" in found:
        wrong = np.flatnonzero(table.times["end_s"] < table.times["start_s"])
        if len(wrong):
            row = int(wrong[0])
            raise ValueError(
                f"table {table.path.name}, {table.where(row)}, column 'end_s': {table.times['end_s'][row]} lies "
                f"before start_s, {table.times['start_s'][row]}"
            )
    return "time_s" if "time_s" in found else "start_s"


def _rows_by_id(table: TableRows, time: str | None) -> RowsById:
    """Return each utterance's rows, rising in time; raise ValueError where two claim one place."""
    found = RowsById.of(table.ids)
    twice: list[str] = []
    for utterance_id, rows in found.items():
        if time is None:
            again = rows[1:]
            first = rows[:1]
        else:
            at_s = table.times[time][rows]
            if "end_s" in table.times:
                at_s = at_s + table.times["end_s"][rows]  # twice the centre orders as the centre does
            order = np.argsort(at_s, kind="stable")
            rows[:] = rows[order]
            same = np.flatnonzero((np.diff(at_s[order]) == 0) & _alike(table, rows))
            first, again = rows[same], rows[same + 1]
        twice += [f"{utterance_id} ({table.where(first[0])} and {table.where(row)})" for row in again[:1]]
    if twice:
        raise ValueError(
            f"table {table.path.name} has more than one row for {len(twice)} utterances"
            f"{' at one time' if time else ''}: {_some(twice)}; "
            + ("keep one of them" if time else "keep one of them, or give a column time_s")
            + (" (several faces? keep one face_id)" if "face_id" in map(str.lower, table.left_out) else "")
        )
    return found


class RowsById:
    """Numbers of each utterance's rows, all in one array: an array for each would be larger than what it holds."""

    def __init__(self, ids: TextIndex, order: NDArray[np.uint32], offsets: NDArray[np.uint32]) -> None:
        self._ids = ids
        self._order = order
        self._offsets = offsets

    @classmethod
    def of(cls, ids: Sequence[str]) -> RowsById:
        """Return the rows of each id, ids by their first row."""
        runs = ids if isinstance(ids, RunTexts) else RunTexts(ids)
        ids, codes = TextIndex.of(runs)
        ends = np.cumsum(np.bincount(codes, minlength=len(ids)))
        order = np.argsort(codes, kind="stable").astype(np.uint32)
        return cls(ids, order, np.concatenate(([0], ends)).astype(np.uint32))

    def __len__(self) -> int:
        return len(self._ids)

    def __iter__(self) -> Iterator[str]:
        return iter(self._ids)

    def get(self, utterance_id: str) -> NDArray[np.uint32] | None:
        """Return an utterance's rows; None where it has none."""
        place = self._ids.get(utterance_id)
        return None if place is None else self._order[self._offsets[place] : self._offsets[place + 1]]

    def items(self) -> Iterator[tuple[str, NDArray[np.uint32]]]:
        """Yield each id with its rows."""
        for place, utterance_id in enumerate(self._ids):
            yield utterance_id, self._order[self._offsets[place] : self._offsets[place + 1]]


def _alike(table: TableRows, rows: NDArray[np.uint32]) -> NDArray[np.bool_]:
    """Tell which rows the next one takes the place of, shape (R - 1,): of spans, those that begin together."""
    if not table.pooled:
        return np.ones(len(rows) - 1, dtype=np.bool_)
    return np.asarray(np.diff(table.times["start_s"][rows]) == 0)


def _some(texts: Sequence[str]) -> str:
    return ", ".join(texts[:MAX_NAMED]) + (", ..." if len(texts) > MAX_NAMED else "")
