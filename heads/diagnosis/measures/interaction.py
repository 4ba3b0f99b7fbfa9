"""How much of what a head does is the interplay of its streams, in its answers and in its score.

The share of interactions, after InterSHAP (Wenderoth et al. 2025, https://arxiv.org/abs/2412.15828): Shapley
interaction indices of the logits against the streams' own effects. Absolute values are averaged over utterances
and classes, so that interactions of both signs don't cancel. A sum of single streams has 0, an exclusive-or 1.
Sizes of effects that are hardly there are overstated, for means over those who lend their streams scatter: an
exclusive-or of few utterances may have 0.8, and its interval reaches 1.

Contribution and cooperation in the score, after SHAPE (Hu et al. 2022, https://doi.org/10.24963/ijcai.2022/425):
Shapley values and the interaction index of the balanced accuracy of the fitted head, where streams that it is not
told are averaged over other utterances'. The head is the same throughout: what single heads could do is
`heads.diagnosis.strength`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from dualstream.heads.diagnosis.measures.coalitions import Coalitions, Values
from dualstream.heads.diagnosis.measures.redrawn import LEVEL, RESAMPLES, draw_groups, redrawn
from dualstream.heads.diagnosis.measures.shapley import interaction_indices, shapley_values
from dualstream.heads.diagnosis.refit import Pool, uar
from dualstream.heads.evaluation.calibration import log_softmax
from dualstream.heads.evaluation.shapley import Coalition, subsets
from dualstream.heads.evaluation.statistics import Estimate, cluster_tails
from numpy.typing import NDArray

from dualstream.documents import JsonObject

TINY = 1e-6  # nats: of a head in float32 that says nothing at all, rounding is no interaction
FOLDED = float(np.sqrt(2 / np.pi))  # mean size of normal noise, in its deviations
CLEAR = 3.5  # deviations of its noise, beyond which an effect isn't zero


@dataclass(frozen=True)
class Interaction:
    """Interplay of the streams inside the fitted head."""

    share: Estimate
    """Share of interactions in what moves the logits, 0 to 1, mean over seeds; interval over the groups."""
    effects: Mapping[str, float]
    """Mean absolute effect of each stream by itself on the logits, nats."""
    pairs: Mapping[str, float]
    """Mean absolute interaction of each two streams (``a+b``), nats."""
    scores: Mapping[str, float]
    """Balanced accuracy of the head by the streams that it is told (``a+b``; ``none``), mean over seeds."""
    contribution: Mapping[str, float]
    """Shapley value of each stream in those scores."""
    cooperation: Mapping[str, float]
    """Interaction index of each two streams in those scores: above zero where both do more than each."""
    discrepancy: Mapping[str, float]
    """Probability of the label where the head is told of this stream only, over the mean of the others': the
    ratio by which OGM-GE tells who is ahead (Peng et al. 2022, https://arxiv.org/abs/2203.15332)."""

    @property
    def says_nothing(self) -> bool:
        """Whether nothing moves the logits: the head says the same of every utterance."""
        return max(*self.effects.values(), *self.pairs.values()) <= TINY

    def to_json(self) -> JsonObject:
        """Return the values."""
        return {**vars(self), "share": self.share.to_json()}


def measure_interaction(found: Coalitions, pooled: Pool, *, seed: int = 0) -> Interaction:
    """Measure the interplay of the streams on the utterances of `found`."""
    truth, names = pooled.truth[found.rows], found.names
    indices = interaction_indices(found.values, names)
    own = own_effects(found.values, names)
    of_pairs = {f"{a}+{b}": np.abs(rows).mean(axis=2) for (a, b), rows in indices.items()}  # (S, N)
    of_streams = {name: np.abs(rows).mean(axis=2) for name, rows in own.items()}
    scores: dict[Coalition, NDArray[np.float64]] = {
        known: np.array([uar(rows, truth) for rows in found.values[known]]) for known in subsets(names)
    }
    return Interaction(
        share=_share(found, of_pairs, of_streams, pooled.group[found.rows], seed),
        effects={name: float(rows.mean()) for name, rows in of_streams.items()},
        pairs={name: float(rows.mean()) for name, rows in of_pairs.items()},
        scores={_name(known, names): float(rows.mean()) for known, rows in scores.items()},
        contribution={name: float(rows.mean()) for name, rows in shapley_values(scores, names).items()},
        cooperation={
            f"{a}+{b}": float(rows.mean()) for (a, b), rows in interaction_indices(scores, names).items()
        },
        discrepancy=_discrepancy(found, truth),
    )


def own_effects(values: Values, names: Sequence[str]) -> dict[str, NDArray[np.float64]]:
    """Return each stream's Shapley value less half of its interactions: what is left to it by itself."""
    indices = interaction_indices(values, names)
    return {
        name: rows - sum(0.5 * index for pair, index in indices.items() if name in pair)
        for name, rows in shapley_values(values, names).items()
    }


def _discrepancy(found: Coalitions, truth: NDArray[np.int64]) -> dict[str, float]:
    """Return each stream's probability of the labels over the mean of the other streams', mean over seeds."""
    at = np.arange(len(truth))
    shares = {
        name: float(np.exp(log_softmax(found.values[frozenset({name})]))[:, at, truth].mean())
        for name in found.names
    }
    total = sum(shares.values())
    return {name: share / ((total - share) / (len(shares) - 1)) for name, share in shares.items()}


def _share(
    found: Coalitions,
    of_pairs: Mapping[str, NDArray[np.float64]],
    of_streams: Mapping[str, NDArray[np.float64]],
    group: NDArray[np.int64],
    seed: int,
) -> Estimate:
    """Return interactions over all that moves the logits, with a bootstrap over the groups (`redrawn`)."""
    above, whole = sum(of_pairs.values()), sum((*of_pairs.values(), *of_streams.values()))
    assert isinstance(above, np.ndarray) and isinstance(whole, np.ndarray)
    points = _quotient(np.stack((above.sum(axis=1), whole.sum(axis=1))), len(group))
    groups = len(np.unique(group))
    if groups < 2:
        return Estimate(float(points.mean()), tuple(map(float, points)), None, None)
    rng = np.random.default_rng((seed, 3))
    weights = draw_groups(group, RESAMPLES, rng)
    sizes, noise = _redrawn_sizes(found, weights, rng)  # (2, S, R): of interactions, of own effects; (2, S)
    shown = sizes.mean(axis=2, keepdims=True) - np.stack((above, whole - above)).mean(axis=2, keepdims=True)
    pairs, own = np.maximum(sizes - shown, 0)
    least_pairs, least_own = np.maximum(sizes - shown - noise[:, :, None], 0)
    tails = cluster_tails(groups, LEVEL)
    ends = [
        np.quantile(_quotient(np.stack((a, a + b)), 1).mean(axis=0), tails, method="weibull")
        for a, b in (sizes, (least_pairs, own), (pairs, least_own))
    ]
    low, high = np.min(ends), np.max(ends)
    return Estimate(float(points.mean()), tuple(map(float, points)), max(float(low), 0.0), min(float(high), 1.0))


def _redrawn_sizes(
    found: Coalitions, weights: NDArray[np.float64], rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return mean sizes of interactions and of own effects in each resample, and what noise may be of them.

    Shapes (2, S, R) and (2, S). Means over those who lend scatter, and the size of what scatters about zero is
    `FOLDED` deviations too large. How much of that is in a sample can't be read off its resamples: where noise
    happens to have drawn an effect far from zero they show least of it. So the most that it can be is taken, of
    every effect that isn't clear of zero.
    """
    effects = [np.stack(rows) for rows in _effects(found.values, found.names)]  # (E, S, N, C)
    sums = np.zeros((2, len(found.whole), len(weights)))
    moments = [np.zeros((2, *rows.shape)) for rows in effects]
    drawn = np.zeros((*found.whole.shape[:2], 1))
    for part in redrawn(found, weights, rng):
        told = part.weights.any(axis=1)
        drawn[part.seed, part.rows] += told.sum()
        for kind, of_kind in enumerate(_effects(part.values, found.names)):
            for which, rows in enumerate(of_kind):
                sums[kind, part.seed, part.resamples] += (part.weights * np.abs(rows).mean(axis=2)).sum(axis=1)
                some = rows[told]
                moments[kind][:, which, part.seed, part.rows] += some.sum(axis=0), np.square(some).sum(axis=0)
    noise = np.zeros((2, len(found.whole)))
    for kind, (rows, sizes) in enumerate(zip(moments, effects, strict=True)):
        mean, square = rows / np.maximum(drawn, 1)
        deviation = np.sqrt(np.maximum(square - mean**2, 0))
        unclear = np.where(np.abs(sizes) < CLEAR * deviation, deviation, 0)
        noise[kind] = FOLDED * unclear.mean(axis=3).sum(axis=0).mean(axis=1)
    return sums / weights.sum(axis=1), noise


def _effects(values: Values, names: Sequence[str]) -> tuple[list[NDArray[np.float64]], list[NDArray[np.float64]]]:
    """Return interactions of every two streams, and own effects of each."""
    return list(interaction_indices(values, names).values()), list(own_effects(values, names).values())


def _quotient(sums: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    above, whole = sums
    return np.divide(above, whole, out=np.zeros_like(above), where=whole > TINY * count)


def _name(known: Coalition, names: Sequence[str]) -> str:
    return "+".join(name for name in names if name in known) or "none"
