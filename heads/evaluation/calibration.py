"""How sure to be: one temperature, or a mixture of streams' log-probabilities, fitted on held-out answers.

Temperature scaling is Guo et al. 2017 (https://arxiv.org/abs/1706.04599); the weighted sum of several
experts' log-probabilities is a logarithmic opinion pool (Heskes 1998, https://papers.nips.cc/paper/1413).

Each expert's answer holds the class prior. Experts that are independent given the class combine by the product
rule, p(c) times the product of p(c | x_s) / p(c) (Kittler et al. 1998, https://doi.org/10.1109/34.667881): the
prior once, whatever the number of experts. A pool without a prior of its own holds it as often as its weights sum
to, and with uneven classes a fit then weakens all experts to pay for it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from dualstream.heads.data.batch import UNLABELLED
from numpy.typing import NDArray

from dualstream.cores import one_blas_thread

STEPS = 50
TOLERANCE = 1e-8  # of the mean loss's gradient
LIMITS = (0.0, 1e4)  # of a weight
FOLDS = 5  # of scored groups, each calibrated by the others
PRIOR_PULL = 1.0  # utterances' worth of belief in the product rule: that the prior counts once

Floats = NDArray[np.float64]


def log_softmax(logits: Floats) -> Floats:
    """Return log-probabilities of logits (..., C)."""
    shifted = logits - logits.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))


@dataclass(frozen=True, repr=False)
class LogPool:
    """How the log-probabilities of S experts become one answer: ``log_softmax(sum(w_s log_p_s) + offset)``."""

    weights: Floats
    """Shape (S,), none negative."""
    offset: Floats
    """Shape (C,): the prior, less as much of it as the weighted answers hold."""
    prior_weight: float
    """Beta, how often `offset` adds the prior: 1 less the sum of the weights by the product rule, where all
    experts hold the prior whole."""

    @classmethod
    def mean(cls, count: int, classes: int) -> LogPool:
        """Return the mean of `count` experts, which holds the prior once as it is."""
        return cls(np.full(count, 1 / count), np.zeros(classes), 0.0)


@one_blas_thread()
def fit_weights(logits: Floats, labels: NDArray[np.int64], *, pull: float = 0.0) -> Floats:
    """Return the weights (S,), none negative, that make ``log_softmax(sum(w_s logits_s))`` likeliest.

    Labels count as if each class had been seen once more anywhere (Platt 1999): a sample that is told
    apart perfectly would otherwise ask for infinite weights.

    Parameters
    ----------
    logits
        Of S experts on N held-out utterances, shape (S, N, C). One expert: its inverse temperature.
    labels
        Codes, shape (N,), -1 where unlabelled.
    pull
        Strength, in utterances, of a pull of all weights towards their common mean.

    Returns
    -------
    Weights (S,); ones over S where nothing is labelled.
    """
    count, _, classes = logits.shape
    keep = labels != UNLABELLED
    if not keep.any():
        return np.full(count, 1 / count)
    target = _smoothed(labels[keep], np.full(classes, 1 / classes))
    start = np.full(count, 1 / count)
    return _solve(
        logits[:, keep], target, np.zeros(classes), start, np.full(count, LIMITS[0]), pull * _centre(count)
    )


def cross_calibrated(log_p: Floats, truth: NDArray[np.int64], groups: NDArray[np.int64]) -> Floats:
    """Return log-probabilities (N, C) at the temperature that fits the utterances of other groups.

    What is scored so says how much the answers tell apart, whether or not they know how sure they may be. A
    temperature orders an utterance's classes no other way, and no utterance has a say in its own.

    Parameters
    ----------
    log_p
        Shape (N, C); minus infinity is not allowed.
    truth
        Codes, shape (N,), -1 where unlabelled.
    groups
        Codes of what is kept together, shape (N,). Of one group alone, utterances are told apart.
    """
    members, code = np.unique(groups, return_inverse=True)
    if len(members) < 2:
        code = np.arange(len(truth))
    count = int(code.max(initial=0)) + 1
    fold = (np.random.default_rng(0).permutation(count) % FOLDS)[code]
    answer = np.empty_like(log_p)
    for number in np.unique(fold):
        held = fold == number
        (weight,) = fit_weights(log_p[None], np.where(held, UNLABELLED, truth))
        answer[held] = log_softmax(weight * log_p[held])
    return answer


@one_blas_thread()
def fit_pool(
    log_p: Floats,
    labels: NDArray[np.int64],
    *,
    held: Floats,
    prior: Floats,
    pull: float = 0.0,
    shared: bool = False,
) -> LogPool:
    """Fit a mixture of experts, and how often it counts the prior, on held-out answers.

    What is fitted are weights of the evidence, ``log_p_s - held_s``, and of the prior: one and a little more or
    less, as the utterances say against a weak pull to one. Where classes are even the prior means nothing, and the
    weights are those of `fit_weights`.

    Parameters
    ----------
    log_p
        Of S experts on N held-out utterances, shape (S, N, C).
    labels
        Codes, shape (N,), -1 where unlabelled. They count as if C more utterances had been seen anywhere, of which
        only the prior is known.
    held
        Log prior that each expert's answers hold, shape (S, C): of the labels that it was fitted on.
    prior
        Log prior of what is answered, shape (C,).
    pull
        As in `fit_weights`.
    shared
        One weight for all experts.

    Returns
    -------
    Without a label the weights are ones over S, and the prior is counted once.
    """
    count, _, classes = log_p.shape
    evidence = log_p - held[:, None]
    if shared:
        evidence = evidence.mean(0, keepdims=True)
    fitted = len(evidence)
    level = prior - prior.mean()
    values = np.append(np.full(fitted, 1 / fitted), 0.0)
    keep = labels != UNLABELLED
    if keep.any():
        experts = np.concatenate([evidence[:, keep], np.broadcast_to(level, (1, int(keep.sum()), classes))])
        pulls = np.zeros((fitted + 1, fitted + 1))
        pulls[:-1, :-1] = pull * _centre(fitted)
        pulls[-1, -1] = PRIOR_PULL
        lowest = np.append(np.full(fitted, LIMITS[0]), -LIMITS[1])
        values = _solve(experts, _smoothed(labels[keep], np.exp(log_softmax(prior))), level, values, lowest, pulls)
    weights = np.full(count, values[0] / count) if shared else values[:-1]
    offset = (1 + values[-1]) * prior - weights @ held
    return LogPool(weights, offset - offset.mean(), float(1 + values[-1] - weights.sum()))


def _smoothed(truth: NDArray[np.int64], shares: Floats) -> Floats:
    """Return targets (N, C) as if as many more utterances had been seen as there are classes, by `shares`."""
    number, classes = len(truth), len(shares)
    target = np.tile(classes * shares / (number + classes), (number, 1))
    target[np.arange(number), truth] += number / (number + classes)
    return target


def _centre(count: int) -> Floats:
    return np.eye(count) - 1 / count


def _solve(
    experts: Floats, target: Floats, offset: Floats, start: Floats, lowest: Floats, pulls: Floats
) -> Floats:
    """Return the weights of ``log_softmax(sum(w_s experts_s) + offset)`` by Newton's method within limits.

    Parameters
    ----------
    experts
        Shape (S, N, C).
    target
        Shares of the classes, shape (N, C).
    lowest
        Least value of each weight, shape (S,).
    pulls
        Half of ``w @ pulls @ w`` is added to the loss, shape (S, S).
    """
    count, number, _ = experts.shape
    right = (target * experts).sum(-1)  # (S, N)
    weights = start

    def mixed(at: Floats) -> Floats:
        return log_softmax(np.tensordot(at, experts, 1) + offset)

    def loss(at: Floats) -> float:
        return float(-(target * mixed(at)).sum() + at @ pulls @ at / 2)

    value = loss(weights)
    for _ in range(STEPS):
        p = np.exp(mixed(weights))  # (N, C)
        means = (p * experts).sum(-1)  # (S, N)
        gradient = (means - right).sum(1) + pulls @ weights
        spread = (experts - means[..., None]) * np.sqrt(p)
        bend = np.tensordot(spread, spread, ([1, 2], [1, 2])) + pulls + 1e-6 * number * np.eye(count)
        free = ~(((weights <= lowest) & (gradient > 0)) | ((weights >= LIMITS[1]) & (gradient < 0)))
        if not free.any() or np.abs(gradient[free]).max() <= TOLERANCE * number:
            break
        step = np.zeros(count)
        step[free] = np.linalg.solve(bend[np.ix_(free, free)], -gradient[free])
        length = 1.0
        while length > 1e-6:
            trial = np.clip(weights + length * step, lowest, LIMITS[1])
            if (new := loss(trial)) <= value:
                break
            length /= 2
        else:
            break
        weights, value = trial, new
    return weights
