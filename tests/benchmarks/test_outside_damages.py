"""The mistakes from outside of the other sets: each changes a corpus, by its seed alone, and does what it says."""

from __future__ import annotations

import numpy as np
import pytest
import whole_corpora
from dualstream.heads.diagnosis import causes
from outside_damages import OUTSIDE
from shapes import conversations
from study_damages import SETS, unchanged

WHOLE = whole_corpora.planted(0, speakers=12)
TALK = conversations(WHOLE, np.random.default_rng(0))


def damaged(name, strength=1.0):
    return OUTSIDE[name][0](WHOLE, np.random.default_rng(0), strength)


def before(made):
    """Return the corpus that a damage changed: as it was, or as dialogues."""
    return TALK if len(np.unique(made.features.dialogue)) < len(made.ids) else WHOLE


def moved(name):
    """Return the stream that a damage changed, before and after, and the corpus after."""
    made = damaged(name)
    (stream,) = [one for one, rows in before(made).rows.items() if (rows != made.rows[one]).any()]
    return before(made).rows[stream], made.rows[stream], made


@pytest.mark.parametrize("strength", [0.5, 1.0, 1.5])
@pytest.mark.parametrize("name", OUTSIDE)
def test_each_changes_a_corpus_and_leaves_it_whole(name, strength):
    made = damaged(name, strength)
    was = WHOLE if name == "nothing, few turns" else before(made)
    assert not unchanged(was, made)
    assert unchanged(made, damaged(name, strength))
    assert len(set(made.ids)) == len(made.ids) == len(made.dev) == len(made.features)
    assert all(np.isfinite(rows).all() for rows in made.rows.values())
    assert 0 <= made.features.emotion.min() <= made.features.emotion.max() < len(made.features.emotion_names)
    assert made.dev.any() and not made.dev.all()


@pytest.mark.parametrize("name", OUTSIDE)
def test_what_is_right_is_a_cause(name):
    assert set(OUTSIDE[name][1]) <= set(causes.names())
    assert bool(OUTSIDE[name][1]) != name.startswith("nothing, ")


def test_no_name_stands_in_two_sets():
    names = [name for key, one in SETS.items() if key != "classic" for name in one]
    assert len(names) == len(set(names))


def test_the_last_utterance_numbered_from_one_has_its_own_row():
    rows, after, made = moved("utterances numbered from one")
    last = np.diff(made.features.dialogue, append=-1) != 0
    assert (after[last] == rows[last]).all()
    assert (after[:-1][~last[:-1]] == rows[1:][~last[:-1]]).all()


def test_frames_of_another_rate_are_a_sixth_too_early():
    rows, after, _ = moved("frames of another rate")
    assert (after[:8] == rows[[0, 0, 1, 2, 3, 4, 5, 5]]).all()


def test_who_answers_is_the_next_other_person_of_the_dialogue():
    label, speaker = TALK.features.emotion, TALK.features.speaker
    made = damaged("labels of who answers").features.emotion
    first = np.flatnonzero(TALK.features.dialogue == 0)
    for place in first[:4]:
        answer = next(i for i in first if i > place and speaker[i] != speaker[place])
        assert made[place] == label[answer]


def test_ties_go_to_the_first_by_alphabet():
    names = np.array(WHOLE.features.emotion_names)
    one, other = names[WHOLE.features.emotion], names[damaged("ties by alphabet").features.emotion]
    assert (other <= one).all()
    assert 0.1 < (other < one).mean() < 0.3


def test_bytes_in_the_other_order_are_swapped():
    rows, after, made = moved("three speakers in the other byte order")
    some = (rows != after).any(axis=1)
    assert len(np.unique(made.features.speaker[some])) == 3
    unit = 32_767 / np.abs(rows).max()
    pairs = np.rint(rows[some] * unit).astype("<i2"), np.rint(after[some] * unit).astype("<i2")
    assert pairs[0].tobytes()[:2] == pairs[1].tobytes()[1::-1]
    assert (pairs[0].byteswap() == pairs[1]).all()


def test_columns_read_as_rows_keep_a_speakers_values():
    rows, after, made = moved("four speakers' columns read as rows")
    some = np.flatnonzero((rows != after).any(axis=1))
    mine = made.features.speaker == made.features.speaker[some[0]]
    assert (np.sort(after[mine], axis=None) == np.sort(rows[mine], axis=None)).all()
    assert (after[mine][0] == np.r_[rows[mine][:, 0], rows[mine][:, 1]][: rows.shape[1]]).all()


def test_what_is_wrapped_around_stays_in_its_range():
    rows, after, _ = moved("values wrapped around")
    wrapped = rows != after
    low, high = np.quantile(rows, [0.03, 0.97], axis=0)
    assert ((after >= low - 1e-3) & (after <= high + 1e-3)).all()
    assert ((rows < low + 1e-3) | (rows > high - 1e-3))[wrapped].all()


def test_padding_is_neutral_nothing_at_the_ends_of_dialogues():
    made = damaged("padding kept as utterances")
    new = ~np.isin(made.ids, TALK.ids)
    assert new.any() and not made.features.emotion[new].any()
    assert not any(rows[new].any() for rows in made.rows.values())
    assert np.bincount(made.features.dialogue).min() >= 16
    assert not (new[:-1] & ~new[1:] & (np.diff(made.features.dialogue) == 0)).any()


def test_a_sampler_balances_each_split():
    made = damaged("a balancing sampler's batches on disk")
    for part in (made.dev, ~made.dev):
        assert len(set(np.bincount(made.features.emotion[part]))) == 1


def test_no_clip_of_dev_is_left_out_of_dev_where_train_holds_it_too():
    made = damaged("train's file with dev in it")
    count = len(WHOLE.ids)
    assert (made.dev[:count] == WHOLE.dev).all() and not made.dev[count:].any()
    assert set(made.features.speaker[count:]) <= set(WHOLE.features.speaker[WHOLE.dev])


def test_an_absent_stream_is_marked():
    made = damaged("nothing, two people marked as absent")
    gone = [~one.present for one in made.features.streams.values() if not one.present.all()]
    assert len(gone) == 1
    assert len(np.unique(made.features.speaker[gone[0]])) == 2
