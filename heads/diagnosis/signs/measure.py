"""All signs of mistakes in a corpus, and what its remedies gain by closed-form heads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from dualstream.heads.data.batch import FeatureSet
from dualstream.heads.diagnosis.signs import remedies
from dualstream.heads.diagnosis.signs.absences import missing_by_class
from dualstream.heads.diagnosis.signs.accused import vouched
from dualstream.heads.diagnosis.signs.batches import batches
from dualstream.heads.diagnosis.signs.between import between
from dualstream.heads.diagnosis.signs.class_directions import class_directions
from dualstream.heads.diagnosis.signs.class_profiles import class_groups
from dualstream.heads.diagnosis.signs.class_scaled import class_scaled
from dualstream.heads.diagnosis.signs.confusions import confusions
from dualstream.heads.diagnosis.signs.copies import copies
from dualstream.heads.diagnosis.signs.crossed import crossed
from dualstream.heads.diagnosis.signs.fills import drawn_again, fills, repeated_before, unfilled
from dualstream.heads.diagnosis.signs.found import Signs
from dualstream.heads.diagnosis.signs.joins import Join, joins
from dualstream.heads.diagnosis.signs.kinds import two_kinds
from dualstream.heads.diagnosis.signs.label_columns import columns_of_labels
from dualstream.heads.diagnosis.signs.label_maps import label_maps
from dualstream.heads.diagnosis.signs.lost_classes import lost_classes
from dualstream.heads.diagnosis.signs.many_people import many_people
from dualstream.heads.diagnosis.signs.noisy_groups import noisy_groups
from dualstream.heads.diagnosis.signs.numbered import numbered
from dualstream.heads.diagnosis.signs.pieces import piece
from dualstream.heads.diagnosis.signs.predicted import predicted
from dualstream.heads.diagnosis.signs.renumbered import renumbered
from dualstream.heads.diagnosis.signs.row_factors import row_factors
from dualstream.heads.diagnosis.signs.same_speakers import same_persons
from dualstream.heads.diagnosis.signs.same_streams import same_streams
from dualstream.heads.diagnosis.signs.sensitivity import limits
from dualstream.heads.diagnosis.signs.settled import settled
from dualstream.heads.diagnosis.signs.several_people import several_people
from dualstream.heads.diagnosis.signs.smoothed import smoothed
from dualstream.heads.diagnosis.signs.speaker_joins import speakers_apart
from dualstream.heads.diagnosis.signs.speakers import association, shared_speakers, voices
from dualstream.heads.diagnosis.signs.split_joins import split_joins
from dualstream.heads.diagnosis.signs.split_treatment import SplitTreatment, split_treatments
from dualstream.heads.diagnosis.signs.table import Mask, Names, Table
from dualstream.heads.diagnosis.signs.two_people import two_people
from dualstream.heads.diagnosis.signs.values import PutValue, put_values
from dualstream.heads.diagnosis.signs.wrapped import wrapped
from dualstream.heads.diagnosis.signs.wrong_codes import wrong_codes
from dualstream.heads.evaluation.folds import GroupBy
from dualstream.heads.variants.options import Task

PUT = 0.25  # of the rows, that hold a put value at most to be left out where clouds are looked for

Progress = Callable[[str], None]


def signs(
    train: FeatureSet,
    dev: FeatureSet | None,
    task: Task,
    *,
    by: GroupBy = "dialogue",
    names: Names | None = None,
    progress: Progress = lambda line: None,
) -> Signs:
    """Look for every mistake that is known.

    Parameters
    ----------
    by
        What the folds of the remedies keep whole.
    names
        Ids, speakers' names and places in the table; without it utterances are called by split and row.
    """
    table = Table.of(train, dev, task, names)
    progress("rows that stand twice, filled in, or of two kinds")
    found = rows_alone(table)
    progress("joins of the streams, labels and speakers")
    joined = settled(joins(unfilled(table, found["fills"])), list(table.raw))
    found["split_treatments"] = _unexplained(table, found["split_treatments"], joined)
    wrong = wrong_codes(table)
    made = Signs(
        **found,
        joins=joined,
        split_joins=split_joins(table),
        speaker_joins=speakers_apart(table),
        crossed=crossed(table),
        wrong=wrong,
        vouched=vouched(table, wrong),
        label_maps=label_maps(table),
        class_groups=class_groups(table, {one.stream for one in found["kinds"]}),
        lost_classes=lost_classes(table),
        noisy_groups=noisy_groups(table),
        confusions=confusions(table),
        same_persons=same_persons(table),
        two_people=two_people(table),
        many_people=many_people(table),
        several_people=several_people(table),
        numbered=numbered(table),
        renumbered=renumbered(table),
        voices=voices(table),
    )
    progress("what undoing the mistakes gains")
    gains = remedies.measured(table, made, by)
    return replace(made, remedies=gains)


def _unexplained(
    table: Table, found: Sequence[SplitTreatment], joined: Sequence[Join]
) -> tuple[SplitTreatment, ...]:
    """Return what was done to splits, but for directions that rows of another order have only as they stand."""
    sources = {one.moved: np.array(one.source) for one in joined if one.kind == "order" and one.source}
    turned = {one.stream for one in found if one.kind == "directions"} & sources.keys()
    if not turned:
        return tuple(found)
    rows = {name: own[sources[name]] if name in turned else own for name, own in table.raw.items()}
    there = {name: own[sources[name]] if name in turned else own for name, own in table.there.items()}
    left = class_directions(replace(table, raw=rows, there=there))
    return tuple(one for one in found if one.stream not in turned - left.keys())


def with_limits(
    found: Signs,
    train: FeatureSet,
    dev: FeatureSet | None,
    task: Task,
    names: Names | None = None,
    *,
    processes: int = 1,
) -> Signs:
    """Return the signs with the smallest mistakes that would have been found, for where none was.

    They are planted in so many processes; the answers do not depend on it.
    """
    table = Table.of(train, dev, task, names)
    return replace(found, limits=limits(table, found.joins, found.wrong, processes=processes))


def rows_alone(table: Table) -> dict[str, Any]:
    """Return the signs that need no probe: what stands in the rows, and who is named where."""
    before = {name: {int(i) for i in repeated_before(table, name)} for name in table.raw}
    filled = tuple(one for name in table.raw for one in (*fills(table, name, before), *between(table, name)))
    filled = (*filled, *predicted(table, filled))
    left_out = {name: [i for one in filled if one.stream == name for i in one.utterances] for name in table.raw}
    again = drawn_again(table)  # their values come back because they do
    put = {name: again | _marked(len(table), left_out[name]) for name in table.raw}
    absent = [missing_by_class(table, name) for name in table.raw]
    values = [put_values(table, name, put[name]) or wrapped(table, name, put[name]) for name in table.raw]
    of_clouds = {name: [*left_out[name], *_few(one, table)] for name, one in zip(table.raw, values, strict=True)}
    of_classes = [class_scaled(table, name) for name in table.raw]
    kinds = [two_kinds(table, name, of_clouds[name]) for name in table.raw]
    # of values that ran over, columns share as little with others as ratings do
    ran_over = {one.stream for one in values if one is not None and one.kind == "wrapped"}
    return {
        "ids": table.ids,
        "speaker_names": table.speaker_names,
        "speaker": tuple(table.speaker.tolist()),
        "dev": tuple(table.dev.tolist()),
        "streams": tuple(table.raw),
        "classes": table.classes,
        "known_speakers": float(np.mean(table.speaker >= 0)) if len(table) else 0.0,
        "copies": tuple(copies(table, name) for name in table.raw),
        "fills": filled,
        "kinds": tuple(one for one in kinds if one is not None),
        **_beside(table, {one.stream for one in filled}, {one.stream for one in kinds if one is not None}),
        "label_columns": tuple(
            one for one in columns_of_labels(table) if not (one.rated and one.stream in ran_over)
        ),
        "class_scaled": tuple(one for one in of_classes if one is not None),
        "missing": tuple(one for one in absent if one is not None),
        "values": tuple(one for one in values if one is not None),
        "same_streams": same_streams(table),
        "association": association(table),
        "shared": shared_speakers(table),
    }


def _few(value: PutValue | None, table: Table) -> tuple[int, ...]:
    """Return the utterances that hold a put value, where they are few: they are no second kind of rows."""
    if value is None or value.kind in ("ends", "windows", "far") or len(value.utterances) > PUT * len(table):
        return ()
    return value.utterances


def _beside(table: Table, filled: set[str], of_kinds: set[str]) -> dict[str, Any]:
    """Return the signs of rows that depend on others: on those beside them, of their batch, of their split.

    `filled` and `of_kinds` name the streams with rows that were filled in, and with two kinds of rows.
    """
    of_blocks = [batches(table, name) for name in table.raw if name not in filled]  # equal rows have equal means
    made = tuple(one for one in of_blocks if one is not None)
    of_batches = {one.stream for one in made}
    parted = [piece(table, name) for name in table.raw if name not in filled | of_kinds | of_batches]
    factors = [row_factors(table, name) for name in table.raw]
    return {
        "batches": made,
        "smoothed": smoothed(table, filled | of_batches),
        "pieces": tuple(one for one in parted if one is not None),
        "row_factors": tuple(one for one in factors if one is not None),
        "split_treatments": split_treatments(table, of_batches),
    }


def _marked(count: int, places: list[int]) -> Mask:
    mask = np.zeros(count, dtype=bool)
    mask[places] = True
    return mask
