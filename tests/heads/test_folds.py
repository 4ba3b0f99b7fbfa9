"""Folds keep groups whole and balanced; `auto` picks what stays the same where heads are used."""

import numpy as np
import pytest

from heads import folds
from tests.heads.small_corpora import noise_corpus


@pytest.mark.parametrize("seed", range(5))
def test_groups_are_whole_and_held_out_once(seed):
    rng = np.random.default_rng(seed)
    groups = rng.choice(40, 300, p=rng.dirichlet(np.ones(40) * 2))
    labels = rng.integers(-1, 5, 300)
    seen = np.zeros(300, int)
    for train, held in folds.group_folds(groups, labels, 5, seed):
        assert not set(groups[train]) & set(groups[held])
        assert len(train) + len(held) == 300 and len(held)
        seen[held] += 1
    assert (seen == 1).all()


def test_class_counts_are_alike():
    labels = np.repeat([0, 0, 0, 1], 100)
    groups = np.arange(400) // 10  # groups of one class each
    for _, held in folds.group_folds(groups, labels, 5):
        assert np.bincount(labels[held]).tolist() == [60, 20]


def test_fewer_groups_than_folds():
    assert folds.fold_codes(np.array([3, 3, 8]), np.zeros(3, int), 5).max() == 1


def test_one_huge_group_leaves_no_fold_empty():
    groups = np.concatenate([np.zeros(1000, int), [1, 2, 3]])
    assert set(folds.fold_codes(groups, np.zeros(1003, int), 4)) == {0, 1, 2, 3}


def test_one_group_fails():
    with pytest.raises(ValueError, match="two groups or more"):
        folds.fold_codes(np.zeros(9, int), np.zeros(9, int), 3)


def test_auto_takes_speakers_where_dev_has_new_people():
    train, dev = noise_corpus(90, speakers=6), noise_corpus(30, speakers=3, first_speaker=6)
    assert folds.groups_of(train, "auto", dev)[1] == "speaker"
    assert folds.groups_of(train, "auto", noise_corpus(30, speakers=3))[1] == "dialogue"
    assert folds.groups_of(train)[1] == "dialogue"
    assert folds.groups_of(noise_corpus(90, speakers=6, dialogue_length=1))[1] == "speaker"


def test_groups_of_fails():
    with pytest.raises(ValueError, match="no folds are called 'actor'"):
        folds.groups_of(noise_corpus(9), "actor")
    with pytest.raises(ValueError, match="fold by dialogue"):
        folds.groups_of(noise_corpus(9, speakers=0), "speaker")
