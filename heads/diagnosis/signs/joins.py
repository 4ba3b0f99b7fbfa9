"""Whether a stream's rows belong to the utterances that they stand beside: shifts, other orders, shuffles, parts.

Each stream is held against each other one, and against the classes, as the rows stand and as they would stand if a
mistake were put back: a row too late in the table or in each speaker's folder, rows written in another sort order.
Rows that stand right agree best as they stand.

    as they stand   x0 x1 x2 x3 ...      a shift put back   x0 x1 x2 x3 ...
                    y3 y0 y1 y2                             y0 y1 y2 y3
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from dualstream.heads.diagnosis.signs.agreement import Agreement, agreement, residual, whitened
from dualstream.heads.diagnosis.signs.speakers import association
from dualstream.heads.diagnosis.signs.table import Codes, Floats, Mask, Table, without

from dualstream.documents import JsonObject

LARGEST_SHIFT = 3  # rows
ROWS = 3_000  # of larger tables so many places, evenly spread, are held against each other
LEAST_ROWS = 60
TIED = 0.9  # of the utterances, whose speaker's name tells the class: taking speakers out leaves nothing
FIELDS = 8  # of ids, by which tables may have been sorted
LABELS = "the labels"
UNRELATED_Z = 3.0  # deviations up to which rows agree no better than unrelated ones
RELATED_Z = 6.0  # from which they agree for sure
BETTER_ERRORS = 4.0  # errors of the agreement by which rows put back must agree better
BETTER_RATIO = 1.25

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
    sides = _Sides(rows, there, table.label, speaker)
    at = np.arange(0, len(table), max(1, len(table) // ROWS))
    ways = list(rearrangements(table))
    names = list(table.raw)
    # a sort order by class would give any classes another name
    by_rows = [(words, source) for words, source in ways if "class" not in words]
    with_labels = {name: _best(sides, name, LABELS, by_rows, at) for name in names}
    found = [
        _join(sides, one, other, _best(sides, one, other, ways, at), with_labels, at)
        for place, one in enumerate(names)
        for other in names[place + 1 :]
    ]
    return (*found, *_of_labels(with_labels, found))


def rearrangements(table: Table) -> Iterator[tuple[str, Codes]]:
    """Yield ways to move rows that may have been joined wrong: words, and the row that each place should take."""
    count, here = len(table), np.arange(len(table))
    for shift in (*range(1, LARGEST_SHIFT + 1), *range(-1, -LARGEST_SHIFT - 1, -1)):
        words = f"{abs(shift)} row{'s' if abs(shift) > 1 else ''} {'earlier' if shift > 0 else 'later'}"
        yield f"{words} over the whole table", (here + shift) % count
        if table.named_speakers:
            yield f"{words} inside each speaker", _inside(table.speaker, shift)
        if table.dev.any():
            yield f"{words} inside each split", _inside(table.dev.astype(np.int64), shift)
    seen = {here.tobytes()}
    for words, order in _orders(table):
        back = np.argsort(order, kind="stable")
        for what, source in ((f"back from {words}", back), (f"into {words}", order)):
            if source.tobytes() not in seen:
                seen.add(source.tobytes())
                yield what, source


def _inside(group: Codes, shift: int) -> Codes:
    source = np.arange(len(group))
    for code in np.unique(group):
        members = np.flatnonzero(group == code)
        source[members] = np.roll(members, -shift)
    return source


def _orders(table: Table) -> Iterator[tuple[str, Codes]]:
    """Yield sort orders that a file of rows may have, by words: the place in the table of each of its rows."""
    here = np.arange(len(table))
    ids = np.array(table.ids)
    natural = [[int(part) if part.isdigit() else -1 for part in re.split(r"(\d+)", name)] for name in table.ids]
    yield "the reverse order", here[::-1].copy()
    yield "the order of their ids", np.argsort(ids, kind="stable")
    yield "the order of the numbers in their ids", np.array(sorted(here.tolist(), key=lambda i: natural[i]))
    yield "an order by class", np.argsort(table.label, kind="stable")
    named = np.array([table.classes[code] if code >= 0 else "" for code in table.label])
    yield "an order by the classes' names", np.argsort(named, kind="stable")
    yield "an order by speaker", np.argsort(table.speaker, kind="stable")
    yield "an order by speaker and class", np.lexsort((here, table.label, table.speaker))
    yield "an order by class and speaker", np.lexsort((here, table.speaker, table.label))
    yield "an order by split", np.argsort(table.dev, kind="stable")
    yield "an order by dialogue", np.argsort(table.dialogue, kind="stable")
    fields = [re.split(r"[-_./ ]+", name) for name in table.ids]
    width = min(map(len, fields), default=0)
    if width > 1:
        backwards = np.array(["-".join(parts[::-1]) for parts in fields])
        yield "an order by their ids read from the last part", np.argsort(backwards, kind="stable")
    for number in range(min(width, FIELDS)) if width > 1 else ():
        own = np.array([parts[number] for parts in fields])
        if 1 < len(np.unique(own)) < len(own):
            yield f"an order by part {number + 1} of their ids", np.argsort(own, kind="stable")
            rest = np.array(["-".join(parts[number:] + parts[:number]) for parts in fields])
            yield f"an order by their ids from part {number + 1} on", np.argsort(rest, kind="stable")


@dataclass(frozen=True, repr=False)
class _Best:
    stands: Agreement
    words: str
    source: Codes | None
    moved: Agreement
    next: Agreement
    """The best agreement of rows that are moved by one."""

    @property
    def shift_seen(self) -> bool:
        """Whether rows that stand right would be put back, were they moved by one."""
        return bool(_Best(self.next, "", None, self.stands, self.next).clear)

    @property
    def clear(self) -> bool:
        """Whether rows that are moved agree far better than as they stand."""
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
        back = np.argsort(best.source, kind="stable")
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
    if stands.z > UNRELATED_Z:
        return "related", ""
    told = {name: with_labels[name].stands for name in (one, other)}
    blind = min(told, key=lambda name: told[name].z)
    seeing = other if blind == one else one
    if told[blind].z <= UNRELATED_Z and told[seeing].z >= RELATED_Z:
        return "shuffled", blind
    return "unknown", ""


def _of_labels(with_labels: dict[str, _Best], found: list[Join]) -> Iterator[Join]:
    """Yield how each stream agrees with the labels; where all streams agree with them better moved, and with each
    other as they stand, it is the labels that stand wrong against all rows.
    """
    elsewhere = {join.moved for join in found if join.kind in ("order", "shuffled")}
    for name, best in with_labels.items():
        clear = best.source is not None and best.clear and name not in elsewhere
        # the labels' move is the opposite of the rows'
        source = np.argsort(best.source, kind="stable") if clear and best.source is not None else None
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


@dataclass(frozen=True)
class SpeakerJoin:
    """How far the rows of one speaker agree between two streams, where the other speakers' do."""

    one: str
    other: str
    speaker: int
    t: float
    """Student's t of the agreement of the speaker's rows."""
    expected: float
    """Median of the speakers' t."""
    shift: int = 0
    """Rows by which `other` must be moved inside the speaker to agree; 0 where no shift does."""
    shifted_t: float = 0.0
    """Student's t of the agreement once it is."""


def speakers_apart(table: Table) -> tuple[SpeakerJoin, ...]:
    """Return the speakers whose rows of two streams don't belong together while those of the others clearly do, or
    who agree once a shift is put back.
    """
    if not table.named_speakers:
        return ()
    found: list[SpeakerJoin] = []
    names = list(table.raw)
    for place, one in enumerate(names):
        for other in names[place + 1 :]:
            found += _apart(table, one, other)
    return tuple(found)


SPEAKER_ROWS = 16
SPEAKERS = 6  # with so many rows, below which nothing is usual
USUAL_T = 5.0  # median of the speakers, below which one who doesn't agree is no exception
APART_T = 1.5
CLEAR_T = 4.0  # of a speaker's rows once a shift is put back
SHIFTED_T = 3.5  # by which a shift that is put back must agree better
FAR = 3.5  # robust deviations from the median


def _apart(table: Table, one: str, other: str) -> list[SpeakerJoin]:
    use = table.there[one] & table.there[other] & table.labelled() & (table.speaker >= 0)
    codes, counts = np.unique(table.speaker[use], return_counts=True)
    codes = codes[counts >= SPEAKER_ROWS]
    if len(codes) < SPEAKERS:
        return []
    speaker = table.speaker[use]
    x, y = (residual(table.components(name), use, table.label, table.speaker) for name in (one, other))
    cross = {code: x[speaker == code].T @ y[speaker == code] for code in np.unique(speaker)}
    total = sum(cross.values())
    members = {code: np.flatnonzero(speaker == code) for code in codes}
    along = {code: (total - cross[code]) / (len(speaker) - len(members[code])) for code in codes}
    stands = np.array([_agreed(x[members[code]], y[members[code]], along[code]) for code in codes])
    middle = float(np.median(stands))
    spread = float(np.median(np.abs(stands - middle))) * 1.4826 + 1e-9
    found = []
    for code, t in zip(codes, stands, strict=True):
        mine = members[code]
        shifted = {
            shift: _agreed(x[mine], y[np.roll(mine, -shift)], along[code])
            for shift in range(-LARGEST_SHIFT, LARGEST_SHIFT + 1)
            if shift
        }
        best = max(shifted, key=lambda shift: shifted[shift])
        if shifted[best] > CLEAR_T and shifted[best] - max(t, 0.0) > SHIFTED_T:
            found.append(SpeakerJoin(one, other, int(code), float(t), middle, best, shifted[best]))
        elif middle >= USUAL_T and t < APART_T and (middle - t) / spread > FAR:
            found.append(SpeakerJoin(one, other, int(code), float(t), middle))
    return found


def _agreed(x: Floats, y: Floats, along: Floats) -> float:
    """Return Student's t of how far rows agree along the directions that other speakers' rows agree in."""
    rows = np.einsum("nd,de,ne->n", x, along, y)
    return float(rows.mean() / (rows.std(ddof=1) / np.sqrt(len(rows)) + 1e-12))
