"""What each stream gives alone, what all give together, and what the fused head really uses.

Shapley values split the fused score between the streams: with v(S) the balanced accuracy of a head on
the streams S, and chance for none, of two streams

    phi_video = ((v(video) - v()) + (v(both) - v(audio))) / 2       phi_audio likewise

and of more the same over all their subsets (Shapley 1953; heads/diagnosis/subsets.py). They say what a stream is
worth; how far the fitted head leans on it is measured apart, by giving it the stream of another utterance, or
hiding it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from dualstream.heads.diagnosis.changes import lent, without
from dualstream.heads.diagnosis.refit import Pool, Refit, predict, uar
from dualstream.heads.evaluation.calibration import log_softmax
from numpy.typing import NDArray

from dualstream.documents import JsonObject


@dataclass(frozen=True)
class Reliance:
    """How far a fitted fused head leans on one stream: its loss of balanced accuracy without it."""

    stream: str
    shuffled: float
    """With the stream of another utterance in its place."""
    masked: float
    """With the stream marked as missing."""


@dataclass(frozen=True)
class Strength:
    """Worth and use of the streams; balanced accuracies, 0 to 1, out of fold."""

    chance: float
    alone: Mapping[str, float]
    """Of each stream by itself, in the order in which heads join them."""
    fused: float
    shapley: Mapping[str, float]
    """Worth of each stream: shares of what `fused` has above `chance`."""
    lean: tuple[Reliance, ...]
    gradient_share: Mapping[str, tuple[float, ...]]
    """Share of the gradient's norm that flows into each stream's side, by epoch; empty where not recorded."""
    coalitions: Mapping[str, float] = field(default_factory=dict)
    """Of heads on some of the streams, ``a+b``, and on all of them: what `shapley` is made of."""

    @property
    def lean_share(self) -> dict[str, float]:
        """Share of each stream in what the head loses by shuffling; NaN where it leans on none."""
        losses = {lean.stream: max(0.0, lean.shuffled) for lean in self.lean}
        total = sum(losses.values())
        return {name: loss / total if total > 0 else float("nan") for name, loss in losses.items()}

    def to_json(self) -> JsonObject:
        """Return the values; of two streams also under the keys that they have by their names."""
        pair = len(self.alone) == 2
        first = next(iter(self.alone))
        return {
            "chance": self.chance,
            **(dict(self.alone) if pair else {}),
            "fused": self.fused,
            **({f"shapley_{name}": value for name, value in self.shapley.items()} if pair else {}),
            "lean": [dict(vars(one)) for one in self.lean],
            **({f"gradient_share_{first}": list(self.gradient_share.get(first, ()))} if pair else {}),
            "lean_share": {k: None if np.isnan(v) else v for k, v in self.lean_share.items()},
            "alone": dict(self.alone),
            "shapley": dict(self.shapley),
            "gradient_share": {name: list(shares) for name, shares in self.gradient_share.items()},
            "coalitions": dict(self.coalitions),
        }


@dataclass(frozen=True)
class Complement:
    """Whether there is anything to gain from joining streams."""

    only: Mapping[str, float]
    """Share of utterances that the head on this stream alone gets right, and on none of the others."""
    all: float
    """Share that every stream gets right by itself."""
    none: float
    oracle: float
    """Balanced accuracy of an oracle that picks the right stream: no choice between streams does better."""
    disagreement: float
    """Yule's Q of two heads' errors (1: the same errors, 0: independent, -1: disjoint); NaN of more than two."""

    def to_json(self) -> JsonObject:
        """Return the values; of two streams under the keys that they have by their names."""
        if len(self.only) > 2:
            return {"only": dict(self.only), "all": self.all, "none": self.none, "oracle": self.oracle}
        return {
            **{f"only_{name}": share for name, share in self.only.items()},
            "both": self.all,
            "neither": self.none,
            "oracle": self.oracle,
            "disagreement": self.disagreement,
        }


def strength(
    pooled: Pool,
    fused: Refit,
    alone: Mapping[str, Refit],
    *,
    shapley: Mapping[str, float],
    coalitions: Mapping[str, float],
    seed: int = 0,
) -> Strength:
    """Measure how far the fused head leans on each stream; what they are worth is given."""
    return Strength(
        chance=chance_of(pooled),
        alone={name: one.score for name, one in alone.items()},
        fused=fused.score,
        shapley=shapley,
        lean=tuple(reliance(pooled, fused, name, seed) for name in alone),
        gradient_share={name: _gradient_share(fused, name) for name in alone},
        coalitions=coalitions,
    )


def _gradient_share(fused: Refit, name: str) -> tuple[float, ...]:
    column = f"gradient_share_{name}"
    shares = [
        model.history.columns[column]
        for models, _ in fused.models
        for model in models
        if column in model.history.columns
    ]
    shortest = min((len(share) for share in shares), default=0)
    mean_share = np.mean([share[:shortest] for share in shares], axis=0) if shortest else np.zeros(0)
    return tuple(float(value) for value in mean_share)


def chance_of(pooled: Pool) -> float:
    """Return the balanced accuracy of guessing."""
    return 1 / int((np.bincount(pooled.truth, minlength=pooled.classes) > 0).sum())


def complement(pooled: Pool, alone: Mapping[str, Refit]) -> Complement:
    """Measure how far the single streams' errors are disjoint."""
    right = np.stack(
        [mean_log_probabilities(one.log_probabilities).argmax(axis=1) == pooled.truth for one in alone.values()]
    )  # (M, N)
    sure = right.sum(axis=0)
    only = {name: float(np.mean(row & (sure == 1))) for name, row in zip(alone, right, strict=True)}
    every, none = float(np.mean(right.all(axis=0))), float(np.mean(sure == 0))
    either = sure > 0
    recalls = [either[pooled.truth == code].mean() for code in np.unique(pooled.truth)]
    return Complement(only, every, none, float(np.mean(recalls)), _yules_q(list(only.values()), every, none))


def _yules_q(only: Sequence[float], both: float, neither: float) -> float:
    if len(only) != 2:
        return float("nan")
    below = both * neither + only[0] * only[1]
    return (both * neither - only[0] * only[1]) / below if below > 0 else 0.0


def late_sum(*alone: Refit) -> tuple[NDArray[np.float64], ...]:
    """Return the sum of refits' log-probabilities, a seed each: the plainest fusion there is."""
    seeds = zip(*(one.log_probabilities for one in alone), strict=True)
    return tuple(log_softmax(np.sum(rows, axis=0)) for rows in seeds)


def mean_log_probabilities(rows: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Return the logarithm of the seeds' mean probabilities, shape (N, C)."""
    return np.log(np.mean(np.exp(rows), axis=0) + 1e-300)


def reliance(pooled: Pool, fused: Refit, name: str, seed: int) -> Reliance:
    """Measure what the fused head loses without one stream."""
    shuffled, masked = [], []
    for held, (models, change) in enumerate(fused.models):
        rows = pooled.rows([held])
        features = change(pooled.features.take(rows))
        truth = pooled.truth[rows]
        unrelated = lent(features, {name: np.random.default_rng((seed, held)).permutation(len(features))})
        without_stream = without(features, name)
        for model in models:
            whole = uar(predict(model, features, pooled.task), truth)
            shuffled.append(whole - uar(predict(model, unrelated, pooled.task), truth))
            masked.append(whole - uar(predict(model, without_stream, pooled.task), truth))
    return Reliance(name, float(np.mean(shuffled)), float(np.mean(masked)))
