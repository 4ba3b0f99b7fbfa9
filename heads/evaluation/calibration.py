"""How sure to be: one temperature, or a mixture of streams' log-probabilities, fitted on held-out answers.

Temperature scaling is Guo et al. 2017 (https://arxiv.org/abs/1706.04599); the weighted sum of several
experts' log-probabilities is a logarithmic opinion pool (Heskes 1998, https://papers.nips.cc/paper/1413).
"""

from __future__ import annotations

import numpy as np
from dualstream.heads.data.batch import UNLABELLED
from numpy.typing import NDArray

from dualstream.cores import one_blas_thread

STEPS = 50
TOLERANCE = 1e-8  # of the mean loss's gradient
LIMITS = (0.0, 1e4)  # of a weight

Floats = NDArray[np.float64]


def log_softmax(logits: Floats) -> Floats:
    """Return log-probabilities of logits (..., C)."""
    shifted = logits - logits.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))


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
    keep = labels != UNLABELLED
    count = len(logits)
    if not keep.any():
        return np.full(count, 1 / count)
    experts, truth = logits[:, keep], labels[keep]
    number = len(truth)
    classes = experts.shape[-1]
    target = np.full((number, classes), 1 / (number + classes))
    target[np.arange(number), truth] += number / (number + classes)
    right = (target * experts).sum(-1)  # (S, N)
    centre = np.eye(count) - 1 / count
    weights = np.full(count, 1 / count)
    free = np.ones(count, dtype=bool)

    def loss(at: Floats) -> float:
        mixed = log_softmax(np.tensordot(at, experts, 1))
        return float(-(target * mixed).sum() + pull / 2 * at @ centre @ at)

    value = loss(weights)
    for _ in range(STEPS):
        p = np.exp(log_softmax(np.tensordot(weights, experts, 1)))  # (N, C)
        means = (p * experts).sum(-1)  # (S, N)
        gradient = (means - right).sum(1) + pull * centre @ weights
        spread = (experts - means[..., None]) * np.sqrt(p)
        bend = np.tensordot(spread, spread, ([1, 2], [1, 2])) + pull * centre + 1e-6 * number * np.eye(count)
        free = ~(((weights <= LIMITS[0]) & (gradient > 0)) | ((weights >= LIMITS[1]) & (gradient < 0)))
        if not free.any() or np.abs(gradient[free]).max() <= TOLERANCE * number:
            break
        step = np.zeros(count)
        step[free] = np.linalg.solve(bend[np.ix_(free, free)], -gradient[free])
        length = 1.0
        while length > 1e-6:
            trial = np.clip(weights + length * step, *LIMITS)
            if (new := loss(trial)) <= value:
                break
            length /= 2
        else:
            break
        weights, value = trial, new
    return weights
