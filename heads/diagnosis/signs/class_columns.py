"""Whether columns say of the classes in dev what they say in train, or are components or an order of its own.

Of two parts of a corpus, classes lie alike in the columns that tell them. Components that were fitted on each
split have other signs and another order, and their means and spreads don't tell: dev looks like train, and heads
fail on it. Where labels are wrong in dev all streams disagree; here one does.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from dualstream.heads.diagnosis.signs.table import Codes, Floats, Mask, Table

TOLD = 3.0  # times the variance of a class's mean by chance, that class means vary: in both parts
COLUMNS = 5  # that tell classes
ROWS = 5  # of a class, in each part
USUAL = 0.5  # likeness of parts drawn at random, below which classes say too little
QUARTILE = 0.25  # of these columns, that are the least alike: half of the signs are right by chance
TURNED = 0.0  # likeness of these, at most
DRAWS = 9


@dataclass(frozen=True)
class Turned:
    """How alike classes lie in the columns of dev and train."""

    likeness: float
    """Correlation of class means, the lower quartile of the columns that tell classes."""
    usual: float
    """The same of groups of speakers as many as dev's, drawn at random."""


def turned(table: Table, name: str, there: Mask) -> Turned | None:
    """Say that the classes lie otherwise in dev's columns than in train's, and not so in another stream."""
    mine = _likeness(table, name, there)
    if mine is None or mine.usual < USUAL or mine.likeness > TURNED:
        return None
    others = (_likeness(table, other, table.there[other]) for other in table.raw if other != name)
    right = any(one is not None and one.likeness >= USUAL * one.usual >= USUAL**2 for one in others)
    return mine if right else None


def _likeness(table: Table, name: str, there: Mask) -> Turned | None:
    use = there & table.labelled()
    rows, label, dev = table.raw[name][use], table.label[use], table.dev[use]
    if not dev.any() or dev.all():
        return None
    found = _of_parts(rows, label, dev)
    if found is None or len(found) < COLUMNS:
        return None
    group = table.speaker[use] if table.named_speakers else np.arange(len(label))
    usual = [one for one in _drawn(rows, label, dev, group) if len(one)]
    if not usual:
        return None
    drawn = float(np.median([np.quantile(one, QUARTILE) for one in usual]))
    return Turned(float(np.quantile(found, QUARTILE)), drawn)


def _drawn(rows: Floats, label: Codes, dev: Mask, group: Codes) -> list[Floats]:
    """Return the correlations where groups are drawn anew, inside of each split: its columns are of one make."""
    rng = np.random.default_rng(0)
    part = ~dev if (~dev).sum() >= dev.sum() else dev
    codes = np.unique(group[part])
    share = float(min(dev.mean(), 1 - dev.mean()))
    found = []
    for _ in range(DRAWS):
        drawn = rng.permutation(codes)[: max(1, round(share * len(codes)))]
        one = _of_parts(rows[part], label[part], np.isin(group[part], drawn))
        if one is not None:
            found.append(one)
    return found


def _of_parts(rows: Floats, label: Codes, side: Mask) -> Floats | None:
    """Return the correlation of class means of both parts, in each column that tells classes in both."""
    counts = [(code, (label[side] == code).sum(), (label[~side] == code).sum()) for code in np.unique(label)]
    known = [code for code, one, other in counts if min(one, other) >= ROWS]
    if len(known) < 3:
        return None
    means, told = [], np.ones(rows.shape[1], dtype=bool)
    for part in (side, ~side):
        own = [rows[part & (label == code)] for code in known]
        middle = np.array([one.mean(axis=0) for one in own])
        chance = np.mean([one.var(axis=0) / len(one) for one in own], axis=0)
        told &= middle.var(axis=0) > TOLD * chance
        means.append(middle - middle.mean(axis=0))
    if not told.any():
        return np.zeros(0)
    one, other = (part[:, told] for part in means)
    below = np.sqrt((one**2).sum(axis=0) * (other**2).sum(axis=0))
    return np.asarray((one * other).sum(axis=0) / np.maximum(below, 1e-30))
