"""The mistakes that studies plant: each changes a corpus, and does what its words say."""

from __future__ import annotations

import numpy as np
import pytest
import whole_corpora
from classic_damages import CLASSIC
from dualstream.heads.diagnosis import causes
from study_damages import unchanged
from unseen_damages import UNSEEN

WHOLE = whole_corpora.planted(0, speakers=12)


def damaged(name, whole=WHOLE, seed=0):
    return (UNSEEN | CLASSIC)[name][0](whole, np.random.default_rng(seed), 1.0)


def moved(name):
    """Return the stream that a damage changed, before and after."""
    made = damaged(name)
    (stream,) = [one for one, rows in WHOLE.rows.items() if (rows != made.rows[one]).any()]
    return WHOLE.rows[stream], made.rows[stream], made


@pytest.mark.parametrize("name", UNSEEN | CLASSIC)
def test_each_changes_a_corpus_and_leaves_it_whole(name):
    made = damaged(name)
    assert not unchanged(WHOLE, made)
    assert len(set(made.ids)) == len(made.ids) == len(made.dev) == len(made.features)
    assert all(np.isfinite(rows).all() for rows in made.rows.values())
    assert 0 <= made.features.emotion.min() <= made.features.emotion.max() < len(made.features.emotion_names)
    assert made.dev.any() and not made.dev.all()


@pytest.mark.parametrize("name", UNSEEN)
def test_what_is_right_is_a_cause(name):
    assert set(UNSEEN[name][1]) <= set(causes.names())


def test_a_mistake_of_speakers_changes_nothing_where_nobody_is_named():
    nobody = WHOLE.having(speaker=np.full(len(WHOLE.ids), -1))
    assert unchanged(nobody, damaged("speakers random", nobody))
    assert not unchanged(nobody, damaged("30 % of labels random", nobody))


def test_rows_of_two_processes_stand_one_after_the_other():
    before, after, _ = moved("rows gathered from two processes")
    assert (after[:3] == before[[0, 2, 4]]).all() and (after[-2:] == before[[-3, -1]]).all()


def test_folders_stand_in_the_order_of_strings():
    before, after, _ = moved("speakers' folders sorted as strings")  # 0, 1, 10, 11, 2
    one, two = (np.flatnonzero(WHOLE.features.speaker == code) for code in (1, 2))
    assert (after[one] == before[one]).all()
    assert (after[two] == before[WHOLE.features.speaker == 10]).all()


def test_decimals_without_their_comma_lose_the_noughts_at_their_end():
    rows = {name: np.tile([0.52, 1.234, -0.1, 0.0], (len(own), 1)) for name, own in WHOLE.rows.items()}
    made = damaged("decimal commas lost, four speakers", WHOLE.having(rows))
    found = np.unique(np.concatenate(list(made.rows.values())), axis=0)
    np.testing.assert_allclose(found, [[0.52, 1.234, -0.1, 0.0], [52, 1234, -1, 0]], rtol=1e-6)


def test_interpolated_rows_lie_halfway_between_two_that_stand():
    before, after, _ = moved("30 % interpolated between their neighbours")
    filled = (before != after).any(axis=1)
    alone = np.flatnonzero(filled[1:-1] & ~filled[:-2] & ~filled[2:]) + 1
    assert len(alone) > 30
    np.testing.assert_allclose(after[alone], (before[alone - 1] + before[alone + 1]) / 2, rtol=1e-5, atol=1e-5)


def test_codes_of_each_split_are_those_of_a_vocabulary_without_a_class():
    made = damaged("a class missing in dev, codes after it lower")
    name = np.array([one.split("-")[1] for one in made.ids])[made.dev]
    vocabulary = [one[:3] for one in WHOLE.features.emotion_names if one[:3] in name]
    assert len(vocabulary) == 6
    assert made.features.emotion[made.dev].tolist() == [vocabulary.index(one) for one in name]
