"""From an encoder's raw width to the stream's: PCA, turned or not, and Gaussian random projection. Arrays in, out.

Each is one affine map, ``(rows - mean) @ components.T``, so a new clip takes the same road with two arrays.
Rounding must not depend on the machine's number of cores: sums are float64, in the order given, a thread for each.

Heads standardise columns. Standardised principal components are whitened: directions of noise get the weight of
the signal. `turned` components all carry a mixture of the signal, and standardising leaves its proportions as they
are (docs/projection.md has what that is worth).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import partial
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dualstream.cores import available_cores, one_blas_thread, threads
from dualstream.documents import JsonObject

CHUNK_ROWS = 1024  # rows that are made float64 at once
STRIPE = 256  # rows of the scatter matrix that one thread sums: the same on every machine
PCA: Final = "pca"
TURNED: Final = "pca-turned"
GAUSSIAN: Final = "gaussian"
KINDS = (PCA, TURNED, GAUSSIAN)
GRID = 2.0**-20  # of turned components: coarser than what the linear algebra of two processors disagrees in


class TooFewRowsError(ValueError):
    """The rows span fewer directions than the PCA was to find."""


@dataclass(frozen=True, repr=False)
class Projection:
    """A fitted projection: two arrays, and what there is to say about how they came about."""

    kind: str
    """Of KINDS."""
    mean: NDArray[np.float32]
    """Shape (raw_width,); zeros for ``gaussian``."""
    components: NDArray[np.float32]
    """Shape (width, raw_width). ``pca``: orthonormal rows, the largest variance first; ``pca-turned``: orthonormal
    rows that span the same, each a mixture of all components."""
    facts: JsonObject = field(default_factory=dict)
    """JSON values: rows and share of variance kept (``pca``), beside them the rotation's seed (``pca-turned``);
    the seed (``gaussian``)."""

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"projection is {self.kind!r}; expected {PCA} or {GAUSSIAN}, or {TURNED}")
        if self.components.ndim != 2 or self.mean.shape != self.components.shape[1:]:
            raise ValueError(
                f"projection has a mean of shape {self.mean.shape} and components of shape "
                f"{self.components.shape}; expected (raw_width,) and (width, raw_width)"
            )

    def __repr__(self) -> str:
        width, raw_width = self.components.shape
        return f"Projection({self.kind!r}, {raw_width} to {width}, {self.facts})"

    def transform(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Turn raw rows, shape (R, raw_width), into rows of the stream, shape (R, width).

        Raises
        ------
        ValueError
            Where the rows have another width.
        """
        width, raw_width = self.components.shape
        _check_width(rows, raw_width)
        out = np.empty((len(rows), width), dtype=np.float32)
        mean, matrix = self.mean.astype(np.float64), self.components.astype(np.float64).T
        with one_blas_thread():
            for first in range(0, len(rows), CHUNK_ROWS):
                out[first : first + CHUNK_ROWS] = (rows[first : first + CHUNK_ROWS] - mean) @ matrix
        return out


def gaussian(raw_width: int, width: int, *, seed: int) -> Projection:
    """Return a random projection that needs no data and keeps squared distances in expectation.

    Entries are independent, normal, of variance 1 / width (Johnson and Lindenstrauss 1984; scikit-learn's
    GaussianRandomProjection, https://scikit-learn.org/stable/modules/random_projection.html).
    """
    _check_widths(raw_width, width)
    drawn = np.random.Generator(np.random.PCG64(seed)).standard_normal((width, raw_width))
    components = (drawn / np.sqrt(width)).astype(np.float32)
    return Projection(GAUSSIAN, np.zeros(raw_width, np.float32), components, {"seed": seed})


def turned(fitted: Projection, *, seed: int = 0) -> Projection:
    """Return principal components turned by `rotation`: the same subspace and distances, other axes.

    Entries are rounded to GRID, far below their size, so that another processor gives the same bytes.

    Raises
    ------
    ValueError
        Where `fitted` is no PCA.
    """
    if fitted.kind != PCA:
        raise ValueError(f"projection is {fitted.kind!r}; only the components of a {PCA} can be turned")
    matrix = rotation(len(fitted.components), seed=seed)
    with one_blas_thread():
        exact = matrix @ fitted.components.astype(np.float64)
    components = (np.round(exact / GRID) * GRID).astype(np.float32)
    return Projection(TURNED, fitted.mean, components, {**fitted.facts, "rotation_seed": seed})


def rotation(width: int, *, seed: int) -> NDArray[np.float64]:
    """Return an orthogonal matrix, shape (width, width), drawn evenly from all that there are.

    A product of reflections (Stewart 1980, https://doi.org/10.1137/0717034), in elementwise steps and exact
    sums: no linear algebra library decides its last digits, so it is the same on every machine.
    """
    rng = np.random.Generator(np.random.PCG64(seed))
    matrix = np.eye(width)
    for first in reversed(range(width - 1)):  # above and left of its block a reflection changes nothing
        normal = rng.standard_normal(width - first)
        normal[0] += math.copysign(math.sqrt(math.fsum(normal * normal)), normal[0])
        block = matrix[first:, first:]
        block -= normal[:, None] * ((normal[:, None] * block).sum(axis=0) * (2 / math.fsum(normal * normal)))
    return matrix


class PcaFit:
    """Principal components of rows that come in pieces; exact, however they are cut.

    Counts, mean and scatter are kept in float64 and joined chunk by chunk (Chan, Golub and LeVeque 1983,
    https://doi.org/10.1080/00031305.1983.10483115). Up to `raw_width` rows are kept as they are: their small
    Gram matrix then has the same nonzero eigenvalues as the large scatter matrix.

    Parameters
    ----------
    raw_width
        Columns of the rows.
    width
        Number of components, at most `raw_width`.
    """

    def __init__(self, raw_width: int, width: int) -> None:
        _check_widths(raw_width, width)
        self.raw_width = raw_width
        self.width = width
        self.rows = 0
        self._waiting: list[NDArray[np.float32]] = []  # rows that no sum holds yet, in order
        self._joined = 0  # rows that the sums hold
        self._mean = np.zeros(raw_width)
        self._scatter: NDArray[np.float64] | None = (
            None  # (raw_width, raw_width), of which the lower triangle holds
        )

    def partial_fit(self, rows: NDArray[np.float32]) -> PcaFit:
        """Take in more rows, shape (R, raw_width); return self.

        Raises
        ------
        ValueError
            Where the rows have another width, or hold NaN or infinity.
        """
        _check_width(rows, self.raw_width)
        bad = np.flatnonzero(~np.isfinite(rows).all(axis=1))
        if len(bad):
            raise ValueError(
                f"{len(bad)} of {len(rows)} rows hold NaN or infinity, the first is row {bad[0]}; "
                "a PCA needs finite rows: leave out those that are masked"
            )
        self._waiting.append(np.array(rows, dtype=np.float32))
        self.rows += len(rows)
        if self._scatter is None and self.rows > self.raw_width:
            self._scatter = np.zeros((self.raw_width, self.raw_width))
        if self._scatter is not None and self.rows - self._joined >= CHUNK_ROWS:
            waiting = np.concatenate(self._waiting)
            whole = len(waiting) - len(waiting) % CHUNK_ROWS
            self._waiting = [waiting[whole:].copy()]
            self._join(waiting[:whole])
        return self

    def fit(self) -> Projection:
        """Return the projection on the components of largest variance.

        Each component's entry of largest magnitude is positive, as in scikit-learn.

        Raises
        ------
        TooFewRowsError
            Where the rows span fewer than `width` directions around their mean.
        """
        if self.rows <= self.width:
            raise TooFewRowsError(
                f"a PCA to {self.width} columns needs more than {self.width} rows; found {self.rows}: "
                "use the gaussian projection, which needs none, or more clips in the train split"
            )
        with one_blas_thread():
            mean, values, components, total = self._from_rows() if self._scatter is None else self._from_scatter()
        tolerance = values[0] * np.finfo(np.float64).eps * max(self.rows, self.raw_width)
        rank = int((values > tolerance).sum())
        if rank < self.width:
            raise TooFewRowsError(
                f"a PCA to {self.width} columns needs rows that span as many directions; the {self.rows} rows "
                f"span {rank}: use the gaussian projection, which needs none, or more varied clips in train"
            )
        largest = np.abs(components).argmax(axis=1)
        components *= np.sign(components[np.arange(self.width), largest])[:, None]
        facts = {"rows": self.rows, "variance_kept": float(values.sum() / total)}
        return Projection(PCA, mean.astype(np.float32), components.astype(np.float32), facts)

    def _join(self, rows: NDArray[np.float32]) -> None:
        """Add rows to mean and scatter, CHUNK_ROWS at a time, stripes of the scatter side by side."""
        assert self._scatter is not None
        stripes = range(0, self.raw_width, STRIPE)
        with one_blas_thread(), threads(min(available_cores(), len(stripes))) as pool:
            for first in range(0, len(rows), CHUNK_ROWS):
                chunk = rows[first : first + CHUNK_ROWS].astype(np.float64)  # (C, raw_width)
                chunk_mean = chunk.mean(axis=0)
                chunk -= chunk_mean
                total = self._joined + len(chunk)
                apart = chunk_mean - self._mean
                add = partial(_add, self._scatter, chunk, apart, self._joined * len(chunk) / total)
                list(pool.map(add, reversed(stripes)))  # the longest first
                self._mean = self._mean + apart * (len(chunk) / total)
                self._joined = total

    def _from_scatter(self) -> _Solution:
        """Return mean, variances (not divided by the count), components and the sum of all variances."""
        from scipy.linalg import eigh

        self._join(np.concatenate([*self._waiting, np.empty((0, self.raw_width), np.float32)]))
        self._waiting = []
        assert self._scatter is not None
        last = (self.raw_width - self.width, self.raw_width - 1)
        values, vectors = eigh(self._scatter.T, lower=False, subset_by_index=last, check_finite=False)
        return self._mean, values[::-1], vectors.T[::-1].copy(), float(np.trace(self._scatter))

    def _from_rows(self) -> _Solution:
        """Do the same by the rows' Gram matrix: with ``X @ X.T = U L U.T`` the components are ``U.T @ X / √L``."""
        from scipy.linalg import eigh

        x = np.concatenate(self._waiting).astype(np.float64)  # (R, raw_width), R > width
        mean = x.mean(axis=0)
        x -= mean
        gram = x @ x.T  # (R, R)
        values, vectors = eigh(gram, subset_by_index=(self.rows - self.width, self.rows - 1), check_finite=False)
        values, vectors = values[::-1], vectors[:, ::-1]
        directions, _ = np.linalg.qr(x.T @ vectors)  # (raw_width, width); far apart lengths cost orthogonality
        return mean, values, directions.T.copy(), float(np.trace(gram))


def _add(
    scatter: NDArray[np.float64], chunk: NDArray[np.float64], apart: NDArray[np.float64], weight: float, first: int
) -> None:
    """Add ``chunk.T @ chunk`` and ``weight * apart ⊗ apart`` to the stripe from `first` on, up to the diagonal."""
    end = min(first + STRIPE, len(scatter))
    scatter[first:end, :end] += chunk[:, first:end].T @ chunk[:, :end]
    scatter[first:end, :end] += weight * np.outer(apart[first:end], apart[:end])


_Solution = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], float]


def _check_width(rows: NDArray[np.float32], raw_width: int) -> None:
    if rows.ndim != 2 or rows.shape[1] != raw_width:
        raise ValueError(f"rows have shape {rows.shape}; expected (R, {raw_width})")


def _check_widths(raw_width: int, width: int) -> None:
    if not 1 <= width <= raw_width:
        raise ValueError(f"projection of {raw_width} columns to {width}; expected 1 to {raw_width}")
