"""What the streams tell of the label, in bits: told by several, by one only, by none but all together.

Partial information decomposition (Williams & Beer 2010, https://arxiv.org/abs/1004.2515; for the streams of a
corpus: Liang et al. 2023, https://arxiv.org/abs/2302.12247) of what out-of-fold answers tell of the label: T_m
is the answer of the head on stream m alone, T of the joined head, Y the label.

    unique_m  = I_u(all) - I_u(all but m)            redundant = I_u(all) - sum of the unique ones
    synergy   = I(Y; T) - I_u(all)

I_u is the union information of Griffith & Koch 2014 (https://arxiv.org/abs/1205.4265): the least that could be
told by any joint distribution in which every stream tells what it does tell. Of two streams these are the
measures of Bertschinger et al. 2014 (BROJA, https://arxiv.org/abs/1401.2696). Williams and Beer's own I_min was
not taken: it calls two independent streams that tell different halves of the label redundant, as each tells as
much of every class.

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

import numpy as np
from dualstream.heads.evaluation.statistics import Estimate, cluster_tails
from numpy.typing import NDArray

from dualstream.documents import JsonObject

Tables = NDArray[np.float64]
MAX_STREAMS = 4  # the coupling has a cell for each combination of answers
MAX_CELLS = 200_000  # of couplings that are solved side by side
RESAMPLES = 200
LEVEL = 0.97
FEWEST_GROUPS = 8  # whose halves and quarters are measured
ROUNDS = 150  # of the alternating minimisation
LEFT = 1e-3  # bits that it may have left to gain by then: intervals are wider by so much at each end
LAST_SWEEPS = 3  # over the margins, without moving the mixture, so that what is measured has them


@dataclass(frozen=True)
class Information:
    """What the streams tell of the label, bits."""

    label: float
    """Entropy of the label: all that can be told."""
    alone: Mapping[str, Estimate]
    """What the answers of each single-stream head tell."""
    joined: Estimate
    """What the answers of the joined head tell."""
    redundant: Estimate
    """Told by two streams or more: either would do."""
    unique: Mapping[str, Estimate]
    """Told by this stream and by no other."""
    synergy: Estimate
    """Told by the joined head and by no stream; below zero where it loses what the streams tell one by one."""
    utterances: int
    resamples: int

    def to_json(self) -> JsonObject:
        """Return the values, an interval with each."""

        def of(found: Estimate) -> JsonObject:
            return {"bits": found.mean, "interval": None if found.interval is None else list(found.interval)}

        return {
            "label": self.label,
            "alone": {name: of(one) for name, one in self.alone.items()},
            "joined": of(self.joined),
            "redundant": of(self.redundant),
            "unique": {name: of(one) for name, one in self.unique.items()},
            "synergy": of(self.synergy),
            "utterances": self.utterances,
            "resamples": self.resamples,
        }


def measure_information(
    truth: NDArray[np.int64],
    alone: Mapping[str, NDArray[np.int64]],
    joined: NDArray[np.int64],
    group: NDArray[np.int64],
    *,
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

    Raises
    ------
    ValueError
        Where there are fewer than 2 streams, or more than MAX_STREAMS.
    """
    if not 2 <= len(alone) <= MAX_STREAMS:
        raise ValueError(f"{len(alone)} streams; information is decomposed of 2 to {MAX_STREAMS}")
    groups, code = np.unique(group, return_inverse=True)
    parts = _resampled(len(groups), resamples, np.random.default_rng((seed, 4)))
    cuts = np.cumsum([len(part) for part in parts])[:-1]
    found = {
        name: np.split(bits, cuts)
        for name, bits in _atoms(truth, alone, joined, np.concatenate(parts)[:, code]).items()
    }
    return Information(
        label=float(entropy(np.bincount(truth) / len(truth))),
        alone={name: _corrected(found[f"alone {name}"], len(groups)) for name in alone},
        joined=_corrected(found["joined"], len(groups)),
        redundant=_corrected(found["redundant"], len(groups)),
        unique={name: _corrected(found[f"unique {name}"], len(groups)) for name in alone},
        synergy=_difference(found["joined"], found["union"], len(groups)),
        utterances=len(truth),
        resamples=resamples,
    )


def entropy(shares: Tables) -> Tables:
    """Return the entropy over the last axis, bits."""
    return -np.sum(shares * np.log2(np.where(shares > 0, shares, 1.0)), axis=-1)


def mutual_information(tables: Tables) -> Tables:
    """Return I(X; Y) of tables of shares (..., X, Y), bits."""
    whole = entropy(tables.reshape(*tables.shape[:-2], -1))
    return entropy(tables.sum(axis=-1)) + entropy(tables.sum(axis=-2)) - whole


def union_information(tables: Sequence[Tables]) -> Tables:
    """Return the least information of any coupling in which each source meets the label as in its table, bits.

    Of several samples side by side. With r the mixture of the labels' couplings, each label's coupling is the one
    nearest to r that has the margins it must have (iterative proportional fitting), and r their mixture again:
    minimisation by turns over a convex function, which ends at its least value (Csiszár & Tusnády 1984). Factors
    of the fit are kept from turn to turn, so that one sweep over the margins a turn is enough.

    Parameters
    ----------
    tables
        Of each source its shares with the label, shape (B, X_m, Y).
    """
    if len(tables) == 1:
        return mutual_information(tables[0])
    batch, labels = len(tables[0]), tables[0].shape[2]
    cells = labels * int(np.prod([table.shape[1] for table in tables]))
    step = max(1, MAX_CELLS // cells)
    if batch > step:
        cuts = range(0, batch, step)
        return np.concatenate([union_information([table[at : at + step] for table in tables]) for at in cuts])
    share = tables[0].sum(axis=1)  # (B, Y)
    given = [np.moveaxis(_quotient(table, share[:, None]), 2, 1) for table in tables]  # (B, Y, X_m)
    mixture = _outer([table.sum(axis=2)[:, None] for table in tables])  # (B, 1, X_1, ..., X_M)
    weights = share.reshape(*share.shape, *[1] * len(tables))
    coupling = np.broadcast_to(mixture, (batch, labels, *mixture.shape[2:]))
    for _ in range(ROUNDS):
        coupling = _swept(coupling, given)
        nearer = (weights * coupling).sum(axis=1, keepdims=True)
        coupling = coupling * _quotient(nearer, mixture)
        mixture = nearer
    for _ in range(LAST_SWEEPS):
        coupling = _swept(coupling, given)
    flat = (weights * coupling).reshape(batch, labels, -1)
    return np.asarray(mutual_information(np.moveaxis(flat, 1, 2)))


def _atoms(
    truth: NDArray[np.int64],
    alone: Mapping[str, NDArray[np.int64]],
    joined: NDArray[np.int64],
    weights: NDArray[np.float64],
) -> dict[str, NDArray[np.float64]]:
    """Return each part of the information for every row of `weights`, shape (1 + R,)."""
    tables = {name: _table(answers, truth, weights) for name, answers in alone.items()}
    union = union_information(list(tables.values()))
    unique = {
        name: union - union_information([table for other, table in tables.items() if other != name])
        for name in tables
    }
    told = mutual_information(_table(joined, truth, weights))
    return {
        **{f"alone {name}": mutual_information(table) for name, table in tables.items()},
        **{f"unique {name}": bits for name, bits in unique.items()},
        "joined": told,
        "redundant": union - sum(unique.values()),
        "union": union,
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


Bits = Sequence[NDArray[np.float64]]
"""One part's bits: of the sample, shape (1,), of its resamples, of halves, of quarters."""


def _corrected(bits: Bits, groups: int) -> Estimate:
    """Return an estimate without its bias, at least 0."""
    found = float(bits[0][0])
    if groups < 2 or not len(bits[1]):
        return Estimate(max(found, 0.0), (found,))
    low, high = _ends(bits, groups)
    return Estimate(max(found - _biases(bits, groups)[1], 0.0), (found,), max(low, 0.0), max(high, 0.0))


def _difference(first: Bits, second: Bits, groups: int) -> Estimate:
    """Return the first less the second, without its bias.

    Both are overstated, and what is left of that in the difference is hard to see. The interval is wider by either
    one's bias at its end, up to a deviation of the resamples: where these do not scatter there is none.
    """
    bits = [one - two for one, two in zip(first, second, strict=True)]
    found = float(bits[0][0])
    if groups < 2 or not len(bits[1]):
        return Estimate(found, (found,))
    low, high = _ends(bits, groups)
    deviation = float(bits[1].std())
    below, above = (min(max(*_biases(one, groups), 0.0), deviation) for one in (first, second))
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


def _outer(margins: Sequence[Tables]) -> Tables:
    """Return products of margins (B, 1, X_m) over all combinations, shape (B, 1, X_1, ..., X_M)."""
    product = margins[0]
    for margin in margins[1:]:
        product = product[..., None] * margin.reshape(*margin.shape[:2], *[1] * (product.ndim - 2), -1)
    return product


def _swept(coupling: Tables, given: Sequence[Tables]) -> Tables:
    """Return couplings (B, Y, X_1, ..., X_M) fitted to the margins of each stream in turn."""
    for axis, margin in enumerate(given, start=2):
        coupling = _fitted(coupling, margin, axis)
    return coupling


def _fitted(coupling: Tables, margin: Tables, axis: int) -> Tables:
    """Return couplings (B, Y, ...) scaled along one axis to the margin (B, Y, X)."""
    others = tuple(one for one in range(2, coupling.ndim) if one != axis)
    factor = _quotient(margin, coupling.sum(axis=others))
    shape = [1] * coupling.ndim
    shape[:2], shape[axis] = factor.shape[:2], factor.shape[2]
    return coupling * factor.reshape(shape)


def _quotient(above: Tables, below: Tables) -> Tables:
    above, below = np.broadcast_arrays(above, below)
    return np.divide(above, below, out=np.zeros(above.shape), where=below > 0)
