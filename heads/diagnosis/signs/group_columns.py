"""A column that tells a group of the classes: how well each column parts some classes from all others.

Any group that a column can tell is a cut in the order of the classes' means in it. A smile tells one class from
the others; a column that tells two or more from two or more, and nearly without a mistake, was made of labels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from dualstream.heads.diagnosis.signs.table import Codes, Floats, Mask

TOLD = 0.97  # balanced accuracy of one threshold, out of fold
OTHERS = 0.85  # of the best other column, above which the stream measures just that
FIRST = 5  # columns that are asked in any case: they say what is usual
ASKED = 1.7  # of 2 / C, the balanced accuracy over all classes of a column that parts them without a mistake


@dataclass(frozen=True)
class ToldGroup:
    """A group of classes that a column tells from the others."""

    column: int
    accuracy: float
    classes: tuple[int, ...]
    """The smaller side."""
    usual: float
    """Accuracy of the best other column, of its best group."""


def told_groups(rows: Floats, label: Codes, alone: Floats, fold: Codes) -> list[ToldGroup]:
    """Return the columns of rows (N, D) that tell a group of classes.

    Parameters
    ----------
    label
        Codes from 0 to C - 1, all of which occur.
    alone
        Balanced accuracy of each column over all classes, shape (D,).
    fold
        0 or 1: thresholds are fitted on one half and asked on the other.
    """
    classes = int(label.max(initial=0)) + 1
    if classes < 4:
        return []
    asked = np.union1d(np.flatnonzero(alone >= ASKED / classes), np.argsort(-alone)[:FIRST])
    best = {int(j): _best_cut(rows[:, j], label, fold, classes) for j in asked}
    found = [j for j, (accuracy, _) in best.items() if accuracy >= TOLD]
    usual = max((accuracy for j, (accuracy, _) in best.items() if j not in found), default=0.5)
    return [ToldGroup(j, best[j][0], best[j][1], usual) for j in found] if usual <= OTHERS else []


def _best_cut(column: Floats, label: Codes, fold: Codes, classes: int) -> tuple[float, tuple[int, ...]]:
    """Return how well a threshold parts the classes below a cut from those above, two or more on either side."""
    counts = np.bincount(label, minlength=classes)
    order = np.argsort(np.bincount(label, column, minlength=classes) / counts, kind="stable")
    found: list[tuple[float, tuple[int, ...]]] = []
    for cut in range(2, classes - 1):
        sides = order[:cut], order[cut:]
        weight = np.zeros(classes)
        for side in sides:
            weight[side] = 1 / (len(side) * counts[side])
        above = np.isin(label, sides[1])
        accuracy = _by_threshold(column, above, weight[label], fold)
        found.append((accuracy, tuple(sorted(int(one) for one in min(sides, key=len)))))
    return max(found)


def _by_threshold(column: Floats, above: Mask, weight: Floats, fold: Codes) -> float:
    right = 0.0
    for half in (0, 1):
        fit = np.flatnonzero(fold == half)
        fit = fit[np.argsort(column[fit], kind="stable")]
        gain = np.concatenate(([0.0], np.cumsum(np.where(above[fit], -weight[fit], weight[fit]))))
        values = column[fit]
        at = int(gain.argmax())
        threshold = (
            values[0] - 1.0 if at == 0 else values[-1] if at == len(fit) else (values[at - 1] + values[at]) / 2
        )
        held = fold != half
        right += float((weight[held] * ((column[held] > threshold) == above[held])).sum() / weight[held].sum())
    return right / 2
