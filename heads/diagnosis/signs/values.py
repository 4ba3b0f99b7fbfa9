"""Values that stand for nothing: one number in place of many, or the ends of a range that was too small.

A column that was measured has its values once each. A value that comes back in many columns of many rows was put
there (-1 or 0 for "not known", padding), unless it is the end of what the columns can hold, as the zeros of
rectified units are. Values at both ends were cut off there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from dualstream.heads.diagnosis.signs.table import Floats, Mask, Table, few_values
from dualstream.heads.diagnosis.signs.window_values import far_value

LEAST = 60  # rows
SHARE = 0.02  # of a column's values, for one of them to be more than chance
COLUMNS = 0.2  # of a stream's columns that the same value must come back in
FEWEST = 4  # columns
COMMON = 3  # values of a column that are looked at
AROUND = 0.07  # of the other values, on either side of one that is no limit
NOISE = 0.1  # spreads from a value, within which the others may be that limit with noise on it
CUT_NEARLY = 0.6  # of an end's columns, that are zero in rows that just happen to have many zeros
CUT_BETWEEN = 0.2  # of the rows that are zero in all of them
CUT = 0.05  # of a column's values at each of its ends
CUT_COLUMNS = 0.5  # of the columns that are cut so
FAR = 0.5  # spreads between a value and the next, for an end of the range to be put there and no limit
STUCK = 0.02  # of a column's values that are one, for the column to have stuck there
STUCK_COLUMNS = 0.1  # of the columns, that stick in the same rows
SAME_ROWS = 0.9  # of these rows
BEYOND = 50.0  # spreads from the middle, from which a value that comes back is no measurement
BETWEEN = 10.0  # spreads from the middle, from which on nothing lies up to BEYOND, but for
EMPTY = 0.1  # of the cells beyond
DISTINCT = 0.3  # of a column's values that must be distinct otherwise


@dataclass(frozen=True)
class PutValue:
    """A value that stands in place of others."""

    stream: str
    kind: Literal["value", "ends", "stuck", "windows", "far", "wrapped"]
    """``value``: one number for "not known"; ``ends``: values are cut off at both ends of their columns;
    ``stuck``: columns hold one value each in the same rows; ``windows``: one number in some windows;
    ``far``: cells far beyond all else, with nothing between; ``wrapped``: values that ran over their column's
    end and begin anew at the other one (`wrapped`).
    """
    value: float | None
    """None where columns have ends of their own, or each stuck at another one."""
    columns: int
    width: int
    share: float
    """Of the values of those columns."""
    utterances: tuple[int, ...]
    """Those in which it stands; none where values are cut off or ran over, which most are."""


def put_values(table: Table, name: str, leave_out: Mask) -> PutValue | None:
    """Look for a value that was put in place of others; rows of `leave_out` (N,) were filled in as a whole."""
    return _in_rows(table, name, leave_out) or _in_windows(table, name)


def _in_windows(table: Table, name: str) -> PutValue | None:
    found = far_value(table.windows[name]) if name in table.windows else None
    if found is None:
        return None
    width = table.raw[name].shape[1]
    return PutValue(name, "windows", found.value, len(found.columns), width, found.share, found.owners)


def _in_rows(table: Table, name: str, leave_out: Mask) -> PutValue | None:
    there = table.there[name] & ~leave_out
    rows = table.raw[name][there].astype(np.float32).astype(np.float64)  # as they were kept
    if len(rows) < LEAST or rows.shape[1] < FEWEST or few_values(rows):
        return None
    dev = table.dev[there]
    found = [one for part in (~dev, dev) if (one := _not_known(rows, part)) is not None]
    if found:
        value, columns = max(found, key=lambda one: len(one[1]))
        here = rows[:, columns] == value
        at = np.flatnonzero(there)[here.any(axis=1)]
        return PutValue(name, "value", value, len(columns), rows.shape[1], float(here.mean()), tuple(at.tolist()))
    index = np.flatnonzero(there)
    special = _beyond(rows) or _far_cells(rows) or _cut_off(rows) or _stuck(rows)
    if special is not None:
        kind, put, at_columns, mask = special
        places = tuple(index[mask.any(axis=1)].tolist())
        return PutValue(name, kind, put, len(at_columns), rows.shape[1], float(mask.mean()), places)
    ends = np.stack([(rows == rows.min(axis=0)).mean(axis=0), (rows == rows.max(axis=0)).mean(axis=0)])
    cut = (ends >= CUT).all(axis=0) & (ends.sum(axis=0) < 1)
    cut &= np.array([_measured(column) for column in rows.T])
    if cut.mean() >= CUT_COLUMNS and cut.sum() >= FEWEST:
        share = float(ends[:, cut].sum(axis=0).mean())
        return PutValue(name, "ends", None, int(cut.sum()), rows.shape[1], share, ())
    return None


_Found = tuple[Literal["value", "stuck", "far"], float | None, list[int], Mask]


def _beyond(rows: Floats) -> _Found | None:
    """Return a value far beyond what columns hold otherwise, that comes back, its columns and where it is."""
    low, middle, high = np.quantile(rows, [0.25, 0.5, 0.75], axis=0)
    far = np.abs(rows - middle) > BEYOND * np.maximum(high - low, 1e-12)
    far[:, high <= low] = False
    values, counts = np.unique(rows[far], return_counts=True)
    if not len(values) or counts.max() < max(FEWEST, SHARE / 2 * len(rows)):
        return None
    value = float(values[counts.argmax()])
    columns = np.flatnonzero((far & (rows == value)).any(axis=0))
    return "value", value, columns.tolist(), rows[:, columns] == value


def _far_cells(rows: Floats) -> _Found | None:
    """Return cells far beyond what their columns hold otherwise, with nothing between: dates, codes, units."""
    low, middle, high = np.quantile(rows, [0.25, 0.5, 0.75], axis=0)
    off = np.abs(rows - middle) / np.where(high > low, high - low, np.inf)
    far = off > BEYOND
    columns = np.flatnonzero(far.any(axis=0))
    if far.sum() < 2 * FEWEST or len(columns) < max(FEWEST, COLUMNS * rows.shape[1]):
        return None
    between = (off > BETWEEN) & ~far
    if between.sum() > EMPTY * far.sum() or far.any(axis=1).mean() > 0.5:
        return None
    return "far", None, columns.tolist(), far[:, columns]


def _cut_off(rows: Floats) -> _Found | None:
    """Return zeros that fill one end of some rows, where others' ends are hardly ever zero in as many columns."""
    width = rows.shape[1]
    often = np.flatnonzero((rows != 0).mean(axis=0) > 0.5)  # a column that is mostly zero says nothing
    if len(often) < FEWEST:
        return None
    for size in (width // 2, width // 3, width // 4):
        for end in (often[often >= width - size], often[often < size]):
            if len(end) < FEWEST:
                continue
            zeros = (rows[:, end] == 0).sum(axis=1)
            whole, nearly = zeros == len(end), (zeros >= CUT_NEARLY * len(end)) & (zeros < len(end))
            if whole.mean() >= SHARE and nearly.sum() <= CUT_BETWEEN * whole.sum():
                return "value", 0.0, end.tolist(), np.repeat(whole[:, None], len(end), axis=1)
    return None


def _stuck(rows: Floats) -> _Found | None:
    """Return the columns that hold one value each in the same rows, and values of their own in the others."""
    stuck: dict[int, Mask] = {}
    held: dict[int, float] = {}
    for j, column in enumerate(rows.T):
        values, counts = np.unique(column, return_counts=True)
        value = values[counts.argmax()]
        rest = column[column != value]
        if counts.max() < STUCK * len(column) or len(rest) < DISTINCT * len(column) or counts.max() < FEWEST:
            continue
        if len(np.unique(rest)) >= DISTINCT * len(rest):
            stuck[j], held[j] = column == value, float(value)
    for first in stuck.values():
        same = [j for j, one in stuck.items() if (one & first).sum() >= SAME_ROWS * max(one.sum(), first.sum())]
        if len(same) >= max(FEWEST, STUCK_COLUMNS * rows.shape[1]):
            kept = {held[j] for j in same}
            put = kept.pop() if len(kept) == 1 else None
            return "stuck", put, same, np.repeat(first[:, None], len(same), axis=1)
    return None


def _not_known(rows: Floats, part: Mask) -> tuple[float, list[int]] | None:
    """Return the value that was put into most columns of a split's rows, and these columns."""
    often: dict[float, list[int]] = {}
    if part.sum() < LEAST:
        return None
    for j, column in enumerate(rows[part].T):
        for value in _put(column):
            often.setdefault(value, []).append(j)
    value, columns = max(often.items(), key=lambda one: len(one[1]), default=(0.0, []))
    return (value, columns) if len(columns) >= max(FEWEST, COLUMNS * rows.shape[1]) else None


def _put(column: Floats) -> list[float]:
    """Return the values that come back in a column, and are no limit of what it can hold."""
    values, counts = np.unique(column, return_counts=True)
    common = np.argsort(-counts, kind="stable")[:COMMON]
    common = common[counts[common] >= max(2, SHARE * len(column))]
    rest = np.setdiff1d(np.arange(len(values)), common)
    others, total = values[rest], int(counts[rest].sum())
    if not len(common) or len(others) < 3 or len(others) < DISTINCT * total:
        return []  # nothing comes back, or all values do: counts, votes
    spread = float(np.quantile(others, 0.75) - np.quantile(others, 0.25))
    found = []
    for value in values[common]:
        near = NOISE * spread
        around = min((others < value - near).mean(), (others > value + near).mean())
        if around >= AROUND or float(np.abs(others - value).min()) > FAR * spread:
            found.append(float(value))
    return found


def _measured(column: Floats) -> bool:
    """Say whether the values between a column's ends are distinct, as those of a measurement."""
    between = column[(column > column.min()) & (column < column.max())]
    return len(between) > 3 and len(np.unique(between)) >= DISTINCT * len(between)
