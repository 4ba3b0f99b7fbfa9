"""A value that stands for nothing in the windows of a stream, which their mean hides: -255 for "no pitch".

An utterance's row is the mean of its windows: of one put value in eighteen there remains a number that comes back
nowhere. In the windows it comes back exactly, far from all that the column holds otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from dualstream.heads.diagnosis.signs.windows import Windows

BEYOND = 50.0  # spreads from the middle, from which a value that comes back is no measurement
FEWEST = 4  # windows that hold the value, of
UTTERANCES = 3  # utterances at least
ONE = 0.5  # of a column's far values, that are that one: the ends of heavy tails are distinct
DRAWN = 5_000  # windows that say what is usual


@dataclass(frozen=True)
class FarValue:
    """A value that comes back in windows, far from what its column holds otherwise."""

    value: float
    columns: tuple[int, ...]
    share: float
    """Of the windows' values of those columns."""
    windows: int
    owners: tuple[int, ...]
    """Places of the utterances that it stands in."""


def far_value(windows: Windows) -> FarValue | None:
    """Return the value that comes back most often far outside of its columns."""
    rows = windows.rows[windows.there]
    owner = windows.owner[windows.there]
    if len(rows) < FEWEST * FEWEST:
        return None
    step = max(1, len(rows) // DRAWN)
    low, middle, high = np.quantile(rows[::step], [0.25, 0.5, 0.75], axis=0).astype(np.float32)
    spread = high - low
    wide = spread > 0
    reach = np.where(wide, BEYOND * spread, np.inf).astype(np.float32)
    far = np.isfinite(rows) & (np.abs(rows - middle) > reach)
    found: dict[float, list[int]] = {}
    for column in np.flatnonzero(far.any(axis=0)):
        values, counts = np.unique(rows[far[:, column], column], return_counts=True)
        value = values[counts.argmax()]
        at = rows[:, column] == value
        if counts.max() >= max(FEWEST, ONE * counts.sum()) and len(np.unique(owner[at])) >= UTTERANCES:
            found.setdefault(float(value), []).append(int(column))
    if not found:
        return None
    value, columns = max(found.items(), key=lambda one: len(one[1]))
    here = rows[:, columns] == np.float32(value)
    mine = np.unique(owner[here.any(axis=1)])
    return FarValue(value, tuple(columns), float(here.mean()), int(here.any(axis=1).sum()), tuple(mine.tolist()))
