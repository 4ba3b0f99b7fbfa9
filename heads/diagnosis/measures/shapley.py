"""Shapley values and interaction indices of streams, exact over all coalitions; and those of every utterance.

With v(S) the evidence for an utterance's label where the head knows the streams S, its logit (the label's
log-probability less the mean over the classes), in nats,

    phi_m = sum over S without m of  |S|! (M - |S| - 1)! / M!  (v(S + m) - v(S))        Shapley 1953

so that the streams' values add up to what all of them say beyond what is said without any. A stream whose value is
below zero spoke against the label: it misled the head there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import factorial

import numpy as np
from dualstream.heads.diagnosis.measures.coalitions import Coalitions, Values
from dualstream.heads.evaluation.calibration import log_softmax
from dualstream.heads.evaluation.shapley import Coalition, shapley, subsets
from numpy.typing import NDArray

Pair = tuple[str, str]


@dataclass(frozen=True, repr=False)
class UtteranceValues:
    """What each stream said for or against the label (or the answer) of every utterance; means over seeds."""

    rows: NDArray[np.int64]
    """Of the pool, shape (N,)."""
    base: NDArray[np.float64]
    """Evidence without any stream, nats, shape (N,)."""
    by_stream: Mapping[str, NDArray[np.float64]]
    """Shapley value of each stream, nats, shape (N,): below zero where it spoke against the label."""
    interaction: NDArray[np.float64]
    """What all streams say together beyond the sum of what each says alone, nats, shape (N,)."""
    probabilities: NDArray[np.float64]
    """Of the classes, as the head answers, mean over seeds, shape (N, C)."""
    alone: Mapping[str, NDArray[np.int64]]
    """Answer of the head that knows one stream only, shape (N,)."""


def shapley_values(values: Values, names: Sequence[str]) -> dict[str, NDArray[np.float64]]:
    """Return each stream's Shapley value from the values of all coalitions."""
    return {name: np.asarray(value) for name, value in shapley(values, names).items()}


def interaction_indices(values: Values, names: Sequence[str]) -> dict[Pair, NDArray[np.float64]]:
    """Return the Shapley interaction index of each pair of streams (Grabisch & Roubens 1999).

    https://doi.org/10.1007/s001820050125. Of two streams: v(both) - v(one) - v(other) + v(none).
    """
    count = len(names)
    answer = {}
    for first, second in combinations(names, 2):
        others = [name for name in names if name not in (first, second)]
        total: NDArray[np.float64] | float = 0.0
        for known in subsets(others):
            weight = factorial(len(known)) * factorial(count - len(known) - 2) / factorial(count - 1)
            both = values[known | {first, second}] - values[known | {first}]
            total = total + weight * (both - values[known | {second}] + values[known])
        answer[first, second] = np.asarray(total)
    return answer


def utterance_values(found: Coalitions, labels: NDArray[np.int64]) -> UtteranceValues:
    """Return what each stream said of every utterance; of the head's own answer where its label is -1."""
    means = {known: rows.mean(axis=0) for known, rows in found.values.items()}  # (N, C)
    probabilities = np.exp(log_softmax(found.whole)).mean(axis=0)
    of_whom = np.where(labels >= 0, labels, probabilities.argmax(axis=1))
    at = np.arange(len(of_whom)), of_whom
    evidence: dict[Coalition, NDArray[np.float64]] = {known: rows[at] for known, rows in means.items()}
    names, nothing = found.names, evidence[frozenset()]
    alone = {name: evidence[frozenset({name})] for name in names}
    together = evidence[frozenset(names)] - nothing
    return UtteranceValues(
        rows=found.rows,
        base=nothing,
        by_stream=shapley_values(evidence, names),
        interaction=together - sum((one - nothing for one in alone.values()), np.zeros(len(of_whom))),
        probabilities=probabilities,
        alone={name: means[frozenset({name})].argmax(axis=1) for name in names},
    )
