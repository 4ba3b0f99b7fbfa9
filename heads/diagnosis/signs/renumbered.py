"""Names that mean one person in train and another in dev: speakers who are numbered inside of each split.

A name in both splits says that dev shares a speaker with train. Where it doesn't, the name's rows in dev lie as
far from those in train as two people do, once what all of dev has in common (a channel, a season) is taken out:

    apart = |mean in train - mean in dev|^2 of a name, less noise, by that of two names (1: as far)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from dualstream.heads.diagnosis.signs.same_speakers import whitened_by_speaker
from dualstream.heads.diagnosis.signs.table import Codes, Floats, Table, group_sums, without

LEAST_ROWS = 8  # of a name in each split
LEAST_NAMES = 3  # in both splits
NAMES = 5  # in all, whose distances tell what is usual
TELL = 0.1  # of the median distance of two names, that the nearest twentieth keeps: rows tell people
APART = 0.55  # of the usual distance of two names, from which on a name is two people's
MOST = 2 / 3  # of the names in both splits, that are so


@dataclass(frozen=True)
class Renumbered:
    """Names in both splits that are other people in each."""

    speakers: tuple[int, ...]
    names: int
    """In both splits, those that are one person's too."""
    apart: float
    """Of the names in both splits, the median."""


def renumbered(table: Table) -> Renumbered | None:
    """Look for names that mean someone else in dev than in train."""
    if not table.named_speakers or not table.raw or not table.dev.any() or table.dev.all():
        return None
    use = table.whole()
    codes, counts = np.unique(table.speaker[use], return_counts=True)
    codes = codes[counts >= LEAST_ROWS]
    use &= np.isin(table.speaker, codes)
    name, split = np.searchsorted(codes, table.speaker[use]), table.dev[use].astype(np.int64)
    in_both = [code for code in range(len(codes)) if _smallest(split[name == code]) >= LEAST_ROWS]
    if len(in_both) < LEAST_NAMES or len(codes) < NAMES:
        return None
    rows = np.concatenate([table.components(stream)[use] for stream in table.raw], axis=1)
    cell = 2 * name + split
    rows = without(rows, table.label[use], split)
    rows = whitened_by_speaker(without(rows, cell), rows)
    means, noise = _means(rows, cell, 2 * len(codes))
    known = np.flatnonzero(np.bincount(cell, minlength=2 * len(codes)) >= LEAST_ROWS).tolist()
    usual = np.array([_apart(means, noise, a, b) for a in known for b in known if a < b and a // 2 != b // 2])
    middle = float(np.median(usual))
    if not middle > 0 or np.quantile(usual, 0.05) < TELL * middle:
        return None
    apart = np.array([_apart(means, noise, 2 * code, 2 * code + 1) for code in in_both]) / middle
    others = tuple(int(codes[code]) for code, one in zip(in_both, apart, strict=True) if one >= APART)
    if len(others) < max(LEAST_NAMES, MOST * len(in_both)):
        return None
    return Renumbered(others, len(in_both), float(np.median(apart)))


def _smallest(split: Codes) -> int:
    return int(min((split == 0).sum(), (split == 1).sum()))


def _means(rows: Floats, cell: Codes, count: int) -> tuple[Floats, Floats]:
    """Return each group's mean (K, R) and what chance adds to the square of its length (K,)."""
    sizes = np.maximum(np.bincount(cell, minlength=count), 1)
    means = group_sums(rows, cell, count) / sizes[:, None]
    spread = group_sums(rows**2, cell, count) / sizes[:, None] - means**2
    return means, spread.sum(axis=1) / np.maximum(sizes - 1, 1)


def _apart(means: Floats, noise: Floats, one: int, other: int) -> float:
    return float(((means[one] - means[other]) ** 2).sum() - noise[one] - noise[other])
