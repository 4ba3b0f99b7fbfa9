"""Speakers whose labels mean something else: a shift by one class, two classes swapped.

Every speaker's class means, less the speaker's own mean, lie in the same places as the other speakers' do,
whitened by what varies inside of a speaker's classes. A speaker with other labels has the same places under
other names; the names are matched (Hungarian algorithm) on half of the rows, and the other half says whether the
match holds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from dualstream.heads.diagnosis.signs.table import Codes, Floats, Mask, Table, without

LEAST_ROWS = 4  # of a speaker in each half
ROUNDS = 10
STARTS = 8
T = 4.0  # Student's t over speakers (or rows of one), of how much better the match holds on the other half
SURE = 5.0  # of one speaker by its rows


@dataclass(frozen=True)
class LabelMap:
    """Speakers whose labels name other classes than those of the others."""

    speakers: tuple[int, ...]
    """Codes; empty where the units are splits."""
    splits: tuple[str, ...]
    classes: dict[str, str]
    """What the others call a class that these speakers call so; those that are called alike are left out."""
    t: float
    utterances: tuple[int, ...]
    """Those with another label than the others would give them."""
    labels: tuple[int, ...]
    """The labels that the others would give to those."""


def label_maps(table: Table) -> tuple[LabelMap, ...]:
    """Find the groups of speakers (splits, where no speakers are named) with labels of other meaning."""
    use = table.labelled()
    for name in table.raw:
        use &= table.there[name]
    unit = table.speaker if table.named_speakers else table.dev.astype(np.int64)
    use &= unit >= 0
    if use.sum() < 60 or not table.raw:
        return ()
    rows = np.concatenate([table.components(name) for name in table.raw], axis=1)[use]
    label, unit = table.label[use], unit[use]
    classes = len(table.classes)
    rows = _whitened(without(rows, unit), unit * (classes + 1) + label)
    half = _halves(unit, label)
    kept = [u for u in np.unique(unit) if min((half[unit == u] == side).sum() for side in (0, 1)) >= LEAST_ROWS]
    if len(kept) < 2:
        return ()
    means, seen = _means(rows, label, unit, half == 0, kept, classes)
    maps = _matched(means, seen)
    maps = _anchored(maps, [int((unit == u).sum()) for u in kept])
    index = np.flatnonzero(use)
    found = []
    for one in sorted({tuple(m) for m in maps} - {tuple(range(classes))}):
        members = [place for place, m in enumerate(maps) if tuple(m) == one]
        found.append(_held(table, index, rows, label, unit, half, kept, members, np.array(one), maps))
    return tuple(one for one in found if one is not None and not _contradicted(table, one))


def _contradicted(table: Table, one: LabelMap) -> bool:
    """Say whether a stream goes with the labels as they are: other names of the classes would show in all streams,
    and what shows in one alone is how its columns or rows stand.
    """
    here = table.dev if not table.named_speakers else np.isin(table.speaker, one.speakers)
    if not table.named_speakers and one.splits != ("dev",):
        here = ~here
    label = table.label.copy()
    label[list(one.utterances)] = one.labels
    moved = here & (label != table.label)
    return any(_t(_better(table, name, here, moved, label)) <= -T for name in table.raw)


def _better(table: Table, name: str, here: Mask, moved: Mask, label: Codes) -> Floats:
    """Return how much better other labels of the rows `moved` fit one stream, by the classes' means elsewhere."""
    use = table.labelled() & table.there[name]
    unit = table.speaker if table.named_speakers else table.dev.astype(np.int64)
    classes = len(table.classes)
    rows = _whitened(without(table.components(name)[use], unit[use]), unit[use] * (classes + 1) + table.label[use])
    rest = ~here[use]
    counts = np.bincount(table.label[use][rest], minlength=classes)
    sums = np.zeros((classes, rows.shape[1]))
    np.add.at(sums, table.label[use][rest], rows[rest])
    centres = sums / np.maximum(counts, 1)[:, None]
    score = rows @ centres.T - 0.5 * (centres**2).sum(axis=1)
    mine = np.flatnonzero(moved[use])
    return np.asarray(score[mine, label[use][mine]] - score[mine, table.label[use][mine]])


def _whitened(rows: Floats, cell: Codes) -> Floats:
    inside = without(rows, cell)
    covariance = inside.T @ inside / len(inside)
    covariance += 0.1 * np.trace(covariance) / len(covariance) * np.eye(len(covariance)) + 1e-12 * np.eye(
        len(covariance)
    )
    values, vectors = np.linalg.eigh(covariance)
    return rows @ (vectors / np.sqrt(values))


def _halves(unit: Codes, label: Codes) -> Codes:
    """Deal the rows of each unit and class into two halves, in the order of the table."""
    order = np.lexsort((np.arange(len(unit)), label, unit))
    cell = np.stack((unit[order], label[order]), axis=1)
    new = np.concatenate(([True], (cell[1:] != cell[:-1]).any(axis=1)))
    start = np.maximum.accumulate(np.where(new, np.arange(len(order)), 0))
    half = np.empty(len(unit), dtype=np.int64)
    half[order] = ((np.arange(len(order)) - start) + np.cumsum(new)) % 2
    return half


def _means(
    rows: Floats, label: Codes, unit: Codes, use: Mask, kept: list[int], classes: int
) -> tuple[Floats, Floats]:
    """Return the class means of each unit, less their mean, shape (U, C, D), and their numbers of rows (U, C)."""
    means = np.zeros((len(kept), classes, rows.shape[1]))
    seen = np.zeros((len(kept), classes))
    for place, one in enumerate(kept):
        for code in range(classes):
            mine = use & (unit == one) & (label == code)
            seen[place, code] = mine.sum()
            means[place, code] = rows[mine].mean(axis=0) if mine.any() else 0.0
        there = seen[place] > 0
        means[place, there] -= means[place, there].mean(axis=0) if there.any() else 0.0
    return means, seen


def _matched(means: Floats, seen: Floats) -> list[Codes]:
    """Return for each unit which class each of its classes is, as the units agree best among each other."""
    from scipy.optimize import linear_sum_assignment

    units, classes, _ = means.shape
    weighted = np.sqrt(seen)[:, :, None] * means
    best: tuple[float, list[Codes]] = (-np.inf, [np.arange(classes)] * units)
    starts = np.argsort(-seen.sum(axis=1), kind="stable")[:STARTS]
    for start in (-1, *starts.tolist()):
        maps = [np.arange(classes) for _ in range(units)]
        agreed = 0.0
        for round_ in range(ROUNDS):
            placed = np.zeros_like(means)
            for place, one in enumerate(maps):
                placed[place, one] = weighted[place]
            total = placed.sum(axis=0)
            if round_ == 0 and start >= 0:
                total = placed[start]
            agreed, before, maps = 0.0, maps, []
            for place in range(units):
                others = total - (placed[place] if not (round_ == 0 and start >= 0) else 0)
                gain = weighted[place] @ others.T  # (own class, class of the others)
                own, theirs = linear_sum_assignment(-gain)
                if gain[own, theirs].sum() <= 1.02 * np.trace(gain):  # a hair better is no other meaning
                    theirs = np.arange(classes)
                if round_ > 0 or start < 0:  # the next unit sees where this one lies now, or two swap for ever
                    moved = np.zeros_like(means[place])
                    moved[theirs] = weighted[place]
                    total, placed[place] = total + moved - placed[place], moved
                maps.append(theirs)
                agreed += float(gain[np.arange(classes), theirs].sum())
            if all(np.array_equal(a, b) for a, b in zip(before, maps, strict=True)) and round_ > 0:
                break
        if agreed > best[0] * (1.02 if best[0] > 0 else 1):
            best = (agreed, maps)
    return best[1]


def _anchored(maps: list[Codes], sizes: list[int]) -> list[Codes]:
    """Return the maps against that of most utterances, which then is the identity."""
    votes: dict[tuple[int, ...], int] = {}
    for one, size in zip(maps, sizes, strict=True):
        votes[tuple(one)] = votes.get(tuple(one), 0) + size
    back = np.argsort(np.array(max(votes, key=lambda one: votes[one])))
    return [back[one] for one in maps]


def _held(
    table: Table,
    index: Codes,
    rows: Floats,
    label: Codes,
    unit: Codes,
    half: Codes,
    kept: list[int],
    members: list[int],
    mapped: Codes,
    maps: list[Codes],
) -> LabelMap | None:
    """Return what a map of labels is worth on the half that it was not found on; None where it doesn't hold."""
    rest = [place for place in range(len(kept)) if place not in members]
    if not rest:
        return None
    classes = len(mapped)
    sums, counts = np.zeros((classes, rows.shape[1])), np.zeros(classes)
    for place in rest:
        mine = unit == kept[place]
        np.add.at(sums, maps[place][label[mine]], rows[mine])
        counts += np.bincount(maps[place][label[mine]], minlength=classes)
    if (counts == 0).any():
        return None
    centres = sums / counts[:, None]
    score = rows @ centres.T - 0.5 * (centres**2).sum(axis=1)
    better = score[np.arange(len(rows)), mapped[label]] - score[np.arange(len(rows)), label]
    moved = mapped[label] != label
    of_unit = [better[(unit == kept[place]) & (half == 1) & moved] for place in members]
    means = np.array([one.mean() if len(one) else 0.0 for one in of_unit])
    pooled = np.concatenate(of_unit)
    t_rows = _t(pooled)
    t = min(_t(means), t_rows) if len(members) > 2 else t_rows
    if t < (T if len(members) > 2 else SURE) or len(pooled) < 4:
        return None
    mine = np.isin(unit, [kept[place] for place in members])
    concerned = np.flatnonzero(mine & moved)
    units = tuple(int(kept[place]) for place in members)
    named = table.named_speakers
    return LabelMap(
        speakers=units if named else (),
        splits=() if named else tuple(("train", "dev")[one] for one in units),
        classes={
            table.classes[code]: table.classes[int(mapped[code])]
            for code in range(classes)
            if mapped[code] != code and (label[mine] == code).any()
        },
        t=float(t),
        utterances=tuple(index[concerned].tolist()),
        labels=tuple(mapped[label[concerned]].tolist()),
    )


def _t(values: Floats) -> float:
    if len(values) < 2:
        return 0.0
    return float(values.mean() / (values.std(ddof=1) / np.sqrt(len(values)) + 1e-12))
