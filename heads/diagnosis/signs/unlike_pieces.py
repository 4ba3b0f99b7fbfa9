"""A piece of the table whose columns go together otherwise: rows of another layer, about where the others lie.

    likeness of a piece = correlation of its off-diagonal correlations with those of all other rows

as in `structures`, around means of speakers' classes. Pieces of as many rows, of the same table with its parts in
another order, tell what the least likeness is that the search comes upon. Only where a piece has the speakers and
classes of the others is it asked: other people, or classes, go together otherwise of themselves.
"""

from __future__ import annotations

import numpy as np
from dualstream.heads.diagnosis.signs.structures import LEAST, USUAL, Unlike, alike, around_cells, product
from dualstream.heads.diagnosis.signs.table import Codes, Floats, Mask, Table

PARTS = 16  # of the table, of which a piece takes two to half
PART = 16  # rows
UNLIKE = 0.8  # of the usual least likeness; of another layer 0.65 to 0.74, in clean corpora 0.87 at least
ORDERS = 40  # of the parts, in none of which any piece may be as unlike
SAME_SPEAKERS = 0.3  # of the other rows, whose speaker is heard in the piece
OTHER_CLASSES = 0.3  # of the piece, in classes that it would have to give up to have the others' shares


def unlike_piece(table: Table, name: str, there: Mask) -> Unlike | None:
    """Look for a piece of the table where the columns of the stream `name` go together otherwise."""
    use = there & (table.speaker >= 0)
    if table.raw[name].shape[1] < 4 or use.sum() < PARTS * PART:
        return None
    rows = around_cells(table, name, use)
    parts = np.array_split(np.arange(len(rows)), PARTS)
    products = np.stack([product(rows[part]) for part in parts])
    found = {
        (start, length): _piece(products, start, length)
        for length in range(2, PARTS // 2 + 1)
        for start in range(PARTS - length + 1)
    }
    start, length = min(found, key=lambda one: found[one])
    between = found[start, length]
    inside = np.isin(np.arange(len(rows)), np.concatenate(parts[start : start + length]))
    if min(inside.sum(), (~inside).sum()) < LEAST or not _comparable(table, use, inside):
        return None
    rng = np.random.default_rng(0)
    least = []
    for _ in range(ORDERS):
        dealt = products[rng.permutation(PARTS)]
        least.append(min(_piece(dealt, at, length) for at in range(PARTS - length + 1)))
    usual = float(np.median(least))
    if usual < USUAL or between >= UNLIKE * usual or between >= min(least):
        return None
    whole = np.zeros(len(table), dtype=bool)
    whole[np.flatnonzero(use)[inside]] = True
    return Unlike("row", whole, between, usual)


def _piece(products: Floats, start: int, length: int) -> float:
    inside = products[start : start + length].sum(axis=0)
    return alike(inside, products.sum(axis=0) - inside)


def _comparable(table: Table, use: Mask, inside: Mask) -> bool:
    """Say whether a piece (of the rows `use`) has the speakers and the classes of the other rows."""
    speaker, label = table.speaker[use], table.label[use]
    if np.isin(speaker[~inside], speaker[inside]).mean() < SAME_SPEAKERS:
        return False
    shares = [_shares(label[side], int(label.max(initial=0)) + 2) for side in (inside, ~inside)]
    return bool(np.abs(shares[0] - shares[1]).sum() / 2 <= OTHER_CLASSES)


def _shares(label: Codes, count: int) -> Floats:
    return np.bincount(label + 1, minlength=count) / len(label)
