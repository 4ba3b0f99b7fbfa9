"""Whether the named speakers are those who speak, whether splits share them, and what sharing them is worth."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from dualstream.heads.diagnosis.signs.clusters import grouping_z, kmeans, normal_scores
from dualstream.heads.diagnosis.signs.lapses import lapse
from dualstream.heads.diagnosis.signs.table import Codes, Floats, Table, without
from dualstream.heads.diagnosis.signs.told import told_labels

GROUPS = 16  # that rows are looked at in, and
FEWEST_GROUPS = 8  # where rows are few
ROWS_OF_GROUP = 10
DIRECTIONS = 8
ROWS = 2_500  # of larger tables so many are looked at
GROUPED_Z = 4.0  # deviations by which rows must fall into groups, in two streams together
TOLD = 2.5  # times chance, at which one stream tells the groups of the other
KEPT = 0.85  # share of that which is left after the named speakers are taken out: they explain nothing of it
FOLDS = 5


@dataclass(frozen=True)
class Voices:
    """Groups that two streams see in the same utterances, and what the named speakers have to do with them."""

    one: str
    other: str
    told: float
    """Balanced accuracy at which `other` tells the groups that the rows of `one` fall into."""
    left: float
    """The same once the means of the named speakers are taken out of both."""
    grouped_z: float
    """How clearly rows without the speakers' means fall into groups, in deviations, in both streams together."""
    groups: int = GROUPS
    beyond: float | None = None
    """`left` once the classes that rows look like are taken out too: where labels are wrong, these are groups that
    no name explains. None where nothing else speaks for such groups."""

    @property
    def unnamed(self) -> bool:
        """Whether there are groups that the names say nothing of."""
        return self.suspected and self.beyond is not None and self.beyond >= TOLD / self.groups

    @property
    def suspected(self) -> bool:
        """Whether there are such groups where all labels are right."""
        there = self.told >= TOLD / self.groups and self.left >= TOLD / self.groups
        return there and self.left >= KEPT * self.told and self.grouped_z >= GROUPED_Z


def voices(table: Table) -> tuple[Voices, ...]:
    """Look, for each two streams, whether both see the same groups of utterances, beyond their classes."""
    found = []
    names = list(table.raw)
    for place, one in enumerate(names):
        for other in names[place + 1 :]:
            seen = _voices(table, one, other)
            if seen is not None:
                found.append(seen)
    return tuple(found)


def _voices(table: Table, one: str, other: str) -> Voices | None:
    use = np.flatnonzero(table.there[one] & table.there[other])
    use = use[:: max(1, len(use) // ROWS)]
    groups = min(GROUPS, len(use) // ROWS_OF_GROUP)
    if groups < FEWEST_GROUPS:
        return None
    label, speaker = table.label[use], table.speaker[use]
    rows = [table.components(name)[use] for name in (one, other)]
    plain, left = ([without(x, label, *codes) for x in rows] for codes in ((), (speaker,)))
    z = sum(grouping_z(normal_scores(_turned(x)), groups) for x in left) / np.sqrt(len(left))
    told, told_left = (_either(sides[0], sides[1], groups) for sides in (plain, left))
    found = Voices(one, other, told, told_left, float(z), groups)
    if not found.suspected:
        return found
    looks = _looks(table)[use]
    sides = [without(x, label, looks, speaker) for x in rows]
    return replace(found, beyond=_either(sides[0], sides[1], groups))


def _looks(table: Table) -> Codes:
    """Return the class that each row looks like to probes of other people, shape (N,); -1 where it isn't known."""
    seen = told_labels(table)
    return np.full(len(table), -1) if seen is None else np.where(seen.use, seen.log_p.argmax(axis=1), -1)


def _turned(rows: Floats) -> Floats:
    values, vectors = np.linalg.eigh(rows.T @ rows)
    return rows @ vectors[:, np.argsort(values)[::-1][:DIRECTIONS]]


def _either(one: Floats, other: Floats, groups: int) -> float:
    """Return how well rows of either stream tell the groups of the other, the better of both."""
    return max(_told(one, other, groups), _told(other, one, groups))


def _told(one: Floats, other: Floats, groups: int) -> float:
    """Return how well rows of `other` tell the groups of `one`, out of fold."""
    group = kmeans(_turned(one), groups)[0]
    fold = np.random.default_rng(0).permutation(len(group)) % FOLDS
    found = lapse(other, group, fold)
    return 0.0 if found is None else found.accuracy * len(found.names) / groups


@dataclass(frozen=True)
class Association:
    """How far speakers and classes are the same thing."""

    speakers: int
    classes: int
    share: float
    """Of the utterances, those whose speaker's name tells the class: 1 where each speaker has one class."""
    expected: float
    """The same where speakers' names are dealt anew."""


def association(table: Table) -> Association | None:
    """Measure whether the speaker's name tells the class, as where it was read from the field of the class."""
    use = table.labelled() & (table.speaker >= 0)
    if use.sum() < 20 or not table.named_speakers:
        return None
    speaker = np.unique(table.speaker[use], return_inverse=True)[1]
    label = np.unique(table.label[use], return_inverse=True)[1]

    def purity(codes: Codes) -> float:
        counts = np.zeros((codes.max() + 1, label.max() + 1))
        np.add.at(counts, (codes, label), 1.0)
        return float(counts.max(axis=1).sum() / len(label))

    dealt = np.random.default_rng(0).permutation(speaker)
    return Association(int(speaker.max()) + 1, int(label.max()) + 1, purity(speaker), purity(dealt))


@dataclass(frozen=True)
class SharedSpeakers:
    """Speakers that stand in train and dev, and what heads know of dev by knowing them."""

    share: float
    """Of the dev utterances whose speaker is known, those whose speaker is in train."""
    speakers: tuple[int, ...]
    utterances: tuple[int, ...]


def shared_speakers(table: Table) -> SharedSpeakers | None:
    """Return which speakers of dev are in train; None where there is no dev, or no speaker is known."""
    known = table.speaker >= 0
    dev = table.dev & known
    if not dev.any() or not (known & ~table.dev).any():
        return None
    both = np.intersect1d(table.speaker[dev], table.speaker[known & ~table.dev])
    inside = dev & np.isin(table.speaker, both)
    return SharedSpeakers(
        float(inside.sum() / dev.sum()), tuple(both.tolist()), tuple(np.flatnonzero(inside).tolist())
    )
