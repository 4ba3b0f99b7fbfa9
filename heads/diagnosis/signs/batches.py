"""Rows that depend on the rows of their batch: blocks of equal length, all with one mean to rounding.

An encoder that is left in training mode takes mean and deviation of its batch in place of those it has learnt, and
so does a script that normalises batch by batch. What it makes of a clip depends on what was beside it. The means
of blocks of B rows that are independent vary by 1/B of what rows vary by, of neighbours in a table by more:

    var(means of blocks) B / var(rows) = 0      batches of B rows were centred (whatever linear layer followed)
    var(log spreads of blocks) = 0              they were divided by their spread

for one length B and one place where the first block begins. Blocks that are speakers or dialogues were normalised
on purpose.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from dualstream.heads.diagnosis.signs.table import Codes, Floats, Mask, Table, few_values

SHORTEST, LONGEST = 4, 520  # rows of a block
BLOCKS = 5  # at least, of one length, and
VALUES = 40  # differences of blocks, over all columns that are asked: fewer may be equal by chance
SCANNED = 3_000  # rows of a part, from its beginning
DIRECTIONS = 12  # random ones, along which means are taken; columns whose spreads are
EXACT = {"mean": 1e-4, "spread": 1e-3}  # of what means (log spreads) of independent rows vary by
OF_GROUPS = 0.9  # of the blocks that begin with another speaker or dialogue: they are theirs
ENDS = 0.5  # of the rows, with which another speaker begins: their blocks are no blocks


@dataclass(frozen=True)
class Batches:
    """Blocks of rows that follow each other, and that were normalised each by itself."""

    stream: str
    length: int
    """Rows of a block."""
    blocks: int
    kind: Literal["mean", "spread"]
    """What all blocks have in common."""
    ratio: float
    """Of the variance of the blocks' means (of the logarithms of their spreads) to that of independent rows."""
    utterances: tuple[int, ...]
    """Those of the blocks."""


def batches(table: Table, name: str) -> Batches | None:
    """Look for blocks of rows of the stream `name` with one mean, or one spread."""
    there = table.there[name]
    rows = table.raw[name]
    if there.sum() < BLOCKS * SHORTEST or few_values(rows[there]):
        return None
    known = rows if there.all() else rows[there]
    middle, spread = known.mean(axis=0), known.std(axis=0)
    alive = np.flatnonzero(spread > 1e-9 * spread.max(initial=0.0))
    if not len(alive):
        return None
    turn = np.random.default_rng(0).normal(size=(len(alive), min(DIRECTIONS, len(alive))))
    found = []
    for part in _parts(table, there):
        scaled = (rows[np.ix_(part[:SCANNED], alive)] - middle[alive]) / spread[alive]
        values: tuple[tuple[Literal["mean", "spread"], Floats], ...]
        values = ("mean", scaled @ turn), ("spread", scaled[:, :DIRECTIONS])
        for kind, own in values:
            blocks = _blocks(own, kind)
            if blocks is None:
                continue
            length, first, ratio = blocks
            count = (len(part) - first) // length
            used = part[first : first + count * length]
            if not _of_groups(table, used[::length], part):
                found.append(Batches(name, length, count, kind, ratio, tuple(used.tolist())))
                break
    return min(found, key=lambda one: (one.length, -one.blocks), default=None)


def _parts(table: Table, there: Mask) -> Iterator[Codes]:
    """Yield the rows that batches may have been made of: all, those of a split, and halves of the table."""
    index = np.flatnonzero(there)
    yield index
    if table.dev.any() and not table.dev.all():
        yield index[~table.dev[index]]
        yield index[table.dev[index]]
    yield index[: len(index) // 2]
    yield index[len(index) // 2 :]


def _blocks(values: Floats, kind: str) -> tuple[int, int, float] | None:
    """Return length, first row and ratio of the shortest blocks of values (N, K) with one mean, or one spread."""
    zero = np.zeros((1, values.shape[1]))
    sums = np.concatenate((zero, np.cumsum(values, axis=0)))
    squares = np.concatenate((zero, np.cumsum(values**2, axis=0)))
    usual = values.var(axis=0).mean()
    blocks = max(BLOCKS, 1 + -(-VALUES // values.shape[1]))
    for length in range(SHORTEST, min(LONGEST, len(values) // blocks) + 1):
        means = (sums[length:] - sums[:-length]) / length  # of the rows from each place on
        if kind == "mean":
            ratio = _of_phases(means, length, blocks) * length / max(usual, 1e-30)
        else:
            own = (squares[length:] - squares[:-length]) / length - means**2
            ratio = _of_phases(np.log(np.maximum(own, 1e-12)), length, blocks) * length / 2
        first = int(ratio.argmin())
        if ratio[first] <= EXACT[kind]:
            return length, first, float(ratio[first])
    return None


def _of_phases(values: Floats, length: int, blocks: int) -> Floats:
    """Return the variance over blocks of values (N, K) by where the first block begins, shape (length,)."""
    count = len(values) // length
    if count < blocks - 1:
        return np.full(length, np.inf)
    return np.asarray(values[: count * length].reshape(count, length, -1).var(axis=0, ddof=1).mean(axis=1))


def _of_groups(table: Table, begins: Codes, part: Codes) -> bool:
    """Say whether blocks begin where speakers, or dialogues, do."""
    place = np.searchsorted(part, begins)
    place = place[place > 0]
    for group in (table.speaker, table.dialogue):
        changes = np.concatenate(([True], group[part][1:] != group[part][:-1]))
        if changes.mean() <= ENDS and len(place) and changes[place].mean() >= OF_GROUPS:
            return True
    return False
