"""What was done to the rows of one split and not to the other's, or to each by itself: exact traces, and spreads.

What is fitted on a set of rows leaves traces in these very rows that no other rows have, to the last digits:

    columns centred by their own means          every mean is 0
    divided by their own deviations or maxima   every deviation, or every largest size, is 1
    turned into their own principal components  every two columns are uncorrelated
    normalised inside of each speaker           every mean of every speaker is 0

Figures of train leave them in train, and are right for both splits; in dev they say that dev was fitted on. Noise
that was added to one split leaves no such trace, but larger spreads around the means of speakers' classes than
speakers differ in.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Literal

import numpy as np
from dualstream.heads.diagnosis.signs.class_directions import Directions, class_directions
from dualstream.heads.diagnosis.signs.structures import cells
from dualstream.heads.diagnosis.signs.table import Codes, Floats, Mask, Table, few_values, group_sums, without

LEAST = 20  # rows of a split
OF_SPEAKER = 5  # rows of a speaker, and
SPEAKERS = 0.9  # of a split's speakers, whose means are 0
FEWEST = 4  # columns
COLUMNS = 0.95  # of those that vary (or of their pairs), that keep a trace
ONCE = 0.25  # of the columns at least, whose largest size only one row has
EXACT = 1e-4  # deviations from 0, or shares of 1: so many rows come as near by chance in one column of 100
UNCORRELATED = 1e-3  # correlation of two columns, likewise
DEALS = 499  # other ways to say which speakers are dev
FACTOR = 1.25  # of spreads, and
OF_LARGE = 1.15  # likewise, each column weighted by its variance
BEYOND = 2.0  # times as far apart as in any deal of what speakers differ in inside of their splits
GROUPS_OF_SPLIT = 3  # speakers with their spreads
PIECE = 24  # rows that are taken for one speaker's, where nobody is named
FLOOR = 0.1  # of a column's mean distance from its mean, that is added to any spread: some never smile
OF_GROUP = 8  # rows of a speaker, around whose classes a spread is measured

Kind = Literal["speakers", "components", "centred", "deviation", "maximum", "directions", "spread"]


@dataclass(frozen=True)
class SplitTreatment:
    """What tells that the splits of a stream were not treated alike."""

    stream: str
    kind: Kind
    """``speakers``: normalised inside of each speaker; ``components``, ``centred``, ``deviation``, ``maximum``: by
    a split's own figures; ``directions``: columns say something else of classes; ``spread``: spreads differ."""
    of: Literal["train", "dev", "each"]
    """The split that keeps the trace, or spreads more; ``each``: both do, each by itself."""
    share: float
    """Of the columns (pairs of them, speakers) that keep it; of directions: the likeness of the splits; of
    spreads: the factor between them."""
    beyond: float
    """How far off the other split's are at median, in what the trace is exact in; of directions: the likeness of
    halves of dev; of spreads: the largest factor of deals of the speakers."""
    utterances: tuple[int, ...]
    """Those of the split (of dev, where it is each)."""


def split_treatments(table: Table, leave_out: Collection[str] = ()) -> tuple[SplitTreatment, ...]:
    """Return what was done to one split of a stream, or to each by itself; the plainest of each stream."""
    if not table.dev.any() or table.dev.all():
        return ()
    lost = class_directions(table)
    found = (_of_stream(table, name, lost.get(name)) for name in table.raw if name not in leave_out)
    return tuple(one for one in found if one is not None)


def _of_stream(table: Table, name: str, lost: Directions | None) -> SplitTreatment | None:
    there, rows = table.there[name], table.raw[name]
    parts = [there & ~table.dev, there & table.dev]
    if rows.shape[1] < FEWEST or min(part.sum() for part in parts) < LEAST or few_values(rows[there]):
        return None
    found = _of_speakers(table, name, parts) or _of_split(table, name, parts)
    if found is None and lost is not None:
        return SplitTreatment(name, "directions", "each", lost.between, lost.dev, _places(parts[1]))
    return found or _of_spread(table, name, there)


def _of_speakers(table: Table, name: str, parts: list[Mask]) -> SplitTreatment | None:
    """Say whether the speakers of one split are centred, each by itself, and those of the other are not."""
    if not table.named_speakers:
        return None
    rows, shares, off = table.raw[name], [], []
    for part in parts:
        codes, counts = np.unique(table.speaker[part & (table.speaker >= 0)], return_counts=True)
        codes = codes[counts >= OF_SPEAKER]
        if len(codes) < 2:
            return None
        means = np.stack([_off_centre(rows[part & (table.speaker == code)]) for code in codes])
        shares.append(float(np.mean((means <= EXACT).mean(axis=1) >= COLUMNS)))
        off.append(float(np.median(means)))
    if min(shares) >= SPEAKERS:
        return None
    of = int(np.argmax(shares))
    if shares[of] < SPEAKERS or min(shares) > 1 - SPEAKERS:
        return None
    return SplitTreatment(name, "speakers", _SPLITS[of], shares[of], off[1 - of], _places(parts[of]))


def _of_split(table: Table, name: str, parts: list[Mask]) -> SplitTreatment | None:
    """Say whether dev's columns, or each split's, were fitted on themselves."""
    rows = table.raw[name]
    train, dev = (rows[part] for part in parts)
    for kind, trace, bound in _TRACES:
        own, others = trace(dev), trace(train)
        share = float((own <= bound).mean()) if len(own) >= FEWEST else 0.0
        if share < COLUMNS:
            continue
        if kind == "centred" and _whole_speakers_centred(table, name, parts[1]):
            return None  # of each speaker, as the other split's: they were normalised alike
        each = len(others) >= FEWEST and float((others <= bound).mean()) >= COLUMNS
        off = float(np.median(others)) if len(others) else 0.0
        return SplitTreatment(name, kind, "each" if each else "dev", share, off, _places(parts[1]))
    return None


def _whole_speakers_centred(table: Table, name: str, part: Mask) -> bool:
    rows, codes = table.raw[name][part], table.speaker[part]
    if not table.named_speakers:
        return False
    means = [_off_centre(rows[codes == code]) for code in np.unique(codes[codes >= 0])]
    means = [one for one in means if len(one)]
    return bool(means) and float(np.mean([(one <= EXACT).mean() >= COLUMNS for one in means])) >= SPEAKERS


def _off_centre(rows: Floats) -> Floats:
    """Return how far the columns' means are from 0, in deviations, shape (D,); 0 for a column that is 0."""
    spread = rows.std(axis=0)
    size = np.abs(rows.mean(axis=0))
    return np.divide(size, spread, out=np.where(size > 0, np.inf, 0.0), where=spread > 1e-9 * size)


def _alive(rows: Floats) -> Floats:
    spread = rows.std(axis=0)
    return rows[:, spread > 1e-6 * max(float(np.median(spread)), float(np.abs(rows).max(initial=0.0)) * 1e-6)]


def _from_0(rows: Floats) -> Floats:
    return _off_centre(_alive(rows))


def _correlations(rows: Floats) -> Floats:
    """Return the size of the correlations of each two columns, those of the last digits left out."""
    rows = _alive(rows)
    spread = rows.std(axis=0)
    rows = rows[:, spread > EXACT * max(float(spread.max(initial=0.0)), 1e-30)]
    if rows.shape[1] < FEWEST or len(rows) <= rows.shape[1]:
        return np.zeros(0)
    return np.asarray(np.abs(np.corrcoef(rows.T))[np.triu_indices(rows.shape[1], 1)])


def _deviation_from_1(rows: Floats) -> Floats:
    rows = _alive(rows)
    own = (np.abs(rows.std(axis=0, ddof=one) - 1) for one in (0, 1))
    return np.asarray(np.minimum(*own))


def _maximum_from_1(rows: Floats) -> Floats:
    """Return how far the largest sizes of columns are from 1, of those that one row has and no other."""
    size = np.abs(_alive(rows))
    largest = size.max(axis=0, initial=0.0)
    once = (size == largest).sum(axis=0) == 1
    return np.abs(largest[once] - 1) if once.sum() >= ONCE * len(once) else np.zeros(0)


_SPLITS: tuple[Literal["train", "dev"], ...] = ("train", "dev")
_TRACES: tuple[tuple[Kind, Callable[[Floats], Floats], float], ...] = (
    ("components", _correlations, UNCORRELATED),
    ("centred", _from_0, EXACT),
    ("deviation", _deviation_from_1, EXACT),
    ("maximum", _maximum_from_1, EXACT / 10),
)


def _of_spread(table: Table, name: str, there: Mask) -> SplitTreatment | None:
    """Say whether spreads around speakers' classes differ between splits as between no two sets of speakers."""
    spreads, of_dev, weight = _spreads(table, name, there)
    if min(of_dev.sum(), (~of_dev).sum()) < GROUPS_OF_SPLIT:
        return None
    apart = _apart(spreads, of_dev)
    if apart < np.log(FACTOR) or apart < BEYOND * (dealt := _dealt(spreads, of_dev)):
        return None
    less = spreads[of_dev].mean(axis=0) - spreads[~of_dev].mean(axis=0)
    more = float(np.median(less))
    if np.sign(more) * (weight @ less) < np.log(OF_LARGE):
        return None  # components that were fitted on fewer rows than columns: the small ones are train's own
    of: Literal["train", "dev"] = "dev" if more > 0 else "train"
    part = there & (table.dev if of == "dev" else ~table.dev)
    return SplitTreatment(name, "spread", of, float(np.exp(abs(more))), float(np.exp(dealt)), _places(part))


def _spreads(table: Table, name: str, there: Mask) -> tuple[Floats, Mask, Floats]:
    """Return the log of each column's spread in each speaker of a split, shape (S, D), who is of dev, and each
    column's share of the variance.
    """
    use = there & (table.speaker >= 0) if table.named_speakers else there
    rows, dev = table.raw[name][use], table.dev[use]
    who = table.speaker[use] if table.named_speakers else _pieces(dev)
    size = np.abs(rows - rows.mean(axis=0)).mean(axis=0)
    rows, size = rows[:, size > 0], size[size > 0]
    people = who if table.named_speakers else np.zeros_like(who)
    inverse, counts = np.unique(
        cells(people, table.label[use]) * 2 + dev, return_inverse=True, return_counts=True
    )[1:]
    freedom = (1 - 1 / counts)[inverse]  # of a row around the mean of so many
    rows = np.abs(without(rows, inverse.astype(np.int64)))
    split = np.unique(who * 2 + dev, return_inverse=True)[1]
    free = np.bincount(split, freedom)
    kept = np.flatnonzero(free >= OF_GROUP)
    spreads = group_sums(rows, split, len(free))[kept] / np.bincount(split, np.sqrt(freedom))[kept, None]
    of_dev = np.bincount(split, dev)[kept] > 0
    return np.log(spreads + FLOOR * size), np.asarray(of_dev), size**2 / (size**2).sum()


def _pieces(dev: Mask) -> Codes:
    """Return a code for each `PIECE` rows of a split that follow each other, shape (N,)."""
    place = np.where(dev, np.cumsum(dev), np.cumsum(~dev)) - 1
    return np.asarray(place // PIECE, dtype=np.int64)


def _apart(spreads: Floats, of_dev: Mask) -> float:
    """Return the root mean square over columns of how far the spreads of two groups are apart, in logarithms."""
    if not spreads.shape[1]:
        return 0.0
    return float(np.sqrt(np.mean((spreads[of_dev].mean(axis=0) - spreads[~of_dev].mean(axis=0)) ** 2)))


def _dealt(spreads: Floats, of_dev: Mask) -> float:
    """Return how far apart two groups are at most whose speakers are dealt anew, less what splits differ in."""
    inside = spreads.copy()
    for part in (of_dev, ~of_dev):
        inside[part] -= spreads[part].mean(axis=0)
    inside *= np.sqrt(len(of_dev) / (len(of_dev) - 2))  # of so many, two means were taken out
    rng = np.random.default_rng(0)
    return max(_apart(inside, rng.permutation(of_dev)) for _ in range(DEALS))


def _places(part: Mask) -> tuple[int, ...]:
    return tuple(np.flatnonzero(part).tolist())
