"""Speakers whose rows are in another unit: some factor times as large, or logarithms of what others' rows hold.

How far a column spreads inside of a speaker differs little between people, over all columns. Speakers of another
unit form a group by it; or values that come back (the end of a scale, a flag that is set) do so at one value in some
speakers and at another in the rest. What the group's rows are of the others' is told by quantiles:

    misfit of f = |quantiles of the group - f(quantiles of the others)| / their spread, median over the columns

A function is believed that brings the misfit down to that of speakers drawn at random.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from dualstream.heads.diagnosis.signs.table import Codes, Floats, Mask, Table

LEAST_ROWS = 12  # of a speaker
SPEAKERS = 8  # of fewer any two groups lie apart
FEWEST = 2  # speakers of a unit
APART = 5.0  # deviations between the spreads of both groups, as between scales
OTHERWISE = 2.0  # times the usual misfit, from which on two groups are not alike
EXPLAINED = 0.5  # of the misfit, that a function leaves at most, and
AS_USUAL = 1.25  # times the usual one
WIDEST = 96  # columns that are looked at, evenly spread
MOST = 3_000  # rows, likewise
DRAWS = 10
QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9)
COMMON = 0.02  # of a column's values, that come back
OWN = 0.3  # of a column's other values, that must be distinct
COLUMNS = 4  # in which other values come back, and
SHARE = 0.1  # of the columns

Function = Callable[[Floats], Floats]


def _signed(function: Function) -> Function:
    return lambda values: np.sign(values) * function(np.abs(values))


LOG, EXP, ROOT, SQUARE = "log(1 + x)", "exp(x) - 1", "the square root", "the square"
FUNCTIONS: dict[str, Function] = {
    LOG: _signed(np.log1p),
    EXP: _signed(lambda values: np.expm1(np.minimum(values, 30.0))),
    ROOT: _signed(np.sqrt),
    SQUARE: _signed(np.square),
}
INVERSE = {LOG: EXP, EXP: LOG, ROOT: SQUARE, SQUARE: ROOT}


@dataclass(frozen=True, repr=False)
class Unit:
    """Speakers whose rows are in another unit."""

    rows: Mask
    """Those of the smaller group, shape (N,)."""
    distance: float
    """Between the spreads of both groups, in deviations; 0 where values that come back told them apart."""
    factor: float
    """Of the smaller group's values to the others'."""
    function: str
    """Of FUNCTIONS, of the others' values; empty where it is the factor."""


def units(table: Table, name: str, there: Mask) -> Unit | None:
    """Look for speakers whose rows of the stream `name` are in another unit than the others'."""
    if not table.named_speakers:
        return None
    step = -(-table.raw[name].shape[1] // WIDEST)
    rows, speaker = table.raw[name][:, ::step][there], table.speaker[there]
    rows, speaker = rows[:: -(-len(rows) // MOST)], speaker[:: -(-len(rows) // MOST)]
    codes, counts = np.unique(speaker, return_counts=True)
    codes = codes[(codes >= 0) & (counts >= LEAST_ROWS)]
    rows, speaker = rows[np.isin(speaker, codes)], speaker[np.isin(speaker, codes)]
    if len(codes) < SPEAKERS:
        return None
    rows = rows[:, rows.std(axis=0) > 0]
    if rows.shape[1] < COLUMNS:
        return None
    found = by_values(rows, speaker, codes) or _by_spread(rows, speaker, codes)
    if found is None:
        return None
    some, distance, factor, function = found
    return Unit(np.isin(table.speaker, codes[some]) & there, distance, factor, function)


_Found = tuple[Mask, float, float, str]


def _by_spread(rows: Floats, speaker: Codes, codes: Codes) -> _Found | None:
    """Return the speakers whose columns spread otherwise, and what explains it: their misfit must be usual then."""
    told = by_spread(rows, speaker, codes)
    if told is None:
        return None
    some = told[0] if told[0].sum() <= len(codes) / 2 else ~told[0]
    side = np.isin(speaker, codes[some])
    usual = _usual(rows, speaker, codes, int(some.sum()))
    stands = misfit(rows, side, lambda values: values)
    factor = _factor(rows, side)
    tried = {"": misfit(rows, side, lambda values: factor * values)}
    tried |= {words: misfit(rows, side, function) for words, function in FUNCTIONS.items()}
    best = min(tried, key=lambda words: tried[words])
    if stands < OTHERWISE * usual or tried[best] > min(EXPLAINED * stands, AS_USUAL * usual):
        return None
    return some, told[1], factor, best


def by_spread(rows: Floats, speaker: Codes, codes: Codes) -> tuple[Mask, float] | None:
    """Return which speakers' columns spread otherwise, shape (S,), and how far apart both groups are."""
    own = [rows[speaker == code] for code in codes]
    spread = np.log(np.array([np.abs(one - np.median(one, axis=0)).mean(axis=0) for one in own]) + 1e-12)
    alive = (spread > np.log(1e-9)).all(axis=0)
    if alive.sum() < COLUMNS:
        return None
    size = (spread[:, alive] - np.median(spread[:, alive], axis=0)).mean(axis=1)
    order = np.sort(size)
    found = max(((_distance(order[:i], order[i:]), i) for i in range(FEWEST, len(order) - FEWEST + 1)))
    if found[0] < APART:
        return None
    return size >= order[found[1]], found[0]


def _distance(low: Floats, high: Floats) -> float:
    within = (low.var() * len(low) + high.var() * len(high)) / (len(low) + len(high))
    return float((high.mean() - low.mean()) / (np.sqrt(within) + 1e-12))


def by_values(rows: Floats, speaker: Codes, codes: Codes) -> _Found | None:
    """Return the speakers in whom one value comes back where another does in all the rest, in the same columns."""
    has: dict[tuple[float, float], list[Mask]] = {}
    for column in rows.T:
        values, counts = np.unique(column[column != 0], return_counts=True)
        often = np.sort(np.argsort(-counts, kind="stable")[:2])
        if len(values) < COLUMNS or counts[often].min() < COMMON * len(column):
            continue
        if len(values) - 2 < OWN * (counts.sum() - counts[often].sum()):
            continue  # counts, votes: all values come back
        pair = (float(values[often[0]]), float(values[often[1]]))
        has.setdefault(pair, []).append(np.stack([np.isin(codes, speaker[column == value]) for value in pair]))
    for (low, high), seen in sorted(has.items(), key=lambda one: -len(one[1])):
        either = np.any(seen, axis=0)
        if len(seen) < max(COLUMNS, SHARE * rows.shape[1]):
            return None
        if (either[0] & either[1]).any() or min(either.sum(axis=1)) < FEWEST or not (either[0] | either[1]).all():
            continue
        small, own, others = (either[0], low, high) if either[0].sum() <= len(codes) / 2 else (either[1], high, low)
        exact = [words for words, one in FUNCTIONS.items() if np.isclose(one(np.array(others)), own, rtol=1e-5)]
        return small, 0.0, own / others, exact[0] if exact else ""
    return None


def misfit(rows: Floats, side: Mask, function: Function) -> float:
    """Return how far the quantiles of rows (N, D) of one side are off a function of the others'."""
    own, others = (np.quantile(part, QUANTILES, axis=0) for part in (rows[side], rows[~side]))
    with np.errstate(over="ignore", invalid="ignore"):
        made = function(others)
        wide = np.sqrt(np.maximum(own[-1] - own[0], 1e-9) * np.maximum(np.abs(made[-1] - made[0]), 1e-9))
        off = np.abs(own - made).mean(axis=0) / wide
    return float(np.median(np.nan_to_num(off, nan=np.inf)))


def _factor(rows: Floats, side: Mask) -> float:
    own, others = (np.quantile(part, (QUANTILES[0], QUANTILES[-1]), axis=0) for part in (rows[side], rows[~side]))
    wide = [np.maximum(one[1] - one[0], 1e-9) for one in (own, others)]
    return float(np.exp(np.median(np.log(wide[0] / wide[1]))))


def _usual(rows: Floats, speaker: Codes, codes: Codes, count: int) -> float:
    rng = np.random.default_rng(0)
    drawn = [np.isin(speaker, rng.permutation(codes)[:count]) for _ in range(DRAWS)]
    return float(np.median([misfit(rows, side, lambda values: values) for side in drawn]))
