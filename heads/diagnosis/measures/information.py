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

Counts overstate information where they are few, the more the more classes. Estimates are corrected by the
bootstrap's own bias, and their intervals (over whole groups) by twice that, which is what resampling a sample
adds to it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from dualstream.heads.evaluation.statistics import Estimate
from numpy.typing import NDArray

from dualstream.documents import JsonObject

Tables = NDArray[np.float64]
MAX_STREAMS = 4  # the coupling has a cell for each combination of answers
MAX_CELLS = 200_000  # of couplings that are solved side by side
RESAMPLES = 200
LEVEL = 0.95
ROUNDS = 300  # of the alternating minimisation
LEFT = 2e-3  # bits that it may have left to gain by then: intervals are wider by so much at each end
FITS = 3  # of the margins, by turns, a round


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
    rng = np.random.default_rng((seed, 4))
    draws = rng.multinomial(len(groups), np.full(len(groups), 1 / len(groups)), size=resamples)
    weights = np.concatenate((np.ones((1, len(groups))), draws)).astype(np.float64)[
        :, code
    ]  # (1 + R, N): as it is, then resampled
    found = _atoms(truth, alone, joined, weights)
    return Information(
        label=float(entropy(np.bincount(truth) / len(truth))),
        alone={name: _corrected(found[f"alone {name}"], len(groups)) for name in alone},
        joined=_corrected(found["joined"], len(groups)),
        redundant=_corrected(found["redundant"], len(groups)),
        unique={name: _corrected(found[f"unique {name}"], len(groups)) for name in alone},
        synergy=_corrected(found["synergy"], len(groups), signed=True),
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
    minimisation by turns over a convex function, which ends at its least value (Csiszár & Tusnády 1984).

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
    coupling = mixture
    for _ in range(ROUNDS):
        coupling = np.broadcast_to(mixture, (batch, labels, *mixture.shape[2:]))
        for _ in range(FITS):
            for axis, margin in enumerate(given, start=2):
                coupling = _fitted(coupling, margin, axis)
        mixture = (weights * coupling).sum(axis=1, keepdims=True)
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
        "synergy": told - union,
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


def _corrected(bits: NDArray[np.float64], groups: int, *, signed: bool = False) -> Estimate:
    """Return the first value with the bias of the others taken off, and the interval that these give."""
    found, drawn = float(bits[0]), bits[1:]
    least = -np.inf if signed else 0.0
    if groups < 2 or not len(drawn):
        return Estimate(max(found, least), (found,))
    bias = float(drawn.mean()) - found
    # of R draws as good as the sample itself the k-th is at k / (R + 1): numpy's own rule lies further inside
    ends = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], method="weibull")
    low, high = ends - 2 * bias + (-LEFT, LEFT)
    return Estimate(max(found - bias, least), (found,), max(float(low), least), max(float(high), least))


def _outer(margins: Sequence[Tables]) -> Tables:
    """Return products of margins (B, 1, X_m) over all combinations, shape (B, 1, X_1, ..., X_M)."""
    product = margins[0]
    for margin in margins[1:]:
        product = product[..., None] * margin.reshape(*margin.shape[:2], *[1] * (product.ndim - 2), -1)
    return product


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
