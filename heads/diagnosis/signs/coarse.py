"""Speakers or a split whose columns hold few different values, where the others' hold as many as rows.

Presences in place of intensities, whole numbers in place of fractions: of what was measured alike the values are
as many for one speaker as for another.
"""

from __future__ import annotations

import numpy as np
from dualstream.heads.diagnosis.signs.table import Floats, Mask, Table

LEAST_ROWS = 12  # of a speaker
FEW = 0.2  # of the rows, that the median column has distinct values, in one group
MANY = 0.6  # the same in the other
SHARE = 0.03  # of the rows, in either group
COLUMNS = 4


def coarse(table: Table, name: str, there: Mask) -> tuple[Mask, str] | None:
    """Return the rows (N,) of few values, and what they have in words; None where all are of one kind."""
    rows = table.raw[name]
    group = table.speaker if table.named_speakers else table.dev.astype(np.int64)
    if rows.shape[1] < COLUMNS or not there.any():
        return None
    shares: dict[int, float] = {}
    for code in np.unique(group[there & (group >= 0)]):
        mine = there & (group == code)
        if mine.sum() >= LEAST_ROWS:
            shares[int(code)] = _distinct(rows[mine])
    few = [code for code, share in shares.items() if share <= FEW]
    if not few or any(FEW < share < MANY for share in shares.values()):
        return None
    some = there & np.isin(group, few)
    if not SHARE <= some[there].mean() <= 1 - SHARE:
        return None
    values = int(_distinct(rows[some]) * some.sum())
    return some, f"{values} different values in the median column"


def _distinct(rows: Floats) -> float:
    """Return how many distinct values the median column has, of its rows."""
    ordered = np.sort(rows, axis=0)
    return float(np.median((ordered[1:] > ordered[:-1]).sum(axis=0) + 1)) / len(rows)
