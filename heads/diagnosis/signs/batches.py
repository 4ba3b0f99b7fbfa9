"""Rows that were normalised in batches: an encoder ran in training mode, and a row hangs on its neighbours.

The sum over the table's rows comes back to nought after each batch, in all columns at once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from dualstream.heads.diagnosis.signs.table import Table

NEAR = 1e-3  # deviations, that a batch's mean is off nought at most
COLUMNS = 0.95  # of the columns that vary
FEWEST = 4  # columns
BATCHES = 5  # at least
LEAST, LARGEST = 4, 1_024  # rows of a batch


@dataclass(frozen=True)
class Batches:
    """A stream whose rows were normalised in batches."""

    stream: str
    size: int
    """Rows of a batch."""
    count: int
    """Batches whose mean is nought."""


def batches(table: Table, name: str) -> Batches | None:
    """Look for rows of the stream `name`, in the order of the table, whose means over equal batches are nought."""
    rows = table.raw[name]
    if len(rows) < LEAST * BATCHES or not np.isfinite(rows).all():
        return None
    spread = rows.std(axis=0)
    rows = rows[:, spread > 0] / spread[spread > 0]
    if rows.shape[1] < FEWEST:
        return None
    whole = np.cumsum(rows, axis=0)
    still = (np.abs(whole) <= NEAR * LEAST).mean(axis=1) >= COLUMNS
    ends = np.flatnonzero(still) + 1
    if len(ends) < BATCHES:
        return None
    sizes, counts = np.unique(np.diff(np.concatenate(([0], ends))), return_counts=True)
    size, count = int(sizes[counts.argmax()]), int(counts.max())
    whole_batches = len(rows) // size
    return Batches(name, size, count) if LEAST <= size <= LARGEST and count >= COLUMNS * whole_batches else None
