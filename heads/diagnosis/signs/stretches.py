"""Stretches of a table whose rows are some places late: after a dropped row or batch, in one file, in one split.

Whether a row goes with the one beside it, or with one some places on, is a ratio of likelihoods:

    gain(i, shift) = log p(x_i, y_(i + shift)) - log p(x_i) p(y_(i + shift))

with p a normal distribution whose correlations were found in other rows (or, of labels, a probe that has not seen
the row's group). The likeliest path of shifts through the table is found as in a hidden Markov model (Viterbi
1967): each change costs, less so where a split or a speaker ends. A table whose rows stand right pays at each row
that it takes from elsewhere, so that a path must win far more than its changes cost.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from dualstream.heads.diagnosis.signs.agreement import agreement
from dualstream.heads.diagnosis.signs.far_shifts import far_shifts
from dualstream.heads.diagnosis.signs.table import Codes, Floats, Mask, middle_and_spread

LARGEST = 6  # rows, beside the few far shifts at which all rows agree
NEAR = tuple(range(-LARGEST, LARGEST + 1))
CHANGE = 14.0  # log-likelihood that a change of the shift costs inside of a speaker's rows
AT_BORDER = 7.0  # where a speaker or a split ends
LEAST_GAIN = 10.0  # log-likelihood of the path over rows that stand right
TEMPER = 0.7  # of the ratios, for rows have longer tails than normal distributions
WRONG = 0.2  # of labels, that are held possible to be any class
CLIP = 3.0  # deviations
FOLDS = 5
WINDOWS = 8  # of the table, each of which may start a path by itself
WINDOW_Z = 3.0  # deviations by which a shift must agree better there
ROUNDS = 3
GROUPS = 6  # speakers, below which nothing is usual
GROUP_GAIN = 5.0  # log-likelihood of all of a speaker's rows at one shift
FAR = 3.5  # robust deviations from what the others gain, and
STARTS = 2  # shifts from which a path is looked for, beside none

Ratio = Callable[[Codes, Codes], Floats]


@dataclass(frozen=True, repr=False)
class Path:
    """The likeliest shifts of a table's rows."""

    shift: Codes
    """By which many places each row stands before the one that goes with it, shape (N,)."""
    gain: float
    """Log-likelihood over rows that stand right, less what the changes cost."""

    @property
    def found(self) -> bool:
        """Whether some rows stand wrong beyond doubt."""
        return self.gain >= LEAST_GAIN and bool(self.shift.any())

    @property
    def source(self) -> Codes:
        """Return the row that each place should take, shape (N,)."""
        here = np.arange(len(self.shift))
        return np.clip(here + self.shift, 0, len(here) - 1)


def path(gains: Floats, border: Mask, shifts: tuple[int, ...] = NEAR) -> Path:
    """Return the likeliest path through gains (N, shifts); `border` begins groups (N,).

    Of the shifts, the one in the place LARGEST is none.
    """
    count, states = gains.shape
    cost = np.where(border, AT_BORDER, CHANGE)
    best = gains[0] - CHANGE * (np.arange(states) != LARGEST)
    came = np.zeros((count, states), dtype=np.int64)
    for row in range(1, count):
        top = int(best.argmax())
        switched = best[top] - cost[row]
        came[row] = np.where(best >= switched, np.arange(states), top)
        best = np.maximum(best, switched) + gains[row]
    state = np.empty(count, dtype=np.int64)
    state[-1] = int(best.argmax())
    for row in range(count - 1, 0, -1):
        state[row - 1] = came[row, state[row]]
    return Path(np.array(shifts)[state], float(best.max()))


def along(x: Floats, y: Floats, use: tuple[Mask, Mask], border: Mask) -> Path:
    """Return the likeliest shifts of whitened rows `y` (N, R') along `x` (N, R), which `use` names.

    What both share is found in rows as they stand, as shifts that share most would put them, and then as the path
    puts them, and so better in each of a few rounds.
    """
    here, shifts = np.arange(len(x)), (*NEAR, *far_shifts(x, y, use, LARGEST))
    ways = [np.clip(here + shift, 0, len(here) - 1) for shift in shifts]
    sides = [shared(x, y, use[0] & use[1][way], way) for way in ways]
    stands = float(gains_of_shifts(normal(*sides[LARGEST]), *use)[:, LARGEST].sum())
    told = [told_by(one[2]) for one in sides]
    likeliest = np.argsort(told, kind="stable")[::-1][:STARTS].tolist()
    starts = [*(ways[start] for start in dict.fromkeys([LARGEST, *likeliest])), _by_windows(x, y, use)]
    found = [_from(x, y, use, border, start, shifts) for start in starts]
    best = max(found, key=lambda one: one.gain)
    return replace(best, gain=best.gain - max(0.0, stands))


def gain_of(x: Floats, y: Floats, use: tuple[Mask, Mask], source: Codes) -> float:
    """Return the log-likelihood that rows gain where those of `y` are taken from `source`."""
    here = np.arange(len(x))
    total = []
    for way in (source, here):
        at = here[use[0] & use[1][way]]
        total.append(float(normal(*shared(x, y, use[0] & use[1][way], way))(at, way[at]).sum()))
    return total[0] - max(0.0, total[1])


def _by_windows(x: Floats, y: Floats, use: tuple[Mask, Mask]) -> Codes:
    """Return the row that each place takes where windows of the table agree best, each by itself."""
    source = here = np.arange(len(x))
    for window in np.array_split(here, WINDOWS):
        z = []
        for shift in range(-LARGEST, LARGEST + 1):
            from_ = np.clip(window + shift, 0, len(here) - 1)
            both = use[0][window] & use[1][from_]
            z.append(agreement(x[window][both], y[from_][both]).z)
        best = int(np.argmax(z))
        if z[best] > max(z[LARGEST], 0.0) + WINDOW_Z:
            source = np.where(np.isin(here, window), np.clip(here + best - LARGEST, 0, len(here) - 1), source)
    return source


def told_by(correlation: Floats) -> float:
    """Return what canonical variables of these correlations tell of each other, in halves of a nat."""
    return float(-np.log(1 - correlation**2).sum())


def _from(
    x: Floats, y: Floats, use: tuple[Mask, Mask], border: Mask, source: Codes, shifts: tuple[int, ...]
) -> Path:
    """Return the path that a few rounds lead to from rows as `source` puts them."""
    found = Path(np.zeros(len(x), dtype=np.int64), 0.0)
    for _ in range(ROUNDS):
        u, v, correlation = shared(x, y, use[0] & use[1][source], source)
        if not correlation.any():
            break
        found = path(gains_of_shifts(normal(u, v, correlation), use[0], use[1], shifts), border, shifts)
        if np.array_equal(source, found.source):
            break
        source = found.source
    return found


def shared(x: Floats, y: Floats, use: Mask, source: Codes) -> tuple[Floats, Floats, Floats]:
    """Return canonical variables of both sides, (N, K) and (FOLDS, N, K), and their correlations, (K,).

    A row of `x` is seen along directions of other rows (those of its fold), and a row of `y` along those of each
    fold, so that any two are held against each other along the same ones.
    """
    rank = min(x.shape[1], y.shape[1])
    u, v, fold = np.zeros((len(x), rank)), np.zeros((FOLDS, len(y), rank)), _folds(len(x))
    for number in range(FOLDS):
        fit, held = use & (fold != number), fold == number
        left, _, right = np.linalg.svd(x[fit].T @ y[source[fit]], full_matrices=False)
        u[held], v[number] = x[held] @ left, _in_deviations(y @ right.T)
    u = _in_deviations(u)
    pairs = u[use] * v[fold[use], source[use]]
    correlation = pairs.mean(axis=0) if len(pairs) > rank else np.zeros(rank)
    correlation = np.clip(correlation - 2 / np.sqrt(max(1, len(pairs))), 0, 0.9)
    return u, v, correlation


def _folds(count: int) -> Codes:
    """Return the folds of rows, which are stretches, for neighbours are alike."""
    return np.asarray(np.arange(count) * 4 * FOLDS // max(1, count) % FOLDS)


def _in_deviations(rows: Floats) -> Floats:
    spread = rows.std(axis=0)
    return np.asarray(np.clip(rows / np.where(spread > 0, spread, 1), -CLIP, CLIP))


def normal(u: Floats, v: Floats, correlation: Floats) -> Ratio:
    """Return the log-likelihood ratio of rows going together, by their places."""
    kept, fold = correlation > 0, _folds(len(u))
    r = correlation[kept]
    first, second, below = u[:, kept], v[:, :, kept], 1 - r**2

    def ratio(one: Codes, other: Codes) -> Floats:
        a, b = first[one], second[fold[one], other]
        value = (a * b * r - (a**2 + b**2) * r**2 / 2) / below - np.log(below) / 2
        return np.asarray(TEMPER * value.sum(axis=1))

    return ratio


def of_labels(log_p: Floats, label: Codes, use: Mask, border: Mask) -> Path:
    """Return the likeliest shifts of labels (N,) along log-probabilities (N, C) of probes, which `use` names."""
    ratio = ratios_of_labels(log_p, label, use)
    gains = gains_of_shifts(lambda one, other: ratio[one, label[other]], use, use)
    found = path(gains, border)
    return replace(found, gain=found.gain - max(0.0, float(gains[:, LARGEST].sum())))


def ratios_of_labels(log_p: Floats, label: Codes, use: Mask) -> Floats:
    """Return the ratio of likelihoods of each label beside each row, of log-probabilities (N, C) of probes."""
    share = np.bincount(label[use], minlength=log_p.shape[1]) / max(1, int(use.sum())) + 1e-9
    # a label may be wrong by itself, and is no proof then of a shift
    return np.asarray(TEMPER * np.log((1 - WRONG) * np.exp(log_p) / share + WRONG))


def gains_of_shifts(ratio: Ratio, one: Mask, other: Mask, shifts: tuple[int, ...] = NEAR) -> Floats:
    """Return what each row gains by each shift over rows that have nothing to do with it, shape (N, shifts)."""
    here = np.arange(len(one))
    value = np.zeros((len(one), len(shifts)))
    for at, shift in enumerate(shifts):
        source = here + shift
        inside = (source >= 0) & (source < len(here))
        inside[inside] &= one[here[inside]] & other[source[inside]]
        value[inside, at] = ratio(here[inside], source[inside])
    return value


def late_rows(x: Floats, y: Floats, use: tuple[Mask, Mask], group: Codes) -> dict[int, tuple[int, float]]:
    """Return the groups of rows (speakers) that all agree better at one shift, with it and what they gain.

    Groups by themselves are too small for a path: such a one gains where all others lose.
    """
    here = np.arange(len(x))
    gains = gains_of_shifts(normal(*shared(x, y, use[0] & use[1], here)), *use)
    names = np.unique(group[group >= 0])
    if len(names) < GROUPS:
        return {}
    sums = np.stack([gains[group == one].sum(axis=0) for one in names])
    over = np.delete(sums, LARGEST, axis=1) - np.maximum(sums[:, [LARGEST]], 0)
    best = over.argmax(axis=1)
    value = over[np.arange(len(names)), best]
    middle, spread = middle_and_spread(value)
    found = (value >= GROUP_GAIN) & ((value - middle) / (spread + 1e-9) >= FAR) & (middle < 0)
    return {
        int(names[at]): (int(best[at]) - LARGEST + int(best[at] >= LARGEST), float(value[at]))
        for at in np.flatnonzero(found)
    }


SHOWN = 3
WHOLE = 0.97  # of the rows, from which on a stretch is the table


def called(found: Path, ids: tuple[str, ...]) -> str:
    """Return in words which rows belong where: ``1 row later from dia3_utt0 to dia9_utt4``."""
    ends = np.concatenate(([0], np.flatnonzero(np.diff(found.shift)) + 1, [len(found.shift)]))
    parts = []
    for first, last in pairwise(ends.tolist()):
        shift = int(found.shift[first])
        where = (
            "over the whole table" if last - first >= WHOLE * len(ids) else f"from {ids[first]} to {ids[last - 1]}"
        )
        if shift:
            words = f"{abs(shift)} row{'s' if abs(shift) > 1 else ''} {'later' if shift > 0 else 'earlier'}"
            parts.append(f"{words} {where}")
    more = f" and in {len(parts) - SHOWN} more stretches" if len(parts) > SHOWN else ""
    return " and ".join(parts[:SHOWN]) + more
