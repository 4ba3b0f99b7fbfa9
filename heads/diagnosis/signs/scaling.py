"""Whether a share of codes is wrong, or only the calibration: the lapse again, each class with a scale and place.

One temperature for all classes is wrong where some are rare or some are told far better than others: probabilities
that are too sure for one class look like wrong labels there. So each class gets a scale and an intercept of its
own (vector scaling, Guo et al. 2017, https://arxiv.org/abs/1706.04599), fitted with a lapse and without one:

    P(label y | row) = (1 - lapse) * softmax(scale * s(row) + intercept)_y + lapse * share_y
"""

from __future__ import annotations

import numpy as np
from dualstream.heads.diagnosis.signs.table import Codes, Floats, Mask
from dualstream.heads.evaluation.calibration import log_softmax

STEPS = 100
LITTLE = 0.03  # lapse from which one of the two searches begins


def scaled_lapse(log_p: Floats, code: Codes, drawn: float) -> tuple[float, float]:
    """Return the lapse where each class is scaled by itself, and its log-likelihood over that of no lapse.

    Parameters
    ----------
    log_p
        Log-probabilities of models that have not seen the row, shape (N, C).
    code
        Place of each row's code among the C, shape (N,).
    drawn
        The lapse that was found with one temperature, above 0.
    """
    from scipy.optimize import minimize

    classes = log_p.shape[1]
    scores = log_p - log_p.mean(axis=1, keepdims=True)
    share = (np.bincount(code, minlength=classes) / len(code))[code]

    def fit(start: Floats) -> tuple[float, Floats]:
        found = minimize(
            _loss, start, args=(scores, code, share), jac=True, method="L-BFGS-B", options={"maxiter": STEPS}
        )
        return float(found.fun), np.asarray(found.x)

    plain = np.concatenate((np.ones(classes), np.zeros(classes)))
    without, scaled = fit(plain)
    starts = ((plain, drawn), (scaled, LITTLE))
    best, fitted = min((fit(np.append(at, _logit(lapse))) for at, lapse in starts), key=lambda one: one[0])
    return float(1 / (1 + np.exp(-fitted[-1]))), len(code) * (without - best)


def scaled(log_p: Floats, code: Codes, fitted: Mask) -> Floats:
    """Return log-probabilities (N, C) with a scale and an intercept of each class, as rows `fitted` have them."""
    from scipy.optimize import minimize

    classes = log_p.shape[1]
    scores = log_p - log_p.mean(axis=1, keepdims=True)
    start = np.concatenate((np.ones(classes), np.zeros(classes)))
    mine = scores[fitted], code[fitted], np.ones(int(fitted.sum()))
    found = minimize(_loss, start, args=mine, jac=True, method="L-BFGS-B", options={"maxiter": STEPS})
    return np.asarray(log_softmax(scores * found.x[:classes] + found.x[classes:]))


def _logit(share: float) -> float:
    share = min(max(share, 1e-3), 1 - 1e-3)
    return float(np.log(share / (1 - share)))


def _loss(values: Floats, scores: Floats, code: Codes, share: Floats) -> tuple[float, Floats]:
    """Return the mean log loss and its gradient, by scales, intercepts and, as last value, the lapse's logit."""
    count, classes = scores.shape
    here, with_lapse = np.arange(count), len(values) > 2 * classes
    lapse = float(1 / (1 + np.exp(-values[-1]))) if with_lapse else 0.0
    p = np.exp(log_softmax(scores * values[:classes] + values[classes : 2 * classes]))
    own = p[here, code]
    mixed = np.maximum((1 - lapse) * own + lapse * share, 1e-300)
    part = -p * ((1 - lapse) * own / mixed)[:, None]
    part[here, code] += (1 - lapse) * own / mixed
    gradient = np.concatenate(((part * scores).sum(axis=0), part.sum(axis=0)))
    if with_lapse:
        gradient = np.append(gradient, ((share - own) / mixed).sum() * lapse * (1 - lapse))
    return float(-np.log(mixed).mean()), -gradient / count
