"""Columns that were rated and not measured: they tell classes, and share nothing with the other columns otherwise.

What moves a measured column inside of a class moves others with it: voices, faces, how strongly it is acted.
Annotators' figures (valence, arousal) stand on the class, and inside of it on the annotator alone.
"""

from __future__ import annotations

import numpy as np
from dualstream.heads.diagnosis.signs.table import Codes, Floats

TELLING = 0.45  # of a column's variance, that lies between classes; and
SHARED = 0.4  # correlation inside of classes with what the other columns say of it, below which it was rated:
# planted ratings 0.19 at most, the telling columns of clean corpora 0.61 at least
USUAL = 0.4  # of the other columns at median, below which columns of the stream share nothing anyway
MOST = 0.25  # of the columns, that were rated, and
OTHERS = 0.5  # of the columns, that must tell classes less
LEAST = 8  # columns
REGRESSORS = 64  # that correlate best
ASKED = 64  # of the other columns
FOLDS = 4
PENALTY = 0.1  # of a ridge regression, in rows
ROWS = 3_000  # that are looked at


def rated_columns(rows: Floats, label: Codes) -> Codes:
    """Return the columns of rows (N, D) that tell the class, and inside of classes stand by themselves.

    Parameters
    ----------
    label
        Codes from 0 to C - 1, all of which occur, shape (N,).
    """
    some = slice(None, None, -(-len(rows) // ROWS))
    rows, label = rows[some], label[some]
    spread = rows.std(axis=0)
    inside = (rows - rows.mean(axis=0)) / np.where(spread > 0, spread, 1)
    for code in np.unique(label):
        inside[label == code] -= inside[label == code].mean(axis=0)
    left = inside.std(axis=0)
    telling = (spread > 0) & (left > 0) & (left**2 <= 1 - TELLING)
    others = np.flatnonzero((left > 0) & ~telling)
    if rows.shape[1] < LEAST or not telling.any() or len(others) < OTHERS * rows.shape[1]:
        return np.zeros(0, dtype=np.int64)
    inside /= np.where(left > 0, left, 1)
    fold = np.random.default_rng(0).permutation(len(rows)) % FOLDS
    found = [j for j in np.flatnonzero(telling) if _told(inside, int(j), others, fold) < SHARED]
    if not found or len(found) > MOST * rows.shape[1]:
        return np.zeros(0, dtype=np.int64)
    asked = others[:: -(-len(others) // ASKED)]
    usual = np.median([_told(inside, int(j), others[others != j], fold) for j in asked])
    return np.array(found if usual >= USUAL else [], dtype=np.int64)


def _told(inside: Floats, column: int, others: Codes, fold: Codes) -> float:
    """Return the correlation of a column with what the others say of it, out of fold."""
    own = inside[:, column]
    best = others[np.argsort(-np.abs(inside[:, others].T @ own), kind="stable")[:REGRESSORS]]
    rows, said = inside[:, best], np.zeros(len(own))
    for number in range(FOLDS):
        fit = fold != number
        product = rows[fit].T @ rows[fit] + PENALTY * fit.sum() * np.eye(len(best))
        said[~fit] = rows[~fit] @ np.linalg.solve(product, rows[fit].T @ own[fit])
    spread = said.std() * own.std()
    return float(((said - said.mean()) * (own - own.mean())).mean() / spread) if spread > 0 else 0.0
