"""Coalitions of a corpus that is drawn anew: who is told of, and who lends the streams that are not known.

Means over utterances that lend their streams are as much of an estimate as those over the utterances that are told
of. Where all pairs of two streams are known, a resample weighs both by the same draw of groups; where some were
drawn to lend, these are drawn anew by themselves, and by their groups too.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from dualstream.heads.diagnosis.measures.coalitions import Coalitions, Values
from dualstream.heads.evaluation.shapley import Coalition
from numpy.typing import NDArray

RESAMPLES = 500
LEVEL = 0.97  # so that what is known lies within in 95 of 100 samples (benchmarks/study_intervals.py)
AT_ONCE = 100  # resamples: logits of each are held for every utterance


@dataclass(frozen=True, repr=False)
class Redrawn:
    """One fold's logits by one model, for some of the resamples."""

    seed: int
    resamples: slice
    rows: slice
    """Of `Coalitions.rows`, n of them."""
    weights: NDArray[np.float64]
    """How often each utterance was drawn, shape (R, n)."""
    values: dict[Coalition, NDArray[np.float64]]
    """Logits by what is known, shape (R, n, C), or (1, n, C) where nothing is lent."""


def draw_groups(group: NDArray[np.int64], resamples: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return how often each utterance is in each bootstrap resample of the groups, shape (resamples, N)."""
    names, code = np.unique(group, return_inverse=True)
    drawn = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=resamples)
    return drawn[:, code].astype(np.float64)


def redrawn(
    found: Coalitions,
    weights: NDArray[np.float64],
    rng: np.random.Generator,
    *,
    half: NDArray[np.int64] | None = None,
) -> Iterator[Redrawn]:
    """Give what every coalition says in each resample, by folds, models and lots of resamples.

    With `half` (`halves`), where all pairs are known, only the other half of a fold lends to an utterance.
    """
    start = 0
    for fold in range(len(found.grids) or len(found.by_lender)):
        whole = found.grids[fold] if found.grids else found.by_lender[fold][frozenset(found.names)]
        size = whole.shape[1 if found.grids else 2]
        rows = slice(start, start + size)
        start += size
        lenders = None if found.grids else _draw_lenders(found.lender_groups[fold], len(weights), rng)
        for seed in range(len(found.whole)):
            for first in range(0, len(weights), AT_ONCE):
                lot = slice(first, first + AT_ONCE)
                some = weights[lot, rows]
                if lenders is None:
                    grid = found.grids[fold][seed]
                    if half is None:
                        values = _of_grid(grid, some, found.names)
                    else:
                        values = _of_other_half(grid, some, found.names, half[rows])
                else:
                    one = {known: logits[seed] for known, logits in found.by_lender[fold].items()}
                    values = _of_lenders(one, lenders[lot], size)
                yield Redrawn(seed, lot, rows, some, values)


def _draw_lenders(group: NDArray[np.int64], resamples: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return shares of those who lend in each resample, shape (R, J)."""
    drawn = draw_groups(group, resamples, rng)
    return drawn / drawn.sum(axis=1, keepdims=True)


def _of_grid(
    grid: NDArray[np.float64], weights: NDArray[np.float64], names: tuple[str, ...]
) -> dict[Coalition, NDArray[np.float64]]:
    """Return logits of two streams' coalitions from those of all pairs (n, n, C), each lent by whom was drawn."""
    first, second = names
    count = len(grid)
    share = weights / np.maximum(weights.sum(axis=1, keepdims=True), 1)
    of_first = (share @ grid.transpose(1, 0, 2).reshape(count, -1)).reshape(len(share), count, -1)
    of_second = (share @ grid.reshape(count, -1)).reshape(of_first.shape)
    return {
        frozenset(): np.einsum("rn,rnc->rc", share, of_first)[:, None],
        frozenset({first}): of_first,
        frozenset({second}): of_second,
        frozenset(names): grid[np.arange(count), np.arange(count)][None],
    }


def halves(found: Coalitions, group: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64] | None:
    """Return 0 or 1 for each utterance of `found`, of which `group` is given: its groups, halved in each fold.

    None where not all pairs are known, or a fold has one group only.
    """
    half, start = np.empty(len(group), dtype=np.int64), 0
    for grid in found.grids:
        rows = slice(start, start + grid.shape[1])
        names, code = np.unique(group[rows], return_inverse=True)
        if len(names) < 2:
            return None
        half[rows] = (rng.permutation(len(names)) % 2)[code]
        start = rows.stop
    return half if found.grids else None


def _of_other_half(
    grid: NDArray[np.float64], weights: NDArray[np.float64], names: tuple[str, ...], half: NDArray[np.int64]
) -> dict[Coalition, NDArray[np.float64]]:
    """Return logits as `_of_grid` does, lent to each utterance by whom was drawn of the other half."""
    sides = []
    for side in (0, 1):
        others = weights * (half != side)
        none_drawn = ~others.any(axis=1, keepdims=True)
        sides.append(_of_grid(grid, np.where(none_drawn, half != side, others), names))
    first, second = sides
    return {known: np.where((half == 0)[:, None], rows, second[known]) for known, rows in first.items()}


def _of_lenders(values: Values, shares: NDArray[np.float64], count: int) -> dict[Coalition, NDArray[np.float64]]:
    """Return logits of each coalition, those who lend weighed by their shares (R, J)."""
    found: dict[Coalition, NDArray[np.float64]] = {}
    for known, logits in values.items():  # (J, n, C)
        if len(logits) == 1:
            found[known] = logits
        elif known:
            found[known] = (shares @ logits.reshape(len(logits), -1)).reshape(len(shares), count, -1)
        else:
            found[known] = _among_lenders(logits, shares)[:, None]
    return found


def _among_lenders(logits: NDArray[np.float64], shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean of what lenders say among themselves (J turns, J, C), by their shares, shape (R, C)."""
    met = len(logits)
    lender, turn = np.meshgrid(np.arange(met), np.arange(met))
    square = np.empty_like(logits)  # by who lends the first stream, and who the others
    square[(lender - turn) % met, lender] = logits
    of_first = (shares @ square.reshape(met, -1)).reshape(len(shares), met, -1)
    return np.einsum("rj,rjc->rc", shares, of_first)
