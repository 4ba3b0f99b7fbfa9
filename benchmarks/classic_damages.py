"""Twelve mistakes that any corpus can have: for corpora in which none had been planted."""

from __future__ import annotations

import numpy as np
from damages import DAMAGES, Damage, _moved, _stream_of
from whole_corpora import Whole


def order_of_ids_backwards(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    """One stream's rows stand in the order of the ids read from their ends."""
    keys = np.array([name[::-1] for name in whole.ids])
    return _moved(whole, _stream_of(whole, rng), np.argsort(keys, kind="stable"))


NAMES = (
    "one stream a row late, inside speakers",
    "30 % of one stream of others",
    "labels shifted, half of the speakers",
    "labels swapped, half of the speakers",
    "30 % of labels random",
    "20 % duplicated",
    "speakers random",
    "the label as a column",
    "30 % filled with the mean",
    "100 times too large, half of the speakers",
    "columns permuted, half of the speakers",
)
CLASSIC: dict[str, tuple[Damage, tuple[str, ...]]] = {
    "one stream sorted by the ids' ends": (order_of_ids_backwards, ("wrong_join",)),
    **{name: DAMAGES[name] for name in NAMES},
}
"""By words: the mistake, and the causes that are right for it."""
