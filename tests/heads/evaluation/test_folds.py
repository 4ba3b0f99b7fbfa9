"""Folds keep groups whole and balanced; `auto` picks what stays the same where heads are used."""

from dataclasses import replace

import numpy as np
import pytest
from dualstream.heads.evaluation import folds

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
    train = noise_corpus(90, speakers=6, dialogue_length=1)
    dev = noise_corpus(30, speakers=3, first_speaker=6, dialogue_length=1)
    assert folds.groups_of(train, "auto", dev)[1] == "speaker"
    assert folds.groups_of(train, "auto", noise_corpus(30, speakers=3))[1] == "dialogue"
    assert folds.groups_of(noise_corpus(90, speakers=6))[1] == "dialogue"
    assert folds.groups_of(noise_corpus(90, speakers=6, dialogue_length=1))[1] == "speaker"


def test_groups_of_fails():
    with pytest.raises(ValueError, match="no folds are called 'actor'"):
        folds.groups_of(noise_corpus(9), "actor")
    with pytest.raises(ValueError, match="fold by dialogue"):
        folds.groups_of(noise_corpus(9, speakers=0), "speaker")


def sessions(pairs=5, dialogues=4, turns=6):
    """Two speakers a session who share all its dialogues, as in IEMOCAP."""
    session = np.repeat(np.arange(pairs), dialogues * turns)
    speaker = 2 * session + np.arange(len(session)) % 2
    return session, speaker, np.arange(len(session)) // turns


def test_who_share_a_dialogue_are_one_group():
    session, speaker, dialogue = sessions()
    np.testing.assert_array_equal(folds.connected(speaker, dialogue), session)
    # by hand: A and B share d0, B and C share d1, D is alone; an unknown speaker stands with its dialogue
    found = folds.connected(np.array([0, 1, 1, 2, 3, -1, -1]), np.array([0, 0, 1, 1, 2, 2, 3]))
    assert found.tolist() == [0, 0, 0, 0, 1, 1, 2]


@pytest.mark.parametrize("seed", range(5))
def test_connected_groups_are_the_components_of_the_graph(seed):
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    rng = np.random.default_rng(seed)
    speaker, dialogue = rng.integers(0, 60, 80), rng.integers(0, 60, 80)
    graph = coo_array((np.ones(80), (speaker, 60 + dialogue)), shape=(120, 120))
    expected = connected_components(graph, directed=False)[1][speaker]
    found = folds.connected(speaker, dialogue)
    assert len(set(zip(expected, found, strict=True))) == len(set(expected)) == len(set(found))


def test_speakers_are_held_out_with_their_dialogues():
    session, speaker, dialogue = sessions()
    train = replace(noise_corpus(120), speaker=speaker, dialogue=dialogue)
    dev = noise_corpus(30, speakers=3, first_speaker=90, dialogue_length=1)
    groups, kind = folds.groups_of(train, "auto", dev)
    assert kind == "speaker"
    np.testing.assert_array_equal(groups, session)
    fold = folds.fold_codes(groups, train.emotion, 5)
    for codes in (speaker, dialogue, session):
        assert all(len(np.unique(fold[codes == code])) == 1 for code in np.unique(codes))


def test_speakers_who_all_talk_to_each_other_leave_dialogues():
    """Six friends: every speaker is connected to every other, as in MELD."""
    train = noise_corpus(90, speakers=6)
    assert folds.groups_of(train, "auto", noise_corpus(30, speakers=3, first_speaker=6))[1] == "dialogue"
    with pytest.raises(ValueError, match=r"6 speakers are connected .*90 of 90 .*fold by dialogue"):
        folds.groups_of(train, "speaker")


def test_one_unknown_speaker_leaves_dialogues():
    train = noise_corpus(90, speakers=6, dialogue_length=1)
    dev = noise_corpus(30, speakers=3, first_speaker=6, dialogue_length=1)
    assert folds.groups_of(train, "auto", dev)[1] == "speaker"
    partly = replace(train, speaker=np.where(np.arange(90) == 7, -1, train.speaker))
    groups, kind = folds.groups_of(partly, "auto", dev)
    assert kind == "dialogue"
    np.testing.assert_array_equal(groups, partly.dialogue)
    with pytest.raises(ValueError, match="the speaker of 1 of 90 utterances is unknown"):
        folds.groups_of(partly, "speaker")
