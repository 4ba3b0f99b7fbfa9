"""Is the joined head more than a sum of single-stream ones? The empirical multimodally-additive projection, EMAP.

Hessel & Lee 2020, https://arxiv.org/abs/2010.06572: of all sums of functions of one stream each, the nearest to a
head over all combinations of its inputs is, for two streams and for M,

    f(v, a) ~ mean_j f(v, a_j) + mean_i f(v_i, a) - mean_ij f(v_i, a_j)       sum_m z({m}) - (M - 1) z({})

A head that does no better than its projection makes no use of interactions, whatever its architecture could do.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace

import numpy as np
from dualstream.heads.diagnosis.measures.coalitions import Coalitions
from dualstream.heads.diagnosis.measures.redrawn import LEVEL, RESAMPLES, draw_groups, halves, redrawn
from dualstream.heads.diagnosis.refit import METRIC, Pool, uar
from dualstream.heads.evaluation import metrics
from dualstream.heads.evaluation.statistics import PairedDifference, cluster_tails, over_seeds
from numpy.typing import NDArray

from dualstream.documents import JsonObject

MOST_BIAS = 3.0  # times what resamples show of it, which is less than half of it at zero


@dataclass(frozen=True)
class AdditiveProjection:
    """The joined head against the sum of single-stream functions that is nearest to it."""

    utterances: int
    """On so many; all that heads were refitted on, or as many of each fold as can meet one another."""
    exact: bool
    """Whether means are over all pairs of a fold's utterances that were taken; else over `draws` for each."""
    draws: int
    """From how many utterances an unknown stream was taken, at least."""
    score: float
    """Balanced accuracy of the head on these utterances, mean over seeds, 0 to 1."""
    additive_score: float
    """Balanced accuracy of its projection."""
    gain: PairedDifference
    """The head over its projection: what interactions of the streams bring."""
    changed: float
    """Share of the answers that differ between the two."""

    def to_json(self) -> JsonObject:
        """Return the values."""
        return {**asdict(self), "gain": self.gain.to_json()}


def additive_projection(found: Coalitions) -> NDArray[np.float64]:
    """Return the projection's logits, shape (S, N, C)."""
    nothing = found.values[frozenset()]
    alone = [found.values[frozenset({name})] for name in found.names]
    return np.sum(alone, axis=0) - (len(alone) - 1) * nothing


def measure_emap(found: Coalitions, pooled: Pool, *, seed: int = 0) -> AdditiveProjection:
    """Compare the head with its projection on the same utterances."""
    truth, group = pooled.truth[found.rows], pooled.group[found.rows]
    whole, additive = found.whole, additive_projection(found)
    gain = metrics.compare_models(list(whole), list(additive), truth, group, classes=pooled.classes, metric=METRIC)
    low, high = _interval(found, truth, group, pooled.classes, gain.difference, seed)
    return AdditiveProjection(
        utterances=len(found.rows),
        exact=found.exact,
        draws=found.draws,
        score=float(np.mean([uar(rows, truth) for rows in whole])),
        additive_score=float(np.mean([uar(rows, truth) for rows in additive])),
        gain=replace(gain, low=low, high=high),
        changed=float(np.mean(whole.argmax(axis=2) != additive.argmax(axis=2))),
    )


def _interval(
    found: Coalitions, truth: NDArray[np.int64], group: NDArray[np.int64], classes: int, point: float, seed: int
) -> tuple[float, float] | tuple[None, None]:
    """Return the interval of the gain: the projection is made anew of the utterances that were drawn.

    A projection of a few utterances is fitted to these very ones, and scores too well on them. So the interval
    also covers the gain over a projection whose streams are lent by the other half of the groups.
    """
    groups = len(np.unique(group))
    if groups < 2:
        return None, None
    rng = np.random.default_rng((seed, 7))
    weights = draw_groups(group, RESAMPLES, rng)
    tails = cluster_tails(groups, LEVEL)
    low, high = _ends(point, _gains(found, truth, weights, classes, seed, rng, None), tails)
    half = halves(found, group, rng)
    if half is not None:
        apart = _gains(found, truth, weights, classes, seed, rng, half)
        lowest, highest = np.quantile(apart, tails, method="weibull")
        low, high = min(low, float(lowest)), max(high, float(highest))
    return low + 0.0, high + 0.0  # no zero below zero


def _gains(
    found: Coalitions,
    truth: NDArray[np.int64],
    weights: NDArray[np.float64],
    classes: int,
    seed: int,
    rng: np.random.Generator,
    half: NDArray[np.int64] | None,
) -> NDArray[np.float64]:
    """Return the gain in each resample, mean over seeds, shape (R,)."""
    counts = np.stack([weights @ (truth == code) for code in range(classes)], axis=1)  # (R, C)
    hits = np.zeros((2, len(found.whole), len(weights), classes))  # of the head, of its projection
    for part in redrawn(found, weights, rng, half=half):
        alone = [part.values[frozenset({name})] for name in found.names]
        additive = sum(alone) - (len(alone) - 1) * part.values[frozenset()]
        labels = truth[part.rows]
        for at, rows in enumerate((part.values[frozenset(found.names)], additive)):
            right = part.weights * (rows.argmax(axis=2) == labels)  # (R, n)
            hits[at, part.seed, part.resamples] += right @ (labels[:, None] == np.arange(classes))
    recall = np.divide(hits, counts, out=np.zeros_like(hits), where=counts > 0)
    replicates = np.diff(recall.sum(axis=3) / (counts > 0).sum(axis=1), axis=0)[0]
    return -over_seeds(replicates, seed)


def _ends(point: float, replicates: NDArray[np.float64], tails: tuple[float, float]) -> tuple[float, float]:
    """Return both ends of the gain's interval, from its replicates.

    Means of few lenders scatter, and where the projection says little that turns answers at random, which is bias:
    in resamples it shows in part. The interval covers no correction up to `MOST_BIAS` times what they show.
    """
    low, high = (float(end) for end in np.quantile(replicates, tails, method="weibull"))
    by = (1 + MOST_BIAS) * (float(replicates.mean()) - point)
    return min(low, low - by), max(high, high - by)
