"""Entropy, mutual information and union information of tables of shares, many side by side; all in bits.

Union information (Griffith & Koch 2014, https://arxiv.org/abs/1205.4265) is the least that could be told by any
joint distribution in which every source tells what it does tell.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Tables = NDArray[np.float64]
MAX_CELLS = 200_000  # of couplings that are solved side by side
ROUNDS = 150  # of the alternating minimisation
LEFT = 1e-3  # bits that it may have left to gain by then
LAST_SWEEPS = 3  # over the margins, without moving the mixture, so that what is measured has them


def entropy(shares: Tables) -> Tables:
    """Return the entropy over the last axis, bits."""
    return -np.sum(shares * np.log2(np.where(shares > 0, shares, 1.0)), axis=-1)


def mutual_information(tables: Tables) -> Tables:
    """Return I(X; Y) of tables of shares (..., X, Y), bits."""
    whole = entropy(tables.reshape(*tables.shape[:-2], -1))
    return entropy(tables.sum(axis=-1)) + entropy(tables.sum(axis=-2)) - whole


def union_information(tables: Sequence[Tables]) -> Tables:
    """Return the least information of any coupling in which each source meets the label as in its table, bits.

    Of several samples side by side. With r the mixture of the labels' couplings, each label's coupling is the one
    nearest to r that has the margins it must have (iterative proportional fitting), and r their mixture again:
    minimisation by turns over a convex function, which ends at its least value (Csiszár & Tusnády 1984). Factors
    of the fit are kept from turn to turn, so that one sweep over the margins a turn is enough.

    Parameters
    ----------
    tables
        Of each source its shares with the label, shape (B, X_m, Y).
    """
    if len(tables) == 1:
        return mutual_information(tables[0])
    batch, labels = len(tables[0]), tables[0].shape[2]
    cells = labels * int(np.prod([table.shape[1] for table in tables]))
    step = max(1, MAX_CELLS // cells)
    if batch > step:
        cuts = range(0, batch, step)
        return np.concatenate([union_information([table[at : at + step] for table in tables]) for at in cuts])
    share = tables[0].sum(axis=1)  # (B, Y)
    given = [np.moveaxis(_quotient(table, share[:, None]), 2, 1) for table in tables]  # (B, Y, X_m)
    mixture = _outer([table.sum(axis=2)[:, None] for table in tables])  # (B, 1, X_1, ..., X_M)
    weights = share.reshape(*share.shape, *[1] * len(tables))
    coupling = np.broadcast_to(mixture, (batch, labels, *mixture.shape[2:]))
    for _ in range(ROUNDS):
        coupling = _swept(coupling, given)
        nearer = (weights * coupling).sum(axis=1, keepdims=True)
        coupling = coupling * _quotient(nearer, mixture)
        mixture = nearer
    for _ in range(LAST_SWEEPS):
        coupling = _swept(coupling, given)
    flat = (weights * coupling).reshape(batch, labels, -1)
    return np.asarray(mutual_information(np.moveaxis(flat, 1, 2)))


def _outer(margins: Sequence[Tables]) -> Tables:
    """Return products of margins (B, 1, X_m) over all combinations, shape (B, 1, X_1, ..., X_M)."""
    product = margins[0]
    for margin in margins[1:]:
        product = product[..., None] * margin.reshape(*margin.shape[:2], *[1] * (product.ndim - 2), -1)
    return product


def _swept(coupling: Tables, given: Sequence[Tables]) -> Tables:
    """Return couplings (B, Y, X_1, ..., X_M) fitted to the margins of each stream in turn."""
    for axis, margin in enumerate(given, start=2):
        coupling = _fitted(coupling, margin, axis)
    return coupling


def _fitted(coupling: Tables, margin: Tables, axis: int) -> Tables:
    """Return couplings (B, Y, ...) scaled along one axis to the margin (B, Y, X)."""
    others = tuple(one for one in range(2, coupling.ndim) if one != axis)
    factor = _quotient(margin, coupling.sum(axis=others))
    shape = [1] * coupling.ndim
    shape[:2], shape[axis] = factor.shape[:2], factor.shape[2]
    return coupling * factor.reshape(shape)


def _quotient(above: Tables, below: Tables) -> Tables:
    above, below = np.broadcast_arrays(above, below)
    return np.divide(above, below, out=np.zeros(above.shape), where=below > 0)
