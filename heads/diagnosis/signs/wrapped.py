"""Values that ran over the end of a type that was too small: they begin anew at its other end.

    what it was     0 ....... 240  260  300          what was kept (a byte)     0 ....... 240    4   44

The other columns tell what a value was. One that ran over lies off by the column's whole range, and next to what
they say once the range is added or taken off. Others' values that ran over disturb what they say: at first values
near the ends, which may have, say little of others; then those that were found are put back.
"""

from __future__ import annotations

import numpy as np
from dualstream.heads.diagnosis.signs.table import Floats, Mask, Table
from dualstream.heads.diagnosis.signs.values import PutValue

LEAST = 300  # rows: of 140 the ends are full by chance
FEWEST = 6  # columns that were measured
COLUMNS = 96  # that are looked at
ROWS = 3_000
DISTINCT = 64  # values of a column, for it to be measured and no count, and
OFTEN = 0.5  # of its values at most, that are one of the ten commonest, and
FULL = 0.01  # of them in the first and in the last tenth of its range: what ran over fills it up to its ends
CUT = 0.02  # of them at either end, that are one: it was cut off there
FILLED = 0.4  # of the columns at least: clean draws of RAVDESS have 0.09 at most, those that ran over 0.51
FOLDS = 3
PENALTY = 0.05  # of a ridge regression, in the columns' mean variance
ROUNDS = 3
POWERS = (4, 8)  # of a value's distance from the middle, by which it says less in the first rounds
NEAR = 2.5  # spreads of what is told, or
NEAREST = 0.35  # of the range, that values which are put back lie from it
SHARE = 0.004  # of the median column's values: of clean corpora none, and 0.0015 at most of columns that aren't
# full; where planted values ran over 0.0074 at least
IN_ROWS = 0.5  # of the rows that hold some if columns run over each by itself: wrong rows hold all of theirs


def wrapped(table: Table, name: str, leave_out: Mask) -> PutValue | None:
    """Look for columns whose values ran over their ends; rows of `leave_out` (N,) were filled in as a whole."""
    rows = table.raw[name][table.there[name] & ~leave_out]
    if len(rows) < LEAST or rows.shape[1] < FEWEST:
        return None
    width = rows.shape[1]
    rows = rows[:: -(-len(rows) // ROWS), :: -(-width // COLUMNS)]
    measured = np.array([_measured(column) for column in rows.T])
    if measured.sum() < max(FEWEST, FILLED * rows.shape[1]):
        return None
    over = _run_over(rows[:, measured])
    share = over.mean(axis=0)
    if np.median(share) < SHARE:
        return None
    if over.any(axis=1).mean() < IN_ROWS * (1 - np.prod(1 - share)):
        return None
    columns = round(width * float((share >= SHARE).sum()) / rows.shape[1])
    return PutValue(name, "wrapped", None, columns, width, float(share[share >= SHARE].mean()), ())


def _measured(column: Floats) -> bool:
    counts = np.unique(column, return_counts=True)[1]
    cut = min(counts[0], counts[-1]) > CUT * len(column)
    if len(counts) < DISTINCT or np.sort(counts)[-10:].sum() > OFTEN * len(column) or cut:
        return False
    low, high = np.quantile(column, [FULL, 1 - FULL])
    tenth = np.ptp(column) / 10
    return bool(low <= column.min() + tenth and high >= column.max() - tenth)


def _run_over(rows: Floats) -> Mask:
    """Return the values of rows (N, D) that lie where others tell them once the range is added or taken off."""
    low, high = rows.min(axis=0), rows.max(axis=0)
    place = (rows - (low + high) / 2) / (high - low)  # -0.5 .. 0.5
    turns = np.zeros_like(place)
    limits = np.stack([_is_limit(column) for column in rows.T], axis=1)
    for number in range(ROUNDS):
        now = place + turns
        says = now
        if number < len(POWERS):
            says = np.where(turns != 0, now, place * (1 - (2 * np.abs(place)) ** POWERS[number]))
        off = place - _told(says, now)
        spread = np.median(np.abs(off), axis=0) / 0.6745
        turns = np.clip(np.rint(-off), -1, 1)
        turns[limits | (np.abs(off + turns) > np.minimum(NEAR * spread, NEAREST))] = 0
    return turns != 0


def _is_limit(column: Floats) -> Mask:
    """Return where the column's commonest value stands, if it is an end: what lies beyond was set to it."""
    values, counts = np.unique(column, return_counts=True)
    most = int(counts.argmax())
    return (column == values[most]) & (counts[most] > CUT * len(column)) & (most in (0, len(values) - 1))


def _told(says: Floats, now: Floats) -> Floats:
    """Return what the other columns, as they say it, tell of each column as it is now, out of fold."""
    fold, told = np.arange(len(now)) % FOLDS, np.zeros_like(now)
    for number in range(FOLDS):
        fit = fold != number
        middle, height = says[fit].mean(axis=0), now[fit].mean(axis=0)
        seen = says[fit] - middle
        product = seen.T @ seen
        inverse = np.linalg.inv(product + PENALTY * np.trace(product) / len(product) * np.eye(len(product)))
        weights = inverse @ (seen.T @ (now[fit] - height))
        weights -= inverse * (np.diag(weights) / np.diag(inverse))  # nothing of a column by itself
        told[~fit] = (says[~fit] - middle) @ weights + height
    return told
