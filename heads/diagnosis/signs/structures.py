"""Groups of utterances whose columns go together otherwise than the others': another order, another encoder.

How a stream's columns correlate is the same for any large enough group of utterances that were made in one way,
and does not depend on where the group lies: on who speaks, how loud, or in which class.

    likeness of two groups = correlation of their off-diagonal correlations, around means of speakers' classes

Two groups of speakers drawn at random tell what is usual. Speakers are parted into two groups that are as unlike
as can be; a likeness of less than a quarter of the usual one is no chance of drawing people. Nor is it one of the
search, where rows that are dealt to the speakers anew are never parted into groups as unlike.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from dualstream.heads.diagnosis.signs.table import Codes, Floats, Mask, Table, most_heard, standardised, without

COLUMNS = 96  # of wider streams so many, evenly spread
GROUPS = 60  # of more speakers those with most rows are parted
LEAST_ROWS = 12  # of a speaker
LEAST = 60  # rows on each side
USUAL = 0.3  # likeness of groups drawn at random, below which columns tell too little of each other
UNLIKE = 0.25  # of the usual likeness; other columns have none, and very different voices 0.42
OF_SPLIT = (
    0.75  # of the usual likeness, for splits: of another checkpoint 0.45 to 0.68, of clean ones 0.87 at least
)
OUTSIDE = 3.3  # deviations of groups drawn at random, by which a split's is less; of clean ones 1.8 at most
DRAWS = 15
SPLIT_DRAWS = 60
DEALS = 120  # of rows to speakers, none of which may be parted into groups as unlike
ROUNDS = 10
ALONE = 0.3  # weight of what columns are like by themselves, of 1 for how they go together


@dataclass(frozen=True, repr=False)
class Unlike:
    """Rows whose columns correlate otherwise."""

    by: Literal["speaker", "split", "row"]
    rows: Mask
    """The smaller side (dev, where it is a split; the piece, where it is one), shape (N,)."""
    likeness: float
    """Between both sides."""
    usual: float
    """Between two groups of these sizes that are drawn at random: their median."""


def unlike_groups(table: Table, name: str, there: Mask) -> Unlike | None:
    """Part a stream's rows by split, or by speaker, where the columns of both sides go together otherwise."""
    if not table.named_speakers or table.raw[name].shape[1] < 4:
        return None
    use = there & (table.speaker >= 0)
    rows = around_cells(table, name, use)
    speaker = table.speaker[use]
    codes = most_heard(speaker, LEAST_ROWS, GROUPS)
    if len(codes) < 4:
        return None
    products = np.stack([product(rows[speaker == code]) for code in codes])
    sizes = np.array([int((speaker == code).sum()) for code in codes])
    of_dev = np.array([bool(table.dev[use][speaker == code].mean() > 0.5) for code in codes])
    sides: list[tuple[Literal["speaker", "split"], Mask]] = [("split", of_dev), ("speaker", _parted(products))]
    found = []
    for by, side in sides:
        if min(sizes[side].sum(), sizes[~side].sum()) < LEAST:
            continue
        between, drawn = likeness(products, side), _drawn(products, side, SPLIT_DRAWS if by == "split" else DRAWS)
        usual = float(np.median(drawn))
        if usual < USUAL or between >= (OF_SPLIT if by == "split" else UNLIKE) * usual:
            continue
        outside = between < drawn.mean() - OUTSIDE * drawn.std()
        if outside if by == "split" else not _by_search(between, rows, speaker, codes):
            small = side if by == "split" or sizes[side].sum() <= sizes[~side].sum() else ~side
            found.append(Unlike(by, np.isin(table.speaker, codes[small]) & there, between, usual))
    if len(found) == 2 and not np.array_equal(found[0].rows, found[1].rows):
        found.sort(key=lambda one: one.likeness)
    return found[0] if found else None


def cells(speaker: Codes, label: Codes) -> Codes:
    """Return a code for each class of each speaker; around its mean an encoder knows no label."""
    return np.asarray(speaker * (int(label.max(initial=0)) + 2) + label + 1)


def around_cells(table: Table, name: str, use: Mask) -> Floats:
    """Return the rows `use` of a stream, `COLUMNS` of its columns at most, around means of speakers' classes."""
    step = -(-table.raw[name].shape[1] // COLUMNS)
    rows = standardised(table.raw[name][:, ::step][use], np.ones(int(use.sum()), dtype=bool))
    return without(rows, cells(table.speaker[use], table.label[use]))


def product(rows: Floats) -> Floats:
    """Return the products of rows' (N, D) columns, shape (D, D)."""
    return rows.T @ rows


def likeness(products: Floats, side: Mask) -> float:
    """Return how alike the columns of two groups of speakers go together, from their products (S, D, D)."""
    return alike(products[side].sum(axis=0), products[~side].sum(axis=0))


def alike(one: Floats, other: Floats) -> float:
    """Return the correlation of two covariances' (D, D) off-diagonal correlations."""
    return float(_off_diagonal(one) @ _off_diagonal(other))


def _off_diagonal(covariance: Floats) -> Floats:
    """Return a covariance's (D, D) off-diagonal correlations, centred and of length 1 (0 where all are equal)."""
    spread = np.sqrt(np.maximum(np.diag(covariance), 0))
    both = np.outer(spread, spread)
    above = np.triu_indices(len(covariance), 1)
    off = np.divide(covariance, both, out=np.zeros_like(covariance), where=both > 0)[above]
    off -= off.mean()
    length = np.sqrt((off**2).sum())
    return off / length if length > 0 else off


def _parted(products: Floats) -> Mask:
    """Return the two groups of speakers whose columns are least alike: 2-means on the structures themselves."""
    vectors = np.stack([_off_diagonal(one) for one in products])
    alone = vectors @ vectors.T
    first, second = np.unravel_index(int(alone.argmin()), alone.shape)
    side = alone[:, first] > alone[:, second]
    for _ in range(ROUNDS):
        if side.all() or not side.any():
            break
        centres = products[side].sum(axis=0), products[~side].sum(axis=0)
        own = np.array(
            [
                alike(one, centres[0] - one * mine) > alike(one, centres[1] - one * (not mine))
                for one, mine in zip(products, side, strict=True)
            ]
        )
        if np.array_equal(own, side):
            break
        side = own
    return np.asarray(side)


def _by_search(between: float, rows: Floats, speaker: Codes, codes: Codes) -> bool:
    """Say whether the search finds groups as unlike where rows are dealt to the speakers anew."""
    rng = np.random.default_rng(0)
    for _ in range(DEALS):
        dealt = rng.permutation(speaker)
        products = np.stack([product(rows[dealt == code]) for code in codes])
        side = _parted(products)
        if side.any() and not side.all() and likeness(products, side) <= between:
            return True
    return False


def _drawn(products: Floats, side: Mask, count: int) -> Floats:
    """Return the likenesses of groups of this size that are drawn at random, shape (count,)."""
    rng = np.random.default_rng(0)
    return np.array([likeness(products, rng.permutation(side)) for _ in range(count)])


def put_in_order(one: Floats, other: Floats, apart: Floats) -> tuple[Codes, float, float]:
    """Return the order of `other`'s columns that makes them most like those of `one`, and how alike they are.

    Columns are alike that lie alike and go together alike with the others, which is known once these are in order:
    by turns, from what they are like by themselves.

    Parameters
    ----------
    one, other
        Rows (N, D).
    apart
        How unlike each two columns are by themselves, shape (D, D).

    Returns
    -------
    The order, and the likeness of both as they stand and put in order.
    """
    from scipy.optimize import linear_sum_assignment

    with np.errstate(invalid="ignore", divide="ignore"):
        a, b = (np.asarray(np.nan_to_num(np.corrcoef(rows.T))) for rows in (one, other))
    for one_side in (a, b):
        np.fill_diagonal(one_side, 0)  # a column goes with itself in any order
    alone = apart / max(float(np.median(apart)), 1e-30)
    order = linear_sum_assignment(alone)[1]
    for _ in range(2 * ROUNDS):
        there = b[:, order]
        beside = (a**2).sum(axis=1)[:, None] + (there**2).sum(axis=1) - 2 * a @ there.T
        found = linear_sum_assignment(ALONE * alone + beside / max(float(np.median(beside)), 1e-30))[1]
        if np.array_equal(found, order):
            break
        order = found
    ones = np.eye(len(a))
    return order, alike(a + ones, b + ones), alike(a + ones, b[np.ix_(order, order)] + ones)
