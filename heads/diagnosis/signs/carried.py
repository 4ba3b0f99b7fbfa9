"""Whether two clouds of rows are more than one cloud with tails, and more than people who differ.

Of six people any two lie on one side of some direction, and rows of one person lie close together: clouds of whole
speakers prove nothing by their distance. Two makes of rows are told apart for people, too, on whom the direction
was not fitted; and a single person of another make lies further from the others than any of them does.
"""

from __future__ import annotations

import numpy as np
from dualstream.heads.diagnosis.signs.clusters import normal_scores
from dualstream.heads.diagnosis.signs.table import Codes, Floats, Mask

CARRIED = 4.0  # deviations between clouds, along directions of other speakers; the halves of a flat one: 3.5
RANKED = 3.3  # deviations in normal scores: 1.25 times as far as the halves of one normal distribution
SHARP = 6.0  # times the sum of both clouds' deviations
ALPHA = 1e-3  # chance that one more person of the same kind lies so far from the rest
WHOLE = 0.9  # of a speaker's rows, in one cloud
LEAST = 3  # rows


def fisher(rows: Floats, small: Mask) -> tuple[Floats, float]:
    """Return the direction that parts two groups of rows (N, R) best, in their deviations, and their middle."""
    one, other = rows[small].mean(axis=0), rows[~small].mean(axis=0)
    centred = rows - other
    centred[small] = rows[small] - one
    covariance = centred.T @ centred / len(rows)
    covariance += 0.05 * np.trace(covariance) / len(covariance) * np.eye(len(covariance))
    weights = np.linalg.solve(covariance, one - other)
    weights /= np.sqrt(max(float(weights @ covariance @ weights), 1e-30))
    return weights, float(weights @ (one + other) / 2)


def apart(values: Floats, small: Mask) -> float:
    """Return how far two groups of values lie apart, in their common deviation."""
    if small.all() or not small.any():
        return 0.0
    deviation = np.sqrt(values[small].var() * small.mean() + values[~small].var() * (~small).mean())
    return float(abs(values[small].mean() - values[~small].mean()) / (deviation + 1e-12))


def halves(rows: Floats) -> Mask:
    """Return one half of rows (N, R), the same in whatever order they stand: each second one by its length."""
    place = np.empty(len(rows), dtype=np.int64)
    place[np.argsort((rows**2).sum(axis=1), kind="stable")] = np.arange(len(rows))
    return np.asarray(place % 2 == 0)


def thins_out(rows: Floats, small: Mask) -> bool:
    """Say whether a cloud of rows (N, R) is only where one cloud's rows thin out into the distance.

    In normal scores no column has tails: of a cloud that was none, the end of a normal distribution is left.
    Clouds that are sharp, each by its own deviation, are asked nothing.
    """
    fit = halves(rows)
    if min(small[fit].sum(), small[~fit].sum()) < 2:
        return True
    along = rows @ fisher(rows[fit], small[fit])[0]
    one, other = along[~fit & small], along[~fit & ~small]
    if abs(one.mean() - other.mean()) >= SHARP * (one.std() + other.std()):
        return False
    scores = normal_scores(rows)
    return apart(scores[~fit] @ fisher(scores[fit], small[fit])[0], small[~fit]) < RANKED


def of_speakers(rows: Floats, small: Mask, speaker: Codes) -> bool:
    """Say whether two clouds of rows (N, R) are people who differ; False where they part none."""
    codes, inverse = np.unique(speaker, return_inverse=True)
    share = np.bincount(inverse, small) / np.bincount(inverse)
    mine = np.flatnonzero(share >= WHOLE)
    if len(codes) == 2 and codes[0] >= 0 and (np.maximum(share, 1 - share) >= WHOLE).all():
        return True  # a cloud for each person, and nobody else to ask
    if (
        len(codes) < 3
        or codes[0] < 0
        or (np.maximum(share, 1 - share) < WHOLE).mean() > 1 - WHOLE
        or not len(mine)
    ):
        return False
    if len(mine) == 1:
        distances = np.array([_distance_of(rows, inverse == one) for one in range(len(codes))])
        return not _beyond(float(distances[mine[0]]), np.delete(distances, mine[0]))
    return _carried(rows, small, inverse) < CARRIED


def _carried(rows: Floats, small: Mask, inverse: Codes) -> float:
    """Return how far the clouds lie apart where each speaker is placed along the others' direction."""
    along = np.full(len(rows), np.nan)
    for one in range(int(inverse.max()) + 1):
        fit = inverse != one
        if min((fit & small).sum(), (fit & ~small).sum()) < LEAST:
            continue
        weights, middle = fisher(rows[fit], small[fit])
        along[~fit] = rows[~fit] @ weights - middle
    known = np.isfinite(along)
    return apart(along[known], small[known])


def _beyond(distance: float, others: Floats) -> bool:
    """Say whether a person lies further from the rest than one more of the others would, by their logarithms."""
    from scipy.stats import t

    known = np.log(others[others > 0])
    if len(known) < 2 or distance <= 0:
        return False
    spread = known.std(ddof=1) * np.sqrt(1 + 1 / len(known))
    return bool(np.log(distance) > known.mean() + t.ppf(1 - ALPHA, len(known) - 1) * spread)


def _distance_of(rows: Floats, mine: Mask) -> float:
    if min(mine.sum(), (~mine).sum()) < 2 * LEAST:
        return 0.0
    fit = np.arange(len(rows)) % 2 == 0
    if min((mine & fit).sum(), (mine & ~fit).sum()) < LEAST:
        return 0.0
    weights, _ = fisher(rows[fit], mine[fit])
    return apart(rows[~fit] @ weights, mine[~fit])
