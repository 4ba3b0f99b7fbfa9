"""Whether rows that are put back go better with another stream's, each held against itself as it stands.

What all rows share wherever they are put (the same sentences in the same order) has no part in the difference.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from dualstream.heads.diagnosis.signs.table import Codes, Floats, Mask

LEAST_ROWS = 60
PAIRED_T = 4.0  # Student's t, row by row, by which rows put back go better along what others share


def goes_better(x: Floats, y: Floats, use: Sequence[Mask], source: Codes) -> bool:
    """Say whether whitened rows `x` (N, R) go better with those of `y` (N, R') that are taken from `source`."""
    at = np.flatnonzero(use[0] & use[1] & use[1][source])
    over = np.concatenate([_over(x, y, source, at[half::2], at[1 - half :: 2]) for half in (0, 1)])
    return bool(len(over) >= LEAST_ROWS and over.mean() >= PAIRED_T * over.std(ddof=1) / np.sqrt(len(over)))


def _over(x: Floats, y: Floats, source: Codes, asked: Codes, fitted: Codes) -> Floats:
    """Return what rows share once they are put back, less what they share as they stand."""
    here = np.arange(len(x))
    moved, stands = (
        np.einsum("nd,de,ne->n", x[asked], x[fitted].T @ y[way[fitted]] / len(fitted), y[way[asked]])
        for way in (source, here)
    )
    return np.asarray(moved - stands)
