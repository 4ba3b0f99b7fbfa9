"""Two kinds of rows in one stream: another scale, another order of columns, another encoder or sampling rate.

Rows of two makes lie in two clouds. The direction that parts them is looked for from several starts (k-means
with two groups, then Fisher's discriminant), and the clouds must lie much further apart along it than the halves
of any one cloud do (`split_distance`), and than the halves of either: an encoder that hears words puts sentences
into clouds, of which any two hold others again. What differs between them tells what happened: one factor for all
columns, the same columns in another order, or neither. Clouds of whole speakers must hold for other speakers, too
(`carried`), and rows that thin out into the distance are no cloud.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from dualstream.heads.diagnosis.signs.carried import apart, fisher, halves, of_speakers, thins_out
from dualstream.heads.diagnosis.signs.clusters import split_distance
from dualstream.heads.diagnosis.signs.coarse import coarse
from dualstream.heads.diagnosis.signs.normalised import Normalised, normalised
from dualstream.heads.diagnosis.signs.structures import Unlike, cells, put_in_order, unlike_groups
from dualstream.heads.diagnosis.signs.table import Codes, Floats, Mask, Table, components, few_values, without
from dualstream.heads.diagnosis.signs.units import OTHERS, WIDER, Unit, units
from dualstream.heads.diagnosis.signs.unlike_pieces import unlike_piece

APART = 6.0  # deviations between two clouds of rows
FAR_APART = 12.0  # deviations, where the clouds may be something else: sentences, people's votes and counts
EVEN = 1e-3  # chance of as even a share in each class of each speaker: sentences are planned so
SCALES_APART = 5.0  # deviations between two scales, and
FACTOR = 2.0  # the least ratio of them
COLUMNS = 8  # or more, that spread unevenly (deviation of their logarithms) in the others, whose spreads must go
UNEVEN = 0.15  # with those
KEPT = 0.5  # of a smaller group that is of another scale: correlation of the logarithms
OFF = 0.35  # of a factor's logarithm, that the median column's factor is off it
SHARE = 0.03  # of the rows, in the smaller cloud, and
SMALLEST = 16  # of them: half say where it lies and half are asked whether it does
WHOLE = 0.9  # share of a speaker's rows in one cloud, for the speaker to be of it
OF_DEV = 0.97  # of a cloud's rows, that are of dev, and
PART_OF_DEV = 0.25  # of dev's rows, that are of the cloud: what lies there is dev's
ORDER = 0.8  # correlation of two profiles of columns once they are put in order
LIKE = 0.65  # likeness of how columns go together once put in order; those of another encoder reach 0.56
MATCHED = 1_000  # columns, of more no order is looked for
LEAST = 40
STARTS = 4
NESTED = 1.25  # times as far apart as the halves of either cloud: sentences, rooms and words make clouds in clouds
NOT_SO = ", and the others have not"

Kind = Literal["scale", "columns", "kinds"]


@dataclass(frozen=True)
class TwoKinds:
    """Two clouds of rows in one stream."""

    stream: str
    kind: Kind
    """``scale``: one factor; ``columns``: the same columns in another order; ``kinds``: something else."""
    distance: float
    """Between the clouds, in deviations."""
    factor: float
    """Of the smaller cloud's values to the larger's; 1 where it isn't the scale."""
    by: Literal["speaker", "split", "row"]
    """What the clouds keep whole."""
    utterances: tuple[int, ...]
    """Those of the smaller cloud."""
    speakers: tuple[int, ...]
    """Those of the smaller cloud, where it keeps speakers whole."""
    order: tuple[int, ...] = ()
    """Column of the smaller cloud that belongs at each place, where they are in another order."""
    likeness: float | None = None
    """How alike the columns of both go together (correlation of correlations), where that told them apart."""
    usual: float | None = None
    """The same of two groups of speakers that are drawn at random."""
    how: str = ""
    """What the rows of the smaller cloud have, where that tells them apart by itself."""
    function: str = ""
    """Of the others' values, that brings them there; of `units.FUNCTIONS`."""

    @property
    def only_spreads(self) -> bool:
        """Whether all that tells a split's rows apart is how far each column spreads, by no one function."""
        return self.how.endswith(OTHERS)


def two_kinds(table: Table, name: str, leave_out: Iterable[int] = ()) -> TwoKinds | None:
    """Look for two kinds of rows in the stream `name`; rows that were filled in are left out."""
    there = table.there[name].copy()
    there[np.fromiter(leave_out, dtype=np.int64)] = False
    rows = table.raw[name][there]
    if len(rows) < LEAST:
        return None
    if few_values(rows):  # equal rows are chance, another unit or order of columns is none
        unit = units(table, name, there)
        if unit is not None and unit.distance >= FAR_APART:
            return _of_unit(table, name, there, unit)
        unlike = unlike_groups(table, name, there)
        found = None if unlike is None else _of_groups(table, name, there, unlike)
        # shares and counts go together as their classes do: other classes are no other kind, another order is
        return found if found is not None and found.kind == "columns" else None
    found = None
    if (few := coarse(table, name, there)) is not None:
        return replace(_told(table, name, there, few[0][there], "kinds", 0.0, 1.0), how=f"{few[1]}{NOT_SO}")
    if (own := normalised(table, name, there)) is not None:
        return _normalised(table, name, there, own)
    if (unit := units(table, name, there)) is not None:
        found = _of_unit(table, name, there, unit)
    if found is None and (scales := scales_apart(rows)) is not None:
        found = _told(table, name, there, scales[0], "scale", *scales[1:])
    if (
        found is None
        and (unlike := unlike_groups(table, name, there) or unlike_piece(table, name, there)) is not None
    ):
        found = _of_groups(table, name, there, unlike)
    if found is None:
        whole = np.array_equal(there, table.there[name])
        reduced = table.components(name) if whole else components(table.raw[name], there)
        reduced = reduced[there]
        other, distance = _clouds(reduced)
        if (
            other is not None
            and distance >= max(APART, NESTED * _inside_of(reduced, other))
            and not thins_out(reduced, other)
            and not of_speakers(reduced, other, table.speaker[there])
            and not (distance < FAR_APART and _by_design(other, table.speaker[there], table.label[there]))
        ):
            order = _reordered(rows, _inside(table, rows, there), other)
            kind: Kind = "kinds" if order is None else "columns"
            found = _told(table, name, there, other, kind, distance, 1.0, order)
    return found


def scales_apart(rows: Floats) -> tuple[Mask, float, float] | None:
    """Return the smaller group of rows (N, D) of another scale, its distance in deviations and its factor."""
    loud = _loudness(rows)
    cut, distance = split_distance(loud)
    if not np.isfinite(cut):
        return None
    small = loud > cut if (loud > cut).mean() <= 0.5 else loud <= cut
    factor = float(np.exp(loud[small].mean() - loud[~small].mean()))
    apart = distance >= SCALES_APART and max(factor, 1 / factor) >= FACTOR and small.mean() >= SHARE
    return (small, distance, factor) if apart and _one_factor(rows, small, factor) else None


def _one_factor(rows: Floats, small: Mask, factor: float) -> bool:
    """Say whether most columns are larger by about the same factor, as those in another order are not."""
    wide = [np.abs(part - np.median(part, axis=0)).mean(axis=0) for part in (rows[small], rows[~small])]
    alive = (wide[0] > 0) & (wide[1] > 0)
    if not alive.any():
        return True
    logs = [np.log(one[alive]) for one in wide]
    off = (logs[0] - logs[1]) / np.log(factor) - 1
    if alive.sum() >= COLUMNS and logs[1].std() >= UNEVEN and _correlation(*logs) < KEPT:
        return False  # what is wide in the others is not so here: other numbers, of whatever size
    return bool(np.median(np.abs(off)) <= OFF)


def _normalised(table: Table, name: str, there: Mask, own: Normalised) -> TwoKinds:
    """Return two kinds of rows of which one was normalised by itself."""
    some = own.rows[there]
    distance = _distance_between(table.components(name)[there], some)
    return replace(_told(table, name, there, some, "kinds", distance, 1.0), how=f"{own.words}{NOT_SO}")


def _of_unit(table: Table, name: str, there: Mask, unit: Unit) -> TwoKinds:
    """Return two kinds of rows, of speakers whose rows are in another unit."""
    kind: Kind = "kinds" if unit.function else "scale"
    found = _told(table, name, there, unit.rows[there], kind, unit.distance, unit.factor)
    if unit.function in (WIDER, OTHERS):
        return replace(found, how=f"columns {unit.factor:,.2g} times as wide {unit.function}")
    return replace(found, function=unit.function)


def _of_groups(table: Table, name: str, there: Mask, unlike: Unlike) -> TwoKinds:
    """Return two kinds of rows that were told by how their columns go together."""
    rows, small = table.raw[name][there], unlike.rows[there]
    order = _reordered(rows, _inside(table, rows, there), small)
    distance = _distance_between(table.components(name)[there], small)
    kind: Kind = "kinds" if order is None else "columns"
    found = _told(table, name, there, small, kind, distance, 1.0, order)
    return replace(found, by=unlike.by, likeness=unlike.likeness, usual=unlike.usual)


def _distance_between(rows: Floats, small: Mask) -> float:
    """Return how far two groups of rows (N, R) lie apart along Fisher's direction, in their deviation."""
    return apart(rows @ fisher(rows, small)[0], small)


def _loudness(rows: Floats) -> Floats:
    """Return the logarithm of each row's mean absolute value, columns in their typical size, shape (N,).

    The tenth of the columns that is largest, and the smallest, are left out: they may hold a wild value.
    """
    size = np.abs(rows)[:, (rows != 0).any(axis=0)]
    typical = np.array([np.median(column[column > 0]) for column in size.T])
    ordered = np.sort(size / typical, axis=1)
    cut = ordered.shape[1] // 10
    return np.asarray(np.log(ordered[:, cut : ordered.shape[1] - cut].mean(axis=1) + 1e-9))


def _clouds(rows: Floats) -> tuple[Mask | None, float]:
    """Return the smaller of two clouds of rows (N, R), and how far they lie apart."""
    spread = rows.std(axis=0)
    rows = rows[:, spread > 1e-9 * max(spread.max(initial=0.0), 1e-30)]
    best: tuple[Mask | None, float] = (None, 0.0)
    fit = halves(rows)
    for start in range(min(STARTS, rows.shape[1])):
        cut, _ = split_distance(rows[:, start])
        if not np.isfinite(cut):
            continue
        side = rows[:, start] > cut
        for _ in range(8):
            if min(side.sum(), (~side).sum()) < 3:
                break
            far = [((rows - rows[part].mean(axis=0)) ** 2).sum(axis=1) for part in (side, ~side)]
            side = far[0] < far[1]
        for part in (fit, ~fit):
            found = _parted(rows, side, part)
            best = found if found[1] > best[1] else best
    return best


def _parted(rows: Floats, side: Mask, fit: Mask) -> tuple[Mask | None, float]:
    """Return the clouds along the direction of the rows `fit`, and how far apart the other rows' lie along it."""
    if min(side[fit].sum(), (~side)[fit].sum()) < 3:
        return None, 0.0
    along = rows @ fisher(rows[fit], side[fit])[0]
    cut, _ = split_distance(along[fit])
    small = along > cut
    small = small if small.mean() <= 0.5 else ~small
    if small.mean() < SHARE or small.sum() < SMALLEST or not small[~fit].any():
        return None, 0.0
    return small, apart(along[~fit], small[~fit])


def _by_design(small: Mask, speaker: Codes, label: Codes) -> bool:
    """Say whether a cloud holds the same share of each class of each speaker, more evenly than lots would."""
    from scipy.stats import chi2

    inverse, counts = np.unique(cells(speaker, label), return_inverse=True, return_counts=True)[1:]
    share, inside = small.mean(), np.bincount(inverse, small)
    spread = float(((inside - counts * share) ** 2 / (counts * share * (1 - share))).sum())
    return bool(chi2.cdf(spread, len(counts) - 1) <= EVEN)


def _inside_of(rows: Floats, small: Mask) -> float:
    """Return how far apart the halves of two groups of rows lie, each by itself: two makes are one cloud each."""
    return max(_clouds(rows[side])[1] if side.sum() >= LEAST else 0.0 for side in (small, ~small))


def _inside(table: Table, rows: Floats, there: Mask) -> Floats:
    return without(rows, cells(table.speaker[there], table.label[there]))


def _reordered(rows: Floats, inside: Floats, small: Mask) -> tuple[int, ...] | None:
    """Return the column of the rows `small` that belongs at each place, where the columns are the others' in
    another order: put in order, they lie alike and go together alike, and where they stand they don't.

    `inside` holds the rows (N, D) around their speakers' means.
    """
    width = rows.shape[1]
    if not 5 <= width <= MATCHED:  # of so few columns any two sets can be put in a like order
        return None
    one, two = _profiles(rows[~small], rows[small])
    order, stands, put_back = put_in_order(
        inside[~small], inside[small], ((one[:, None] - two[None]) ** 2).sum(axis=2)
    )
    lie = _correlation(one.ravel(), two[order].ravel())
    if put_back < LIKE or stands > 0.5 * put_back or lie < ORDER or _moved(order) < 0.5:
        return None
    return tuple(int(place) for place in order)


def _profiles(usual: Floats, other: Floats) -> list[Floats]:
    """Return centre and spread of the columns of both, shape (D, 2), in like units."""
    profiles = []
    for rows in (usual, other):
        low, middle, high = np.quantile(rows, [0.25, 0.5, 0.75], axis=0)
        profiles.append(np.stack([_signed_log(middle), np.log(high - low + 1e-9)], axis=1))
    scale = profiles[0].std(axis=0) + 1e-9
    return [profile / scale for profile in profiles]


def _signed_log(values: Floats) -> Floats:
    unit = np.median(np.abs(values)) + 1e-12
    return np.sign(values) * np.log1p(np.abs(values) / unit)


def _moved(order: Codes) -> float:
    return float(np.mean(order != np.arange(len(order))))


def _correlation(one: Floats, two: Floats) -> float:
    one, two = one - one.mean(), two - two.mean()
    below = np.sqrt((one**2).sum() * (two**2).sum())
    return float((one * two).sum() / below) if below > 0 else 0.0


def _told(
    table: Table,
    name: str,
    there: Mask,
    small: Mask,
    kind: Kind,
    distance: float,
    factor: float,
    order: tuple[int, ...] | None = None,
) -> TwoKinds:
    index = np.flatnonzero(there)
    by: Literal["speaker", "split", "row"] = "row"
    speakers: tuple[int, ...] = ()
    dev = table.dev[index]
    of_speakers = table.named_speakers and _whole(table.speaker[index], small)
    of_split = table.dev.any() and (_whole(dev.astype(np.int64), small) or _of_one_split(small, dev))
    if of_split and not (of_speakers and _strays(small, dev, table.speaker[index])):
        by = "split"
    elif of_speakers:
        by = "speaker"
        codes = np.unique(table.speaker[index])
        speakers = tuple(int(c) for c in codes if c >= 0 and small[table.speaker[index] == c].mean() > 0.5)
    return TwoKinds(name, kind, distance, factor, by, tuple(index[small].tolist()), speakers, order or ())


def _of_one_split(small: Mask, dev: Mask) -> bool:
    """Say whether a cloud is all of dev, and a good part of it."""
    return bool((dev[small]).mean() >= OF_DEV and small[dev].mean() >= PART_OF_DEV)


def _strays(small: Mask, dev: Mask, speaker: Codes) -> bool:
    """Say whether all rows of some speaker lie in the other cloud than most of the speaker's split do."""
    pairs = 2 * np.unique(speaker, return_inverse=True)[1] + dev
    share = np.bincount(pairs, small) / np.maximum(np.bincount(pairs), 1)
    of_split = np.array([small[dev == split].mean() >= 0.5 if (dev == split).any() else False for split in (0, 1)])
    there = np.unique(pairs)
    return bool((np.abs(share[there] - of_split[there % 2]) >= WHOLE).any())


def _whole(codes: Codes, small: Mask) -> bool:
    """Say whether nearly all groups lie in one cloud each."""
    inverse = np.unique(codes, return_inverse=True)[1]
    share = np.bincount(inverse, small) / np.bincount(inverse)
    return bool(
        np.average(np.maximum(share, 1 - share), weights=np.bincount(inverse)) >= max(WHOLE, 1 - small.mean() / 4)
    )
