"""What undoing each mistake gains: closed-form heads over all streams, as the corpus stands and put right."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from dualstream.heads.diagnosis.intervention import Intervention
from dualstream.heads.diagnosis.signs import verdicts
from dualstream.heads.diagnosis.signs.alike import WORDS, treated_alike
from dualstream.heads.diagnosis.signs.answers import Heads, by_class
from dualstream.heads.diagnosis.signs.class_profiles import ClassGroups
from dualstream.heads.diagnosis.signs.found import Signs
from dualstream.heads.diagnosis.signs.kinds import TwoKinds
from dualstream.heads.diagnosis.signs.normalised import normalised
from dualstream.heads.diagnosis.signs.same_speakers import merged
from dualstream.heads.diagnosis.signs.speakers import shared_speakers
from dualstream.heads.diagnosis.signs.table import Codes, Floats, Mask, Table
from dualstream.heads.diagnosis.signs.units import FUNCTIONS, INVERSE
from dualstream.heads.evaluation.folds import GroupBy, connected, fold_codes

JOIN, LABELS, NOISE, COPIES = "put the rows back", "put the labels back", "drop wrong labels", "drop the copies"
SCALE, COLUMNS, COLUMN = "mend the scale", "put the columns back", "drop the column"
ALIKE, TURNED = "one unit for all", "turn columns back"
PIECES = "leave the piece out"
TREATED, FACTORS = "treat the splits alike", "divide the rows' factors out"
FOREIGN, FILLED, SHARED = "leave the foreign rows out", "leave filled rows out", "hold speakers out"
LARGEST = 6_000  # utterances, of more the remedies are measured on whole groups


def measured(table: Table, signs: Signs, by: GroupBy) -> dict[str, Intervention]:
    """Return what each remedy gains whose mistake was found, by name."""
    group = connected(table.speaker, table.dialogue) if by == "speaker" else table.dialogue
    heads = Heads.of(table, group)
    if heads is None:
        return {}
    tried = _Tried(heads)
    tried.rows_put_back(signs)
    tried.labels_put_back(signs)
    tried.rows_left_out(signs)
    tried.columns_mended(signs)
    tried.splits_treated_alike(signs)
    tried.factors_divided_out(signs)
    tried.speakers_held_out(signs)
    return tried.gains


class _Tried:
    """The head as the corpus stands, fitted once where anything is tried, and what was gained over it."""

    def __init__(self, heads: Heads) -> None:
        self.heads, self.table = heads, heads.table
        self.gains: dict[str, Intervention] = {}
        self.classes = len(self.table.classes)
        self._stands: Floats | None = None

    @property
    def stands(self) -> Floats:
        """Log-probabilities of the usable utterances by heads on the corpus as it stands."""
        if self._stands is None:
            self._stands = self.answers()
        return self._stands

    def answers(self, **changes: object) -> Floats:
        """Return log-probabilities of the usable utterances with something changed."""
        found = self.heads.fit(**changes)  # type: ignore[arg-type]
        assert found is not None, "a pool with a single class was refused"
        return by_class(found, self.classes)

    def note(self, name: str, remedy: str, after: Floats, scored: Mask | None = None) -> None:
        """Note what answers gain, over the usable utterances or those of them that `scored` names."""
        use = self.heads.usable()
        kept = np.ones(int(use.sum()), dtype=bool) if scored is None else scored[use]
        if kept.sum() < 20 or len(np.unique(self.heads.group[use][kept])) < 2:
            return
        self.gains[name] = self.heads.gained(
            name, remedy, self.stands[kept], after[kept], self.table.label[use][kept], self.heads.group[use][kept]
        )

    def rows_put_back(self, signs: Signs) -> None:
        """Put the streams back that stand in another order."""
        moved = [one for one in signs.joins if one.source]
        if not moved:
            return
        source, best = np.array(moved[0].source), moved[0].best  # the first, and who stands wrong as it does
        rows = {one.moved: self.table.raw[one.moved][source] for one in moved if one.best == best}
        self.note(JOIN, f"take each row of {' and '.join(sorted(rows))} from {best}", self.answers(rows=rows))

    def labels_put_back(self, signs: Signs) -> None:
        """Give the labels that the other speakers would give; score in the labels as they stand, mapped back."""
        if not signs.label_maps:
            return
        label = self.table.label.copy()
        back = np.tile(np.arange(self.classes), (len(label), 1))
        for one in signs.label_maps:
            places = np.array(one.utterances)
            owners = np.isin(self.table.speaker, one.speakers)
            if one.splits:
                owners = np.isin(np.where(self.table.dev, "dev", "train"), one.splits)
            to = {self.table.label[a]: b for a, b in zip(places, one.labels, strict=True)}
            label[places] = one.labels
            order = np.arange(self.classes)
            for own, theirs in to.items():
                order[own] = theirs
            if len(np.unique(order)) == self.classes:
                back[owners] = order  # column of class c as it stands holds the others' class order[c]
        after = self.answers(label=label)
        use = self.heads.usable()
        self.note(
            LABELS, "name the classes of these speakers as the others do", np.take_along_axis(after, back[use], 1)
        )

    def rows_left_out(self, signs: Signs) -> None:
        """Fit without what is wrong, and score what is right."""
        count = len(self.table)
        noise = verdicts.contradicted(signs)
        if noise:
            self._without(NOISE, "fit without the utterances whose label is wrong", noise, count)
        twice = [pair[1] for one in verdicts.doubles(signs) for pair in one.pairs]
        if twice:
            self._without(COPIES, "take the copies out", twice, count)
        foreign = [place for one in verdicts.foreign(signs) for place in one.utterances]
        if foreign:
            self._without(FOREIGN, "fit without the rows that belong to others", foreign, count)
        filled = [place for one in verdicts.imputed(signs) for place in one.utterances]
        if filled:
            self._without(FILLED, "fit without the rows that were filled in", filled, count)

        pieces = [place for one in signs.pieces for place in one.utterances]
        if pieces:
            self._without(PIECES, "fit without the piece that was made in another way", pieces, count)

    def _without(self, name: str, remedy: str, places: tuple[int, ...] | list[int], count: int) -> None:
        kept = np.ones(count, dtype=bool)
        kept[np.array(places, dtype=np.int64)] = False
        if (kept & self.heads.usable()).sum() < 40 or _classes_lost(self.table, kept):
            return
        self.note(name, remedy, self.answers(fitted=kept), kept)

    def columns_mended(self, signs: Signs) -> None:
        """Put scales and orders of columns back, and leave columns out that are the label."""
        rows = {one.stream: _mended(self.table, one) for one in signs.kinds if one.kind != "kinds"}
        for kind, name, remedy in (
            ("scale", SCALE, "scale these rows as the others are"),
            ("columns", COLUMNS, "put the columns of these rows into the others' order"),
        ):
            own = {one.stream: rows[one.stream] for one in signs.kinds if one.kind == kind}
            if own:
                self.note(name, remedy, self.answers(rows=own))
        turned = {one.stream: _turned_back(self.table, one) for one in signs.class_groups if one.columns}
        if turned:
            self.note(TURNED, "turn these columns back", self.answers(rows=turned))
        made = {one.stream: _alike(self.table, one) for one in signs.kinds if one.how or one.function}
        alike = {name: own for name, own in made.items() if own is not None}
        if alike:
            self.note(ALIKE, "bring all rows into one unit", self.answers(rows=alike))
        if signs.label_columns:
            dropped = {
                name: _without_columns(
                    self.table.raw[name], [one.column for one in signs.label_columns if one.stream == name]
                )
                for name in {one.stream for one in signs.label_columns}
            }
            self.note(COLUMN, "leave the column out", self.answers(rows=dropped))

    def splits_treated_alike(self, signs: Signs) -> None:
        """Do to both splits what was done to one, and score dev."""
        made = {one.stream: treated_alike(self.table, one) for one in signs.split_treatments}
        rows = {name: own for name, own in made.items() if own is not None}
        if rows:
            words = dict.fromkeys(WORDS[one.kind] for one in signs.split_treatments if one.stream in rows)
            self.note(TREATED, "; ".join(words), self.answers(rows=rows), self.table.dev)

    def factors_divided_out(self, signs: Signs) -> None:
        """Divide each row by its factor."""
        rows = {
            one.stream: self.table.raw[one.stream] / np.array(one.factors)[:, None] for one in signs.row_factors
        }
        if rows:
            self.note(FACTORS, "divide each row by its factor", self.answers(rows=rows))

    def speakers_held_out(self, signs: Signs) -> None:
        """Hold whole speakers out, against the same utterances dealt at random."""
        table = self.table
        table = replace(table, speaker=merged(table.speaker, verdicts.renamed(signs)))
        shared = shared_speakers(table)
        if shared is None or shared.share < verdicts.SHARED or not table.named_speakers:
            return
        known = np.where(table.speaker >= 0, table.speaker, int(table.speaker.max()) + 1 + np.arange(len(table)))
        if len(np.unique(known)) < 5:
            return
        random = np.random.default_rng(0).permutation(len(table)) % 5
        use = self.heads.usable()
        apart = self.answers(fold=fold_codes(known, table.label, 5))
        mixed = self.answers(fold=random)
        self.gains[SHARED] = self.heads.gained(
            SHARED,
            "give each speaker to one split",
            mixed,
            apart,
            table.label[use],
            np.unique(known[use], return_inverse=True)[1],
        )


def _classes_lost(table: Table, kept: Mask) -> bool:
    left = np.unique(table.label[kept & table.labelled()])
    return len(left) < len(np.unique(table.label[table.labelled()]))


def _mended(table: Table, one: TwoKinds) -> Floats:
    """Return a stream's rows with those of the smaller cloud put right."""
    rows = table.raw[one.stream].copy()
    places: Codes = np.array(one.utterances)
    if one.kind == "scale":
        rows[places] /= one.factor
    else:
        rows[places] = rows[places][:, np.array(one.order)]
    return rows


def _turned_back(table: Table, one: ClassGroups) -> Floats:
    rows = table.raw[one.stream].copy()
    rows[np.ix_(one.utterances, one.columns)] *= -1
    return rows


def _alike(table: Table, one: TwoKinds) -> Floats | None:
    """Return a stream's rows in one unit, where they can be: the function undone, or the others normalised too."""
    there, rows = table.there[one.stream], table.raw[one.stream]
    if one.function:
        places = list(one.utterances)
        rows = rows.copy()
        rows[places] = FUNCTIONS[INVERSE[one.function]](rows[places])
        return rows
    own = normalised(table, one.stream, there)
    group = table.speaker if one.by == "speaker" else table.dev.astype(np.int64)
    return None if own is None else own.others_too(rows, there, group)


def _without_columns(rows: Floats, columns: list[int]) -> Floats:
    left = np.delete(rows, columns, axis=1)
    return left if left.shape[1] else np.zeros((len(rows), 1))
