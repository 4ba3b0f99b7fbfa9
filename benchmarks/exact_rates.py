"""Intervals of a rate that was counted."""

from __future__ import annotations

from scipy.stats import binomtest


def exact_interval(count: int, of_all: int) -> tuple[float, float]:
    """Return the exact 95 % interval of a rate (Clopper and Pearson 1934); 0 to 1 where nothing was counted."""
    if not of_all:
        return 0.0, 1.0
    found = binomtest(count, of_all).proportion_ci(method="exact")
    return float(found.low), float(found.high)
