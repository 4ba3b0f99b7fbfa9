"""What two streams share of an utterance beyond its class and its speaker: whether their rows belong together.

A face and a voice of one clip share more than who speaks and what is felt: how strongly, what is said, how it was
recorded. Means of classes and speakers are taken out of both, both are whitened (softly), and what is left is held
against each other:

    strength = N * sum of the squared entries of (x' y / N)          z = (strength - RR') / sqrt(2 RR')

which of unrelated rows is about a chi-squared variable with R R' degrees of freedom, whatever N is. Rows that were
joined in another order, or a row too late, agree better once they are put back.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from dualstream.heads.diagnosis.signs.table import Codes, Floats, Mask, without

RIDGE = 0.05  # share of a stream's mean variance added to its covariance


@dataclass(frozen=True)
class Agreement:
    """How strongly two blocks of rows go together."""

    strength: float
    freedom: int
    rows: int

    @property
    def z(self) -> float:
        """Deviations above what unrelated rows give."""
        return float((self.strength - self.freedom) / np.sqrt(2 * self.freedom)) if self.freedom else 0.0

    @property
    def error(self) -> float:
        """Deviation of `z`: of a noncentral chi-squared variable."""
        beyond = max(0.0, self.strength - self.freedom)
        return float(np.sqrt(1 + 2 * beyond / self.freedom)) if self.freedom else 1.0


def whitened(rows: Floats) -> Floats:
    """Return rows (N, R) with a covariance near identity, small directions less so."""
    if not len(rows) or not rows.shape[1]:
        return rows
    covariance = rows.T @ rows / len(rows)
    values, vectors = np.linalg.eigh(covariance)
    values = np.maximum(values, 0)
    soft = values + RIDGE * values.mean() + 1e-12
    return rows @ vectors / np.sqrt(soft)


def agreement(x: Floats, y: Floats) -> Agreement:
    """Return how strongly whitened rows (N, R) and (N, R') agree.

    Each side's soft whitening leaves less than N in its squares; the strength is read in units of what is there.
    """
    count = len(x)
    if count < 3:
        return Agreement(0.0, 0, count)
    one, two = (rows.T @ rows / count for rows in (x, y))
    cross = x.T @ y / count
    # of unrelated rows E = tr(Cx) tr(Cy) / N and Var = 2 |Cx|^2 |Cy|^2 / N^2: matched to a scaled chi-squared
    mean = np.trace(one) * np.trace(two) / count
    variance = 2 * (one**2).sum() * (two**2).sum() / count**2
    if mean <= 0 or variance <= 0:
        return Agreement(0.0, 0, count)
    scale = variance / (2 * mean)
    return Agreement(float((cross**2).sum() / scale), max(1, round(mean / scale)), count)


def residual(rows: Floats, use: Mask, *codes: Codes) -> Floats:
    """Return the whitened residual of the rows that `use` names, beyond the groupings `codes`."""
    return whitened(without(rows[use], *(code[use] for code in codes)))
