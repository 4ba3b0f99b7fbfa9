"""Rows that lie far outside of the rest, and the columns that put them there.

What is usual is learned from training rows, robustly: rows that are broken themselves must not widen it. A row is
measured by its largest deviation from the columns' medians and by the root mean square over all columns, in units
of what 19 of 20 training values of the column keep to. How that measure spreads over training rows says how heavy
the tails are: a row is far outside where it exceeds the 95th percentile of training rows by the ratio of that
percentile to the median, to a power, and by three times at least.

    measure   |——— half of the rows ———|— 45 % —|—— heavy tails reach here ——|  far outside
              0                      median     p95                  p95 · (p95 / median)^TAIL

With tails that fall as a power (Student's t with 2 and 3 degrees of freedom, Cauchy; 17 to 1,000 columns) at most
two honest rows in a thousand lie beyond; with normal ones none.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

USUAL = 0.95  # share of training values that a column's scale holds, and of training rows below where limits begin
RARE = 2 * (1 - USUAL)  # of a column's values: where fewer leave its median, their own median is its scale
TAIL = 2.4
LEAST = 3.0  # times the 95th percentile that a far row must at least lie out
MIN_ROWS = 20  # below it nothing is usual
MAX_ROWS = 5_000  # of more, so many are drawn to learn from
SHOWN_COLUMNS = 3

Floats = NDArray[np.float64]


@dataclass(frozen=True, repr=False)
class UsualRange:
    """What is usual in one stream, by its training rows."""

    middle: Floats
    """Median of each column, shape (D,)."""
    scale: Floats
    """What USUAL of the training values deviate from it at most, shape (D,), above 0."""
    limit_column: float
    """Largest deviation in any column, in scales, beyond which a row is far outside."""
    limit_row: float
    """The same for the root mean square over the columns."""

    @classmethod
    def of(cls, rows: NDArray[np.floating]) -> UsualRange | None:
        """Learn from training rows (N, D); None where there are too few. Rows that aren't finite are left out."""
        rows = rows[np.isfinite(rows).all(axis=1)]
        rows = rows[(rows != 0).any(axis=1)]
        if len(rows) < MIN_ROWS or not rows.shape[1]:
            return None
        if len(rows) > MAX_ROWS:
            rows = rows[np.sort(np.random.default_rng(0).choice(len(rows), MAX_ROWS, replace=False))]
        values = rows.astype(np.float64)
        middle = np.median(values, axis=0)
        scale = _scales(np.abs(values - middle))
        made = cls(middle, scale, np.inf, np.inf)
        return cls(middle, scale, *(_limit(measure) for measure in made._measures(values)))

    def excess(self, rows: NDArray[np.floating]) -> Floats:
        """Return how many times the limit each row of (N, D) lies out, shape (N,); NaN where it is not finite.

        Above 1 a row is far outside. Rows of zeros are no rows: 0.
        """
        column, row = self._measures(rows.astype(np.float64))
        return np.where((rows == 0).all(axis=1), 0.0, np.maximum(column / self.limit_column, row / self.limit_row))

    def columns(self, row: NDArray[np.floating]) -> list[int]:
        """Return the columns that put a row (D,) far outside, the farthest first, SHOWN_COLUMNS at most."""
        deviation = np.abs(row.astype(np.float64) - self.middle) / self.scale
        order = np.argsort(-deviation, kind="stable")[:SHOWN_COLUMNS]
        return [int(j) for j in order if deviation[j] > max(1.0, deviation[order[0]] / 10)]

    def _measures(self, rows: Floats) -> tuple[Floats, Floats]:
        with np.errstate(invalid="ignore", over="ignore"):
            deviation = np.abs(rows - self.middle) / self.scale
            largest = deviation.max(axis=1)
            # scaled by the largest, so that no square overflows
            inner = deviation / np.where(largest > 0, largest, 1)[:, None]
            return largest, largest * np.sqrt((inner**2).mean(axis=1))


def zero_rows(rows: NDArray[np.floating], present: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the rows that are marked as present and hold nothing but zeros; of one column 0 is a value."""
    if rows.shape[1] < 2:
        return np.zeros(0, np.int64)
    return np.flatnonzero(present & (rows == 0).all(axis=1))


def _scales(deviation: Floats) -> Floats:
    """Return each column's scale (D,): the USUAL quantile, over the values that deviate where few do."""
    scale = np.quantile(deviation, USUAL, axis=0)
    seldom = (deviation > 0).mean(axis=0) < RARE  # of hardly ever anything but its median, USUAL is chance
    for j in np.flatnonzero(seldom | (scale == 0)):
        rare = deviation[deviation[:, j] > 0, j]
        scale[j] = max(scale[j], np.median(rare)) if len(rare) > 2 else 0.0
    typical = np.median(scale[scale > 0]) if (scale > 0).any() else 1.0
    return np.where(scale > 0, scale, typical)


def _limit(measure: Floats) -> float:
    half, usual = np.quantile(measure, [0.5, USUAL])
    if half <= 0:
        return float("inf")
    return float(usual * max((usual / half) ** TAIL, LEAST))
