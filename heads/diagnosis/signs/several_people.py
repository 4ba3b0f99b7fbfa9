"""Names that each hold several people, who stand in other names too: dialogues that were read as speakers.

Names of the same few people lie alike in their means, and spread alike, along what parts these people; of names
that are people, those who lie alike spread as any others do. Over the pairs of names of one split

    likeness = correlation of the cosines of names' means and of the cosines of names' covariances

of rows around their classes, whitened over all. No two names share a row, so that noise has no part in it. Groups
of rows that lie and spread otherwise in one stream (another encoder, another room) are no people: each stream by
itself must show some of it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from dualstream.heads.diagnosis.signs.same_speakers import whitened_by_speaker
from dualstream.heads.diagnosis.signs.table import Codes, Floats, Mask, Table, group_sums, most_heard, without

LEAST_ROWS = 6  # of a name
LEAST_NAMES = 16
MOST = 150  # of more names those with most rows are compared
COMPONENTS = 16  # of each stream
LIKENESS = 0.58  # of all streams: 0.72 to 0.92 where dialogues are names; 0.42 at most in clean corpora
OF_A_STREAM = 0.2  # of each: 0.31 to 0.92; of those of which one is of two makes -0.03 to 0.03 in the other
BEYOND = 6.0  # deviations of the likeness where names are dealt anew: 13 to 20
DEALS = 40


@dataclass(frozen=True)
class SeveralPeople:
    """Names of which each holds several people that others hold, too."""

    names: int
    rows: float
    """Of a name, at median."""
    likeness: float
    z: float
    """Its deviations from that of covariances dealt anew to the names of a split."""


def several_people(table: Table) -> SeveralPeople | None:
    """Say whether names that lie alike spread alike, as where each holds the same few people as others."""
    named = table.whole()
    codes = most_heard(table.speaker[named], LEAST_ROWS, MOST)
    use = named & np.isin(table.speaker, codes)
    if len(codes) < LEAST_NAMES or len(table.raw) < 2 or use.sum() < 0.5 * named.sum():
        return None
    name = np.searchsorted(codes, table.speaker[use])
    sizes = np.bincount(name)
    of_dev = np.bincount(name, table.dev[use]) > sizes / 2
    pairs = np.triu(of_dev[:, None] == of_dev, 1)
    rows = [_whitened(table.components(stream, rank=COMPONENTS)[use], table.label[use]) for stream in table.raw]
    if sum(_likeness(*_cosines(own, name, len(codes)), pairs) >= OF_A_STREAM for own in rows) < 2:
        return None
    means, spreads = _cosines(np.concatenate(rows, axis=1), name, len(codes))
    likeness = _likeness(means, spreads, pairs)
    rng, dealt = np.random.default_rng(0), []
    for _ in range(DEALS):
        order = np.arange(len(codes))
        for side in (of_dev, ~of_dev):
            order[side] = rng.permutation(order[side])
        dealt.append(_likeness(means, spreads[np.ix_(order, order)], pairs))
    z = (likeness - float(np.mean(dealt))) / max(float(np.std(dealt)), 1e-9)
    if likeness < LIKENESS or z < BEYOND:
        return None
    return SeveralPeople(len(codes), float(np.median(sizes)), likeness, z)


def _whitened(rows: Floats, label: Codes) -> Floats:
    rows = without(rows, label)
    return whitened_by_speaker(rows, rows)


def _cosines(rows: Floats, name: Codes, count: int) -> tuple[Floats, Floats]:
    """Return the cosines of names' means, and of their covariances around that of all, each of shape (S, S)."""
    sizes = np.bincount(name, minlength=count)
    means = group_sums(rows, name, count) / sizes[:, None]
    inside = rows - means[name]
    spreads = np.stack([inside[name == code].T @ inside[name == code] for code in range(count)]).reshape(count, -1)
    spreads /= (sizes - 1)[:, None]
    spreads -= np.average(spreads, axis=0, weights=sizes)
    return _cosine(means), _cosine(spreads)


def _cosine(vectors: Floats) -> Floats:
    vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-30)
    return np.asarray(vectors @ vectors.T)


def _likeness(means: Floats, spreads: Floats, pairs: Mask) -> float:
    one, other = means[pairs], spreads[pairs]
    deviations = one.std() * other.std()
    return float(((one - one.mean()) * (other - other.mean())).mean() / deviations) if deviations > 0 else 0.0
