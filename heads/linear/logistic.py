"""Many penalised multinomial logistic regressions over one design matrix, solved side by side.

The two tasks, and in choosing a penalty all folds and penalties, share every product with the design
matrix: their weights stand under each other in one tall array.

    weights  task A, penalty 1   (C_A, D)  ─┐
             task A, penalty 2   (C_A, D)   ├─ (K, D) @ rows.T (D, N) -> (K, N) logits of all problems
             task B, penalty 1   (C_B, D)  ─┘

Each problem runs its own L-BFGS (Liu & Nocedal 1989, https://doi.org/10.1007/BF01589116). What makes it
take few steps is where its inverse Hessian starts: for class c the Hessian's block is close to
``mean(p_c (1 - p_c)) rows.T @ rows + penalty`` (the bound of Böhning 1992,
https://doi.org/10.1007/BF00048682, with the actual curvature in place of 1/2), and one eigendecomposition
of ``rows.T @ rows`` inverts that for all classes and penalties at once. A step costs two products: one for
the logits along the direction, after which the line search needs no further product, one for the gradient.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import numpy as np
from dualstream.heads.data.batch import UNLABELLED
from numpy.typing import NDArray

MEMORY = 10  # pairs of steps and gradient changes that L-BFGS keeps
TOLERANCE = 1e-5  # largest entry of the gradient of the mean loss; scikit-learn's default is 1e-4
MAX_STEPS = 500
SLOPE_SHARE = 0.5  # the line search ends where the slope has fallen to this share
MAX_TRIALS = 12

Floats = NDArray[np.floating]


@dataclass(frozen=True, repr=False)
class Problem:
    """One regression: minimise ``sum(log loss) + penalty / 2 * sum(weights ** 2)``, intercepts free."""

    labels: NDArray[np.int64]
    """Codes, shape (N,); -1 takes the row out (unlabelled, or held out)."""
    classes: int
    penalty: float
    """``1 / C`` of scikit-learn's LogisticRegression."""
    start: Solution | None = None
    """Of a problem alike, where the search begins; None: at the class shares."""


@dataclass(frozen=True, repr=False)
class Solution:
    """Weights (C, D), intercepts (C,), and how the search ended."""

    weights: Floats
    intercepts: Floats
    steps: int
    gradient: float
    """Largest entry of the gradient of the mean loss where the search ended."""
    converged: bool


@dataclass(frozen=True, repr=False)
class Spectrum:
    """Eigendecomposition of ``rows.T @ rows``; shared by everything that is fitted on the same rows."""

    values: Floats
    """Shape (D,), not negative."""
    vectors: Floats
    """Shape (D, D), in columns."""

    @classmethod
    def of(cls, rows: Floats) -> Spectrum:
        """Decompose. NumPy alone: its product of this form is symmetric, and scipy takes longer to import."""
        values, vectors = np.linalg.eigh(rows.T @ rows)
        return cls(np.maximum(values, 0), vectors)


def solve(
    rows: Floats,
    problems: list[Problem],
    *,
    spectrum: Spectrum | None = None,
    tolerance: float = TOLERANCE,
    max_steps: int = MAX_STEPS,
) -> list[Solution]:
    """Solve all problems over one design matrix.

    Parameters
    ----------
    rows
        Shape (N, D), C order, float32 or float64; columns standardised, or at least centred, for speed.
    spectrum
        Of these rows, where it is at hand.

    Raises
    ------
    ValueError
        Where a problem has no labelled row.
    """
    spectrum = spectrum or Spectrum.of(rows)
    searches = [_Search.start(problem, rows) for problem in problems]
    active = list(searches)
    _gradients(rows, active)
    for _ in range(max_steps):
        active = [search for search in active if not search.finished(tolerance)]
        if not active:
            break
        directions = [search.direction(spectrum) for search in active]
        stacked = np.concatenate([weights for weights, _ in directions])  # (K, D)
        along = np.ascontiguousarray((rows @ stacked.T).T)  # (K, N); faster than stacked @ rows.T
        at = 0
        for search, (_, intercepts) in zip(active, directions, strict=True):
            slope = along[at : at + len(intercepts)]
            slope += intercepts[:, None]
            search.move(slope)
            at += len(intercepts)
        _gradients(rows, active)
    return [search.solution(tolerance) for search in searches]


def _gradients(rows: Floats, active: list[_Search]) -> None:
    stacked = np.concatenate([search.residual for search in active])  # (K, N)
    products = stacked @ rows  # (K, D)
    at = 0
    for search in active:
        count = search.problem.classes
        search.arrive(products[at : at + count])
        at += count


@dataclass(repr=False)
class _Search:
    """L-BFGS of one problem, between the products that it shares with the others."""

    problem: Problem
    labelled: NDArray[np.int64]
    """Positions of the labelled rows."""
    masked: bool
    """Some rows are not labelled."""
    weights: Floats
    intercepts: Floats
    logits: Floats
    """Shape (C, N)."""
    residual: Floats
    """Probabilities less the truth, zero in rows that are out, shape (C, N)."""
    gradient: Floats = field(default_factory=lambda: np.empty(0))
    """Of weights and intercept, shape (C, D + 1)."""
    pairs: deque[tuple[Floats, Floats, float]] = field(default_factory=lambda: deque(maxlen=MEMORY))
    pending: tuple[Floats, Floats] | None = None
    """Direction under way, and the gradient where it starts."""
    steps: int = 0
    stuck: bool = False

    @classmethod
    def start(cls, problem: Problem, rows: Floats) -> _Search:
        labelled = np.flatnonzero(problem.labels != UNLABELLED)
        if not len(labelled):
            raise ValueError("a regression has no labelled row to be fitted on")
        if problem.start is None:
            shares = np.bincount(problem.labels[labelled], minlength=problem.classes) / len(labelled)
            intercepts = np.log(np.maximum(shares, 0.5 / len(labelled))).astype(rows.dtype)
            weights = np.zeros((problem.classes, rows.shape[1]), rows.dtype)
            logits = np.repeat(intercepts[:, None], len(rows), 1)
        else:
            weights, intercepts = problem.start.weights, problem.start.intercepts
            logits = np.ascontiguousarray((rows @ weights.T + intercepts).T)
        search = cls(
            problem=problem,
            labelled=labelled,
            masked=len(labelled) < len(rows),
            weights=weights,
            intercepts=intercepts,
            logits=logits,
            residual=np.empty_like(logits),
        )
        search.residual = search._residual(logits)
        return search

    def arrive(self, product: Floats) -> None:
        """Take the gradient at the present point, and learn the curvature of the step that led here."""
        gradient = np.concatenate(
            [product + self.problem.penalty * self.weights, self.residual.sum(1)[:, None]], 1, dtype=product.dtype
        )
        if self.pending is not None:
            step, before = self.pending
            change = gradient - before
            curvature = float(np.vdot(step, change))
            if curvature > 0:
                self.pairs.append((step, change, 1 / curvature))
        self.gradient = gradient

    def finished(self, tolerance: float) -> bool:
        return self.stuck or float(np.abs(self.gradient).max()) <= tolerance * len(self.labelled)

    def direction(self, spectrum: Spectrum) -> tuple[Floats, Floats]:
        """Return the two-loop recursion's direction, weights (C, D) and intercepts (C,)."""
        q = self.gradient.copy()
        shares = []
        for step, change, inverse in reversed(self.pairs):
            share = inverse * float(np.vdot(step, q))
            shares.append(share)
            q -= share * change
        q = self._precondition(q, spectrum)
        for (step, change, inverse), share in zip(self.pairs, reversed(shares), strict=True):
            q += (share - inverse * float(np.vdot(change, q))) * step
        self.pending = (-q, self.gradient)
        return -q[:, :-1], -q[:, -1]

    def move(self, along: Floats) -> None:
        """Go along the direction until the slope is small; the loss is convex, so its sign tells the side."""
        assert self.pending is not None
        direction, gradient = self.pending
        first = float(np.vdot(direction, gradient))
        if not first < 0:  # numerically at the bottom
            self.stuck = not self.pairs
            self.pairs.clear()
            self.pending = None
            return
        step_weights = direction[:, :-1]
        bend = self.problem.penalty * float(np.vdot(step_weights, step_weights))
        start = self.problem.penalty * float(np.vdot(self.weights, step_weights))
        low, high, length = 0.0, np.inf, 1.0
        low_slope, high_slope = first, 0.0
        for _ in range(MAX_TRIALS):
            logits = self.logits + np.asarray(length, along.dtype) * along
            residual = self._residual(logits)
            slope = float(np.vdot(residual, along)) + start + length * bend
            if abs(slope) <= SLOPE_SHARE * -first:
                break
            if slope < 0:
                low, low_slope = length, slope
            else:
                high, high_slope = length, slope
            if np.isinf(high):
                length = (
                    min(2 * low, low * 4) if low_slope < first else low * min(4.0, first / (first - low_slope))
                )
            else:
                secant = low - low_slope * (high - low) / (high_slope - low_slope)
                length = float(np.clip(secant, low + 0.1 * (high - low), high - 0.1 * (high - low)))
        self.logits, self.residual = logits, residual
        step = (length * direction).astype(direction.dtype, copy=False)
        self.weights = self.weights + step[:, :-1]
        self.intercepts = self.intercepts + step[:, -1]
        self.pending = (step, gradient)
        self.steps += 1

    def solution(self, tolerance: float) -> Solution:
        largest = float(np.abs(self.gradient).max()) / len(self.labelled)
        return Solution(self.weights, self.intercepts, self.steps, largest, largest <= tolerance)

    def _residual(self, logits: Floats) -> Floats:
        """Return probabilities less the truth: for each row they sum to 0."""
        residual = logits - logits.max(0)
        np.exp(residual, out=residual)
        residual /= residual.sum(0)
        residual[self.problem.labels[self.labelled], self.labelled] -= 1
        if self.masked:
            residual[:, self.problem.labels == UNLABELLED] = 0
        return residual

    def _precondition(self, q: Floats, spectrum: Spectrum) -> Floats:
        """Solve with the curvature that the classes have on average, Kronecker the rows' own.

        A row's logits can shift together without changing its loss. The average curvature of the classes
        has that direction as its null vector exactly, so no step ever leaves the plane that the gradient
        lies in; a curvature for each class alone does, and takes hundreds of steps to come back.
        """
        bend, classes = np.linalg.eigh(
            self.residual @ self.residual.T
        )  # (C,), (C, C); about N mean(diag p - p p')
        bend = np.maximum(bend, 0)
        turned = classes.T @ q
        turned[:, :-1] = (
            (turned[:, :-1] @ spectrum.vectors)
            / (bend[:, None] / self.logits.shape[1] * spectrum.values + self.problem.penalty)
        ) @ spectrum.vectors.T
        flat = bend <= 1e-6 * bend.max()
        turned[:, -1] = np.where(flat, 0, turned[:, -1] / np.where(flat, 1, bend))
        return (classes @ turned).astype(q.dtype, copy=False)
