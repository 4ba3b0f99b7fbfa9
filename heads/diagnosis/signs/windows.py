"""The windows of train and dev together, by the places of their utterances in the table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from dualstream.heads.data.batch import FeatureSet
from numpy.typing import NDArray


@dataclass(frozen=True, repr=False)
class Windows:
    """The windows of one stream."""

    rows: NDArray[np.float32]
    """Shape (W, D)."""
    there: NDArray[np.bool_]
    """Shape (W,)."""
    owner: NDArray[np.int64]
    """Place of each window's utterance in the table, shape (W,)."""


def windows_of(
    parts: Sequence[FeatureSet], names: Sequence[str], place: NDArray[np.int64]
) -> dict[str, Windows]:
    """Return the windows of those streams that have some in all parts.

    `place` holds the place in the table of each utterance of the parts, one after the other.
    """
    counts = np.concatenate([np.diff(part.offsets) for part in parts]) if parts else np.zeros(0, np.int64)
    owner = np.repeat(place, counts)
    found = {}
    for name in names:
        rows = [part.streams[name].windows for part in parts]
        there = [part.streams[name].window_present for part in parts]
        known = [one for one in rows if one is not None]
        seen = [one for one in there if one is not None]
        if len(known) == len(seen) == len(parts):
            found[name] = Windows(np.concatenate(known), np.concatenate(seen), owner)
    return found
