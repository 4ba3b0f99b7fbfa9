"""Two streams that are one: the same rows, or the same rows turned, scaled or with columns in another order."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from dualstream.heads.diagnosis.signs.table import Floats, Table, few_values

LEAST = 60
SAME = 0.98  # of what varies in either, that the other tells: two measurements of one thing tell less
ROWS = 4_000


@dataclass(frozen=True)
class SameStream:
    """Two streams of which either tells the other."""

    one: str
    other: str
    equal: float
    """Share of the utterances in which both have the same row, value by value."""
    told: float
    """Share of the variance of either that a linear function of the other gives, the smaller of both."""


def same_streams(table: Table) -> tuple[SameStream, ...]:
    """Find the pairs of streams that are the same."""
    names = list(table.raw)
    pairs = [(one, other) for place, one in enumerate(names) for other in names[place + 1 :]]
    return tuple(found for pair in pairs if (found := _same(table, *pair)) is not None)


def _same(table: Table, one: str, other: str) -> SameStream | None:
    use = np.flatnonzero(table.there[one] & table.there[other])
    use = use[:: max(1, len(use) // ROWS)]
    x, y = table.raw[one][use], table.raw[other][use]
    if len(use) < LEAST or few_values(x) or few_values(y):
        return None
    equal = float((x == y).all(axis=1).mean()) if x.shape == y.shape else 0.0
    enough = len(use) >= 4 * max(x.shape[1], y.shape[1])
    told = min(_told(x, y), _told(y, x)) if enough and equal < 1 else equal
    if x.shape == y.shape:
        told = max(told, _column_by_column(x, y))
    return SameStream(one, other, equal, told) if equal >= 0.5 or told >= SAME else None


def _column_by_column(x: Floats, y: Floats) -> float:
    """Return the share of the variance of each column that the same column of the other tells; the median."""
    x, y = (rows - rows.mean(axis=0) for rows in (x, y))
    below = (x**2).sum(axis=0) * (y**2).sum(axis=0)
    return float(np.median(np.divide((x * y).sum(axis=0) ** 2, below, out=np.zeros_like(below), where=below > 0)))


def _told(x: Floats, y: Floats) -> float:
    """Return the share of the variance of `y` (N, D) that a linear function of `x` gives on rows apart."""
    x, y = ((rows - rows.mean(axis=0)) / np.maximum(rows.std(axis=0), 1e-12) for rows in (x, y))
    fit = np.arange(len(x)) % 2 == 0
    a = x[fit]
    weights = np.linalg.solve(a.T @ a + 1e-6 * len(a) * np.eye(a.shape[1]), a.T @ y[fit])
    left = y[~fit] - x[~fit] @ weights
    return float(1 - (left**2).sum() / max((y[~fit] ** 2).sum(), 1e-30))
