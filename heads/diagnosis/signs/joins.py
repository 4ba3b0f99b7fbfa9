"""Whether a stream's rows belong to the utterances that they stand beside: shifts, other orders, shuffles, parts.

Each stream is held against each other one, and against the classes, as the rows stand and as they would stand if a
mistake were put back: a row too late in the table or in each speaker's folder, rows written in another sort order.
Rows that stand right agree best as they stand.

    as they stand   x0 x1 x2 x3 ...      a shift put back   x0 x1 x2 x3 ...
                    y3 y0 y1 y2                             y0 y1 y2 y3
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from dualstream.heads.diagnosis.signs.agreement import Agreement, agreement, whitened
from dualstream.heads.diagnosis.signs.group_paths import Inside, inside_groups, inside_labels, members_of
from dualstream.heads.diagnosis.signs.orders import rearrangements
from dualstream.heads.diagnosis.signs.paired import goes_better
from dualstream.heads.diagnosis.signs.speakers import association
from dualstream.heads.diagnosis.signs.stretches import (
    LEAST_GAIN,
    Path,
    along,
    called,
    gain_of,
    of_labels,
)
from dualstream.heads.diagnosis.signs.table import Codes, Floats, Mask, Table, without
from dualstream.heads.diagnosis.signs.told import told_labels
from dualstream.heads.diagnosis.signs.written_twice import moved_back

from dualstream.documents import JsonObject

ROWS = 3_000  # of larger tables so many places, evenly spread, are held against each other
LEAST_ROWS = 60
TIED = 0.9  # of the utterances, whose speaker's name tells the class: taking speakers out leaves nothing
LABELS = "the labels"
UNRELATED_Z = 3.0  # deviations up to which rows agree no better than unrelated ones
DEALS = 49  # of rows inside of each speaker, by which little agreement may come about
CHANCE = 4.0  # deviations of these, whose distribution has a long upper end
RELATED_Z = 6.0  # from which they agree for sure
BETTER_ERRORS = 4.0  # errors of the agreement by which rows put back must agree better
BETTER_RATIO = 1.25
STRETCH_Z = 1.0  # deviations, by which all rows must agree better once stretches of them are put back

Kind = Literal["order", "shuffled", "related", "unknown"]


@dataclass(frozen=True)
class Join:
    """How two sides of a corpus agree, as they stand and as they agree best."""

    one: str
    other: str
    """A stream, or LABELS."""
    z: float
    """Agreement beyond classes and speakers as the rows stand, in deviations of unrelated rows."""
    best: str
    """How the rows of `other` must be moved to agree best; ``as they stand`` where nothing is better."""
    best_z: float
    kind: Kind
    """``order``: they agree far better otherwise; ``shuffled``: not at all, and nor with anything else."""
    moved: str
    """The side whose rows stand wrong; an empty string where none does."""
    source: tuple[int, ...] = ()
    """Row of the table that each utterance's row of `moved` should be taken from; none where nothing is moved."""
    shift_seen: bool = False
    """Whether a shift of all rows by one would have been found: rows agree far better as they stand."""

    def to_json(self) -> JsonObject:
        """Return the values; `source` alone is not told."""
        return {key: value for key, value in vars(self).items() if key != "source"}


@dataclass(frozen=True, repr=False)
class _Sides:
    """What is held against each other: reduced rows, where they are there, and what is taken out of them."""

    rows: dict[str, Floats]
    there: dict[str, Mask]
    label: Codes
    speaker: Codes
    dialogue: Codes

    def agree(self, one: str, other: str, source: Codes | None, at: Codes) -> Agreement:
        """Return the agreement at the places `at`, with the rows of `other` taken from `source`."""
        from_ = at if source is None else source[at]
        use = self.there[one][at] & self.there[other][from_]
        use &= self.label[at] >= 0
        if use.sum() < LEAST_ROWS:
            return Agreement(0.0, 0, int(use.sum()))
        mine, theirs = at[use], from_[use]
        codes = [self.speaker[mine]]
        if LABELS not in (one, other):
            codes.append(self.label[mine])
        x, y = (whitened(without(rows, *codes)) for rows in (self.rows[one][mine], self.rows[other][theirs]))
        return agreement(x, y)


def joins(table: Table) -> tuple[Join, ...]:
    """Hold each two streams, and each stream and the labels, against each other."""
    if not table.raw:
        return ()
    rows = {name: table.components(name) for name in table.raw}
    there = dict(table.there)
    classes = int(table.label.max(initial=0)) + 1
    rows[LABELS], there[LABELS] = np.eye(classes)[np.maximum(table.label, 0)], table.labelled()
    tied = association(table)
    named = table.named_speakers and (tied is None or tied.share < TIED)  # or nothing is left of the classes
    speaker = table.speaker if named else np.zeros(len(table), dtype=np.int64)
    sides = _Sides(rows, there, table.label, speaker, table.dialogue)
    at = np.arange(0, len(table), max(1, len(table) // ROWS))
    ways = list(rearrangements(table))
    names = list(table.raw)
    # a sort order by class would give any classes another name
    by_rows = [(words, source) for words, source in ways if "class" not in words]
    twice = {name: list(moved_back(table, name)) for name in names}
    back = {name: [(opposite(words), opposite_of(source)) for words, source in twice[name]] for name in names}
    with_labels = {name: _best(sides, name, LABELS, [*by_rows, *back[name]], at) for name in names}
    border = borders(table)

    def stretched(one: str, other: str) -> _Best:
        moves = [*ways, *back[one], *twice[other]]
        return _stretched(sides, one, other, moves, at, border, table.ids)

    found = [
        _join(sides, one, other, stretched(one, other), with_labels, at)
        for place, one in enumerate(names)
        for other in names[place + 1 :]
    ]
    late, inside = _late_labels(table, found), _labels_inside(table, found)
    return (*found, *_of_labels(sides, with_labels, found, late, inside, at, table.ids))


def borders(table: Table) -> Mask:
    """Say where a speaker's rows or a split's begin, shape (N,)."""
    border = np.zeros(len(table), dtype=bool)
    border[1:] = (table.speaker[1:] != table.speaker[:-1]) | (table.dev[1:] != table.dev[:-1])
    return border


def _stretched(
    sides: _Sides,
    one: str,
    other: str,
    ways: list[tuple[str, Codes]],
    at: Codes,
    border: Mask,
    ids: tuple[str, ...],
) -> _Best:
    """Return the best way to move all rows, or that of stretches of the table where rows agree better so."""
    best = _best(sides, one, other, ways, at)
    use = [sides.there[name] & (sides.label >= 0) for name in (one, other)]
    x, y = (whitened(without(sides.rows[name], sides.speaker, sides.label)) for name in (one, other))
    if best.source is not None and not best.clear:
        likelier = gain_of(x, y, (use[0], use[1]), best.source) >= LEAST_GAIN
        more = best.moved.z - max(best.stands.z, 0.0) >= RELATED_Z
        best = replace(best, sure=likelier or (more and goes_better(x, y, use, best.source)))
    stretch = along(x, y, (use[0], use[1]), border)
    ways_found = [(called(stretch, ids), stretch.source, stretch.gain)] if stretch.found else []
    inside = inside_groups(x, y, (use[0], use[1]), sides.dialogue)
    if inside is not None and inside.found:
        ways_found.append((inside.words, inside.source, inside.gain))
    for words, source, _ in sorted(ways_found, key=lambda way: -way[2]):
        moved = sides.agree(one, other, source, at)
        if moved.z >= (best.moved.z if best.clear else best.stands.z + STRETCH_Z):
            return replace(best, words=words, source=source, moved=moved, sure=True)
    return best


def _late_labels(table: Table, found: list[Join]) -> Path | None:
    """Return how rows must be moved where labels are late in stretches and all streams stand right."""
    if any(join.kind in ("order", "shuffled") for join in found):
        return None
    told = told_labels(table)
    if told is None:
        return None
    late = of_labels(told.log_p, told.code, told.use, borders(table))
    return Path(-late.shift, late.gain) if late.found else None


def _labels_inside(table: Table, found: list[Join]) -> dict[str, Inside]:
    """Return by stream how its rows must be moved inside of dialogues to go with the labels, where they must."""
    if any(join.kind in ("order", "shuffled") for join in found) or not members_of(table.dialogue):
        return {}
    moved = {}
    for name in table.raw:
        alone = replace(table, raw={name: table.raw[name]}, there={name: table.there[name]})
        told = told_labels(alone)
        inside = None if told is None else inside_labels(told.log_p, told.code, told.use, table.dialogue)
        if inside is not None and inside.found:
            moved[name] = inside
    return moved


@dataclass(frozen=True, repr=False)
class _Best:
    stands: Agreement
    words: str
    source: Codes | None
    moved: Agreement
    next: Agreement
    """The best agreement of rows that are moved by one."""
    sure: bool = False
    """Whether rows that are moved agree better by their likelihood, however few they are."""

    @property
    def shift_seen(self) -> bool:
        """Whether rows that stand right would be put back, were they moved by one."""
        return bool(_Best(self.next, "", None, self.stands, self.next).clear)

    @property
    def clear(self) -> bool:
        """Whether rows that are moved agree far better than as they stand."""
        if self.sure:
            return True
        margin = BETTER_ERRORS * np.hypot(self.moved.error, self.stands.error)
        better = self.moved.z - max(self.stands.z, 0.0)
        return better > max(margin, RELATED_Z) and self.moved.z > BETTER_RATIO * self.stands.z


def _best(sides: _Sides, one: str, other: str, ways: list[tuple[str, Codes]], at: Codes) -> _Best:
    stands = sides.agree(one, other, None, at)
    best: tuple[str, Codes | None, Agreement] = ("as they stand", None, stands)
    beside = Agreement(0.0, 1, stands.rows)
    for words, source in ways:
        moved = sides.agree(one, other, source, at)
        if words.startswith("1 row ") and moved.z > beside.z:
            beside = moved
        if moved.z > best[2].z:
            best = (words, source, moved)
    return _Best(stands, *best, beside)


def _join(sides: _Sides, one: str, other: str, best: _Best, with_labels: dict[str, _Best], at: Codes) -> Join:
    if best.source is not None and best.clear:
        back = opposite_of(best.source)
        gains = {
            name: sides.agree(LABELS, name, source, at).z - with_labels[name].stands.z
            for name, source in ((other, best.source), (one, back))
        }
        moved = max(gains, key=lambda name: gains[name])
        source = best.source if moved == other else back
        words = best.words if moved == other else opposite(best.words)
        return Join(one, other, best.stands.z, words, best.moved.z, "order", moved, tuple(source.tolist()))
    kind, moved = _unrelated(sides, one, other, best.stands, with_labels, at)
    return Join(one, other, best.stands.z, "as they stand", best.stands.z, kind, moved, shift_seen=best.shift_seen)


def opposite_of(source: Codes) -> Codes:
    """Return the rows that the other side must be taken from, which comes to the same."""
    here = np.arange(len(source))
    if len(np.unique(source)) == len(source):
        return np.argsort(source, kind="stable")
    back = np.clip(2 * here - source, 0, len(source) - 1)  # of stretches, where nothing was taken from a place
    for own in (source == here, source != here):  # what was moved goes before what stands
        back[source[own][::-1]] = here[own][::-1]
    return back


def opposite(words: str) -> str:
    """Return the move of the other side that comes to the same."""
    for a, b in (("earlier", "later"), ("later", "earlier"), ("back from", "into"), ("into", "back from")):
        if a in words:
            return words.replace(a, b)
    return words


def _unrelated(
    sides: _Sides, one: str, other: str, stands: Agreement, with_labels: dict[str, _Best], at: Codes
) -> tuple[Kind, str]:
    """Say whether one of two streams that share nothing belongs to other utterances: it says nothing of the class
    either, while the other does.
    """
    if not stands.freedom:
        return "unknown", ""
    if stands.z > UNRELATED_Z and (stands.z >= RELATED_Z or stands.z > _by_chance(sides, one, other, at)):
        return "related", ""
    told = {name: with_labels[name].stands for name in (one, other)}
    blind = min(told, key=lambda name: told[name].z)
    seeing = other if blind == one else one
    if told[blind].z <= UNRELATED_Z and told[seeing].z >= RELATED_Z:
        return "shuffled", blind
    return "unknown", ""


def _by_chance(sides: _Sides, one: str, other: str, at: Codes) -> float:
    """Return the agreement that rows dealt anew inside of each speaker reach by chance."""
    rng, found = np.random.default_rng(0), []
    place = np.argsort(sides.speaker, kind="stable")
    for _ in range(DEALS):
        order = rng.permutation(len(place))
        source = np.empty(len(place), dtype=np.int64)
        source[place] = order[np.argsort(sides.speaker[order], kind="stable")]
        found.append(sides.agree(one, other, source, at).z)
    return max(*found, float(np.mean(found) + CHANCE * np.std(found)))


def _of_labels(
    sides: _Sides,
    with_labels: dict[str, _Best],
    found: list[Join],
    late: Path | None,
    inside: dict[str, Inside],
    at: Codes,
    ids: tuple[str, ...],
) -> Iterator[Join]:
    """Yield how each stream agrees with the labels; where all streams agree with them better moved, and with each
    other as they stand, it is the labels that stand wrong against all rows.
    """
    elsewhere = {join.moved for join in found if join.kind in ("order", "shuffled")}
    for name, best in with_labels.items():
        clear = best.source is not None and best.clear and name not in elsewhere
        if clear and _vouched(name, with_labels, found):
            clear = False  # it goes with a stream that goes with the labels
        if name in inside and not clear and not _vouched(name, with_labels, found):
            way = inside[name]
            moved = sides.agree(LABELS, name, way.source, at).z
            if moved >= best.stands.z + STRETCH_Z:
                taken = tuple(way.source.tolist())
                yield Join(name, LABELS, best.stands.z, way.words, moved, "order", name, taken)
                continue
        if late is not None and not clear:
            moved = sides.agree(LABELS, name, late.source, at).z
            own = tuple(late.source.tolist())
            yield Join(name, LABELS, best.stands.z, called(late, ids), moved, "order", name, own)
            continue
        # the labels' move is the opposite of the rows'
        source = opposite_of(best.source) if clear and best.source is not None else None
        yield Join(
            name,
            LABELS,
            best.stands.z,
            opposite(best.words) if clear else "as they stand",
            best.moved.z if clear else best.stands.z,
            "order" if clear else "related" if best.stands.z > UNRELATED_Z else "unknown",
            name if clear else "",
            tuple(source.tolist()) if source is not None else (),
        )


def _vouched(name: str, with_labels: dict[str, _Best], found: list[Join]) -> bool:
    """Say whether a stream goes with another one as both stand, which the labels go with as it stands."""
    return any(
        join.kind == "related"
        and join.z >= RELATED_Z
        and name in (join.one, join.other)
        and not with_labels[join.one if join.other == name else join.other].clear
        for join in found
    )
