"""Rows that are each multiplied by a factor of their own: means over padding, sums over clips of any length.

A factor moves a whole row along the line to nought: its part in the direction of the columns' means, and what is
across that direction, grow and shrink together. Of recordings the one says little of the other.

    log(part along the means) against log(size of the rest): slope 1 and correlation near 1, where f varies
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from dualstream.heads.diagnosis.signs.table import Floats, Table, few_values, without

LEAST = 60  # rows
FEWEST = 8  # columns
MEANS = 0.1  # of the columns' mean squares, in their means: a stream around nought has no part along them
ALONG = 0.95  # of the rows, that lie on the means' side of nought
VARIES = 0.3  # deviation of the factor's logarithm: from a third smaller to a third larger
TOGETHER = 0.85  # correlation of both logarithms around speakers' and classes' means; 0.73 in faces
SLOPE = (0.8, 1.25)
SMALL = 0.7  # of the median factor of the larger half of the rows: these are named
HIGHEST = 3.0  # times the median of the larger half, up to which 95 of 100 rows are: tails of recordings reach on
NONE_THERE = 0.3  # of the values, that are 0: of sparse columns more there is more of everything


@dataclass(frozen=True)
class RowFactors:
    """A stream whose rows have each a factor of their own."""

    stream: str
    correlation: float
    """Of both logarithms."""
    lowest: float
    highest: float
    """Factors at the 5th and 95th of 100 rows, where the middle of the larger half is 1."""
    factors: tuple[float, ...]
    """Of each utterance of the table; 1 where there is no row."""
    utterances: tuple[int, ...]
    """Those of the smaller rows."""


def row_factors(table: Table, name: str) -> RowFactors | None:
    """Look for a factor of its own in each row of the stream `name`."""
    there = table.there[name]
    rows = table.raw[name][there]
    if len(rows) < LEAST or (rows == 0).mean() > NONE_THERE or few_values(rows):
        return None
    rows = rows[:, rows.std(axis=0) > 0]
    if rows.shape[1] < FEWEST:
        return None
    rows = rows / np.sqrt((rows**2).mean(axis=0))
    means = rows.mean(axis=0)
    share = float((means**2).mean())
    if share < MEANS:
        return None
    along = rows @ means / (means @ means)
    on_side = along > 0
    if on_side.mean() < ALONG:
        return None
    across = np.linalg.norm(rows - along[:, None] * means, axis=1)
    logs = np.log(np.maximum(np.stack([along, across], axis=1), 1e-3))
    around = without(logs, table.speaker[there], table.label[there])
    own, rest = (float(one) for one in np.sqrt((around**2).mean(axis=0)))
    together = float((around[:, 0] * around[:, 1]).mean()) / max(own * rest, 1e-30)
    slope = rest / max(own, 1e-12)
    if own < VARIES or together < TOGETHER or not SLOPE[0] <= slope <= SLOPE[1]:
        return None
    found = _told(table, name, logs, together)
    return found if found.highest <= HIGHEST else None


def _told(table: Table, name: str, logs: Floats, together: float) -> RowFactors:
    """Return the factors: of both sizes, as each tells them."""
    own = np.exp((logs - np.median(logs, axis=0)).mean(axis=1))
    own = own / np.median(own[own >= np.median(own)])
    factors = np.ones(len(table))
    factors[table.there[name]] = own
    low, high = np.quantile(own, [0.05, 0.95])
    small = np.flatnonzero(factors < SMALL)
    return RowFactors(name, together, float(low), float(high), tuple(factors.tolist()), tuple(small.tolist()))
