"""Speakers in whose rows the classes lie otherwise than in those of the others, in one stream and no other.

A speaker's profile is how rows go with classes, around the speaker's mean; of two people its inner product has no
part of either's noise, for they share no row:

    profile(s)    = covariance of rows and indicators of the classes; of rows as components, whitened inside of
                    speakers' classes, and as columns, where what is one row's is spread evenly over many
    products      = <profile(s), profile(t)>,  s != t: about alike for all pairs where all rows are of one make
    likeness      = mean between two groups / sqrt(mean inside of one * mean inside of the other)

Speakers are parted into two groups by half of each class's rows, and the products are those of the other half;
both halves must part them alike. Where the other streams' products show no such groups, the labels are right, and
it is the stream that was made otherwise: columns with the other sign, another encoder; or, where one group's
profiles are the others' and much more, an encoder that was fitted on the labels of these speakers.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from dualstream.heads.diagnosis.signs.clusters import least_squares_cut
from dualstream.heads.diagnosis.signs.same_speakers import whitened_by_speaker
from dualstream.heads.diagnosis.signs.structures import cells
from dualstream.heads.diagnosis.signs.table import (
    Codes,
    Floats,
    Mask,
    Table,
    group_sums,
    most_heard,
    standardised,
    without,
)

LEAST_ROWS = 20  # of a speaker
LEAST_SPEAKERS = 8
MOST = 100  # of more speakers those with most rows are looked at
SIDE = 3  # speakers of each group: three pairs
SAME = 0.9  # of the speakers, whom both halves of the rows part alike
COLUMNS = 512  # of wider streams so many, evenly spread
UNLIKE = 0.62  # likeness of two makes: -0.9 to 0.54; clean ones 0.75 on, where dev's labels are wrong 0.63
ELSEWHERE = 0.8  # of the same groups in another stream: 0.95 to 1.06; where labels differ 0.75 at most
BEYOND = 4.0  # deviations, by which products of one group are above nought
MUCH = 4.0  # times the others' products, where an encoder knows labels: 16 to 90; of two makes 0.4 to 2.3
KNOWN = 0.95  # balanced accuracy at which such rows tell another of these speakers' classes (0.98 to 1.00), and
USUAL = 0.93  # at most at which the others' do: 0.64 to 0.89
TURNED = 0.8  # likeness, once columns are turned back, from which on that explains all

Kind = Literal["known", "turned", "other"]


@dataclass(frozen=True)
class ClassGroups:
    """Speakers in whose rows of one stream the classes lie otherwise."""

    stream: str
    kind: Kind
    """``known``: an encoder knows their labels; ``turned``: columns have the other sign; ``other``: neither."""
    likeness: float
    """Of their profiles and those of the others, out of half of the rows."""
    elsewhere: float
    """The same in the other stream that tells the classes best."""
    told: tuple[float, float]
    """Balanced accuracy at which rows tell the classes of each group's other speakers: of these, of the others."""
    speakers: tuple[int, ...]
    """The group that knows its labels; otherwise the one with fewer rows."""
    utterances: tuple[int, ...]
    columns: tuple[int, ...] = ()
    """Those that are turned."""


@dataclass(frozen=True, repr=False)
class _Profiles:
    """Profiles of the speakers in one stream, each of shape (S, P)."""

    halves: tuple[Floats, Floats]
    whole: Floats


@dataclass(frozen=True, repr=False)
class _Asked:
    """The utterances that are looked at."""

    use: Mask
    codes: Codes
    """Of the speakers."""
    speaker: Codes
    """Place among `codes` of each utterance of `use`."""
    label: Codes
    half: Codes
    """0 or 1, evenly in each speaker's class."""

    @property
    def cell(self) -> Codes:
        return cells(self.speaker, self.label)


def class_groups(table: Table, besides: set[str]) -> tuple[ClassGroups, ...]:
    """Find the streams in which the classes of some speakers lie otherwise, and in another stream don't.

    `besides` names streams that are known to be of two makes.
    """
    asked = _asked(table)
    if asked is None:
        return ()
    profiles = {name: _profiles(_components(table, name, asked), asked) for name in table.raw}
    found = [_of_stream(table, name, asked, profiles) for name in table.raw if name not in besides]
    return tuple(one for one in found if one is not None)


def _asked(table: Table) -> _Asked | None:
    use = table.whole()
    codes = most_heard(table.speaker[use], LEAST_ROWS, MOST)
    if len(codes) < LEAST_SPEAKERS or len(table.raw) < 2:
        return None
    use &= np.isin(table.speaker, codes)
    speaker = np.searchsorted(codes, table.speaker[use])
    label = np.unique(table.label[use], return_inverse=True)[1]
    order = np.random.default_rng(0).permutation(len(label))
    order = order[np.argsort(cells(speaker, label)[order], kind="stable")]
    half = np.empty(len(label), dtype=np.int64)
    half[order] = np.arange(len(label)) % 2
    return _Asked(use, codes, speaker, label, half)


def _components(table: Table, name: str, asked: _Asked) -> Floats:
    rows = table.components(name)[asked.use]
    return whitened_by_speaker(without(rows, asked.cell), rows)


def _columns(raw: Floats, there: Mask, asked: _Asked) -> Floats:
    """Return columns (N, D) in deviations of what varies inside of a speaker's class."""
    rows = standardised(raw[:, :: -(-raw.shape[1] // COLUMNS)], there)[asked.use]
    spread = without(rows, asked.cell).std(axis=0)
    return rows / np.where(spread > 0, spread, 1)


def _profiles(rows: Floats, asked: _Asked) -> _Profiles:
    indicators = _indicators(asked)
    parts = [_covariances(rows, indicators, asked, part) for part in (asked.half == 0, asked.half == 1, None)]
    return _Profiles((parts[0], parts[1]), parts[2])


def _indicators(asked: _Asked) -> Floats:
    """Return a column for each class, all of as much noise."""
    indicators = np.eye(int(asked.label.max()) + 1)[asked.label]
    return np.asarray(indicators / np.sqrt(indicators.mean(axis=0)))


def _covariances(rows: Floats, beside: Floats, asked: _Asked, part: Mask | None = None) -> Floats:
    """Return each speaker's covariances of rows (N, R) and what stands beside them (N, P), shape (S, R * P)."""
    made = []
    for code in range(len(asked.codes)):
        mine = (asked.speaker == code) & (True if part is None else part)
        around = beside[mine] - beside[mine].mean(axis=0)
        made.append((rows[mine].T @ around / max(1, int(mine.sum()))).ravel())
    return np.array(made)


def _of_stream(table: Table, name: str, asked: _Asked, profiles: dict[str, _Profiles]) -> ClassGroups | None:
    parted = _two_groups(profiles[name])
    if parted is None:
        parted = _two_groups(_profiles(_columns(table.raw[name], table.there[name], asked), asked))
    if parted is None:
        return None
    side, likeness = parted
    others = [_likeness(one.whole @ one.whole.T, side) for other, one in profiles.items() if other != name]
    elsewhere = max((one for one in others if one is not None), default=0.0)
    if elsewhere < ELSEWHERE:
        return None
    profile = profiles[name].whole
    return _named(table, asked, profile, side, ClassGroups(name, "other", likeness, elsewhere, (0.0, 0.0), (), ()))


def _two_groups(profiles: _Profiles) -> tuple[Mask, float] | None:
    """Return two groups of speakers and the likeness of their profiles; None where they aren't of two makes."""
    products = [half @ half.T for half in profiles.halves]
    sides = [_parted(one) for one in products]
    same = float((sides[0] == sides[1]).mean())
    side = _parted(profiles.whole @ profiles.whole.T)
    if max(same, 1 - same) < SAME or min(side.sum(), (~side).sum()) < SIDE:
        return None
    crossed = [_likeness(one, other) for one, other in zip(products, sides[::-1], strict=True)]
    if any(one is None or one > UNLIKE for one in crossed):
        return None
    return side, max(one for one in crossed if one is not None)


def _parted(products: Floats) -> Mask:
    """Part speakers in two along what their products (S, S) with others differ by most."""
    count = len(products)
    products = products.copy()
    np.fill_diagonal(products, 0)  # of a speaker and the same noise
    np.fill_diagonal(products, products.sum(axis=1) / (count - 1))
    middle = products.mean(axis=0)
    along = np.linalg.eigh(products - middle - middle[:, None] + products.mean())[1][:, -1]
    order = np.sort(along)
    return np.asarray(along >= order[least_squares_cut(order)])


def _inside(products: Floats, side: Mask) -> Floats:
    block = products[np.ix_(side, side)]
    return block[np.triu_indices(len(block), 1)]


def _likeness(products: Floats, side: Mask) -> float | None:
    """Return how alike two groups' profiles are; None where those of either aren't alike among themselves."""
    inside = []
    for group in (side, ~side):
        values = _inside(products, group)
        if len(values) < SIDE or values.mean() < BEYOND * values.std(ddof=1) / np.sqrt(len(values)):
            return None
        inside.append(float(values.mean()))
    return float(products[np.ix_(side, ~side)].mean() / np.sqrt(max(inside[0] * inside[1], 1e-30)))


def _named(table: Table, asked: _Asked, profile: Floats, side: Mask, found: ClassGroups) -> ClassGroups:
    """Say what parts the groups, and who is in the one that is told, by components' profiles (S, P)."""
    rows = _components(table, found.stream, asked)
    inside = [float(_inside(profile @ profile.T, group).mean()) for group in (side, ~side)]
    told = [_told(without(rows, asked.speaker), asked, group) for group in (side, ~side)]
    if inside[0] < inside[1]:
        side, inside, told = ~side, inside[::-1], told[::-1]
    if inside[0] >= MUCH * inside[1] and told[0] >= KNOWN and told[1] <= USUAL:
        return _with_people(table, asked, side, replace(found, kind="known", told=(told[0], told[1])))
    if side[asked.speaker].mean() > 0.5:
        side, told = ~side, told[::-1]
    columns = _turned(table, found.stream, asked, side)
    turned = replace(found, kind="turned", columns=columns) if columns else found
    return _with_people(table, asked, side, replace(turned, told=(told[0], told[1])))


def _with_people(table: Table, asked: _Asked, side: Mask, found: ClassGroups) -> ClassGroups:
    codes = asked.codes[side]
    places = np.flatnonzero(np.isin(table.speaker, codes) & table.there[found.stream])
    return replace(found, speakers=tuple(codes.tolist()), utterances=tuple(places.tolist()))


def _told(rows: Floats, asked: _Asked, side: Mask) -> float:
    """Return the balanced accuracy of the nearest mean of the classes of a group's other speakers."""
    count = int(asked.label.max()) + 1
    mine = side[asked.speaker]
    cell = asked.speaker * count + asked.label
    sums = group_sums(rows * mine[:, None], cell, len(asked.codes) * count).reshape(len(asked.codes), count, -1)
    sizes = np.bincount(cell, mine, minlength=len(asked.codes) * count).reshape(len(asked.codes), count)
    right = np.zeros(len(rows))
    for code in np.flatnonzero(side):
        own = asked.speaker == code
        weight = sizes.sum(axis=0) - sizes[code]
        means = (sums.sum(axis=0) - sums[code]) / np.maximum(weight, 1)[:, None]
        apart = (means**2).sum(axis=1) - 2 * rows[own] @ means.T
        apart[:, weight == 0] = np.inf
        right[own] = apart.argmin(axis=1) == asked.label[own]
    counts = np.bincount(asked.label, mine, minlength=count)
    told = np.bincount(asked.label, right * mine, minlength=count) / np.maximum(counts, 1)
    return float(told[counts > 0].mean())


def _turned(table: Table, name: str, asked: _Asked, side: Mask) -> tuple[int, ...]:
    """Return the columns that go with classes and the other streams' rows otherwise round in a group's rows.

    None where turning them back doesn't make the groups' profiles alike.
    """
    rows = standardised(table.raw[name], table.there[name])[asked.use]
    beside = [_indicators(asked)]
    for other in table.raw.keys() - {name}:
        own = table.components(other)[asked.use]
        beside.append(whitened_by_speaker(without(own, asked.cell), without(own, asked.speaker)))
    goes = _covariances(rows, np.concatenate(beside, axis=1), asked)
    goes = goes.reshape(len(asked.codes), rows.shape[1], -1)
    against = (goes[side].mean(axis=0) * goes[~side].mean(axis=0)).sum(axis=1) < 0
    if not against.any():
        return ()
    raw = table.raw[name].copy()
    raw[np.ix_(np.isin(table.speaker, asked.codes[side]), against)] *= -1
    profile = _profiles(_columns(raw, table.there[name], asked), asked).whole
    mended = _likeness(profile @ profile.T, side)
    return tuple(np.flatnonzero(against).tolist()) if mended is not None and mended >= TURNED else ()
