"""Rows that were normalised where others of the stream were not: what a normalisation leaves is exact.

No measurement has columns of mean 0 and deviation 1, or from 0 to 1, all of them and to the second digit; rows of
length 1 in a stream whose other rows have any length were divided by it. A split or some speakers of such rows
were normalised by themselves, and heads meet two units in one stream.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from dualstream.heads.diagnosis.signs.table import Codes, Floats, Mask, Table

NEAR = 0.01  # of 0 and 1, that means and deviations of normalised columns keep to
COLUMNS = 0.95  # of the columns that vary
LEAST = 10  # rows of a speaker or split
FEWEST = 4  # columns
SHARE = 0.03  # of the rows, normalised, and of those that are not
LENGTH = 1e-3  # by which rows of length 1 are off


@dataclass(frozen=True, repr=False)
class Normalised:
    """Rows that were normalised, of a stream whose others were not."""

    rows: Mask
    """Shape (N,)."""
    words: str
    """What they have and the others have not."""
    alike: Callable[[Floats], Floats]
    """Normalises rows of one group in the same way."""

    def others_too(self, rows: Floats, there: Mask, group: Codes) -> Floats:
        """Return rows (N, D) with the others normalised likewise, each group by itself."""
        rows = rows.copy()
        rest = there & ~self.rows
        for code in np.unique(group[rest]):
            mine = rest & (group == code)
            rows[mine] = self.alike(rows[mine])
        return rows


def normalised(table: Table, name: str, there: Mask) -> Normalised | None:
    """Look for rows of the stream `name` that were normalised by themselves."""
    rows = table.raw[name]
    if rows.shape[1] < FEWEST or there.sum() < 2 * LEAST:
        return None
    groups = [table.dev.astype(np.int64)] if table.dev.any() else []
    groups += [table.speaker] if table.named_speakers else []
    for is_so, words, alike in (
        (_standard, "columns of mean 0 and deviation 1 (normalised by themselves)", _standardise),
        (_from_0_to_1, "columns that reach from 0 to 1 (normalised by themselves)", _to_0_and_1),
    ):
        some = np.zeros(len(rows), dtype=bool)
        for group in groups:  # speakers of a split may each be normalised, and the split is then nearly so
            some |= _groups(rows, there, group, is_so)
        if _part(some, there) and (is_so is _standard or _reach_beyond(rows[there & ~some])):
            return Normalised(some, words, alike)
    length = np.sqrt((rows**2).sum(axis=1))
    some = there & (np.abs(length - 1) <= LENGTH) & ((rows != 0).sum(axis=1) >= FEWEST)  # no unanimous votes
    if _part(some, there) and np.median(np.abs(length[there & ~some] - 1)) > NEAR:
        return Normalised(some, "length 1", _to_length_1)
    return None


def _part(some: Mask, there: Mask) -> bool:
    """Say whether a part of the rows, and not all of them, is `some`."""
    share = float(some[there].mean())
    return SHARE <= share <= 1 - SHARE


def _groups(rows: Floats, there: Mask, group: Codes, is_so: Callable[[Floats], bool]) -> Mask:
    """Return the rows of those groups that are normalised."""
    some = np.zeros(len(rows), dtype=bool)
    for code in np.unique(group[there & (group >= 0)]):
        mine = there & (group == code)
        if mine.sum() >= LEAST and is_so(rows[mine]):
            some |= mine
    return some


def _standard(rows: Floats) -> bool:
    middle, spread = rows.mean(axis=0), rows.std(axis=0)
    alive = spread > 0
    unbiased = rows.std(axis=0, ddof=1)
    near = (np.abs(middle) <= NEAR) & ((np.abs(spread - 1) <= NEAR) | (np.abs(unbiased - 1) <= NEAR))
    return bool(alive.sum() >= FEWEST and near[alive].mean() >= COLUMNS)


def _from_0_to_1(rows: Floats) -> bool:
    low, high = rows.min(axis=0), rows.max(axis=0)
    alive = high > low
    near = (np.abs(low) <= LENGTH) & (np.abs(high - 1) <= LENGTH)
    return bool(alive.sum() >= FEWEST and near[alive].mean() >= COLUMNS)


def _reach_beyond(rows: Floats) -> bool:
    """Say whether most columns hold values below 0 or above 1: of shares and votes none does."""
    return bool(((rows.min(axis=0) < -NEAR) | (rows.max(axis=0) > 1 + NEAR)).mean() >= 0.5)


def _standardise(rows: Floats) -> Floats:
    spread = rows.std(axis=0)
    return (rows - rows.mean(axis=0)) / np.where(spread > 0, spread, 1)


def _to_0_and_1(rows: Floats) -> Floats:
    low, high = rows.min(axis=0), rows.max(axis=0)
    return (rows - low) / np.where(high > low, high - low, 1)


def _to_length_1(rows: Floats) -> Floats:
    return rows / np.maximum(np.sqrt((rows**2).sum(axis=1)), 1e-30)[:, None]
