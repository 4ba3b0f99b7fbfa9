"""Rows that are moved inside of some dialogues, and pieces of a table that go together otherwise."""

from __future__ import annotations

from dataclasses import replace

import damages
import numpy as np
import outside_damages
import outside_features
import pytest
import whole_corpora
from dualstream.heads.diagnosis.signs.absences import missing_by_class
from dualstream.heads.diagnosis.signs.fills import drawn_again, fills, repeated_before, unfilled
from dualstream.heads.diagnosis.signs.group_paths import REVERSED, inside_groups, inside_labels
from dualstream.heads.diagnosis.signs.joins import LABELS, joins
from dualstream.heads.diagnosis.signs.kinds import scales_apart, two_kinds
from dualstream.heads.diagnosis.signs.normalised import normalised
from dualstream.heads.diagnosis.signs.structures import unlike_groups
from dualstream.heads.diagnosis.signs.unlike_pieces import unlike_piece
from dualstream.heads.diagnosis.signs.verdicts import imputed
from shapes import conversations

from tests.heads.diagnosis.signs.test_signs import damaged, of, signs_of

WHOLE = whole_corpora.planted(0)
TALKS = conversations(WHOLE, np.random.default_rng(0))


def sides(rng, dialogues=40, length=12, shared=0.8):
    """Rows of two streams that share four directions, and dialogues of some length."""
    common = rng.normal(size=(dialogues * length, 4))
    x, y = (shared * common + np.sqrt(1 - shared**2) * rng.normal(size=common.shape) for _ in range(2))
    return x, y, np.repeat(np.arange(dialogues), length)


def joined(table):
    """Return the signs that are asked of fills and joins."""
    before = {name: {int(i) for i in repeated_before(table, name)} for name in table.raw}
    found = tuple(one for name in table.raw for one in fills(table, name, before))
    return signs_of(table, fills=found, joins=joins(unfilled(table, found)))


def moved(y, group, which, way, starts):
    """Rows as they stand where those that belong to a place stand `way` places before it."""
    made = y.copy()
    for code, start in zip(which, starts, strict=True):
        run = np.flatnonzero(group == code)
        made[run] = made[run[::-1]] if way == REVERSED else made[run]
        if way != REVERSED:
            late = run[start:]
            made[late] = y[np.clip(late - way, run[0], run[-1])]
    return made


@pytest.mark.parametrize("way", [1, -1, 2, REVERSED])
def test_moved_dialogues_are_found_with_the_place_that_they_are_moved_from(way):
    rng = np.random.default_rng(0)
    x, y, group = sides(rng)
    which, starts = np.arange(0, 40, 2), rng.integers(0, 6, 20)
    stands = moved(y, group, which, way, starts)
    there = np.ones(len(x), dtype=bool)
    found = inside_groups(x, stands, (there, there), group)
    assert found.found and found.way == way and abs(found.dialogues - 20) <= 3 and found.asked == 40
    # a row that was put back is its own; those that fell off a dialogue's end are nobody's
    belongs = {tuple(row): place for place, row in enumerate(y)}
    right = np.mean([belongs[tuple(stands[source])] == place for place, source in enumerate(found.source)])
    before = np.mean([belongs[tuple(row)] == place for place, row in enumerate(stands)])
    assert before < 0.72 and right > 0.85


def test_dialogues_that_stand_right_are_not_moved():
    there = np.ones(480, dtype=bool)
    for seed in range(20):
        x, y, group = sides(np.random.default_rng(seed), shared=0.3 if seed % 2 else 0.7)
        assert not inside_groups(x, y, (there, there), group).found
        unrelated = np.random.default_rng(seed + 100).normal(size=y.shape)
        assert not inside_groups(x, unrelated, (there, there), group).found


def test_dialogues_are_asked_where_there_are_enough_of_them():
    x, y, group = sides(np.random.default_rng(0))
    there = np.ones(len(x), dtype=bool)
    assert inside_groups(x, y, (there, there), np.arange(len(x))) is None
    assert inside_groups(x, y, (there, there), group // 10) is None
    scattered = np.tile(np.arange(12), 40)  # no dialogue's rows follow each other
    assert inside_groups(x, y, (there, there), scattered) is None


@pytest.mark.parametrize(
    "how",
    [
        outside_damages.frames_of_another_rate,
        outside_damages.numbered_from_one,
        outside_damages.dialogues_backwards,
        outside_damages.a_clip_missing_in_dialogues,
    ],
)
def test_rows_that_stand_again_where_a_join_met_them_twice_are_no_filled_rows(how):
    made = joined(of(how(WHOLE, np.random.default_rng(0), 1.0)))
    assert [one.moved for one in made.joins if one.kind == "order" and one.other != LABELS]
    assert imputed(made) == ()


def test_filled_rows_move_no_others():
    made = joined(damaged(damages.filled_with_the_last))
    assert [one.kind for one in imputed(made)] == ["before"]
    assert not [one for one in made.joins if one.kind == "order"]


def test_utterances_that_were_drawn_again_are_no_filled_rows():
    table = of(outside_damages.balanced_on_disk(WHOLE, np.random.default_rng(0), 1.0))
    before = {name: {int(i) for i in repeated_before(table, name)} for name in table.raw}
    assert all(fills(table, name, before) == () for name in table.raw)
    assert drawn_again(table).tolist() == ["-drawn" in one for one in table.ids]
    assert not drawn_again(of(TALKS)).any()
    both = {name: rows.copy() for name, rows in of(TALKS).raw.items()}
    lost = np.random.default_rng(0).permutation(len(TALKS.ids))[:60]
    for rows in both.values():
        rows[lost] = rows.mean(axis=0)  # of anybody, in any class: what a loader puts where a clip is broken
    table = replace(of(TALKS), raw=both)
    assert [one.kind for name in table.raw for one in fills(table, name, before)] == ["mean", "mean"]


def test_a_piece_from_another_layer_is_found_among_speakers_who_take_turns():
    table = of(outside_features.another_layer_at_the_end(WHOLE, np.random.default_rng(0), 1.0))
    found = {name: unlike_piece(table, name, table.there[name]) for name in table.raw}
    (one,) = [own for own in found.values() if own is not None]
    truth = np.arange(len(table)) >= len(table) * 2 / 3
    assert one.by == "row" and (one.rows == truth).mean() > 0.9 and one.likeness < 0.8 * one.usual
    kinds = [two_kinds(table, name) for name in table.raw]
    assert [one.by for one in kinds if one is not None] == ["row"]


def test_pieces_of_clean_tables_are_alike():
    for table in (of(TALKS), of(WHOLE), of(outside_damages.few_turns(WHOLE, np.random.default_rng(1), 1.0))):
        assert all(unlike_piece(table, name, table.there[name]) is None for name in table.raw)
    by_class = of(WHOLE.take(np.argsort(WHOLE.features.emotion, kind="stable")))
    assert all(unlike_piece(by_class, name, by_class.there[name]) is None for name in by_class.raw)


def test_a_split_by_a_later_checkpoint_is_of_another_kind():
    table = of(outside_features.dev_of_another_checkpoint(WHOLE, np.random.default_rng(0), 1.0))
    found = [unlike_groups(table, name, table.there[name]) for name in table.raw]
    (one,) = [own for own in found if own is not None]
    assert one.by == "split" and np.array_equal(one.rows, table.dev)
    for seed in range(4):
        clean = of(whole_corpora.planted(seed, speakers=12))
        assert all(unlike_groups(clean, name, clean.there[name]) is None for name in clean.raw)


def test_random_numbers_are_no_other_scale():
    rng = np.random.default_rng(0)
    rows = WHOLE.rows["audio"]
    small = np.arange(len(rows)) < 200
    larger = np.where(small[:, None], 100 * rows, rows)
    group, _, factor = scales_apart(larger)
    assert np.array_equal(group, small) and abs(factor - 100) < 10
    assert scales_apart(np.where(small[:, None], 100 * rng.random(rows.shape), rows)) is None


def test_two_people_are_no_two_kinds_of_rows():
    two = WHOLE.take(np.flatnonzero(WHOLE.features.speaker < 2))
    rows = {name: own + 40 * own.std(axis=0) * two.features.speaker[:, None] for name, own in two.rows.items()}
    table = of(two.having(rows))
    assert all(two_kinds(table, name) is None for name in table.raw)


def test_utterances_of_nothing_say_nothing_of_masks():
    table = of(outside_damages.padding_kept(WHOLE, np.random.default_rng(0), 1.0))
    assert all(missing_by_class(table, name) is None for name in table.raw)
    lost = of(outside_features.faces_lost_by_class(WHOLE, np.random.default_rng(0), 1.0))
    found = [missing_by_class(lost, name) for name in lost.raw]
    assert [one.found for one in found if one is not None] == [True]


def test_speakers_who_are_normalised_each_are_so_in_both_splits():
    """A column that stands still for one speaker of train makes the deviation of its split less than 1."""
    table = of(WHOLE)
    rows = table.raw["audio"].copy()
    for code in np.unique(table.speaker):
        mine = table.speaker == code
        rows[mine] -= rows[mine].mean(axis=0)
        rows[mine] /= rows[mine].std(axis=0)
    rows[table.speaker == 0, ::4] = 0
    assert normalised(replace(table, raw={**table.raw, "audio": rows}), "audio", table.there["audio"]) is None
    rows[~table.dev] *= 3
    found = normalised(replace(table, raw={**table.raw, "audio": rows}), "audio", table.there["audio"])
    assert found is not None and np.array_equal(found.rows, table.dev)


def test_rows_that_say_their_own_labels_are_found_where_streams_share_nothing_else():
    """Two streams of one corpus's classes, with nothing of a clip in common."""
    rng = np.random.default_rng(0)
    label = rng.integers(0, 5, 480)
    log_p = np.log(np.where(np.arange(5) == label[:, None], 0.6, 0.1))
    group, there = np.repeat(np.arange(40), 12), np.ones(480, dtype=bool)
    assert not inside_labels(log_p, label, there, group).found
    stands = moved(log_p, group, np.arange(0, 40, 2), REVERSED, [0] * 20)
    found = inside_labels(stands, label, there, group)
    assert found.found and found.way == REVERSED and abs(found.dialogues - 20) <= 3
    assert not inside_labels(stands, rng.permutation(label), there, group).found
    table = of(TALKS)
    rows = {name: np.random.default_rng(n).normal(size=(len(table), 8)) for n, name in enumerate(table.raw)}
    told = np.random.default_rng(5).normal(size=(7, 8)) * 3
    rows = {name: own + told[table.label] for name, own in rows.items()}
    runs = [np.flatnonzero(table.dialogue == code) for code in np.unique(table.dialogue)[::2]]
    for run in runs:
        rows["video"][run] = rows["video"][run[::-1]]
    found = [one for one in joins(replace(table, raw=rows)) if one.kind == "order"]
    assert [(one.moved, one.other) for one in found] == [("video", LABELS)]
