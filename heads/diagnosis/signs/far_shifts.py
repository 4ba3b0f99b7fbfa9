"""Shifts by many rows, as a batch leaves behind that was dropped, or written twice after a restart.

The strength with which whitened rows agree (agreement.py) is a sum of squared products, and products at all shifts
at once are a correlation, which the Fourier transform gives:

    strength(shift) = sum over columns a, b of (sum over rows i of x[i, a] y[i + shift, b])^2 / rows
"""

from __future__ import annotations

import numpy as np
from dualstream.heads.diagnosis.signs.table import Floats, Mask, middle_and_spread

COLUMNS = 32  # of each side, those of most variance
LEAST_ROWS = 200
LEAST_OVERLAP = 0.5  # of the rows
FAR_Z = 5.0  # robust deviations from what the shifts usually have: such a shift is tried, no more
MOST = 2
PARTS = 3  # of the table, each asked by itself too: a batch may have been lost near its end


def far_shifts(x: Floats, y: Floats, use: tuple[Mask, Mask], nearest: int) -> list[int]:
    """Return shifts of more than `nearest` rows at which whitened rows (N, R) and (N, R') agree, the best first.

    Row ``i + shift`` of `y` goes with row ``i`` of `x`; `use` says which rows of each are held against each other.
    """
    parts = [slice(None), *(slice(part[0], part[-1] + 1) for part in np.array_split(np.arange(len(x)), PARTS))]
    found = [_far(x[part], y[part], (use[0][part], use[1][part]), nearest) for part in parts]
    best = sorted((one for of_part in found for one in of_part), key=lambda one: -one[0])
    return list(dict.fromkeys(shift for _, shift in best))[:MOST]


def _far(x: Floats, y: Floats, use: tuple[Mask, Mask], nearest: int) -> list[tuple[float, int]]:
    """Return how far far shifts stand out, in deviations, and the shifts."""
    count = len(x)
    if count < LEAST_ROWS or not x.shape[1] or not y.shape[1]:
        return []
    strength = strengths(x * use[0][:, None], y * use[1][:, None])
    shifts = np.arange(-(count - 1), count)
    overlap = count - np.abs(shifts)
    inside = overlap >= LEAST_OVERLAP * count
    shifts, strength = shifts[inside], strength[inside] / overlap[inside]
    middle, spread = middle_and_spread(strength)
    z = np.where(np.abs(shifts) > nearest, (strength - middle) / (spread + 1e-12), -np.inf)
    best = np.argsort(-z, kind="stable")[:MOST]
    return [(float(z[at]), int(shifts[at])) for at in best if z[at] >= FAR_Z]


def strengths(x: Floats, y: Floats) -> Floats:
    """Return the summed squares of the products of rows (N, R) and (N, R') at shifts of -(N - 1) to N - 1."""
    count = len(x)
    length = 1 << int(2 * count - 1).bit_length()
    here, there = (np.fft.rfft(side[:, -COLUMNS:], length, axis=0) for side in (x, y))
    total = np.zeros(length)
    for column in range(here.shape[1]):
        products = np.fft.irfft(np.conj(here[:, column, None]) * there, length, axis=0)
        total += np.square(products).sum(axis=1)
    return np.concatenate((total[-(count - 1) :], total[:count]))
