"""A piece of the table that was made in another way: a shard from another layer, a run with other settings.

Its rows lie elsewhere, by less than classes and speakers do, and no cloud parts from the others. But it begins or
ends in the midst of a speaker, whose rows change there from one to the next:

    step of a speaker = Hotelling's T² of what is before and after a cut, around the means of speakers and classes

of which most speakers have about as large ones (sentences, strengths, moods). From the one that stands out the
other end is looked for: the piece that Fisher's direction, of every second row, tells best from all other rows. It
must be told better than any other piece of its length.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from dualstream.heads.diagnosis.signs.table import (
    RANK,
    Codes,
    Floats,
    Mask,
    Table,
    components,
    few_values,
    without,
)

FEWEST = 4  # columns
SPEAKERS = 6  # and as many runs of `OF_SPEAKER` rows of one speaker that follow each other
OF_SPEAKER = 24
MARGIN = 7  # rows of a speaker on either side of a cut
OUTSTANDING = 1.7  # times the fourth largest step; 1.6 at most in clean corpora
ENDS = 64  # places where a piece may have its other end
SHARES = (0.03, 0.5)  # of the rows, in the piece
APART = 3.5  # deviations along Fisher's direction, of rows that it was not fitted on, and
BEST = 1.2  # times those of any other piece of this length
RIDGE = 0.05  # of the mean variance
LEAST = 12  # rows on either side, of every second


@dataclass(frozen=True)
class Piece:
    """Rows that follow each other and lie elsewhere than the others."""

    stream: str
    distance: float
    """From the other rows, in deviations along Fisher's direction."""
    others: float
    """The largest distance of any other piece of this length from its others."""
    step: float
    """Of the speaker in whose midst it ends, times the fourth largest."""
    utterances: tuple[int, ...]


def piece(table: Table, name: str) -> Piece | None:
    """Look for a piece of the table where the stream `name` was made in another way."""
    index = np.flatnonzero(table.there[name] & (table.speaker >= 0))
    if not table.named_speakers or table.raw[name].shape[1] < FEWEST or len(index) < SPEAKERS * OF_SPEAKER:
        return None
    if few_values(table.raw[name][index]) or len(np.unique(table.speaker[index])) < SPEAKERS:
        return None
    speaker, label = table.speaker[index], table.label[index]
    rows = components(table.raw[name][index], np.ones(len(index), dtype=bool), rank=RANK)
    found = _steps(without(rows, speaker, label), speaker)
    if len(found) < SPEAKERS or found[0][0] < OUTSTANDING * found[3][0]:
        return None
    rows = _scaled(without(rows, label))
    distance, start, end = max(_told(rows, start, end) for start, end in _from(found[0][1], len(rows)))
    if distance < APART:
        return None
    length = end - start
    starts = [
        at for at in range(0, len(rows) - length + 1, max(1, length // 3)) if at + length <= start or at >= end
    ]
    others = max((_told(rows, at, at + length)[0] for at in starts), default=0.0)
    if distance < BEST * others:
        return None
    return Piece(name, distance, others, found[0][0] / found[3][0], tuple(index[start:end].tolist()))


def _scaled(rows: Floats) -> Floats:
    return rows / np.maximum(rows.std(axis=0), 1e-12)


def _steps(rows: Floats, speaker: Codes) -> list[tuple[float, int]]:
    """Return the largest step of each run of a speaker's rows, and the row that follows it; the largest first."""
    rows = _scaled(rows)
    ends = np.concatenate(([0], np.flatnonzero(np.diff(speaker)) + 1, [len(rows)]))
    found = []
    for start, end in pairwise(ends.tolist()):
        count = end - start
        if count < OF_SPEAKER:
            continue
        sums = np.cumsum(rows[start:end] - rows[start:end].mean(axis=0), axis=0)[MARGIN - 1 : -MARGIN]
        before = np.arange(MARGIN, count - MARGIN + 1)
        square = (sums**2).sum(axis=1) * (1 / before + 1 / (count - before))
        found.append((float(square.max()), int(start + before[square.argmax()])))
    return sorted(found, reverse=True)


def _from(at: int, count: int) -> list[tuple[int, int]]:
    """Return the pieces that begin or end at a row."""
    pieces = [(min(at, end), max(at, end)) for end in np.linspace(0, count, ENDS + 1).astype(int).tolist()]
    low, high = (share * count for share in SHARES)
    return [one for one in pieces if low <= one[1] - one[0] <= high]


def _told(rows: Floats, start: int, end: int) -> tuple[float, int, int]:
    """Return how far rows from start to end lie from all others, each half told by the other, and both ends."""
    inside = np.zeros(len(rows), dtype=bool)
    inside[start:end] = True
    second = np.arange(len(rows)) % 2 == 0
    return float(np.mean([_apart(rows, inside, half) for half in (second, ~second)])), start, end


def _apart(rows: Floats, inside: Mask, fitted: Mask) -> float:
    sides = [rows[fitted & inside], rows[fitted & ~inside]]
    if min(map(len, sides)) < LEAST:
        return 0.0
    centred = np.concatenate([side - side.mean(axis=0) for side in sides])
    covariance = centred.T @ centred / len(centred)
    covariance += RIDGE * np.trace(covariance) / len(covariance) * np.eye(len(covariance))
    along = rows[~fitted] @ np.linalg.solve(covariance, sides[0].mean(axis=0) - sides[1].mean(axis=0))
    one, other = along[inside[~fitted]], along[~inside[~fitted]]
    return float((one.mean() - other.mean()) / np.sqrt((one.var() + other.var()) / 2 + 1e-12))
