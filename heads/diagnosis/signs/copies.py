"""Rows that stand twice, or nearly: over all utterances, each stream apart.

Two rows are the same where every value is; nearly the same where they lie far closer to each other than their
neighbours do, which holds at any density and for streams of any width:

    distance to the nearest row  <  NEAR * distance to the sixth nearest,  and  <  NEAR * the usual one

Columns of few values (shares of votes, counts) make equal rows by chance, so equality says nothing of such
streams.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from dualstream.heads.diagnosis.signs.table import Floats, Table, few_values
from numpy.typing import NDArray

NEAR = 0.3
NEIGHBOURS = 6
CHANCE = 2e-3  # of a row without a copy to come near another
COLUMNS = 48  # principal components in which neighbours are looked for
LEAST = 40  # rows
MOST = 20_000  # rows, of more only equal ones are looked for
BLOCK = 2_000_000  # distances that are held at a time


@dataclass(frozen=True, repr=False)
class Copies:
    """Pairs of rows of a stream that are the same, or nearly."""

    stream: str
    rows: int
    pairs: tuple[tuple[int, int], ...]
    """(earlier, later) utterance, each later one once."""
    exact: int
    """How many of the pairs are equal in every value."""
    few_values: bool = False
    """Whether equal rows are chance in this stream, and were not looked for."""


def copies(table: Table, name: str) -> Copies:
    """Find the copies in the stream `name`."""
    index = np.flatnonzero(table.there[name])
    rows = table.raw[name][index].astype(np.float32)
    if len(index) < LEAST or few_values(rows):
        return Copies(name, len(index), (), 0, len(index) >= LEAST)
    exact = dict(equal_rows(rows))
    first = np.setdiff1d(np.arange(len(rows)), np.fromiter(exact, dtype=np.int64, count=len(exact)))
    reduced = table.components(name, rank=COLUMNS)[index][first]
    near = {int(first[b]): int(first[a]) for a, b in _near(reduced) if _alike(rows, first[a], first[b])}
    pairs = sorted((a, b) for b, a in {**near, **exact}.items())
    return Copies(name, len(index), tuple((int(index[a]), int(index[b])) for a, b in pairs), len(exact))


def _near_enough(usual: float) -> float:
    """Return the ratio of the nearest to the sixth nearest distance below which a row is near, from its median.

    Of rows spread evenly in m dimensions the ratio's m-th power is the least of five uniform draws, so that its
    median tells m; rows of few dimensions come so near by chance, and must lie nearer.
    """
    least = 1 - 0.5 ** (1 / (NEIGHBOURS - 1))
    dimensions = np.log(least) / np.log(min(max(usual, 1e-6), 0.999))
    return float(min(NEAR, CHANCE ** (1 / max(dimensions, 1e-6))))


def _alike(rows: NDArray[np.floating], one: int, other: int) -> bool:
    """Say whether two rows are near each other as they are, where far values aren't cut."""
    middle = np.median(rows, axis=0)
    spread = rows.std(axis=0) + 1e-12
    apart, far = ((rows[i] - at) / spread for i, at in ((one, rows[other]), (one, middle)))
    return float(np.linalg.norm(apart)) < NEAR * float(np.linalg.norm(far))


def equal_rows(rows: NDArray[np.floating]) -> Iterator[tuple[int, int]]:
    """Yield the places of rows (N, D) that equal an earlier one: each with the first that it equals."""
    known: dict[bytes, int] = {}
    for place, row in enumerate(rows):
        before = known.setdefault(row.tobytes(), place)
        if before != place:
            yield place, before


def _near(rows: Floats) -> Iterator[tuple[int, int]]:
    """Yield (earlier, later) of distinct rows (N, R) that lie far closer than their neighbours."""
    if not LEAST <= len(rows) <= MOST:
        return
    rows = rows.astype(np.float32)
    square = (rows**2).sum(axis=1)
    nearest = np.empty(len(rows), dtype=np.int64)
    distance = np.empty((len(rows), NEIGHBOURS))
    chunk = min(1_000, max(1, BLOCK // len(rows)))
    for start in range(0, len(rows), chunk):
        here = slice(start, min(start + chunk, len(rows)))
        far = square[here, None] + square
        far -= 2 * rows[here] @ rows.T
        far[np.arange(far.shape[0]), np.arange(start, here.stop)] = np.inf
        nearest[here] = far.argmin(axis=1)
        far.partition(NEIGHBOURS, axis=1)
        distance[here] = np.sqrt(np.maximum(np.sort(far[:, :NEIGHBOURS], axis=1), 0))
    usual = np.median(distance[:, 0])
    ratio = distance[:, 0] / np.maximum(distance[:, -1], 1e-30)
    near = _near_enough(float(np.median(ratio[ratio > 0])) if (ratio > 0).any() else 1.0)
    close = (ratio < near) & (distance[:, 0] < near * usual)
    # the square of a small difference is lost in those of the rows: it is taken again where it decides
    some = np.flatnonzero(close)
    exact = np.linalg.norm(rows[some].astype(np.float64) - rows[nearest[some]], axis=1)
    close[some] = exact < near * np.minimum(distance[some, -1], usual)
    for later in np.flatnonzero(close):
        other = int(nearest[later])
        if other < later or not close[other] or nearest[other] != later:
            yield min(other, int(later)), max(other, int(later))
