"""Rows that stand for intervals, brought to windows: the mean over a window, each row weighted by its overlap.

rows      [   a   )[ b )      [      c      )
window         [ ───────── )                      (0.4 a + 0.3 b + 0.1 c) / 0.8
"""

from __future__ import annotations

import numpy as np
from dualstream.features.windows import TIME_RESOLUTION_S
from numpy.typing import NDArray


def pooled(
    features: NDArray[np.float32], spans_s: NDArray[np.float64], starts_s: NDArray[np.float64], length_s: float
) -> tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.float64]]:
    """Return each window's row, whether it has one, and the instant that it stands for.

    A row whose interval is the window's own is the window's row, whatever else overlaps it. The instant is the
    centre of what is covered, the window's own where all of it is.

    Parameters
    ----------
    features
        Shape (R, D).
    spans_s
        Start and end of each row, seconds, shape (R, 2); where both are the same it is taken as an instant.
    starts_s
        Of the windows, seconds, shape (K,).
    length_s
        Of the windows, seconds.
    """
    count = len(starts_s)
    rows = np.zeros((count, features.shape[1]), dtype=np.float32)
    present = np.zeros(count, dtype=np.bool_)
    time_s = np.full(count, np.nan)
    first_s = spans_s[:, 0]
    last_s = np.maximum(spans_s[:, 1], first_s + 2 * TIME_RESOLUTION_S)
    for k, start_s in enumerate(starts_s):
        end_s = start_s + length_s
        same = np.flatnonzero(
            (np.abs(first_s - start_s) <= TIME_RESOLUTION_S) & (np.abs(last_s - end_s) <= TIME_RESOLUTION_S)
        )
        if len(same):
            rows[k], present[k], time_s[k] = features[same[0]], True, start_s + length_s / 2
            continue
        left_s, right_s = np.maximum(first_s, start_s), np.minimum(last_s, end_s)
        overlap_s = right_s - left_s
        there = np.flatnonzero(overlap_s > TIME_RESOLUTION_S)
        if len(there):
            weight = overlap_s[there] / overlap_s[there].sum()
            rows[k] = weight @ features[there].astype(np.float64)
            present[k] = True
            time_s[k] = weight @ ((left_s[there] + right_s[there]) / 2)
    return rows, present, time_s
