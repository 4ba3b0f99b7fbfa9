"""Is the joined head more than a sum of single-stream ones? The empirical multimodally-additive projection, EMAP.

Hessel & Lee 2020, https://arxiv.org/abs/2010.06572: of all sums of functions of one stream each, the nearest to a
head over all combinations of its inputs is, for two streams and for M,

    f(v, a) ~ mean_j f(v, a_j) + mean_i f(v_i, a) - mean_ij f(v_i, a_j)       sum_m z({m}) - (M - 1) z({})

A head that does no better than its projection makes no use of interactions, whatever its architecture could do.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
from dualstream.heads.diagnosis.measures.coalitions import Coalitions
from dualstream.heads.diagnosis.refit import METRIC, Pool, uar
from dualstream.heads.evaluation import metrics
from dualstream.heads.evaluation.statistics import PairedDifference
from numpy.typing import NDArray

from dualstream.documents import JsonObject


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


def measure_emap(found: Coalitions, pooled: Pool) -> AdditiveProjection:
    """Compare the head with its projection on the same utterances."""
    truth, group = pooled.truth[found.rows], pooled.group[found.rows]
    whole, additive = found.whole, additive_projection(found)
    gain = metrics.compare_models(list(whole), list(additive), truth, group, classes=pooled.classes, metric=METRIC)
    return AdditiveProjection(
        utterances=len(found.rows),
        exact=found.exact,
        draws=found.draws,
        score=float(np.mean([uar(rows, truth) for rows in whole])),
        additive_score=float(np.mean([uar(rows, truth) for rows in additive])),
        gain=gain,
        changed=float(np.mean(whole.argmax(axis=2) != additive.argmax(axis=2))),
    )
