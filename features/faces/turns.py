"""Where the voice changes, by the sound alone, and how well stretches of sound go together as one voice.

The classical way (Chen and Gopalakrishnan 1998, Speaker, environment and channel change detection and clustering
via the Bayesian information criterion): the cepstra of one voice are drawn from one Gaussian. Sound is split where
two Gaussians say enough more of it than one, in units of what the criterion charges for a Gaussian. Rows of 10 ms
are far from independent, so that a bound of 1 would split everything; what is enough was measured (docs/faces.md).

    ticks with a voice   1 1 1 1 1 1 1 1 1 1 | 2 2 2 2 2 2 2
    two Gaussians lead                      best here, by 2.4 penalties: split, and look again on each side
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SHORTEST_TICKS = 20  # with a voice, on each side of a change
ENOUGH = 1.4  # penalties by which two Gaussians must lead one
RIDGE = 1e-3


@dataclass(frozen=True, repr=False)
class Sums:
    """Of N stretches, or up to each of N ticks: what a Gaussian is fitted from."""

    rows: NDArray[np.float64]
    """Shape (N,)."""
    first: NDArray[np.float64]
    """Sum of the rows, shape (N, D)."""
    second: NDArray[np.float64]
    """Sum of their products, shape (N, D, D)."""

    @classmethod
    def up_to(cls, cepstra: NDArray[np.float64]) -> Sums:
        """Return sums up to each tick, and all, shape (N + 1, …), of ticks' rows, shape (N, R, D)."""
        ticks, rows, width = cepstra.shape
        first, second = np.zeros((ticks + 1, width)), np.zeros((ticks + 1, width, width))
        cepstra.sum(axis=1).cumsum(axis=0, out=first[1:])
        np.einsum("tri,trj->tij", cepstra, cepstra).cumsum(axis=0, out=second[1:])
        return cls(np.arange(ticks + 1.0) * rows, first, second)

    def between(self, start: NDArray[np.int64], end: NDArray[np.int64]) -> Sums:
        """Return the sums of stretches of ticks, of sums up to each tick."""
        return Sums(
            self.rows[end] - self.rows[start],
            self.first[end] - self.first[start],
            self.second[end] - self.second[start],
        )

    def __getitem__(self, which: NDArray[np.bool_]) -> Sums:
        return Sums(self.rows[which], self.first[which], self.second[which])

    def likelihood(self) -> NDArray[np.float64]:
        """Return the log-likelihood of each under its own best Gaussian, up to what all have in common."""
        mean = self.first / self.rows[:, None]
        covariance = self.second / self.rows[:, None, None] - mean[:, :, None] * mean[:, None, :]
        log_det = np.linalg.slogdet(covariance + RIDGE * np.eye(mean.shape[1]))[1]
        return np.asarray(-0.5 * self.rows * log_det)


def penalty(rows: float, width: int) -> float:
    """Return what the criterion charges for one Gaussian, nats."""
    return 0.5 * (width + width * (width + 1) / 2) * float(np.log(rows))


def changes(up_to: Sums, first: int = 0, end: int | None = None) -> list[int]:
    """Return where the voice changes between two ticks with a voice, of sums up to each, rising."""
    end = len(up_to.rows) - 1 if end is None else end
    at = np.arange(first + SHORTEST_TICKS, end - SHORTEST_TICKS + 1)
    if not len(at):
        return []
    edges = np.array([first]), np.array([end])
    left, right = up_to.between(edges[0].repeat(len(at)), at), up_to.between(at, edges[1].repeat(len(at)))
    whole = up_to.between(*edges)
    lead = left.likelihood() + right.likelihood() - whole.likelihood()
    best = int(lead.argmax())
    if lead[best] < ENOUGH * penalty(float(whole.rows[0]), up_to.first.shape[1]):
        return []
    change = int(at[best])
    return [*changes(up_to, first, change), change, *changes(up_to, change, end)]


def together(stretches: Sums) -> NDArray[np.float64]:
    """Return how likely each set of K stretches is as one voice, in penalties, shape (2**K,); 0 of none.

    The k-th bit of an index says whether the k-th stretch is in the set.
    """
    count, width = stretches.first.shape
    members = (np.arange(2**count)[1:, None] >> np.arange(count) & 1).astype(np.float64)
    sets = Sums(
        np.einsum("sk,k->s", members, stretches.rows),
        np.einsum("sk,ki->si", members, stretches.first),
        np.einsum("sk,kij->sij", members, stretches.second),
    )
    charge = penalty(float(stretches.rows.sum()), width)
    return np.concatenate([np.zeros(1), sets.likelihood() / charge])
