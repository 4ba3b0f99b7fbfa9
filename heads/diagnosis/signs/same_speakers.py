"""Two names of one person: speakers whose rows can't be told apart, though any other two can.

The distance of two speakers' means, around the means of classes, in deviations of their difference,

    d2(s, t) = |mean_s - mean_t|^2 / (1 / n_s + 1 / n_t)        rows whitened by what varies inside of a speaker

is compared with two distributions that the corpus gives: that of the halves of one speaker, and that of two
speakers. Two names are one person's (or were mixed up) where their distance is one of the first kind and none of
the second. Where the halves of a speaker lie as far apart as speakers do, or more pairs than there are names lie
as near as halves, nothing is told.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from dualstream.heads.diagnosis.signs.table import Codes, Floats, Table, group_sums, most_heard, without

LEAST_ROWS = 8  # of a speaker
LEAST_SPEAKERS = 5  # the distances between which tell what is usual
MOST = 150  # of more speakers those with most rows are compared
SHARE = 0.05  # of the names that it may wrongly find, in all: chance of one in a corpus without any
HALVES = 20  # draws
RIDGE = 0.05
QUARTILE = 0.6745  # deviations from the median of a normal distribution to its quartile


@dataclass(frozen=True)
class SamePerson:
    """Two names whose rows are one person's."""

    speakers: tuple[int, int]
    across_splits: bool
    """Whether one of them is only in train and the other only in dev."""
    distance: float
    """Square root of d2 over its freedom: 1 for rows of one person, were all of a speaker's rows alike."""
    halves: float
    """Of the halves of one speaker, its median."""
    usual: float
    """Of two speakers, its median."""


def same_persons(table: Table) -> tuple[SamePerson, ...]:
    """Find the pairs of speakers who are one person."""
    if not table.named_speakers or not table.raw:
        return ()
    use = table.whole()
    codes = most_heard(table.speaker[use], LEAST_ROWS, MOST)
    use &= np.isin(table.speaker, codes)
    if len(codes) < LEAST_SPEAKERS:
        return ()
    rows = np.concatenate([table.components(name)[use] for name in table.raw], axis=1)
    speaker = np.searchsorted(codes, table.speaker[use])
    rows = whitened_by_speaker(without(rows, table.label[use], speaker), without(rows, table.label[use]))
    sizes = np.bincount(speaker)
    between = _distances(group_sums(rows, speaker, len(codes)) / sizes[:, None], sizes)
    above = np.triu_indices(len(codes), 1)
    halves = _of_halves(rows, speaker, len(codes))
    found = _told_apart(between[above], halves, rows.shape[1], len(codes))
    pairs = [(int(above[0][i]), int(above[1][i])) for i in np.flatnonzero(found)]
    splits = [set(table.dev[use][speaker == code].tolist()) for code in range(len(codes))]
    return tuple(
        SamePerson(
            (int(codes[a]), int(codes[b])),
            splits[a].isdisjoint(splits[b]),
            float(np.sqrt(between[a, b])),
            float(np.sqrt(np.median(halves))),
            float(np.sqrt(np.median(between[above]))),
        )
        for a, b in pairs
    )


def whitened_by_speaker(inside: Floats, rows: Floats) -> Floats:
    """Return rows (N, R) in deviations of what varies inside of a speaker."""
    values, vectors = np.linalg.eigh(inside.T @ inside / len(inside))
    return rows @ vectors / np.sqrt(np.maximum(values, 0) + RIDGE * max(values.mean(), 1e-30))


def _distances(means: Floats, sizes: Codes) -> Floats:
    """Return d2 over its freedom of each two means (S, R), shape (S, S)."""
    square = (means**2).sum(axis=1)
    apart = np.maximum(square[:, None] + square - 2 * means @ means.T, 0)
    return apart / (1 / sizes[:, None] + 1 / sizes) / max(means.shape[1], 1)


def _of_halves(rows: Floats, speaker: Codes, count: int) -> Floats:
    """Return d2 over its freedom of the halves of each speaker, drawn anew several times."""
    rng, found = np.random.default_rng(0), []
    for _ in range(HALVES):
        order = rng.permutation(len(speaker))
        order = order[np.argsort(speaker[order], kind="stable")]
        side = np.empty(len(speaker), dtype=np.int64)
        side[order] = np.arange(len(speaker)) % 2
        sums = group_sums(rows, 2 * speaker + side, 2 * count)
        sizes = np.bincount(2 * speaker + side, minlength=2 * count)
        apart = sums[::2] / sizes[::2, None] - sums[1::2] / sizes[1::2, None]
        found.append((apart**2).sum(axis=1) / (1 / sizes[::2] + 1 / sizes[1::2]) / rows.shape[1])
    return np.concatenate(found)


def _told_apart(between: Floats, halves: Floats, width: int, names: int) -> np.ndarray:
    """Say which distances are those of one person: by a normal distribution of the logarithms of either kind.

    The chance that two persons lie so near is held against the number of pairs. It is that of a chi-squared
    variable where that is more likely: of few columns, some people are alike in all.
    """
    from scipy.stats import chi2, norm

    logs, of_one = np.log(np.maximum(between, 1e-12)), np.log(np.maximum(halves, 1e-12))
    # two names of one person lie far below: the deviation is that of the lower quartile, which they hardly move
    low, middle = np.quantile(logs, [0.25, 0.5])
    if middle <= np.quantile(of_one, 0.99):
        return np.zeros(len(logs), dtype=bool)  # speakers leave no trace by which to tell them
    spread = float(middle - low) / QUARTILE
    of_width = chi2.cdf(between / np.median(between) * chi2.median(width), width)
    chance = np.maximum(norm.cdf((logs - middle) / max(spread, 1e-9)), of_width) * len(logs)
    likely_one = logs <= np.quantile(of_one, 0.99)
    if likely_one.sum() > names:
        return np.zeros(len(logs), dtype=bool)  # each name has one like it or more: people are alike here
    return np.asarray(likely_one & (chance <= SHARE))


def merged(speaker: Codes, pairs: tuple[SamePerson, ...]) -> Codes:
    """Return the codes of speakers (N,) with one for each person."""
    owner = {int(code): int(code) for code in np.unique(speaker)}
    for pair in pairs:
        one, other = (owner[code] for code in pair.speakers)
        owner = {code: one if of == other else of for code, of in owner.items()}
    return np.array([owner[code] for code in speaker.tolist()], dtype=np.int64)
