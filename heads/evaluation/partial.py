"""Which streams an utterance has, where it lacks some of three or more and has more than one.

Each such case has a mixture of its own, fitted on utterances that have these streams: so evidence adds up as it
does where all streams are there, and the class prior counts once. The mean of the streams that are there would
hold the prior once too, and count every stream for less than it knows.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
from numpy.typing import NDArray

MOST_STREAMS = 6  # that have 56 cases; of more streams the mean of those that are there answers


def partial_cases(streams: int) -> list[tuple[int, ...]]:
    """Return the sets of two streams or more that are not all of them, as positions."""
    if streams > MOST_STREAMS:
        return []
    return [case for size in range(2, streams) for case in combinations(range(streams), size)]


def case_masks(streams: int) -> NDArray[np.bool_]:
    """Return `partial_cases` as masks, shape (cases, streams)."""
    masks = np.zeros((len(partial_cases(streams)), streams), dtype=np.bool_)
    for row, case in zip(masks, partial_cases(streams), strict=True):
        row[list(case)] = True
    return masks
