"""Blocks of rows in each other's place: whole speakers, whole splits, files of several workers."""

from __future__ import annotations

import numpy as np
import pytest
import whole_corpora
from dualstream.heads.diagnosis import causes
from dualstream.heads.diagnosis.signs.crossed import crossed
from dualstream.heads.diagnosis.signs.joins import joins
from dualstream.heads.diagnosis.signs.orders import rearrangements
from dualstream.heads.diagnosis.signs.split_joins import split_joins

from tests.heads.diagnosis.measured import evidence
from tests.heads.diagnosis.signs.test_signs import WHOLE, of, signs_of

SPEAKER = WHOLE.features.speaker
MANY = whole_corpora.planted(0)


def moved(source, name="video", whole=WHOLE):
    return of(whole.having({**whole.rows, name: whole.rows[name][source]}))


def test_speakers_who_have_each_others_rows_are_named_in_pairs():
    speaker = MANY.features.speaker
    source = np.arange(len(speaker))
    for one, other in ((2, 3), (6, 9)):
        mine, theirs = (np.flatnonzero(code == speaker) for code in (one, other))
        source[mine], source[theirs] = theirs, mine
    assert crossed(of(MANY)) == ()
    table = moved(source, whole=MANY)
    found = crossed(table)
    assert {one.speakers for one in found} == {(2, 3), (6, 9)}
    told = causes.REGISTRY.get("wrong_join").rule(evidence(signs=signs_of(table, crossed=found)))
    assert told is not None and set(told.speakers) == {"2", "3", "6", "9"}
    assert set(told.utterances) == {table.ids[i] for i in np.flatnonzero(np.isin(speaker, (2, 3, 6, 9)))}


def test_rows_that_were_shuffled_inside_of_two_speakers_are_not_each_others():
    rng, source = np.random.default_rng(0), np.arange(len(SPEAKER))
    for code in (2, 3):
        mine = np.flatnonzero(code == SPEAKER)
        source[mine] = rng.permutation(mine)
    assert crossed(moved(source)) == ()


def dev_first():
    train, dev = np.flatnonzero(~WHOLE.dev), np.flatnonzero(WHOLE.dev)
    source = np.empty(len(SPEAKER), dtype=np.int64)
    source[np.r_[train, dev]] = np.r_[dev, train]
    return source


@pytest.mark.parametrize(
    "source",
    [
        dev_first(),
        np.argsort(SPEAKER.astype(str), kind="stable"),
        np.argsort(np.arange(len(SPEAKER)) % 4, kind="stable"),
    ],
    ids=["dev first", "names as strings", "four workers"],
)
def test_blocks_in_another_order_are_put_back(source):
    table = moved(source)
    (one, *_) = joins(table)
    assert one.kind == "order" and one.best_z > 1.5 * one.z
    back = np.array(one.source)
    want = np.argsort(source, kind="stable") if one.moved == "video" else source
    np.testing.assert_array_equal(back, want)


def test_splits_that_stand_apart_in_the_table_change_places_in_files_of_both():
    """Dev's speakers stand among train's in the table; the files of both streams hold splits one after the other."""
    dev = np.isin(SPEAKER, (1, 5, 8))
    whole = WHOLE.__class__(WHOLE.features, dev, WHOLE.ids)
    train, held = np.flatnonzero(~dev), np.flatnonzero(dev)
    ways = dict(rearrangements(of(whole)))
    source = ways["a table of both splits that begins with train"]
    np.testing.assert_array_equal(source[np.r_[train, held]], np.r_[held, train])


def test_train_is_shuffled_where_dev_agrees_little_and_train_would_agree_much():
    whole = whole_corpora.planted(3)
    train = np.flatnonzero(~whole.dev)
    source = np.arange(len(whole.ids))
    source[train] = np.random.default_rng([3, 1]).permutation(train)
    (found,) = split_joins(of(whole.having({**whole.rows, "video": whole.rows["video"][source]})))
    assert found.split == "train" and found.z < 3 < 9 < found.expected and split_joins(of(whole)) == ()
