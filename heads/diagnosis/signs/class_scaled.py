"""Rows that were scaled with the figures of their own class: folders by class, each normalised by itself.

What a normalisation leaves in the rows that it was fitted on is exact: in each class all columns have one mean and
one deviation, or one least and one largest value, to rounding. No new clip can be scaled so: nobody knows its
class.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from dualstream.heads.diagnosis.signs.table import Codes, Floats, Table, few_values

LEAST = 8  # rows of a class, and
OF_CLASSES = 0.9  # of the rows, that are of such classes
FEWEST = 4  # columns that vary
COLUMNS = 0.95  # of these, that keep the trace in each class
EXACT = 1e-4  # of a column's deviation or range, that classes differ in: measured ones hardly ever by 1e-3
ONCE = 0.75  # of the classes, at one end of which a single row stands: columns that are cut at both ends, and
# marks of 0 and 1, have several


@dataclass(frozen=True)
class ClassScaled:
    """A stream whose rows were scaled class by class."""

    stream: str
    kind: Literal["deviation", "range"]
    """``deviation``: each class has one mean and deviation; ``range``: one least and one largest value."""
    of: Literal["all", "train", "dev"]
    """The rows whose classes do."""
    classes: int
    share: float
    """Of the columns that were measured, that do."""


def class_scaled(table: Table, name: str) -> ClassScaled | None:
    """Look for rows of the stream `name` that were scaled with the figures of their own class."""
    use = table.there[name] & table.labelled()
    rows = table.raw[name]
    if rows.shape[1] < FEWEST or use.sum() < 2 * LEAST:
        return None
    parts = {"all": use, "train": use & ~table.dev, "dev": use & table.dev}
    for of, part in parts.items():
        codes, counts = np.unique(table.label[part], return_counts=True)
        enough = counts >= LEAST
        if enough.sum() < 2 or counts[enough].sum() < OF_CLASSES * counts.sum():
            continue
        classes = [rows[part & (table.label == code)] for code in codes[enough]]
        for kind, trace in (("deviation", _one_deviation), ("range", _one_range)):
            exact = trace(classes)
            if len(exact) >= FEWEST and exact.mean() >= COLUMNS and not few_values(rows[part]):
                return ClassScaled(name, kind, of, len(classes), float(exact.mean()))  # type: ignore[arg-type]
    return None


def _one_deviation(classes: list[Floats]) -> Codes:
    """Say of each column that varies whether all classes have one mean and deviation."""
    middle = np.stack([own.mean(axis=0) for own in classes])
    for unbiased in (0, 1):
        spread = np.stack([own.std(axis=0, ddof=unbiased) for own in classes])
        alive = spread.min(axis=0) > 0
        size = np.maximum(spread.max(axis=0), 1e-30)
        exact = (np.ptp(middle, axis=0) <= EXACT * size) & (np.ptp(spread, axis=0) <= EXACT * size)
        if exact[alive].any():
            break
    return exact[alive].astype(np.int64)


def _one_range(classes: list[Floats]) -> Codes:
    """Say of each column that was measured whether all classes reach from one value to one other."""
    low, high = (np.stack([end(own, axis=0) for own in classes]) for end in (np.min, np.max))
    once = [
        np.stack([(own == end).sum(axis=0) == 1 for own, end in zip(classes, ends, strict=True)]).mean(axis=0)
        for ends in (low, high)
    ]
    alive = (high > low).all(axis=0) & (np.maximum(*once) >= ONCE)
    size = np.maximum(np.ptp(np.concatenate((low, high)), axis=0), 1e-30)
    exact = (np.ptp(low, axis=0) <= EXACT * size) & (np.ptp(high, axis=0) <= EXACT * size)
    return exact[alive].astype(np.int64)
