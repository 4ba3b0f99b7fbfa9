"""Linear classifiers that have a formula: ridge regression on class indicators, and shrinkage LDA.

Both give affine scores; how sure they may be is for heads/evaluation/calibration.py to say.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]


def ridge(
    rows: Floats, labels: NDArray[np.int64], classes: int, penalties: list[float]
) -> list[tuple[Floats, Floats]]:
    """Regress class indicators on the rows, for several penalties at the price of one.

    Minimises ``sum((indicators - rows @ w.T - b) ** 2) + penalty * sum(w ** 2)``, intercepts free, as
    scikit-learn's Ridge does with ``alpha`` (Hoerl & Kennard 1970).

    Parameters
    ----------
    rows
        Shape (N, D); without columns what is left are the shares of the classes.
    labels
        Codes 0 to C - 1, shape (N,).

    Returns
    -------
    For each penalty weights (C, D) and intercepts (C,).
    """
    rows = rows.astype(np.float64, copy=False)
    centre = rows.mean(0)
    centred = rows - centre
    values, vectors = np.linalg.eigh(centred.T @ centred)
    values = np.maximum(values, 0)
    most = float(values.max(initial=1e-300))
    shares = np.bincount(labels, minlength=classes) / len(labels)
    # indicators' products with the centred rows are sums of rows by class: no matrix of indicators
    sums = np.stack([centred[labels == code].sum(0) for code in range(classes)])  # (C, D)
    turned = sums @ vectors
    answer = []
    for penalty in penalties:
        # a direction without spread and without penalty has no say
        below = values + penalty
        inverse = np.divide(1.0, below, out=np.zeros_like(below), where=below > 1e-10 * most)
        weights = (turned * inverse) @ vectors.T
        answer.append((weights, shares - weights @ centre))
    return answer


def lda(rows: Floats, labels: NDArray[np.int64], classes: int) -> tuple[Floats, Floats, float]:
    """Fit linear discriminants: class means under one covariance, shrunk towards a multiple of identity.

    The share of shrinkage is Ledoit & Wolf's (2004, https://doi.org/10.1016/S0047-259X(03)00096-4) for the
    rows less their class means. Rows should be standardised, or the identity makes no sense.

    Returns
    -------
    Weights (C, D), intercepts (C,), such that ``rows @ weights.T + intercepts`` are log posteriors but for
    what is common to all classes; and the share of shrinkage, 0 to 1.

    Raises
    ------
    ValueError
        Where a class has no row.
    """
    rows = rows.astype(np.float64, copy=False)
    counts = np.bincount(labels, minlength=classes)
    if not counts.all():
        raise ValueError(f"class {int(np.flatnonzero(counts == 0)[0])} has no row; leave it out of the classes")
    means = np.stack([rows[labels == code].mean(0) for code in range(classes)])
    covariance, shrinkage = shrunk_covariance(rows - means[labels])
    weights = np.linalg.solve(covariance, means.T).T
    intercepts = np.log(counts / len(labels)) - 0.5 * (weights * means).sum(1)
    return weights, intercepts, shrinkage


def shrunk_covariance(centred: Floats) -> tuple[Floats, float]:
    """Return Ledoit and Wolf's covariance (D, D) of centred rows (N, D), and its share of shrinkage."""
    number, width = centred.shape
    sample = centred.T @ centred / number
    size = float(np.trace(sample)) / width
    norms = np.einsum("nd,nd->n", centred, centred)
    squared = float((sample**2).sum())
    noise = (float((norms**2).sum()) / number - squared) / (width * number)
    distance = (squared - 2 * size * float(np.trace(sample)) + width * size**2) / width
    shrinkage = 0.0 if distance <= 0 or noise <= 0 else min(noise, distance) / distance
    if distance <= 0:
        shrinkage = 1.0
    floor = 1e-9 * max(size, 1e-300)  # all rows alike: any covariance does, but it must have an inverse
    return (1 - shrinkage) * sample + (shrinkage * size + floor) * np.eye(width), shrinkage
