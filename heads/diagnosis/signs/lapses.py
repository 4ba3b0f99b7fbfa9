"""The share of codes (labels, speakers) that can't be right, and which: a probe that is sure, and told otherwise.

Where all labels are right, a row's label is the surer the further the row lies inside its class: the calibrated
probability tends to 1. Where a share of the labels was put down wrong, it does not, however far inside the row
lies:

    P(label y | row) = (1 - lapse) * softmax(s(row))_y + lapse * share_y

with scores s of a ridge regression that has not seen the row, or its group. `lapse` is then found by maximum
likelihood (as the lapse rate of a psychometric curve is), and each row's chance to be one of those by Bayes'
rule. Overlapping classes make s small and leave the lapse at 0; counts of confident disagreement (confident
learning, Northcutt et al. 2021, https://arxiv.org/abs/1911.00068) take such overlap for noise where probes are
weak.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from dualstream.heads.diagnosis.signs.table import Codes, Floats, Mask
from dualstream.heads.evaluation.calibration import log_softmax
from dualstream.heads.linear.closed_form import ridge

PENALTIES = [3.0, 10.0, 30.0, 100.0, 300.0, 1000.0]  # of standardised columns
TEMPERATURES = np.geomspace(0.5, 60, 25)
LAPSES = np.concatenate(([0.0], np.linspace(0.01, 0.9, 90)))
LEAST = 1e-12  # probability of a code
FACTORS = 16  # probabilities in one logarithm: 1e-192 is a number still
BLOCK = 24_000  # likelihoods at a time, which a core's cache holds


@dataclass(frozen=True, repr=False)
class Lapse:
    """What a probe says of codes."""

    rate: float
    """Share of the codes that can't be right: those that were drawn anew and are another one."""
    drawn: float
    """Share of the codes that might as well have been drawn at random, some of them right by luck."""
    interval: tuple[float, float]
    """Of `drawn`, by the likelihood's ratio, 95 %."""
    gain: float
    """Log-likelihood over that of no lapse."""
    wrong: Floats
    """Chance of each row's code to be wrong, shape (N,)."""
    answers: Codes
    """The likeliest code of each row, by place among `names`, shape (N,)."""
    accuracy: float
    """Mean over codes of the share that is told right, out of fold."""
    chance: float
    names: Codes
    log_p: Floats
    """Log-probabilities out of fold, without the lapse, shape (N, C)."""


def probe_scores(rows: Floats, codes: Codes, fold: Codes, count: int, fitted: Mask) -> Floats:
    """Return ridge scores of each row by models of `fitted` rows without its fold, shape (penalties, N, C)."""
    scores = np.zeros((len(PENALTIES), len(rows), count))
    for number in np.unique(fold):
        fit, held = (fold != number) & fitted, fold == number
        for at, (weights, intercepts) in enumerate(ridge(rows[fit], codes[fit], count, PENALTIES)):
            scores[at, held] = rows[held] @ weights.T + intercepts
    return scores


def lapse(rows: Floats, codes: Codes, fold: Codes, fitted: Mask | None = None) -> Lapse | None:
    """Estimate how many of `codes` (N,) can't be right, from rows (N, D) and folds (N,); None: nothing is told.

    Models are fitted on all rows, or on those that `fitted` names; the answers are of all.
    """
    names, code = np.unique(codes, return_inverse=True)
    if len(names) < 2 or len(np.unique(fold)) < 2:
        return None
    counts = np.bincount(code)
    share = counts / len(code)
    use = np.ones(len(code), dtype=bool) if fitted is None else fitted
    scores = probe_scores(rows, code, fold, len(names), use)
    told_by = [_own(one, code, share) for one in scores]
    best = max(range(len(scores)), key=lambda at: max(_peak(own[use], share[code][use]) for own in told_by[at]))
    log_p, drawn, curve = _fit(scores[best], told_by[best], code, share, use)
    own = np.exp(log_p[np.arange(len(code)), code])
    told = drawn * share[code] / np.maximum((1 - drawn) * own + drawn * share[code], LEAST)
    # of those that were drawn, one in some is right by luck: as often as the row's class comes out of the hat
    wrong = told * (1 - own)
    inside = LAPSES[curve >= curve.max() - 1.92]
    answers = log_p.argmax(axis=1)
    recalls = np.bincount(code, answers == code, minlength=len(names)) / counts
    return Lapse(
        rate=float(drawn * (1 - (share**2).sum())),
        drawn=float(drawn),
        interval=(float(inside.min()), float(inside.max())),
        gain=float(curve.max() - curve[0]),
        wrong=wrong,
        answers=answers,
        accuracy=float(recalls.mean()),
        chance=1 / len(names),
        names=names,
        log_p=log_p,
    )


def _own(scores: Floats, code: Codes, share: Floats) -> Floats:
    """Return the probability of each row's code at each of TEMPERATURES, shape (T, N)."""
    apart = scores - scores[np.arange(len(code)), code][:, None]
    ratio = share / share[code][:, None]
    with np.errstate(over="ignore"):  # far behind another code: 1 / inf
        return np.stack([1 / np.einsum("nc,nc->n", ratio, np.exp(t * apart)) for t in TEMPERATURES])


def _likelihood(own: Floats, chance: Floats, lapses: Floats) -> Floats:
    """Return the log-likelihood of each lapse, of codes with these probabilities (N,) and shares (N,).

    A logarithm costs as much as many products: it is taken of FACTORS of them at a time.
    """
    total = np.zeros(len(lapses))
    rows = -(-BLOCK // len(lapses) // FACTORS) * FACTORS
    for start in range(0, len(own), rows):
        here = slice(start, start + rows)
        mixed = own[here, None] * (1 - lapses)
        mixed += chance[here, None] * lapses
        np.maximum(mixed, LEAST, out=mixed)
        whole = len(mixed) // FACTORS * FACTORS
        total += np.log(mixed[:whole].reshape(FACTORS, -1, len(lapses)).prod(axis=0)).sum(axis=0)
        total += np.log(mixed[whole:]).sum(axis=0)
    return total


def _peak(own: Floats, chance: Floats) -> float:
    """Return the largest log-likelihood of LAPSES: it is concave in the lapse, so that halving finds it."""
    low, high = 0, len(LAPSES) - 1
    while high - low > 2:
        middle = (low + high) // 2
        here, beside = _likelihood(own, chance, LAPSES[middle : middle + 2])
        low, high = (low, middle) if here >= beside else (middle + 1, high)
    return float(_likelihood(own, chance, LAPSES[low : high + 1]).max())


def _fit(scores: Floats, own: Floats, code: Codes, share: Floats, use: Mask) -> tuple[Floats, float, Floats]:
    """Return log-probabilities, the lapse, and the log-likelihood of each of LAPSES at its best temperature."""
    best = np.full(len(LAPSES), -np.inf)
    at = np.zeros(len(LAPSES), dtype=np.int64)
    for number, told in enumerate(own):
        likelihood = _likelihood(told[use], share[code][use], LAPSES)
        better = likelihood > best
        best, at = np.where(better, likelihood, best), np.where(better, number, at)
    chosen = int(best.argmax())
    log_p = log_softmax(TEMPERATURES[at[chosen]] * scores + np.log(share))
    return log_p, float(LAPSES[chosen]), best
