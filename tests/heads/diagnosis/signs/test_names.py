"""What classes and people are called: some rows of a class under another name, and two people under one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import shapes
import whole_corpora
from dualstream.heads.diagnosis import causes
from dualstream.heads.diagnosis.signs import verdicts
from dualstream.heads.diagnosis.signs.accused import vouched
from dualstream.heads.diagnosis.signs.confusions import _loss, confusions
from dualstream.heads.diagnosis.signs.noisy_groups import noisy_groups
from dualstream.heads.diagnosis.signs.numbered import numbered
from dualstream.heads.diagnosis.signs.renumbered import renumbered
from dualstream.heads.diagnosis.signs.same_speakers import _told_apart
from dualstream.heads.diagnosis.signs.told import told_labels
from dualstream.heads.diagnosis.signs.two_people import two_people
from dualstream.heads.diagnosis.signs.wrong_codes import ask_labels

from tests.heads.diagnosis.measured import evidence
from tests.heads.diagnosis.signs.test_signs import WHOLE, of, signs_of

NAMES = whole_corpora.EMOTIONS
LABEL = WHOLE.features.emotion
SHARE = 0.3
ORDER = np.roll(np.arange(7), 2)


def some(share=SHARE, seed=0):
    return np.random.default_rng(seed).random(len(LABEL)) < share


def test_right_labels_have_one_name_each():
    found = confusions(of(whole_corpora.planted(0, speakers=6)))
    assert not found.found and found.gain < 5 and found.rate < 0.02


@pytest.mark.slow
def test_overlapping_classes_are_not_called_by_each_others_names():
    """Half of the rows of two classes are one cloud: their labels are unsure, and right."""
    rows = {name: own.copy() for name, own in WHOLE.rows.items()}
    pair = np.flatnonzero((LABEL == 1) | (LABEL == 2))
    for own in rows.values():
        means = [own[code == LABEL].mean(axis=0) for code in (1, 2)]
        own[pair] += 0.4 * np.where((LABEL[pair] == 1)[:, None], means[1] - means[0], means[0] - means[1])
    found = confusions(of(WHOLE.having(rows)))
    assert not found.found and not found.pairs


def test_another_order_of_the_classes_in_some_rows_is_told_by_class():
    moved = some()
    label = np.where(moved, ORDER[LABEL], LABEL)
    table = of(WHOLE.having(emotion=label))
    found = confusions(table)
    assert found.found and abs(found.rate - moved.mean()) < 0.05
    assert {(one, name) for one, name, _ in found.pairs} == set(enumerate(ORDER.tolist()))
    for one, _, share in found.pairs:
        assert share == pytest.approx(moved[one == LABEL].mean(), abs=0.1)
    places = np.array(found.utterances)
    assert moved[places].mean() > 0.85 and np.isin(np.flatnonzero(moved), places).mean() > 0.8
    assert (np.array(found.answers) == LABEL[places]).mean() > 0.75

    told = causes.REGISTRY.get("label_noise").rule(
        evidence(signs=signs_of(table, classes=table.classes, confusions=found))
    )
    assert told is not None and told.utterances == tuple(table.ids[i] for i in found.utterances)
    one, name, share = found.pairs[0]
    assert f"of {NAMES[one]!r} {share:.0%} are called {NAMES[name]!r}" in told.text


def test_one_class_with_names_at_random_is_told_apart_from_the_others():
    moved = some(0.6) & (LABEL == 3)
    label = np.where(moved, np.random.default_rng(1).integers(0, 7, len(LABEL)), LABEL)
    found = confusions(of(WHOLE.having(emotion=label)))
    ((one, share),) = found.spread
    assert found.found and not found.pairs and one == 3
    assert share == pytest.approx((label != LABEL)[LABEL == 3].mean(), abs=0.12)


def test_the_gradient_of_names_is_that_of_differences():
    from scipy.optimize import approx_fprime

    rng = np.random.default_rng(0)
    scores, code = rng.normal(size=(40, 3)), rng.integers(0, 3, 40)
    for values in (rng.normal(size=12), rng.normal(size=21)):
        numeric = approx_fprime(values, lambda at: _loss(at, scores, code)[0], 1e-7)
        np.testing.assert_allclose(_loss(values, scores, code)[1], numeric, rtol=1e-4, atol=1e-3)


def of_two(whole, pairs):
    speaker = whole.features.speaker.copy()
    for one, other in pairs:
        speaker[speaker == other] = one
    return whole.having(speaker=speaker)


TALKS = shapes.conversations(whole_corpora.planted(0, speakers=12, takes=(2, 2, 4)), np.random.default_rng(0))


@pytest.mark.parametrize("whole", [WHOLE, TALKS], ids=["actors", "conversations"])
def test_a_name_of_two_people_is_told_with_who_is_the_other(whole):
    assert two_people(of(whole)) == ()
    table = of(of_two(whole, [(1, 7), (4, 10)]))
    found = {one.speaker: one for one in two_people(table)}
    assert set(found) == {1, 4}
    for speaker, other in ((1, 7), (4, 10)):
        share = (whole.features.speaker[list(found[speaker].utterances)] == other).mean()
        assert max(share, 1 - share) > 0.9 and found[speaker].agreement > 0.85
    told = causes.REGISTRY.get("wrong_speakers").rule(
        evidence(signs=signs_of(table, two_people=tuple(found.values())))
    )
    assert told is not None and told.speakers == ("1", "4") and "two people under one name" in told.text


def test_names_that_are_all_two_peoples_are_told_without_one_that_is_not():
    found = two_people(of(of_two(WHOLE, [(2 * i, 2 * i + 1) for i in range(6)])))
    assert len(found) >= 5


def test_rows_of_two_kinds_in_one_stream_are_one_persons():
    """One stream alone has two groups of a speaker's rows (a second microphone); the other knows nothing of it."""
    rows = {name: own.copy() for name, own in WHOLE.rows.items()}
    second = (WHOLE.features.speaker == 3) & some(0.5)
    rows["audio"][second] += 2 * rows["audio"].std(axis=0)
    assert two_people(of(WHOLE.having(rows))) == ()


def test_votes_that_tell_nobody_part_no_names():
    rng = np.random.default_rng(0)
    rows = {name: rng.normal(size=own.shape) for name, own in WHOLE.rows.items()}
    assert two_people(of(WHOLE.having(rows))) == ()


def test_numbers_inside_of_dialogues_are_told_where_the_same_people_often_speak_first():
    """A name that says a little across dialogues is still no person's; those of people say what parts them."""
    rng, speaker = np.random.default_rng(0), TALKS.features.speaker.copy()
    for code in np.unique(TALKS.features.dialogue):
        mine = TALKS.features.dialogue == code
        people, own = np.unique(speaker[mine], return_inverse=True)
        order = np.arange(len(people)) if rng.random() < 0.4 else rng.permutation(len(people))
        speaker[mine] = order[own]
    assert numbered(of(TALKS)) is None
    found = numbered(of(TALKS.having(speaker=speaker)))
    assert found is not None and found.names == 3 and found.p_value <= 0.05 and found.told < 0.15


def accused(whole):
    """Return what the probe of audio alone says of labels, and who vouches for its rows."""
    table = of(whole)
    found = ask_labels(table, "audio", table.components("audio", rank=96), table.there["audio"])
    assert found is not None and found.found
    return table, (found,), vouched(table, (found,))


def test_rows_whose_labels_are_wrong_are_vouched_for_by_the_other_stream():
    """Video says nothing of the class, and shares with audio what it did: audio's rows are no other utterances'."""
    rows = {name: own.copy() for name, own in WHOLE.rows.items()}
    means = np.stack([rows["video"][code == LABEL].mean(axis=0) for code in range(7)])
    rows["video"] -= 0.8 * means[LABEL]
    label = np.where(some(), np.random.default_rng(1).integers(0, 7, len(LABEL)), LABEL)
    table, wrong, found = accused(WHOLE.having(rows, emotion=label))
    assert [(one.stream, one.other) for one in found] == [("audio", "video")] and found[0].shared > 0.8
    weak = replace(wrong[0], stream="video", interval=(0.0, 0.01))
    signs = signs_of(table, wrong=(*wrong, weak))
    assert verdicts.foreign(signs) and not verdicts.foreign(replace(signs, vouched=found))


def test_rows_of_other_utterances_have_nobody_to_vouch_for_them():
    place = np.arange(len(LABEL))
    moved = np.flatnonzero(some())
    place[moved] = np.roll(np.random.default_rng(1).permutation(moved), 1)
    assert accused(WHOLE.having({**WHOLE.rows, "audio": WHOLE.rows["audio"][place]}))[2] == ()


def test_names_that_are_someone_else_in_dev_are_no_shared_speakers():
    speaker, dev = WHOLE.features.speaker, WHOLE.dev
    own = np.where(dev, speaker - speaker[dev].min(), speaker)
    table = of(WHOLE.having(speaker=own))
    found = renumbered(table)
    assert found is not None and found.speakers == (0, 1, 2) and found.apart > 0.6
    told = causes.REGISTRY.get("wrong_speakers").rule(evidence(signs=signs_of(table, renumbered=found)))
    assert told is not None and told.speakers == ("0", "1", "2") and "someone else in dev" in told.text


def test_people_whom_both_splits_know_are_themselves_even_where_dev_was_recorded_otherwise():
    half = replace(WHOLE, dev=some(0.4))
    assert renumbered(of(half)) is None
    offset = {name: own + half.dev[:, None] * 2 * own.std(axis=0) for name, own in half.rows.items()}
    assert renumbered(of(half.having(offset))) is None


def test_a_near_pair_says_nothing_where_many_people_are_alike():
    """Distances of 20 people, one pair of whom is far nearer than the others; with 30 more pairs as near as halves."""
    rng = np.random.default_rng(0)
    between = np.exp(rng.normal(3.0, 0.3, 190))
    halves = np.exp(rng.normal(0.0, 0.2, 400))
    between[0] = 0.9
    assert np.flatnonzero(_told_apart(between, halves, 500, 20)).tolist() == [0]
    between[1:31] = 1.2
    assert not _told_apart(between, halves, 500, 20).any()


def test_probes_that_tell_no_label_disagree_with_none():
    """Labels drawn anew: what a probe says of them is noise, in whichever class or of whomever."""
    table = of(WHOLE.having(emotion=np.random.default_rng(3).permutation(LABEL)))
    told = told_labels(table)
    assert told is not None and not told.tells and told_labels(of(WHOLE)).tells
    assert confusions(table) is None and noisy_groups(table) == ()
