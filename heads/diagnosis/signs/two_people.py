"""One name of two people: a speaker's rows fall into two groups, the same in two streams, as far apart as people.

Anybody's rows can be parted into two (two sentences, loud and low), and so a parting says nothing by itself. Rows
are whitened by what varies inside of all names, in which one person's two groups lie near; each stream is parted
alone, and the distance of the two groups is taken in the stream that had no part in it:

    agreement = rows that both partings put on the same side
    apart     = |mean - mean|^2 of both sides in the other stream, less noise, by that of two names (1: as far)

Both are large where a name is two people's, and where two names were made one. Nothing is told where rows don't
tell speakers, and of a name that is no exception among the others, unless most names are so.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from dualstream.heads.diagnosis.signs.same_speakers import whitened_by_speaker
from dualstream.heads.diagnosis.signs.table import (
    Codes,
    Floats,
    Mask,
    Table,
    group_sums,
    middle_and_spread,
    most_heard,
    without,
)

LEAST_ROWS = 24  # of a name
LEAST_NAMES = 4
MOST = 150  # of more names those with most rows are asked
LEAST_SIDE = 6  # rows of each group
TELL = 0.1  # of the median distance of two names, that the nearest twentieth keeps: the stream tells people
AGREE = 0.85  # of a name's rows, that both partings put on the same side
APART = 0.25  # of the usual distance of two names: half as far
FAR = 3.0  # robust deviations of the other names' distances, and
MUCH = 3.0  # times their median
FLOOR = 0.03  # of such a deviation
MOST_NAMES = 2 / 3  # from which on names are two people's as a rule
CHANCE = 1e-4  # of partings that have nothing to do with each other, over all names
DIRECTIONS = 6  # of a name's own rows, in which they are parted
STARTS = 8
ROUNDS = 12


@dataclass(frozen=True, repr=False)
class TwoPeople:
    """A name whose rows are two people's."""

    speaker: int
    one: str
    other: str
    agreement: float
    """Share of the name's rows that both streams put on the same side."""
    apart: float
    """Squared distance of both groups by that of two names at median, in the stream where it is smaller."""
    usual: float
    """The same of the other names: their median."""
    utterances: tuple[int, ...]
    """The rows that both streams put into the smaller group."""


@dataclass(frozen=True, repr=False)
class _Parted:
    """What two streams say of one name."""

    side: Mask
    """Whether a row of the name is in the second group, by the first stream."""
    both: Mask
    """Whether the second stream says the same of the row."""
    apart: float

    @property
    def agreement(self) -> float:
        return float(self.both.mean())


def two_people(table: Table) -> tuple[TwoPeople, ...]:
    """Find the names that are two people's, by the two streams that tell people best."""
    if not table.named_speakers or len(table.raw) < 2:
        return ()
    use = table.whole()
    codes = most_heard(table.speaker[use], LEAST_ROWS, MOST)
    if len(codes) < LEAST_NAMES:
        return ()
    use &= np.isin(table.speaker, codes)
    index, name = np.flatnonzero(use), np.searchsorted(codes, table.speaker[use])
    rows = {stream: _whitened(table.components(stream)[use], table.label[use], name) for stream in table.raw}
    usual = {stream: _between(own, name, len(codes)) for stream, own in rows.items()}
    telling = {stream: float(np.quantile(one, 0.05) / max(np.median(one), 1e-12)) for stream, one in usual.items()}
    best = sorted((s for s in rows if telling[s] >= TELL), key=lambda s: -telling[s])[:2]
    if len(best) < 2:
        return ()
    middle = [float(np.median(usual[stream])) for stream in best]
    members = [np.flatnonzero(name == code) for code in range(len(codes))]
    parted = [_parted([rows[stream][mine] for stream in best], middle) for mine in members]
    chosen, others = _exceptions(parted)
    return tuple(
        TwoPeople(
            int(codes[at]),
            best[0],
            best[1],
            parted[at].agreement,
            parted[at].apart,
            others,
            tuple(index[members[at][_smaller(parted[at])]].tolist()),
        )
        for at in chosen
    )


def _whitened(rows: Floats, label: Codes, name: Codes) -> Floats:
    rows = without(rows, label)
    return whitened_by_speaker(without(rows, name), rows)


def _between(rows: Floats, name: Codes, count: int) -> Floats:
    """Return the squared distances of each two names' means, less what noise adds."""
    sizes = np.bincount(name, minlength=count)
    means = group_sums(rows, name, count) / sizes[:, None]
    squares = group_sums(rows**2, name, count) / sizes[:, None] - means**2
    noise = squares.sum(axis=1) / np.maximum(sizes - 1, 1)
    length = (means**2).sum(axis=1)
    apart = length[:, None] + length - 2 * means @ means.T - noise[:, None] - noise
    return np.asarray(apart[np.triu_indices(count, 1)])


def _parted(views: list[Floats], usual: list[float]) -> _Parted:
    """Part a name's rows by each of two streams, and measure both partings by the other stream."""
    sides = [_halves(one) for one in views]
    same = sides[0] == sides[1]
    if same.mean() < 0.5:
        sides[1], same = ~sides[1], ~same
    apart = [_apart(views[1 - at], sides[at]) / max(usual[1 - at], 1e-12) for at in (0, 1)]
    return _Parted(sides[0], same, min(apart))


def _halves(rows: Floats) -> Mask:
    """Part rows in two (2-means in their own leading directions, from several starts)."""
    rows = rows - rows.mean(axis=0)
    left, values, _ = np.linalg.svd(rows, full_matrices=False)
    rows = (left * values)[:, :DIRECTIONS]
    rng = np.random.default_rng(0)
    best, least = np.zeros(len(rows), dtype=bool), np.inf
    for start in range(STARTS):
        if start < min(2, rows.shape[1]):
            side = rows[:, start] > 0
        else:
            side = _nearer(rows, rows[rng.choice(len(rows), 2, replace=False)])
        for _ in range(ROUNDS):
            if side.all() or not side.any():
                break
            new = _nearer(rows, np.stack([rows[~side].mean(axis=0), rows[side].mean(axis=0)]))
            if np.array_equal(new, side):
                break
            side = new
        if side.all() or not side.any():
            continue
        left_over = sum(float(((part - part.mean(axis=0)) ** 2).sum()) for part in (rows[side], rows[~side]))
        if left_over < least:
            best, least = side, left_over
    return best


def _nearer(rows: Floats, centres: Floats) -> Mask:
    """Say which rows are nearer to the second of two centres."""
    return np.asarray(((rows - centres[0]) ** 2).sum(axis=1) > ((rows - centres[1]) ** 2).sum(axis=1))


def _apart(rows: Floats, side: Mask) -> float:
    """Return the squared distance of two groups' means, less what noise adds."""
    if min(side.sum(), (~side).sum()) < LEAST_SIDE:
        return 0.0
    noise = sum(float(part.var(axis=0, ddof=1).sum()) / len(part) for part in (rows[side], rows[~side]))
    return float(((rows[side].mean(axis=0) - rows[~side].mean(axis=0)) ** 2).sum()) - noise


def _exceptions(parted: list[_Parted]) -> tuple[list[int], float]:
    """Return the names that are two people's, by place, and the median distance of the others."""
    able = [
        at
        for at, one in enumerate(parted)
        if one.agreement >= AGREE and one.apart >= APART and _by_chance(one) * len(parted) <= CHANCE
    ]
    others = np.array([one.apart for at, one in enumerate(parted) if at not in able])
    if len(able) >= MOST_NAMES * len(parted):
        return able, float(np.median(others)) if len(others) else 0.0
    middle, spread = middle_and_spread(others)
    least = max(middle + FAR * max(spread, FLOOR), MUCH * middle)
    return [at for at in able if parted[at].apart >= least], middle


def _by_chance(one: _Parted) -> float:
    """Return the chance that two partings which have nothing to do with each other agree as well."""
    from scipy.stats import hypergeom

    first = int(one.side.sum())
    second = int((one.side == one.both).sum())  # on the second side by the second stream
    shared = int((one.side & one.both).sum())
    return float(hypergeom.sf(shared - 1, len(one.side), first, second))


def _smaller(one: _Parted) -> Mask:
    side = one.side if one.side.sum() <= (~one.side).sum() else ~one.side
    return np.asarray(side & one.both)
