"""What the streams tell of the label, in bits: told by several, by one only, by none but all together.

Partial information decomposition (Williams & Beer 2010, https://arxiv.org/abs/1004.2515; for the streams of a
corpus: Liang et al. 2023, https://arxiv.org/abs/2302.12247) of what out-of-fold answers tell of the label: T_m
is the answer of the head on stream m alone, T of the joined head, Y the label.

    unique_m  = I_u(all) - I_u(all but m)            redundant = I_u(all) - sum of the unique ones
    synergy   = I(Y; T) - I_u(all)

I_u is the union information of Griffith & Koch 2014 (https://arxiv.org/abs/1205.4265): the least that could be
told by any joint distribution in which every stream tells what it does tell (`union`). Of two streams these are
the measures of Bertschinger et al. 2014 (BROJA, https://arxiv.org/abs/1401.2696). Williams and Beer's own I_min
was not taken: it calls two independent streams that tell different halves of the label redundant, as each tells
as much of every class.

Of three streams and more this counts as redundant what two or more tell, and as synergy what it takes two or all
for. Which ones is told by decompositions of two sources each (`Parts`): of every stream and all others together
(T of the head on that stream, of the head that joins the others, and of the head that joins all), and of every
two streams by themselves (T of the head on these two for the joined one).

What counts is what these heads make of the streams: bits of an answer, a lower bound of what the features hold.
The synergy is signed: below zero, the joined head loses what the streams tell one by one. Two noisy witnesses of
one fact that err independently count as redundant and synergetic, not as unique: each tells what the other does,
and together they are surer.

Counts overstate information where they are few, and more so with more classes. Estimates are corrected by
quadratic extrapolation (Strong et al. 1998, https://doi.org/10.1103/PhysRevLett.80.197): the same parts are
measured on halves and on quarters of the groups, drawn without replacement, and the bias that grows from whole to
half to quarter is taken off. A bootstrap sees half of it where cells are sparse.

Parts of the union information have corners (the least of two streams' bits), where no bootstrap is exact, so
intervals are conservative. They cover, over whole groups: the bootstrap's percentiles with no correction up to
twice the larger estimate of the bias, and those of the halves about the corrected value. Their level is 97 %, so
that what is known lies within in 95 of 100 samples (`benchmarks/study_intervals.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from dualstream.heads.diagnosis.measures.union import (
    LEFT,
    Tables,
    entropy,
    mutual_information,
    union_information,
)
from dualstream.heads.evaluation.shapley import Coalition
from dualstream.heads.evaluation.statistics import Estimate, cluster_tails
from dualstream.heads.variants.streams import AND
from numpy.typing import NDArray

from dualstream.documents import JsonObject

MAX_STREAMS = 4  # the coupling has a cell for each combination of answers
RESAMPLES = 200
LEVEL = 0.97
FEWEST_GROUPS = 8  # whose halves and quarters are measured


Bits = Sequence[NDArray[np.float64]]
"""One part's bits: of the sample, shape (1,), of its resamples, of halves, of quarters."""


@dataclass(frozen=True)
class Parts:
    """What sources tell of the label, bits."""

    joined: Estimate
    """What the answers of the head that joins them tell."""
    redundant: Estimate
    """Told by two sources or more: either would do."""
    unique: Mapping[str, Estimate]
    """Told by this source and by no other."""
    synergy: Estimate
    """Told by the joined head and by no source; below zero where it loses what they tell one by one."""

    def to_json(self) -> JsonObject:
        """Return the values, an interval with each."""
        return {
            "joined": _bits(self.joined),
            "redundant": _bits(self.redundant),
            "unique": {name: _bits(one) for name, one in self.unique.items()},
            "synergy": _bits(self.synergy),
        }


@dataclass(frozen=True)
class Information(Parts):
    """What the streams tell of the label, bits: each stream a source."""

    label: float
    """Entropy of the label: all that can be told."""
    alone: Mapping[str, Estimate]
    """What the answers of each single-stream head tell."""
    against_rest: Mapping[str, Parts]
    """Of three streams or more, by stream: that stream as one source, all others joined as the other (``b+c``)."""
    pairs: Mapping[str, Parts]
    """Of three streams or more, of every two (``a+b``): these two as sources, whatever the others tell."""
    utterances: int
    groups: int
    """Of what is resampled as a whole: fewer than `FEWEST_GROUPS` show no bias, and intervals are too narrow."""
    resamples: int

    def to_json(self) -> JsonObject:
        """Return the values, an interval with each."""
        return {
            "label": self.label,
            "alone": {name: _bits(one) for name, one in self.alone.items()},
            **super().to_json(),
            "against_rest": {name: parts.to_json() for name, parts in self.against_rest.items()},
            "pairs": {name: parts.to_json() for name, parts in self.pairs.items()},
            "utterances": self.utterances,
            "groups": self.groups,
            "resamples": self.resamples,
        }


def measure_information(
    truth: NDArray[np.int64],
    alone: Mapping[str, NDArray[np.int64]],
    joined: NDArray[np.int64],
    group: NDArray[np.int64],
    *,
    some: Mapping[Coalition, NDArray[np.int64]] | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Information:
    """Decompose what answers tell of the truth.

    Parameters
    ----------
    truth, joined
        Codes from 0, shape (N,): labels, and the answers of all streams together.
    alone
        By stream: answers of that stream by itself, shape (N,). Any codes will do, whatever they stand for.
    group
        What is resampled as a whole, shape (N,).
    some
        Of three streams or more: answers of heads on several streams, but not all, shape (N,). Streams against the
        rest, and pairs, are decomposed where the answers that they need are here.

    Raises
    ------
    ValueError
        Where there are fewer than 2 streams, or more than MAX_STREAMS.
    """
    if not 2 <= len(alone) <= MAX_STREAMS:
        raise ValueError(f"{len(alone)} streams; information is decomposed of 2 to {MAX_STREAMS}")
    names, known = tuple(alone), {} if some is None else some
    groups, code = np.unique(group, return_inverse=True)
    lots = [weights[:, code] for weights in _resampled(len(groups), resamples, np.random.default_rng((seed, 4)))]

    def parts(
        sources: Mapping[str, NDArray[np.int64]], together: NDArray[np.int64]
    ) -> tuple[Parts, Mapping[str, Bits]]:
        return _decomposed(truth, sources, together, lots, len(groups))

    whole, of_alone = parts(alone, joined)
    against_rest = {}
    for name in names:
        rest = [other for other in names if other != name]
        if frozenset(rest) in known:
            sources = {name: alone[name], AND.join(rest): known[frozenset(rest)]}
            against_rest[name] = parts(sources, joined)[0]
    pairs = {
        AND.join(pair): parts({name: alone[name] for name in pair}, known[frozenset(pair)])[0]
        for pair in combinations(names, 2)
        if frozenset(pair) in known
    }
    return Information(
        label=float(entropy(np.bincount(truth) / len(truth))),
        alone={name: _corrected(of_alone[name], len(groups)) for name in names},
        **vars(whole),
        against_rest=against_rest,
        pairs=pairs,
        utterances=len(truth),
        groups=len(groups),
        resamples=resamples,
    )


def _decomposed(
    truth: NDArray[np.int64],
    sources: Mapping[str, NDArray[np.int64]],
    joined: NDArray[np.int64],
    lots: Sequence[NDArray[np.float64]],
    groups: int,
) -> tuple[Parts, Mapping[str, Bits]]:
    """Return the parts, and bits of every source by itself in each lot of resamples."""
    cuts = np.cumsum([len(weights) for weights in lots])[:-1]
    found = {
        title: np.split(bits, cuts) for title, bits in _atoms(truth, sources, joined, np.concatenate(lots)).items()
    }
    parts = Parts(
        joined=_corrected(found["joined", ""], groups),
        redundant=_corrected(found["redundant", ""], groups),
        unique={name: _corrected(found["unique", name], groups) for name in sources},
        synergy=_difference(found["joined", ""], found["union", ""], groups),
    )
    return parts, {name: found["alone", name] for name in sources}


def _atoms(
    truth: NDArray[np.int64],
    sources: Mapping[str, NDArray[np.int64]],
    joined: NDArray[np.int64],
    weights: NDArray[np.float64],
) -> dict[tuple[str, str], NDArray[np.float64]]:
    """Return each part of the information, and of which source, for every row of `weights`, shape (R,)."""
    tables = {name: _table(answers, truth, weights) for name, answers in sources.items()}
    union = union_information(list(tables.values()))
    unique = {
        name: union - union_information([table for other, table in tables.items() if other != name])
        for name in tables
    }
    return {
        **{("alone", name): mutual_information(table) for name, table in tables.items()},
        **{("unique", name): bits for name, bits in unique.items()},
        ("joined", ""): mutual_information(_table(joined, truth, weights)),
        ("redundant", ""): union - sum(unique.values()),
        ("union", ""): union,
    }


def _table(answers: NDArray[np.int64], truth: NDArray[np.int64], weights: NDArray[np.float64]) -> Tables:
    """Return shares of answer and truth, shape (B, X, Y)."""
    names, code = np.unique(answers, return_inverse=True)
    labels, of_label = np.unique(truth, return_inverse=True)
    cell = code * len(labels) + of_label
    size = len(names) * len(labels)
    counts = np.stack([np.bincount(cell, weights=row, minlength=size) for row in weights])
    shares: Tables = (counts / counts.sum(axis=1, keepdims=True)).reshape(-1, len(names), len(labels))
    return shares


def _resampled(groups: int, resamples: int, rng: np.random.Generator) -> list[NDArray[np.float64]]:
    """Return weights of the groups (R, groups): the sample, bootstrap resamples, halves and quarters of it."""
    drawn = rng.multinomial(groups, np.full(groups, 1 / groups), size=resamples)
    parts = [np.ones((1, groups)), drawn.astype(np.float64)]
    for share, count in ((2, resamples // 2), (4, resamples // 4)):
        ranks = rng.permuted(np.tile(np.arange(groups), (count, 1)), axis=1)
        parts.append((ranks < groups // share).astype(np.float64))
    return parts


def _corrected(bits: Bits, groups: int) -> Estimate:
    """Return an estimate without its bias, at least 0."""
    found = float(bits[0][0])
    if groups < 2 or not len(bits[1]):
        return Estimate(max(found, 0.0), (found,))
    low, high = _ends(bits, groups)
    return Estimate(max(found - _biases(bits, groups)[1], 0.0), (found,), max(low, 0.0), max(high, 0.0))


def _difference(first: Bits, second: Bits, groups: int) -> Estimate:
    """Return the first less the second, without its bias.

    Both are overstated, and what is left of that in the difference is hard to see: its own bias, as halves and
    quarters show it, scatters as far as it goes. The interval is wider by either one's bias at its end, up to two
    deviations of the resamples: where these do not scatter there is none.
    """
    bits = [one - two for one, two in zip(first, second, strict=True)]
    found = float(bits[0][0])
    if groups < 2 or not len(bits[1]):
        return Estimate(found, (found,))
    low, high = _ends(bits, groups)
    most = 2 * float(bits[1].std())
    below, above = (min(max(*_biases(one, groups), 0.0), most) for one in (first, second))
    return Estimate(found - _biases(bits, groups)[1], (found,), low - below, high + above)


def _biases(bits: Bits, groups: int) -> tuple[float, float]:
    """Return the bias that resamples show, and that which halves and quarters do (of few groups: the first)."""
    (found,), drawn, halves, quarters = bits
    of_drawn = float(drawn.mean() - found)
    if groups < FEWEST_GROUPS or not len(quarters):
        return of_drawn, of_drawn
    of_half, of_quarter = float(halves.mean() - found), float(quarters.mean() - found)
    # bias a x + b x^2 at x = 1, 2, 4 over the whole sample's: two differences give a and b
    return of_drawn, of_half - 2 * (of_quarter - 3 * of_half) / 6


def _ends(bits: Bits, groups: int) -> tuple[float, float]:
    """Return both ends of the interval: the widest of percentiles with no correction up to twice the bias."""
    (found,), drawn, halves, _ = bits
    of_drawn, bias = _biases(bits, groups)
    tails = cluster_tails(groups, LEVEL)
    # of R draws as good as the sample itself the k-th is at k / (R + 1): numpy's own rule lies further inside
    low, high = np.quantile(drawn, tails, method="weibull")
    ends = [low, high]
    if groups >= FEWEST_GROUPS and len(halves):
        ends += list(np.quantile(halves, tails, method="weibull") - halves.mean() + found - bias)
    most = max(of_drawn, bias, 0.0), min(of_drawn, bias, 0.0)
    ends += [low - of_drawn - 2 * most[0], high - of_drawn - 2 * most[1]]
    return float(min(ends)) - LEFT, float(max(ends)) + LEFT


def _bits(found: Estimate) -> JsonObject:
    return {"bits": found.mean, "interval": None if found.interval is None else list(found.interval)}
