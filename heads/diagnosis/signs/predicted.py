"""Rows that other streams foretold: a regression's answers in the place of rows that were missing.

Rows that were measured lie around what other streams say of them, rows that were predicted lie on it:

    residual / what is foretold     0 .. 0.2   hardly any     0.5 .. 5
                                    predicted                 measured

Whoever filled rows in fitted on those that were there, so the fit is repeated without the rows that lie on it,
until these are the same; it needs no more predicted rows than there are. Where a whole stream is a function of
another one no row lies around it, and nothing was filled in.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from dualstream.heads.diagnosis.signs.clusters import least_squares_cut
from dualstream.heads.diagnosis.signs.fills import Fill
from dualstream.heads.diagnosis.signs.table import Codes, Floats, Mask, Table

LEAST = 60  # rows, and
FOR_EACH = 1.2  # for each column of the others, that are measured
FEWEST = 4  # columns: the residuals of fewer are small by chance
COLUMNS = 96  # of the stream, that are looked at
FITTED = 2_500  # rows that a fit takes at most
PENALTIES = (1e-3, 10.0)  # of ridge regressions on standardised columns, that are tried
SMALLEST = 1e-2  # of what is foretold: smaller residuals are as good as none
FIRST = 0.5  # of what is foretold, at median: residuals that are looked at again
ON = 0.2  # likewise: rows whose residuals are smaller lie on the fit, where
INSIDE = 0.95  # of them have residuals
APART = 0.6  # times as large as those of as many measured rows: predicted ones of planted
# mistakes 0.30 at most; those of clean corpora, parted likewise, 0.86 at least
SHARE = 0.02  # of the rows, predicted
MEASURED = 0.4  # of the rows at least, that lie around
ROUNDS = 4
SAME = 0.5  # of the utterances of two streams, from which on one of them foretold the other


def predicted(table: Table, filled: Sequence[Fill]) -> tuple[Fill, ...]:
    """Find the rows of streams that are a linear function of the other streams' rows.

    `filled` are the rows that were filled in otherwise. Where rows of a narrow stream foretold those of a wide
    one, each is a function of the other: the wide one, whose rows have no more directions than the narrow one,
    was told.
    """
    found: list[Fill] = []
    for name in sorted(table.raw, key=lambda one: -table.raw[one].shape[1]):
        left_out = [place for one in filled if one.stream == name for place in one.utterances]
        here = _of_stream(table, name, left_out)
        if here is None:
            continue
        shared = [len({*here.utterances} & {*one.utterances}) for one in found]
        if max(shared, default=0) <= SAME * here.values:
            found.append(here)
    return tuple(found)


def _of_stream(table: Table, name: str, leave_out: Sequence[int]) -> Fill | None:
    others = [one for one in table.raw if one != name]
    use = np.logical_and.reduce([table.there[one] for one in table.raw])
    use[list(leave_out)] = False
    width = sum(table.raw[one].shape[1] for one in others)
    if not others or table.raw[name].shape[1] < FEWEST or use.sum() < max(LEAST, FOR_EACH * width):
        return None
    own = table.raw[name][use]
    own = _standard(own[:, :: -(-own.shape[1] // COLUMNS)])
    told = _standard(np.concatenate([table.raw[one][use] for one in others], axis=1))
    for penalty in PENALTIES:
        on = _on_the_fit(told, own, penalty)
        if on is None:
            break
        if on.any():
            places = np.flatnonzero(use)[on]
            return Fill(name, int(table.there[name].sum()), "predicted", len(places), tuple(places.tolist()))
    return None


def _standard(rows: Floats) -> Floats:
    """Return the columns that vary, standardised."""
    spread = rows.std(axis=0)
    alive = spread > 0
    return (rows[:, alive] - rows[:, alive].mean(axis=0)) / spread[alive]


def _on_the_fit(told: Floats, own: Floats, penalty: float) -> Mask | None:
    """Return the rows on a fit of the others, shape (N,): none without a gap; None where none come near it."""
    none = on = np.zeros(len(own), dtype=bool)
    for _ in range(ROUNDS):
        some = np.flatnonzero(~on)
        some = some[:: -(-len(some) // FITTED)]
        if len(some) < max(LEAST, FOR_EACH * told.shape[1]):
            return none
        said, height = _said(told, own, some, penalty)
        off = _off(own, said, height)
        if on.any():  # their own height: of a constant that was penalised, or a mean of all rows
            off = np.minimum(off, _off(own, said + (own - said)[on].mean(axis=0), height))
        before, on = on, off < _parting(off)
        if not before.any() and np.median(off[on]) > FIRST:
            return None
        if not SHARE <= on.mean() <= 1 - MEASURED:
            return none
        if (on == before).all():
            break
    apart = np.quantile(off[on], INSIDE) <= APART * np.quantile(off[~on], 1 - INSIDE)
    return on if apart and np.median(off[on]) <= ON else none


def _off(own: Floats, said: Floats, height: Floats) -> Floats:
    """Return the residuals of rows as shares of what is foretold, shape (N,)."""
    size: Floats = ((own - said) ** 2).sum(axis=1) / np.maximum(((said - height) ** 2).sum(axis=1), 1e-12)
    return np.sqrt(size)


def _parting(off: Floats) -> float:
    """Return the value that parts residuals into two groups, of the least squares around their mean logarithms."""
    size = np.log(np.sort(np.maximum(off, SMALLEST)))
    at = least_squares_cut(size)
    return float(np.exp((size[at - 1] + size[at]) / 2))


def _said(told: Floats, own: Floats, some: Codes, penalty: float) -> tuple[Floats, Floats]:
    """Return what a ridge regression on the rows `some` says of all, each left out itself, and the means."""
    x, y = told[some], own[some]
    middle, height = x.mean(axis=0), y.mean(axis=0)
    x, y = x - middle, y - height
    inverse = np.linalg.inv(x.T @ x + penalty * np.eye(x.shape[1]))
    weights = inverse @ (x.T @ y)
    said = (told - middle) @ weights
    leverage = np.minimum(((x @ inverse) * x).sum(axis=1) + 1 / len(x), 1 - 1e-6)[:, None]
    said[some] = (said[some] - leverage * y) / (1 - leverage)
    return said + height, height
