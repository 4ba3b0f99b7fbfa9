"""Mistakes in a part of a corpus: which rows, labels, speakers and columns, and none where the corpus is clean."""

from __future__ import annotations

import damages
import more_damages
import numpy as np
import partial_damages
import pytest
import shapes
import whole_corpora
from dualstream.heads.diagnosis import causes
from dualstream.heads.diagnosis.outlying import Outlying
from dualstream.heads.diagnosis.signs.fills import fills
from dualstream.heads.diagnosis.signs.joins import LABELS, joins
from dualstream.heads.diagnosis.signs.label_columns import columns_of_labels
from dualstream.heads.diagnosis.signs.lost_classes import lost_classes
from dualstream.heads.diagnosis.signs.noisy_groups import noisy_groups
from dualstream.heads.diagnosis.signs.numbered import numbered
from dualstream.heads.diagnosis.signs.remedies import _without_columns
from dualstream.heads.diagnosis.signs.same_streams import same_streams
from dualstream.heads.diagnosis.signs.speaker_joins import speakers_apart
from dualstream.heads.diagnosis.signs.split_joins import split_joins
from dualstream.heads.diagnosis.signs.stretches import LARGEST, Path, called, path
from dualstream.heads.diagnosis.signs.table import few_values
from dualstream.heads.diagnosis.signs.values import put_values

from tests.heads.diagnosis.measured import evidence
from tests.heads.diagnosis.signs.test_signs import WHOLE, damaged, of, signs_of


def changed(how, seed=0, whole=WHOLE):
    """Return the table, and the places whose row or label the damage changed."""
    made = how(whole, np.random.default_rng(seed), 1.0)
    other = np.zeros(len(whole.ids), dtype=bool)
    for name, rows in whole.rows.items():
        other |= (rows != made.rows[name]).any(axis=1)
    return of(made), set(np.flatnonzero(other | (whole.features.emotion != made.features.emotion)).tolist())


def overlap(found, truth):
    """Return precision and recall."""
    right = len(set(found) & truth)
    return right / max(1, len(set(found))), right / max(1, len(truth))


def put(table):
    none = np.zeros(len(table), dtype=bool)
    return [one for name in table.raw if (one := put_values(table, name, none)) is not None]


@pytest.mark.parametrize(
    "whole",
    [
        WHOLE,
        shapes.conversations(WHOLE, np.random.default_rng(0)),
        shapes.three_streams(WHOLE, np.random.default_rng(0)),
    ],
    ids=["actors", "conversations", "three streams"],
)
def test_a_clean_corpus_has_none_of_them(whole):
    table = of(whole)
    assert all(one.kind == "related" for one in joins(table))
    assert not (split_joins(table) or noisy_groups(table) or lost_classes(table) or put(table))
    assert not columns_of_labels(table) and not same_streams(table) and numbered(table) is None


def test_the_likeliest_path_is_the_best_of_all_paths():
    """Two rows and a switch: by hand. A shift pays where it gains more than it costs to change to it."""
    gains = np.zeros((40, 2 * LARGEST + 1))
    gains[:, LARGEST] = 1.0
    gains[20:, LARGEST + 2] = 3.0
    border = np.zeros(40, dtype=bool)
    found = path(gains, border)
    assert found.shift.tolist() == [0] * 20 + [2] * 20
    assert found.gain == pytest.approx(20 * 1.0 + 20 * 3.0 - 14.0)
    gains[20:, LARGEST + 2] = 1.5  # ten in all, less than a change costs
    assert not path(gains, border).shift.any()
    border[20] = True
    assert path(gains, border).shift.any()  # where a speaker's rows begin it costs less


def test_stretches_are_called_by_their_ends():
    ids = tuple("abcdef")
    assert (
        called(Path(np.array([0, 0, 1, 1, -2, -2]), 99.0), ids)
        == "1 row later from c to d and 2 rows earlier from e to f"
    )
    assert called(Path(np.full(6, 2), 99.0), ids) == "2 rows later over the whole table"


@pytest.mark.parametrize(
    ("how", "words"),
    [
        (partial_damages.one_row_dropped, "1 row earlier from a06-neu-1-1-1 to a11-ang-2-2-2"),
        (partial_damages.five_rows_late, "5 rows later over the whole table"),
        (partial_damages.neighbours_swapped, "the other of each two rows"),
        (more_damages.dev_shifted, None),
    ],
)
def test_rows_that_are_late_in_a_part_are_put_back(how, words):
    table, truth = changed(how)
    (one, *_) = joins(table)
    assert one.kind == "order"
    back = {"earlier": "later", "later": "earlier"}
    other = words and " ".join(back.get(word, word) for word in words.split())
    assert words is None or one.best in (words, other)
    moved = [place for place, source in enumerate(one.source) if place != source]
    precision, recall = overlap(moved, truth)
    assert precision > 0.95 and recall > 0.95
    told = causes.REGISTRY.get("wrong_join").rule(evidence(signs=signs_of(table, joins=(one,))))
    assert told is not None and one.best in told.advice


def test_rows_are_taken_from_where_they_are():
    """A stream that is a row late: what belongs to a place stands in the next one."""
    table = of(damages._moved(WHOLE, "video", np.roll(np.arange(len(WHOLE.ids)), 1)))
    (one, *_) = joins(table)
    put_back = {"audio": "1 row earlier over the whole table", "video": "1 row later over the whole table"}
    assert one.best == put_back[one.moved]


def test_labels_that_are_late_in_dev_stand_wrong_against_all_streams():
    table, truth = changed(more_damages.dev_labels_late)
    found = joins(table)
    assert [one.kind for one in found] == ["related", "order", "order"]
    assert {one.other for one in found[1:]} == {LABELS} and len({one.best for one in found[1:]}) == 1
    moved = {place for place, source in enumerate(found[1].source) if place != source}
    assert truth <= moved <= set(np.flatnonzero(table.dev).tolist())


def test_labels_at_random_in_dev_are_noise_there_and_no_shift():
    table, truth = changed(more_damages.dev_labels_random)
    assert all(one.kind == "related" for one in joins(table))
    (split,) = (one for one in noisy_groups(table) if one.by == "split")
    share = len(truth) / table.dev.sum()
    precision, recall = overlap(split.utterances, truth)
    assert split.group == 1 and abs(split.rate - share) < 0.06 and precision > 0.85 and recall > 0.8
    told = causes.REGISTRY.get("label_noise").rule(evidence(signs=signs_of(table, noisy_groups=(split,))))
    assert told is not None and "of dev about" in told.text


def test_one_speaker_is_late():
    how = more_damages.late_for_one_speaker
    made = how(WHOLE, np.random.default_rng(3), 1.0)
    found = [one for one in speakers_apart(of(made)) if one.shift]
    (speaker,) = {
        int(s) for n in WHOLE.rows for s in made.features.speaker[(WHOLE.rows[n] != made.rows[n]).any(axis=1)]
    }
    assert {one.speaker for one in found} == {speaker} and abs(found[0].shift) == 1


def test_a_class_that_half_of_the_speakers_lack_has_another_name():
    table, truth = changed(more_damages.one_class_renamed)
    (one,) = lost_classes(table)
    precision, recall = overlap(one.utterances, truth)
    assert precision > 0.85 and recall > 0.85 and one.p_value < 1e-3
    assert set(one.speakers) == set(table.speaker[list(truth)].tolist())
    told = causes.REGISTRY.get("wrong_labels").rule(
        evidence(signs=signs_of(table, classes=table.classes, lost_classes=(one,)))
    )
    assert told is not None and set(told.utterances) == {table.ids[place] for place in one.utterances}


@pytest.mark.parametrize("how", [partial_damages.train_shuffled, more_damages.dev_shuffled])
def test_a_split_that_is_shuffled_is_named(how):
    table, truth = changed(how, whole=whole_corpora.planted(0))
    (one,) = split_joins(table)
    assert {one.split} == {
        "dev" if table.dev[place] else "train" for place in truth
    } and one.z < 3 < 9 < one.expected


def test_values_that_come_back_are_named_where_they_stand():
    for how, kind in (
        (partial_damages.sentinel_column, "value"),
        (partial_damages.columns_constant_for_half, "stuck"),
        (partial_damages.dev_columns_constant, "stuck"),
    ):
        table, truth = changed(how)
        (one,) = put(table)
        assert one.kind == kind and overlap(one.utterances, truth) == (1.0, 1.0)


def test_zeros_that_fill_the_end_of_rows_are_no_limit():
    """Columns that are zero by themselves now and then, as action units are."""
    rng = np.random.default_rng(0)
    rows = {name: np.maximum(one - np.quantile(one, 0.15, axis=0), 0) for name, one in WHOLE.rows.items()}
    clean = WHOLE.having(rows)
    assert not put(of(clean))
    some = rng.random(len(WHOLE.ids)) < 0.15
    rows["video"][some, 24:] = 0
    (one,) = put(of(clean.having(rows)))
    assert one.value == 0 and set(np.flatnonzero(some).tolist()) <= set(one.utterances)
    assert len(one.utterances) <= some.sum() + 6


@pytest.mark.parametrize(
    ("how", "columns"), [(partial_damages.label_in_a_sum, 5), (partial_damages.answers_of_a_model, 7)]
)
def test_columns_that_are_the_label_together(how, columns):
    table = damaged(how)
    found = columns_of_labels(table)
    assert len(found) == columns and all(one.together for one in found)
    told = causes.REGISTRY.get("label_in_column").rule(evidence(signs=signs_of(table, label_columns=found)))
    assert told is not None and "together" in told.text
    assert _without_columns(np.ones((4, 2)), [0, 1]).shape == (4, 1)


def test_a_stream_that_is_another_one_in_other_rounding():
    assert [(one.one, one.other) for one in same_streams(damaged(partial_damages.third_is_the_first))] == [
        ("audio", "pose")
    ]


def test_rows_of_one_speaker_for_all_are_no_few_values():
    table = damaged(partial_damages.joined_on_the_number)
    assert not any(few_values(rows) for rows in table.raw.values())
    found = [one for name in table.raw for one in fills(table, name, {})]
    assert any(len(one.utterances) == len(table) for one in found)
    (filled,) = (one for one in found if len(one.utterances) == len(table))
    odd = Outlying(filled.stream, len(table), 9, 30.0)
    rule = causes.REGISTRY.get("outlying_rows").rule
    assert rule(evidence(outlying=(odd,), signs=signs_of(table))) is not None
    assert rule(evidence(outlying=(odd,), signs=signs_of(table, fills=(filled,)))) is None


def test_speakers_who_are_numbered_inside_of_dialogues():
    found = numbered(damaged(partial_damages.speakers_by_turn))
    assert found is not None and found.p_value > 0.05 and found.apart_z > 6
    told = causes.REGISTRY.get("wrong_speakers").rule(evidence(signs=signs_of(of(WHOLE), numbered=found)))
    assert told is not None and "numbered inside of each dialogue" in told.text
