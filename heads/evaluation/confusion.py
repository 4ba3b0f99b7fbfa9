"""Confusion counts, and the scores that are functions of them alone: what the bootstrap and the tests resample.

Truth stands in rows, answers in columns; heads/evaluation/metrics.py states the conventions.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from dualstream.heads.evaluation import statistics
from numpy.typing import NDArray

HEADLINES = ("accuracy", "balanced_accuracy", "weighted_f1", "macro_f1")

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]


def group_confusions(truth: Codes, answers: Codes, classes: int, groups: Codes) -> Floats:
    """Count truth against answers for each model and group.

    Parameters
    ----------
    truth, groups
        Codes from 0, shape (N,).
    answers
        Codes from 0, shape (S, N).

    Returns
    -------
    Array of shape (S, G, C, C).
    """
    models, number = len(answers), int(groups.max()) + 1
    cell = ((np.arange(models)[:, None] * number + groups) * classes + truth) * classes + answers
    flat = np.bincount(cell.ravel(), minlength=models * number * classes * classes)
    return flat.reshape(models, number, classes, classes).astype(np.float64)


def headlines(confusion: Floats) -> Floats:
    """Return accuracy, balanced accuracy, weighted and macro F1 of any stack of confusion counts.

    Shape (..., C, C) to (4, ...), in the order of HEADLINES.
    """
    hits, support, answered = margins(confusion)
    total = support.sum(-1)
    recall = quotient(hits, support)
    f1 = quotient(2 * hits, support + answered)
    return np.stack(
        [
            quotient(hits.sum(-1), total),
            quotient(recall.sum(-1), (support > 0).sum(-1)),
            quotient((f1 * support).sum(-1), total),
            quotient(f1.sum(-1), (support + answered > 0).sum(-1)),
        ]
    )


def headline_statistic(name: str) -> statistics.Statistic:
    """Return the function from confusion counts (..., C, C) to the named headline score (...)."""
    if name not in HEADLINES:
        raise ValueError(f"no score is called {name!r}; there are: {', '.join(HEADLINES)}")
    at = HEADLINES.index(name)
    return lambda counts: headlines(counts)[at]


def margins(confusion: Floats) -> tuple[Floats, Floats, Floats]:
    """Return hits, support and answers of each class, (..., C) each."""
    hits = np.diagonal(confusion, axis1=-2, axis2=-1)
    return hits, confusion.sum(-1), confusion.sum(-2)


def quotient(above: Floats, below: NDArray[Any]) -> Floats:
    """Divide, with 0 where the denominator is 0."""
    return np.divide(above, below, out=np.zeros(np.shape(above)), where=below > 0)
