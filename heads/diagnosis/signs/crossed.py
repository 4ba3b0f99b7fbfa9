"""Speakers whose rows of one stream are each other's: channels crossed, two folders in each other's place.

Where whole blocks of rows change places, each block is still one person's and its classes stand where they stood.
So each speaker's rows of one stream are held against each other speaker's of the other stream, place by place,
along what other speakers share. What all speakers did alike at a place (the same sentences in the same order) is
taken out: it goes with anybody's rows.

    v_st(i) = x_s(i)' C y_t(i)      s and t are crossed where v_st is above v_ss and v_ts above v_tt, row by row,
                                    and above those of all other speakers
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from dualstream.heads.diagnosis.signs.agreement import whitened
from dualstream.heads.diagnosis.signs.table import Codes, Floats, Table, most_heard, without

LEAST_ROWS = 16  # of a speaker, and of the places that are compared
LEAST_SPEAKERS = 4
MOST = 60  # of more speakers those with most rows are compared
CHANCE = 0.001  # of a pair that goes better crossed, among all pairs: people of like manner reach 0.01
LIKEWISE = 3.0  # deviations of further pairs, where one is beyond doubt


@dataclass(frozen=True)
class Crossed:
    """Two speakers whose rows of one stream go with the other one's of another stream."""

    one: str
    other: str
    speakers: tuple[int, int]
    z: float
    """Deviations by which both go together better than the rows that bear the same name."""


def crossed(table: Table) -> tuple[Crossed, ...]:
    """Find the pairs of speakers whose rows go with each other's, of each two streams."""
    if not table.named_speakers:
        return ()
    return tuple(one for pair in combinations(table.raw, 2) for one in _of_pair(table, *pair))


def _of_pair(table: Table, one: str, other: str) -> Iterator[Crossed]:
    from scipy.stats import norm

    use = table.there[one] & table.there[other] & table.labelled() & (table.speaker >= 0)
    codes = most_heard(table.speaker[use], LEAST_ROWS, MOST)
    if len(codes) < LEAST_SPEAKERS:
        return
    label, speaker = table.label[use], table.speaker[use]
    members = [np.flatnonzero(speaker == code) for code in codes]
    place = np.zeros(len(speaker), dtype=np.int64)
    for code in np.unique(speaker):
        place[speaker == code] = np.arange(int((speaker == code).sum()))
    x, y = (whitened(without(table.components(name)[use], label, speaker, place)) for name in (one, other))
    total = x.T @ y
    better = np.zeros((len(codes), len(codes)))
    for at, mine in enumerate(members):
        along = x[mine] @ (total - x[mine].T @ y[mine]) / (len(speaker) - len(mine))
        better[at] = [_better(along, y, mine, theirs) for theirs in members]
    best = better.argmax(axis=1)
    pairs = [(at, int(of)) for at, of in enumerate(best) if at < of and best[of] == at]
    z = {(a, b): float(better[a, b] + better[b, a]) / np.sqrt(2) for a, b in pairs}
    if not z or norm.sf(max(z.values())) * len(codes) * (len(codes) - 1) / 2 > CHANCE:
        return
    for (a, b), deviations in z.items():
        if deviations >= LIKEWISE:
            yield Crossed(one, other, (int(codes[a]), int(codes[b])), float(deviations))


def _shared(along: Floats, y: Floats, theirs: Codes) -> Floats:
    """Return what rows share place by place, as far as both have rows."""
    count = min(len(along), len(theirs))
    return np.asarray((along[:count] * y[theirs[:count]]).sum(axis=1))


def _better(along: Floats, y: Floats, mine: Codes, theirs: Codes) -> float:
    """Return Student's t of how much better a speaker's rows go with another's than with their own."""
    moved, stands = _shared(along, y, theirs), _shared(along, y, mine)
    if len(moved) < LEAST_ROWS or theirs is mine:
        return 0.0
    return _t(moved - stands[: len(moved)])


def _t(values: Floats) -> float:
    return float(values.mean() / (values.std(ddof=1) / np.sqrt(len(values)) + 1e-12))
