"""A split whose rows of two streams don't belong together, while those of the other split do."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from dualstream.heads.diagnosis.signs.agreement import agreement, whitened
from dualstream.heads.diagnosis.signs.table import Codes, Floats, Table, without

UNRELATED_Z = 3.0  # deviations up to which rows agree no better than unrelated ones
RELATED_Z = 6.0  # of the other split, from which they agree for sure, and
OVER_Z = 4.5  # that lie above all rows which are dealt anew inside of its speakers
EXPECTED_Z = 9.0  # of this split, were it joined as the other is
LEAST_ROWS = 60
DEALS = 19  # of rows inside of each speaker
ROWS = 4_000  # of larger splits so many are looked at


@dataclass(frozen=True)
class SplitJoin:
    """A split in which two streams share nothing."""

    one: str
    other: str
    split: str
    z: float
    """Agreement of its rows beyond classes and speakers, in deviations of unrelated rows."""
    expected: float
    """The same, were they joined as the other split's are."""
    moved: str
    """The stream that says less of the class there."""


def split_joins(table: Table) -> tuple[SplitJoin, ...]:
    """Return the splits in which streams share nothing that share much in the other split."""
    if not table.dev.any() or table.dev.all():
        return ()
    return tuple(one for pair in combinations(table.raw, 2) for one in _asked(table, *pair))


def _asked(table: Table, one: str, other: str) -> list[SplitJoin]:
    use = table.there[one] & table.there[other] & table.labelled()
    sides = {"train": use & ~table.dev, "dev": use & table.dev}
    at = {name: _spread(np.flatnonzero(side)) for name, side in sides.items()}
    if min(map(len, at.values())) < LEAST_ROWS:
        return []
    z = {name: _agreed(table, one, other, rows) for name, rows in at.items()}
    found = []
    for split, beside in (("train", "dev"), ("dev", "train")):
        if z[split] > UNRELATED_Z or z[beside] < RELATED_Z:
            continue
        over = z[beside] - _by_chance(table, one, other, at[beside])
        expected = over * len(at[split]) / len(at[beside])
        if over >= OVER_Z and expected >= EXPECTED_Z:
            told = {name: _told(table, name, at[split]) for name in (one, other)}
            moved = min(told, key=lambda name: told[name])
            found.append(SplitJoin(one, other, split, z[split], expected, moved))
    return found


def _agreed(table: Table, one: str, other: str, at: Codes, source: Codes | None = None) -> float:
    label, speaker = table.label[at], _speakers(table, at)
    from_ = at if source is None else source
    x, y = (
        whitened(without(table.components(name)[places], speaker, label))
        for name, places in ((one, at), (other, from_))
    )
    return agreement(x, y).z


def _by_chance(table: Table, one: str, other: str, at: Codes) -> float:
    """Return the largest agreement of rows that are dealt anew inside of each speaker of a split."""
    rng, speaker, found = np.random.default_rng(0), _speakers(table, at), []
    for _ in range(DEALS):
        order = rng.permutation(len(at))
        source = np.empty_like(at)
        source[np.argsort(speaker, kind="stable")] = at[order[np.argsort(speaker[order], kind="stable")]]
        found.append(_agreed(table, one, other, at, source))
    return max(found)


def _told(table: Table, name: str, at: Codes) -> float:
    marks: Floats = np.eye(int(table.label.max()) + 1)[table.label[at]]
    speaker = _speakers(table, at)
    return agreement(*(whitened(without(rows, speaker)) for rows in (table.components(name)[at], marks))).z


def _speakers(table: Table, at: Codes) -> Codes:
    return table.speaker[at] if table.named_speakers else np.zeros(len(at), dtype=np.int64)


def _spread(index: Codes) -> Codes:
    return index[:: -(-len(index) // ROWS)] if len(index) else index
