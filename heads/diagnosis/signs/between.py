"""Rows that were interpolated: they lie on the straight line between the rows before and after them.

    before a      b after         |x - a - s (b - a)| is 0 for some s between 0 and 1, to rounding; of rows of
         ●──x─────●               recordings it is about |b - a|

Neighbours are those in the table, and those of the same speaker.
"""

from __future__ import annotations

import numpy as np
from dualstream.heads.diagnosis.signs.fills import Fill
from dualstream.heads.diagnosis.signs.table import Codes, Floats, Mask, Table, few_values

ON_LINE = 5e-3  # of the distance of the two neighbours: rows in half precision are as near
INSIDE = 0.02  # of the way from either neighbour, within which a row is the neighbour's copy
FEWEST = 4  # columns
AT_ONCE = 8192  # rows that are compared at a time: their differences are copies
CHANCE = 0.005  # of the rows in another order that are on a line: rows of one direction all are


def between(table: Table, name: str) -> tuple[Fill, ...]:
    """Find the rows of the stream `name` that were interpolated between their neighbours."""
    index = np.flatnonzero(table.there[name])
    rows = table.raw[name][index]
    if rows.shape[1] < FEWEST or len(rows) < 2 * FEWEST or few_values(rows):
        return ()
    spread = rows.std(axis=0)
    rows -= rows.mean(axis=0)
    rows = rows if (spread > 0).all() else rows[:, spread > 0]
    rows /= spread[spread > 0]
    orders = [np.arange(len(rows))]
    if table.named_speakers:
        orders.append(np.argsort(table.speaker[index], kind="stable"))
    if len(on_lines(rows, np.random.default_rng(0).permutation(len(rows)))) > CHANCE * len(rows):
        return ()
    found = np.unique(np.concatenate([on_lines(rows, order) for order in orders]))
    if not len(found):
        return ()
    return (Fill(name, len(rows), "between", len(found), tuple(index[found].tolist())),)


def on_lines(rows: Floats, order: Codes) -> Codes:
    """Return which rows (N, D) lie between the rows before and after them in an order."""
    starts = range(0, len(order) - 2, AT_ONCE)
    parts = [order[start : start + AT_ONCE + 2] for start in starts]
    found = [part[1:-1][_on_lines(rows[part])] for part in parts]
    return np.concatenate([np.zeros(0, order.dtype), *found])


def _on_lines(ordered: Floats) -> Mask:
    """Tell of each row but the first and the last whether it lies between the ones before and after it."""
    span, step = ordered[2:] - ordered[:-2], ordered[1:-1] - ordered[:-2]
    square = np.einsum("nd,nd->n", span, span)
    along = np.einsum("nd,nd->n", step, span) / np.maximum(square, 1e-30)
    off = step - along[:, None] * span
    near = np.einsum("nd,nd->n", off, off) <= ON_LINE**2 * square
    inside = (along > INSIDE) & (along < 1 - INSIDE) & (square > 0)
    return np.asarray(near & inside)
