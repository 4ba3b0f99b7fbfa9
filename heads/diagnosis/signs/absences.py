"""A stream that is missing in some classes more than in others: its mask tells the class.

Heads read whether a stream is there. Where the classes' shares of missing rows differ, scores are as good as the
mask is, and not as what was recorded. Utterances of one speaker (or dialogue) share their fate, so that the chance
is found by permuting labels inside of each.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from dualstream.heads.diagnosis.signs.table import Codes, Floats, Mask, Table

DRAWS = 999
RANGE = 0.15  # between the shares of missing rows of two classes: less is no matter to heads
ALPHA = 0.001
LEAST = 10  # utterances of a class


@dataclass(frozen=True)
class MissingByClass:
    """How far the rows that are missing in a stream tell the class."""

    stream: str
    shares: dict[str, float]
    """Share of missing rows by class, of classes with LEAST utterances."""
    overall: float
    p_value: float
    """Chance of shares that differ so much where labels are permuted inside of each speaker."""

    @property
    def found(self) -> bool:
        """Whether the shares differ much, and by no chance."""
        return max(self.shares.values()) - min(self.shares.values()) >= RANGE and self.p_value <= ALPHA


def missing_by_class(table: Table, name: str) -> MissingByClass | None:
    """Compare the classes' shares of rows that are missing in a stream; None where none or all are."""
    use = table.labelled() & ~_empty(table)
    label, gone = table.label[use], ~table.there[name][use]
    sizes = np.bincount(label, minlength=len(table.classes))
    known = np.flatnonzero(sizes >= LEAST)
    if gone.sum() < LEAST or gone.all() or len(known) < 2:
        return None
    group = table.speaker[use] if table.named_speakers else table.dialogue[use]
    if len(np.unique(group)) > len(group) / 2:
        group = np.zeros_like(group)
    shares = _shares(label, gone, sizes)
    spread = float((sizes[known] * (shares[known] - gone.mean()) ** 2).sum())
    rng, order = np.random.default_rng(0), np.argsort(group, kind="stable")
    label, gone, group = label[order], gone[order], group[order]
    above = 1
    for _ in range(DRAWS):
        drawn = label[np.lexsort((rng.random(len(label)), group))]
        found = _shares(drawn, gone, sizes)
        above += bool((sizes[known] * (found[known] - gone.mean()) ** 2).sum() >= spread)
    return MissingByClass(
        name, {table.classes[c]: float(shares[c]) for c in known}, float(gone.mean()), above / (DRAWS + 1)
    )


def _empty(table: Table) -> Mask:
    """Say which utterances hold zeros in every stream and mark none as missing: they were no recordings."""
    held = [table.present[name] & ~table.there[name] & (own == 0).all(axis=1) for name, own in table.raw.items()]
    return np.asarray(np.logical_and.reduce(held)) if len(held) > 1 else np.zeros(len(table), dtype=bool)


def _shares(label: Codes, gone: np.ndarray, sizes: Codes) -> Floats:
    return np.bincount(label, weights=gone, minlength=len(sizes)) / np.maximum(sizes, 1)
