"""Dialogues of which some have one stream's rows moved inside of them: late from a lost clip on, or in reverse.

By itself no dialogue of a dozen rows says so. All of them together do: each stands as it should, or is moved by
one way that all moved ones share, from a place of its own on, of which none is likelier than another:

    p(dialogue) = (1 - w) p(as it stands) + w mean over places of p(moved from there on)

The share `w` of moved dialogues is found by maximum likelihood (EM), with the ratios of `stretches`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from dualstream.heads.diagnosis.signs.stretches import (
    LARGEST,
    ROUNDS,
    Ratio,
    gains_of_shifts,
    normal,
    ratios_of_labels,
    shared,
    told_by,
)
from dualstream.heads.diagnosis.signs.table import Codes, Floats, Mask

SHIFTS = (1, -1, 2, -2)  # rows
REVERSED = 0  # the way that is no shift
LEAST = 4  # rows of a dialogue that is asked, and
DIALOGUES = 8  # of these
MOST = 200  # rows: longer ones have stretches of their own
LEAST_GAIN = 20.0  # log-likelihood over dialogues as they stand; of clean corpora 6 at most, of starved ones more
SURE = 0.5  # chance of a dialogue to be moved, from which it counts as moved
STEPS = 30  # of EM
STARTS = 2  # ways that all dialogues are moved by at first, beside none


@dataclass(frozen=True, repr=False)
class Inside:
    """How rows must be moved inside of some dialogues."""

    source: Codes
    """Row that each place should take, shape (N,)."""
    gain: float
    """Log-likelihood over rows as they stand, or over rows that have nothing to do with each other."""
    way: int
    """Rows by which they stand early, REVERSED where they are in reverse."""
    dialogues: int
    """That are moved."""
    asked: int

    @property
    def found(self) -> bool:
        """Whether some dialogues are moved beyond doubt."""
        return self.gain >= LEAST_GAIN and self.dialogues > 1

    @property
    def words(self) -> str:
        """Where rows belong, as the ways of `orders` are called."""
        rows = f"{abs(self.way)} row{'s' if abs(self.way) > 1 else ''} {'later' if self.way > 0 else 'earlier'}"
        how = "the reverse order" if self.way == REVERSED else rows
        return f"{how} inside {self.dialogues} of {self.asked} dialogues"


def inside_groups(x: Floats, y: Floats, use: tuple[Mask, Mask], group: Codes) -> Inside | None:
    """Return how whitened rows `y` (N, R') must be moved inside of groups to go with `x` (N, R); None: not asked.

    `use` names the rows of both that are there; a group's rows stand one after another.
    """
    members = members_of(group)
    if not members:
        return None
    here = np.arange(len(x))
    whole = {way: _moved(here, members, way, [0] * len(members)) for way in (*SHIFTS, REVERSED)}
    told = {way: told_by(shared(x, y, use[0] & use[1][source], source)[2]) for way, source in whole.items()}
    ways = sorted(told, key=lambda way: -told[way])[:STARTS]
    found = [_from(x, y, use, members, start) for start in (here, *(whole[way] for way in ways))]
    return max(found, key=lambda one: one.gain)


def inside_labels(log_p: Floats, label: Codes, use: Mask, group: Codes) -> Inside | None:
    """Return how rows must be moved inside of groups to go with labels (N,); None: not asked.

    `log_p` (N, C) are log-probabilities that probes give the classes, of the rows that `use` names.
    """
    members = members_of(group)
    if not members:
        return None
    ratio = ratios_of_labels(log_p, label, use)
    return _likeliest(len(label), members, lambda one, other: ratio[other, label[one]], (use, use))


def members_of(group: Codes) -> list[Codes]:
    """Return the places of each group of enough rows, which stand side by side; none where such groups are few."""
    ends = np.flatnonzero(np.diff(group)) + 1
    runs = np.split(np.arange(len(group)), ends)
    names, counts = np.unique([group[run[0]] for run in runs if len(run)], return_counts=True)
    whole = set(names[counts == 1].tolist())
    found = [run for run in runs if LEAST <= len(run) <= MOST and int(group[run[0]]) in whole]
    return found if len(found) >= DIALOGUES else []


def _from(x: Floats, y: Floats, use: tuple[Mask, Mask], members: list[Codes], source: Codes) -> Inside:
    """Return what a few rounds lead to from rows as `source` puts them."""
    best = Inside(np.arange(len(x)), 0.0, SHIFTS[0], 0, len(members))
    for _ in range(ROUNDS):
        u, v, correlation = shared(x, y, use[0] & use[1][source], source)
        if not correlation.any():
            break
        best = _likeliest(len(x), members, normal(u, v, correlation), use)
        if np.array_equal(source, best.source):
            break
        source = best.source
    return best


def _likeliest(count: int, members: list[Codes], ratio: Ratio, use: tuple[Mask, Mask]) -> Inside:
    """Return the way of moving some groups that gains most by ratios of likelihoods."""
    of_shifts = gains_of_shifts(ratio, *use)
    stands = [float(of_shifts[run, LARGEST].sum()) for run in members]
    moved = {
        way: [_likelihoods(of_shifts, ratio, use, run, way) for run in members] for way in (*SHIFTS, REVERSED)
    }
    found = [_mixed(count, members, way, stands, moved[way]) for way in moved]
    return max(found, key=lambda one: one.gain)


def _likelihoods(of_shifts: Floats, ratio: Ratio, use: tuple[Mask, Mask], run: Codes, way: int) -> Floats:
    """Return a group's log-likelihood if it is moved from each of its places on; in reverse it is as a whole."""
    if way == REVERSED:
        back = run[::-1]
        there = use[0][run] & use[1][back]
        return np.array([ratio(run[there], back[there]).sum()])
    stands, moved = of_shifts[run, LARGEST], of_shifts[run, LARGEST + way].copy()
    foreign = slice(len(run) - way, None) if way > 0 else slice(None, -way)  # what comes from another group
    moved[foreign] = 0
    before = np.concatenate(([0.0], np.cumsum(stands)[:-1]))
    return before + np.cumsum(moved[::-1])[::-1]


def _mixed(count: int, members: list[Codes], way: int, stands: list[float], moved: list[Floats]) -> Inside:
    """Return the likeliest share of moved groups, and which they are, from where on."""
    of_moved = np.array([float(np.logaddexp.reduce(one) - np.log(len(one))) for one in moved])
    over = np.clip(of_moved - np.array(stands), -500, 500)
    share = 0.5
    for _ in range(STEPS):
        chance = 1 / (1 + np.exp(-over) * (1 - share) / share)
        share = float(np.clip(chance.mean(), 1e-6, 1 - 1e-6))
    gain = float(np.logaddexp(np.log(1 - share), np.log(share) + over).sum()) + min(0.0, sum(stands))
    hit = chance > SURE
    starts = [int(one.argmax()) for one in moved]
    source = _moved(
        np.arange(count),
        [run for run, is_moved in zip(members, hit, strict=True) if is_moved],
        way,
        [start for start, is_moved in zip(starts, hit, strict=True) if is_moved],
    )
    return Inside(source, gain, way, int(hit.sum()), len(members))


def _moved(here: Codes, members: list[Codes], way: int, starts: list[int]) -> Codes:
    """Return the row that each place takes where groups are moved from their places `starts` on."""
    source = here.copy()
    for run, start in zip(members, starts, strict=True):
        if way == REVERSED:
            source[run] = run[::-1]
        else:
            source[run[start:]] = np.clip(run[start:] + way, run[0], run[-1])
    return source
