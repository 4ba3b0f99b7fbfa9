"""Corpora unlike those that the signs were written on: shares of votes, and a few people who differ far.

Stand-ins are drawn: rows of two streams that are shares of ten votes with no speaker in them, and rows of six people
that say nothing of the class.
"""

from __future__ import annotations

from dataclasses import replace

import damages
import numpy as np
import pytest
from dualstream.heads.diagnosis import causes, conclusion
from dualstream.heads.diagnosis.signs import verdicts
from dualstream.heads.diagnosis.signs.fills import fills
from dualstream.heads.diagnosis.signs.joins import Join
from dualstream.heads.diagnosis.signs.kinds import TwoKinds, scales_apart, two_kinds
from dualstream.heads.diagnosis.signs.label_maps import label_maps
from dualstream.heads.diagnosis.signs.measure import signs
from dualstream.heads.diagnosis.signs.same_speakers import SamePerson
from dualstream.heads.diagnosis.signs.sensitivity import limits
from dualstream.heads.diagnosis.signs.speakers import voices
from dualstream.heads.diagnosis.signs.table import Table, few_values
from dualstream.heads.diagnosis.signs.told import told_labels
from dualstream.heads.diagnosis.signs.values import PutValue
from dualstream.heads.diagnosis.signs.wrong_codes import WrongCodes
from whole_corpora import EMOTIONS, Whole, planted, table

from tests.heads.diagnosis.measured import evidence
from tests.heads.diagnosis.signs.test_signs import of, signs_of

VOTES = 10
CLASSES = EMOTIONS[:6]


def votes(seed: int = 0, speakers: int = 16, each: int = 60) -> Whole:
    """Return shares of votes, of people who heard and of others who saw: the right class has the most of them."""
    rng = np.random.default_rng([seed, 11])
    speaker, label = np.repeat(np.arange(speakers), each), rng.integers(len(CLASSES), size=speakers * each)
    rows = {}
    for name, sure in (("audio", 2.0), ("video", 3.0)):
        confused = rng.normal(size=(len(CLASSES),) * 2) + sure * np.eye(len(CLASSES))
        odds = np.exp(confused[label] + 0.7 * rng.normal(size=(len(label), len(CLASSES))))
        rows[name] = np.array([rng.multinomial(VOTES, one) for one in odds / odds.sum(1, keepdims=True)]) / VOTES
    ids = tuple(f"{who:02d}_{place:04d}" for place, who in enumerate(speaker))
    return table(rows, label, speaker, CLASSES, np.arange(4), ids)


def people(seed: int = 0, speakers: int = 6, each: int = 26) -> Whole:
    """Return a few people who differ far more than their utterances do, of which no row tells the class."""
    rng = np.random.default_rng([seed, 12])
    speaker, label = np.repeat(np.arange(speakers), each), rng.integers(2, size=speakers * each)
    rows = {}
    for name, width in (("video", 34), ("audio", 60)):
        size = np.exp(rng.normal(size=width) * 1.5)
        mixed = rng.normal(size=(6, width))
        inside = rng.normal(size=(len(label), 6)) @ mixed + 0.5 * rng.normal(size=(len(label), width))
        rows[name] = (4 * rng.normal(size=(speakers, width))[speaker] + inside) * size + 5 * size
    ids = tuple(f"p{who}_{place:03d}" for place, who in enumerate(speaker))
    return table(rows, label, speaker, ("negative", "positive"), np.array([0, 1]), ids)


def planted_in(whole: Whole, how: damages.Damage, seed: int = 0) -> Table:
    return of(how(whole, np.random.default_rng([seed, 1]), 1.0))


def changed(whole: Whole, found: Table) -> set[str]:
    """Return the streams whose rows differ."""
    return {name for name, rows in of(whole).raw.items() if not np.array_equal(rows, found.raw[name])}


def test_shares_of_votes_as_they_are_have_no_fault_in_their_rows():
    clean = of(votes())
    assert all(few_values(rows) for rows in clean.raw.values())
    for name in clean.raw:
        assert fills(clean, name, {}) == () and two_kinds(clean, name) is None


def test_rows_filled_with_the_mean_are_found_among_natural_twins():
    whole = votes()
    found = planted_in(whole, damages.filled_with_the_mean)
    (stream,) = changed(whole, found)
    truth = {i for i, rows in enumerate(found.raw[stream] != of(whole).raw[stream]) if rows.any()}
    (one,) = fills(found, stream, {})
    assert one.kind == "mean" and set(one.utterances) == truth
    other = next(name for name in found.raw if name != stream)
    assert fills(found, other, {}) == ()


def test_a_constant_that_no_vote_gives_is_found_and_unanimous_votes_are_not():
    found = of(votes())
    rows = found.raw["audio"].copy()
    rows[::9] = -1.0
    (one,) = fills(replace(found, raw={**found.raw, "audio": rows}), "audio", {})
    assert one.kind == "constant" and one.values == 1 and one.utterances == tuple(range(0, len(rows), 9))
    rows[::9] = np.eye(6)[0]  # all agree, as they often do
    assert fills(replace(found, raw={**found.raw, "audio": rows}), "audio", {}) == ()


def test_two_shares_that_sum_to_one_are_not_filled_in():
    # each value of one column stands beside one value of the other, so that none comes back in another row
    found = of(votes())
    half = found.raw["audio"][:, :1]
    pair = np.hstack((half, 1 - half))
    assert fills(replace(found, raw={"audio": pair}), "audio", {}) == ()


@pytest.mark.parametrize("seed", [0, 1])
def test_shares_and_hundreds_are_two_scales(seed):
    whole = votes(seed)
    found = planted_in(whole, damages.scaled_for_speakers, seed)
    (stream,) = changed(whole, found)
    one = two_kinds(found, stream)
    assert one is not None and one.kind == "scale" and one.by == "speaker"
    assert max(one.factor, 1 / one.factor) == pytest.approx(100, rel=0.2)


@pytest.mark.parametrize("seed", [0, 1])
def test_columns_in_two_orders_are_no_classes_of_other_names(seed):
    whole = votes(seed)
    found = planted_in(whole, damages.columns_permuted, seed)
    assert label_maps(found) == ()  # the other stream goes with the labels as they are
    renamed = planted_in(whole, damages.labels_shifted, seed)
    (one,) = label_maps(renamed)  # which both streams bear out
    assert len(one.speakers) == 8


def test_votes_in_another_order_are_not_two_kinds_of_rows():
    whole = votes()
    order = np.argsort(whole.features.emotion, kind="stable")
    found = of(damages._moved(whole, "video", order))
    assert two_kinds(found, "video") is None


def test_classes_under_random_names_are_no_speakers():
    found = planted_in(votes(speakers=8), damages.labels_random)
    assert not any(one.unnamed for one in voices(found))


def test_few_people_are_told_from_names_that_mean_nothing():
    whole = people()
    assert not any(one.unnamed for one in voices(of(whole)))
    found = planted_in(whole, damages.speakers_random)
    assert all(one.unnamed for one in voices(found))
    assert any(
        "have no part in it" in words for words in verdicts.name_faults(signs_of(found, voices=voices(found)))
    )


@pytest.mark.parametrize("seed", [0, 1])
def test_one_factor_is_the_same_in_all_columns(seed):
    whole = people(seed)
    found = planted_in(whole, damages.columns_permuted, seed)
    (stream,) = changed(whole, found)
    assert scales_apart(found.raw[stream]) is None
    one = two_kinds(found, stream)
    assert one is not None and one.kind in ("columns", "kinds") and len(one.utterances) == 78
    small, _, factor = scales_apart(planted_in(whole, damages.scaled_for_speakers, seed).raw[stream]) or (0, 0, 0)
    assert np.sum(small) == 78 and max(factor, 1 / factor) == pytest.approx(100, rel=0.3)


def test_names_of_one_person_are_told_only_where_rows_tell_people():
    same = SamePerson((0, 1), False, 0.7, 0.8, 2.2)
    asked = WrongCodes("audio", "speaker", 0.0, 0.0, (0.0, 0.0), 0.0, 0.02, 0.02, (), ())
    found = of(votes())
    for accuracy, named in ((0.02, False), (0.6, True)):
        told = signs_of(found, same_persons=(same,), wrong=(replace(asked, accuracy=accuracy),))
        assert any("one person under two names" in words for words in verdicts.name_faults(told)) == named


def test_rows_in_another_order_explain_columns_that_go_together_otherwise():
    found = of(planted(0, speakers=6))
    kind = TwoKinds("video", "kinds", 1.0, 1.0, "speaker", (0, 1), (0,), likeness=-0.1, usual=0.6)
    join = Join("audio", "video", 1.0, "1 row later", 50.0, "order", "video", tuple(range(len(found))))
    assert verdicts.two_makes(signs_of(found, kinds=(kind,))) == [kind]
    assert verdicts.two_makes(signs_of(found, kinds=(kind,), joins=(join,))) == []
    assert verdicts.two_makes(signs_of(found, kinds=(replace(kind, likeness=None),), joins=(join,)))


def test_a_value_is_no_limit_only_where_both_splits_columns_are_the_same():
    found = of(planted(0, speakers=6))
    put = PutValue("video", "value", 1.0, 2, 8, 0.06, tuple(range(30)))
    split = TwoKinds("video", "kinds", 1.0, 1.0, "split", (0, 1), (0,), likeness=0.1, usual=0.6)
    told = causes.REGISTRY.get("put_values").rule
    assert told(evidence(signs=signs_of(found, values=(put,)))) is not None
    assert told(evidence(signs=signs_of(found, values=(put,), kinds=(split,)))) is None
    assert told(evidence(signs=signs_of(found, values=(put,), kinds=(replace(split, stream="audio"),))))
    assert told(evidence(signs=signs_of(found, values=(replace(put, kind="far"),), kinds=(split,))))


@pytest.mark.parametrize("others", [(), (3,)])
def test_speakers_of_both_splits_are_not_called_a_split(others):
    whole = people(0)
    rows = whole.rows
    rows["video"][np.isin(whole.features.speaker, (0, 1, *others))] *= 100  # 0 and 1 are dev
    kept = np.flatnonzero((whole.features.speaker != 3) | (np.arange(len(whole.ids)) % 2 == 0))  # a short speaker
    one = two_kinds(of(whole.having(rows).take(kept)), "video")
    assert one is not None and one.kind == "scale" and one.by == ("speaker" if others else "split")


def test_labels_that_no_row_tells_are_not_called_wrong():
    assert not any((told := told_labels(of(people(seed)))) is not None and told.tells for seed in range(4))
    told = told_labels(of(votes()))
    assert told is not None and told.tells


def tails(seed: int) -> Whole:
    """Return one cloud of rows with heavy tails: whether its end looks like a cloud depends on the halves."""
    rng = np.random.default_rng([seed, 13])
    rows = {name: rng.standard_t(2.5, size=(264, 6)) @ rng.normal(size=(6, 40)) for name in ("audio", "video")}
    rows = {name: one + 0.3 * rng.normal(size=one.shape) for name, one in rows.items()}
    label = rng.integers(2, size=264)
    return table(rows, label, np.zeros(264), ("negative", "positive"), np.zeros(0), tuple(map(str, range(264))))


@pytest.mark.parametrize("seed", range(2))
def test_rows_in_another_order_are_as_many_kinds(seed):
    whole = tails(seed)
    order = np.random.default_rng(seed).permutation(264)
    for name in whole.rows:
        one, other = two_kinds(of(whole), name), two_kinds(of(whole.take(order)), name)
        assert (one is None) == (other is None)
        if one is not None and other is not None:
            assert {of(whole).ids[i] for i in one.utterances} == {whole.ids[order[i]] for i in other.utterances}


ORDERLESS = {
    "as it is": lambda whole, rng, strength: whole,
    "two encoders": damages.two_encoders,
    "scale": damages.scaled_for_some,
    "duplicates": damages.duplicated,
    "mean": damages.filled_with_the_mean,
    "labels": damages.labels_swapped,
    "noise": damages.labels_random,
    "names": damages.speakers_random,
    "column": damages.label_as_a_column,
}


@pytest.mark.slow
@pytest.mark.parametrize("how", ORDERLESS.values(), ids=ORDERLESS)
def test_what_does_not_concern_order_is_told_in_any_order(how):
    whole = how(planted(0, speakers=12), np.random.default_rng([0, 1]), 1.0)
    order = np.random.default_rng(3).permutation(len(whole.ids))
    told = []
    for one in (whole, whole.take(order)):
        train, dev = one.split()
        found = conclusion.conclude(evidence(signs=signs(train, dev, "emotion", names=None)))
        told.append({cause.name for cause in found})
    assert told[0] == told[1]


@pytest.mark.slow
def test_what_cannot_be_seen_is_said():
    found = limits(of(votes(speakers=8, each=30)), (), ())
    seen = {one.mistake: one.smallest for one in found}
    assert seen["copies in audio"] is None and seen["random speakers"] is None
    assert seen["filled rows of audio"] is not None and seen["filled rows of audio"] <= 0.1
    unnamed = limits(of(votes(speakers=1, each=200)), (), ())
    assert next(one for one in unnamed if one.mistake == "wrong speakers").smallest is None
    words = conclusion.looked_for(evidence(signs=signs_of(of(votes(speakers=8, each=30)), limits=found)))
    assert "Can't be seen in this corpus: " in words and "rows of audio that stand twice" in words


def test_the_order_in_which_mistakes_are_asked_stands_in_one_place():
    rank = {entry.name: entry.rank for entry in causes.entries()}
    for entry in causes.entries():
        if entry.name in causes.MISTAKES and entry.name not in causes.OF_COLUMNS:
            assert all(rank[one] < rank[entry.name] for one in set(entry.explained_by) & set(causes.OF_COLUMNS))
            assert set(causes.DISTORTING) <= set(entry.explained_by) or entry.name == "duplicates"
    assert set(causes.MISTAKES) <= set(rank) and len(set(causes.MISTAKES)) == len(causes.MISTAKES)
