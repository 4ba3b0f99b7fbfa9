"""Groups of rows without names: k-means, and whether rows fall into groups at all."""

from __future__ import annotations

import numpy as np
from dualstream.heads.diagnosis.signs.table import Codes, Floats, group_sums

ROUNDS = 25
STARTS = 3


def kmeans(rows: Floats, count: int, seed: int = 0) -> tuple[Codes, float]:
    """Return the group of each row (N, D), and the mean square of the distances to the groups' centres.

    Lloyd's algorithm from k-means++ (Arthur and Vassilvitskii 2007), the best of a few starts.
    """
    runs = [_once(rows, count, np.random.default_rng([seed, start])) for start in range(STARTS)]
    return min(runs, key=lambda run: run[1])


def _once(rows: Floats, count: int, rng: np.random.Generator) -> tuple[Codes, float]:
    square = (rows**2).sum(axis=1)
    centres = rows[[int(rng.integers(len(rows)))]]
    near = ((rows - centres[0]) ** 2).sum(axis=1)
    while len(centres) < count and near.sum() > 0:
        drawn = rows[int(rng.choice(len(rows), p=near / near.sum()))]
        centres = np.concatenate((centres, drawn[None]))
        near = np.minimum(near, ((rows - drawn) ** 2).sum(axis=1))
    group = np.zeros(len(rows), dtype=np.int64)
    for _ in range(ROUNDS):
        far = square[:, None] - 2 * rows @ centres.T + (centres**2).sum(axis=1)
        before, group = group, far.argmin(axis=1)
        sums = group_sums(rows, group, len(centres))
        sizes = np.bincount(group, minlength=len(centres))
        centres = np.where(sizes[:, None] > 0, sums / np.maximum(sizes, 1)[:, None], centres)
        if np.array_equal(before, group):
            break
    far = square[:, None] - 2 * rows @ centres.T + (centres**2).sum(axis=1)
    return group, float(np.maximum(far.min(axis=1), 0).mean())


def normal_scores(rows: Floats) -> Floats:
    """Return rows (N, D) with each column's ranks laid out as a normal distribution's: without tails."""
    from scipy.special import ndtri

    ranks = rows.argsort(axis=0, kind="stable").argsort(axis=0)
    return np.asarray(ndtri((ranks + 0.5) / len(rows)))


def grouping_z(rows: Floats, count: int, deals: int = 9) -> float:
    """Return how much tighter `count` groups lie than in rows with shuffled columns, in their deviations."""
    rng = np.random.default_rng(0)
    own = kmeans(rows, count)[1]
    shuffled = np.array(
        [kmeans(np.stack([rng.permutation(c) for c in rows.T], 1), count)[1] for _ in range(deals)]
    )
    return float((shuffled.mean() - own) / (shuffled.std(ddof=1) + 1e-3 * shuffled.mean()))


def split_distance(values: Floats) -> tuple[float, float]:
    """Return the cut of values (N,) into two groups that parts them best (Otsu 1979), and how far they lie apart.

    The distance of the groups' means is in their common deviation: 2.7 for one normal distribution, 3.5 for one
    that is flat. A group has one value in fifty at least.
    """
    order = np.sort(values)
    count = len(order)
    least = max(3, count // 50)
    if count < 2 * least + 2:
        return float("nan"), 0.0
    first = np.arange(least, count - least + 1)
    sums, squares = np.cumsum(order), np.cumsum(order**2)
    low = sums[first - 1] / first
    high = (sums[-1] - sums[first - 1]) / (count - first)
    within = squares[-1] - first * low**2 - (count - first) * high**2
    best = int(within.argmin())
    deviation = np.sqrt(max(within[best], 0) / count)
    cut = (order[first[best] - 1] + order[first[best]]) / 2
    return float(cut), float((high[best] - low[best]) / (deviation + 1e-9 * (abs(high[best] - low[best]) + 1e-30)))


def least_squares_cut(order: Floats) -> int:
    """Return how many of sorted values (N,) are the lower of two groups with least squares around their means."""
    order = order - order.mean()
    at = np.arange(1, len(order))
    below = np.cumsum(order)[:-1]
    return int(at[(below**2 / at + (order.sum() - below) ** 2 / (len(order) - at)).argmax()])
