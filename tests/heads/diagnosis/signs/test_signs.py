"""Each measure finds what was planted, says which utterances, and is silent on the corpus as it was."""

from __future__ import annotations

import json
from dataclasses import replace

import damages
import numpy as np
import pytest
import whole_corpora
from dualstream.heads.data.batch import StreamArrays
from dualstream.heads.diagnosis import causes
from dualstream.heads.diagnosis.causes import MISTAKES
from dualstream.heads.diagnosis.signs import verdicts
from dualstream.heads.diagnosis.signs.agreement import agreement
from dualstream.heads.diagnosis.signs.copies import _near, copies
from dualstream.heads.diagnosis.signs.fills import fills, repeated_before
from dualstream.heads.diagnosis.signs.joins import LABELS, joins, rearrangements
from dualstream.heads.diagnosis.signs.kinds import two_kinds
from dualstream.heads.diagnosis.signs.label_columns import label_columns
from dualstream.heads.diagnosis.signs.label_maps import label_maps
from dualstream.heads.diagnosis.signs.lapses import lapse
from dualstream.heads.diagnosis.signs.measure import signs
from dualstream.heads.diagnosis.signs.remedies import LABELS as PUT_BACK
from dualstream.heads.diagnosis.signs.remedies import measured
from dualstream.heads.diagnosis.signs.speaker_joins import speakers_apart
from dualstream.heads.diagnosis.signs.speakers import shared_speakers, voices
from dualstream.heads.diagnosis.signs.table import Names, Table, components, few_values
from dualstream.heads.diagnosis.signs.wrong_codes import ALL, wrong_codes

from dualstream.cores import one_core
from tests.heads.diagnosis.measured import evidence
from tests.traced import traced

WHOLE = whole_corpora.planted(0, speakers=12)


def of(whole: whole_corpora.Whole) -> Table:
    place = np.concatenate((np.flatnonzero(~whole.dev), np.flatnonzero(whole.dev)))
    names = Names(tuple(whole.ids[i] for i in place), place=tuple(place.tolist()))
    return Table.of(*whole.split(), "emotion", names)


def damaged(how: damages.Damage, strength: float = 1.0, seed: int = 0) -> Table:
    return of(how(WHOLE, np.random.default_rng(seed), strength))


def test_a_table_is_in_the_order_of_its_manifest():
    table = of(damages.dev_of_the_same_speakers(WHOLE, np.random.default_rng(0), 1.0))
    assert table.ids == WHOLE.ids
    np.testing.assert_array_equal(table.label, WHOLE.features.emotion)


def test_components_are_found_once_and_are_those_of_the_rows(monkeypatch):
    table, asked = of(WHOLE), []
    found = {rank: components(table.raw["audio"], table.there["audio"], rank=rank) for rank in (32, 48, 96)}
    monkeypatch.setattr(
        "dualstream.heads.diagnosis.signs.table.components", lambda *a, **k: asked.append(1) or components(*a, **k)
    )
    for rank, rows in found.items():
        kept = table.components("audio", rank=rank)
        np.testing.assert_allclose(kept, rows, rtol=0, atol=1e-9)
        assert not kept.flags.writeable
    assert len(asked) == 1
    other = replace(table, raw={**table.raw, "audio": 2 * table.raw["audio"] ** 3})
    assert not np.allclose(other.components("audio"), found[32])


def test_agreement_of_unrelated_rows_is_about_that_of_chance():
    rng = np.random.default_rng(0)
    z = [agreement(rng.normal(size=(300, 10)), rng.normal(size=(300, 6))).z for _ in range(200)]
    assert abs(np.mean(z)) < 0.25 and 0.7 < np.std(z) < 1.3
    x = rng.normal(size=(300, 10))
    assert agreement(x, x[:, :6] + rng.normal(size=(300, 6))).z > 50


def test_streams_that_belong_together_stand_right():
    found = joins(of(WHOLE))
    assert all(one.moved == "" and one.kind == "related" for one in found)
    assert next(one for one in found if one.other != LABELS).shift_seen


@pytest.mark.parametrize("how", [damages.shift_in_table, damages.order_of_ids], ids=["shift", "order"])
def test_a_stream_in_another_order_is_put_back(how):
    table = damaged(how)
    moved = [one for one in joins(table) if one.source]
    assert moved
    name, clean = moved[0].moved, of(WHOLE)
    put_back = table.raw[name][np.array(moved[0].source)]
    assert (put_back == clean.raw[name]).all(axis=1).mean() > 0.95
    assert not (table.raw[name] == clean.raw[name]).all(axis=1).any()


def test_ways_to_move_rows_are_permutations_that_differ():
    ways = dict(rearrangements(of(WHOLE)))
    assert len({source.tobytes() for source in ways.values()}) == len(ways) > 20
    assert all((np.sort(source) == np.arange(len(WHOLE.ids))).all() for source in ways.values())


def test_a_shuffled_stream_is_told_from_a_worthless_one_by_nothing_but_its_join():
    shuffled = [one for one in joins(damaged(damages.shuffled)) if one.kind == "shuffled"]
    assert len(shuffled) == 1


def test_speakers_whose_rows_are_late_are_named_with_the_shift():
    found = speakers_apart(
        of(damages.two_streams_of_others(whole_corpora.planted(0), np.random.default_rng(0), 1.0))
    )
    assert len(found) >= 6 and len({one.shift for one in found}) == 1 and found[0].shift != 0
    assert speakers_apart(of(WHOLE)) == ()


@pytest.mark.parametrize(
    "share", [pytest.param(0.1, marks=pytest.mark.slow), 0.2, pytest.param(0.3, marks=pytest.mark.slow)]
)
def test_label_noise_is_estimated_within_five_points_and_found(share):
    rng = np.random.default_rng(3)
    label = WHOLE.features.emotion
    some = rng.random(len(label)) < share
    noisy = np.where(some, rng.integers(0, 7, len(label)), label)
    table = of(WHOLE.having(emotion=noisy))
    one = next(one for one in wrong_codes(table) if (one.what, one.stream) == ("label", ALL))
    wrong = noisy != label
    assert one.found and abs(one.rate - wrong.mean()) < 0.05
    told = np.isin(np.arange(len(label)), one.utterances)
    assert wrong[told].mean() > 0.8 and told[wrong].mean() > 0.7


def test_labels_without_noise_and_features_that_say_nothing_have_none():
    assert not any(one.found for one in wrong_codes(of(WHOLE)))
    rng = np.random.default_rng(0)
    blind = WHOLE.having({name: rng.normal(size=rows.shape) for name, rows in WHOLE.rows.items()})
    assert not any(one.found or one.told for one in wrong_codes(of(blind)))


def test_overlapping_classes_are_no_noise():
    """Two normal distributions a deviation apart: 31 % of the best answers are wrong, and no label is."""
    rng = np.random.default_rng(0)
    label = rng.integers(0, 2, 2_000)
    rows = rng.normal(size=(2_000, 5))
    rows[:, 0] += label
    found = lapse(rows, label, np.arange(2_000) % 5)
    assert 0.62 < found.accuracy < 0.76 and found.interval[0] < 0.02


def test_rows_of_others_are_told_by_the_speaker_in_one_stream_alone():
    table = damaged(damages.part_of_others)
    found = signs_of(table, wrong=wrong_codes(table))
    (one,) = verdicts.foreign(found)
    moved = (table.raw[one.stream] != of(WHOLE).raw[one.stream]).any(axis=1)
    assert abs(one.drawn - moved.mean()) < 0.07
    assert moved[list(one.utterances)].mean() > 0.85
    assert verdicts.noise(found) is None


def signs_of(table: Table, **fields):
    from dualstream.heads.diagnosis.signs.found import Signs

    speaker, dev = tuple(table.speaker.tolist()), tuple(table.dev.tolist())
    return Signs(table.ids, table.speaker_names, speaker, dev, tuple(table.raw), 1.0, **fields)


def test_speakers_with_other_labels_are_found_with_the_names():
    label = WHOLE.features.emotion
    some = np.isin(WHOLE.features.speaker, (2, 5, 11))
    table = of(WHOLE.having(emotion=np.where(some, (label + 1) % 7, label)))
    (one,) = label_maps(table)
    assert one.speakers == (2, 5, 11)
    names = whole_corpora.EMOTIONS
    assert one.classes == {names[(code + 1) % 7]: names[code] for code in range(7)}
    np.testing.assert_array_equal(np.array(one.labels), label[list(one.utterances)])
    assert label_maps(of(WHOLE)) == ()


@pytest.mark.parametrize("odd", ["train", "dev"])
def test_the_labels_of_a_split_are_put_back_where_it_is_the_smaller(odd):
    """Without speakers' names splits are held against each other; the gain is scored in labels as they stand."""
    smaller = np.random.default_rng(0).random(len(WHOLE.ids)) < 0.3
    label = np.where(smaller, (WHOLE.features.emotion + 1) % 7, WHOLE.features.emotion)
    nobody = np.full(len(label), -1)
    dev = smaller if odd == "dev" else ~smaller
    assert label_maps(of(replace(WHOLE.having(speaker=nobody), dev=dev))) == ()
    table = of(replace(WHOLE.having(emotion=label, speaker=nobody), dev=dev))
    (one,) = label_maps(table)
    assert one.splits == (odd,)
    assert measured(table, signs_of(table, label_maps=(one,)), "dialogue")[PUT_BACK].gain.difference > 0.02


def test_classes_swapped_for_half_of_the_speakers_are_found():
    label = WHOLE.features.emotion
    some = WHOLE.features.speaker < 6
    swapped = np.where(some & (label == 3), 6, np.where(some & (label == 6), 3, label))
    found = label_maps(of(WHOLE.having(emotion=swapped)))
    assert [one.classes for one in found] == [{"sadness": "anger", "anger": "sadness"}]
    assert len(found[0].speakers) == 6


def test_copies_are_found_in_each_stream_apart_exact_and_near():
    count, rng = len(WHOLE.ids), np.random.default_rng(0)
    rows = WHOLE.rows
    rows["video"][10] = rows["video"][3]
    rows["video"][40] = rows["video"][20] + 0.01 * rows["video"].std(axis=0) * rng.normal(size=35)
    table = of(WHOLE.having(rows))
    assert copies(table, "video").pairs == ((3, 10), (20, 40)) and copies(table, "video").exact == 1
    assert copies(table, "audio").pairs == () and copies(table, "audio").rows == count


def test_near_copies_are_sought_in_little_memory():
    """Of 6,000 rows all distances to 1,000 of them would take 170 MB."""
    rows = np.random.default_rng(0).normal(size=(6_000, 8))
    rows[4_321] = rows[77] + 1e-4
    found, memory = traced(lambda: list(_near(rows)))
    assert found == [(77, 4_321)] and memory.peak < 80e6


def test_rows_of_few_values_are_no_copies():
    rng = np.random.default_rng(0)
    votes = rng.multinomial(3, [0.5, 0.3, 0.2], len(WHOLE.ids)) / 3.0
    assert few_values(votes) and not few_values(WHOLE.rows["video"])
    assert copies(of(WHOLE.having({"video": votes, "audio": WHOLE.rows["audio"]})), "video").pairs == ()


def test_equal_votes_in_train_and_dev_are_no_leakage():
    rng = np.random.default_rng(0)
    votes = {name: rng.multinomial(5, [0.4, 0.3, 0.2, 0.1], len(WHOLE.ids)) / 5.0 for name in WHOLE.rows}
    table = of(WHOLE.having(votes))
    found = signs_of(table, copies=tuple(copies(table, name) for name in votes))
    leakage = causes.REGISTRY.get("leakage").rule
    assert leakage(evidence(signs=found, copies=80, dev_utterances=100)) is None
    assert leakage(evidence(copies=80, dev_utterances=100)) is not None


def test_filled_rows_are_told_by_what_they_were_filled_with():
    for how, kind in (
        (damages.filled_with_the_mean, "mean"),
        (damages.filled_with_the_last, "before"),
        (damages.unmarked_zeros, "zeros"),
    ):
        table, clean = damaged(how), of(WHOLE)
        before = {name: set(repeated_before(table, name).tolist()) for name in table.raw}
        (one,) = (one for name in table.raw for one in fills(table, name, before))
        changed = np.flatnonzero((table.raw[one.stream] != clean.raw[one.stream]).any(axis=1))
        assert one.kind == kind
        np.testing.assert_array_equal(one.utterances, changed)


def test_an_utterance_that_stands_twice_was_not_filled_in():
    twice = np.repeat(np.arange(len(WHOLE.ids)), 2)
    table = of(WHOLE.take(twice, tuple(f"{WHOLE.ids[i]}-{n}" for n, i in enumerate(twice))))
    before = {name: set(repeated_before(table, name).tolist()) for name in table.raw}
    assert before["audio"] and not any(fills(table, name, before) for name in table.raw)


@pytest.mark.parametrize(
    ("how", "kind", "by"),
    [
        (damages.scaled_for_speakers, "scale", "speaker"),
        (damages.scaled_for_some, "scale", "row"),
        (damages.columns_permuted, "columns", "speaker"),
        (damages.two_encoders, "kinds", "row"),
        (damages.dev_scaled, "scale", "split"),
    ],
    ids=["scale by speaker", "scale", "columns", "encoders", "split"],
)
def test_two_kinds_of_rows_are_told_apart(how, kind, by):
    table = damaged(how)
    (one,) = (one for name in table.raw if (one := two_kinds(table, name)) is not None)
    changed = (table.raw[one.stream] != of(WHOLE).raw[one.stream]).any(axis=1)
    told = np.isin(np.arange(len(table)), one.utterances)
    assert (one.kind, one.by) == (kind, by)
    assert max((told == changed).mean(), (told != changed).mean()) > 0.98
    if how is damages.scaled_for_speakers:
        assert max(one.factor, 1 / one.factor) == pytest.approx(100, rel=0.2)


def test_one_kind_of_rows_is_one_kind():
    assert all(two_kinds(of(WHOLE), name) is None for name in ("audio", "video"))


def test_columns_that_are_the_label_are_named():
    for how in (damages.label_as_a_column, damages.label_as_a_noisy_column):
        table = damaged(how)
        (one,) = (one for name in table.raw for one in label_columns(table, name))
        assert one.accuracy > 0.9 > 0.5 > one.usual
    table = damaged(damages.label_as_indicators)
    found = [one.indicates for name in table.raw for one in label_columns(table, name)]
    assert found == list(whole_corpora.EMOTIONS)
    assert not any(label_columns(of(WHOLE), name) for name in ("audio", "video"))


def test_names_that_have_nothing_to_do_with_who_speaks():
    (right,), (wrong,) = (
        voices(of(whole_corpora.planted(0))),
        voices(of(damages.speakers_random(whole_corpora.planted(0), np.random.default_rng(0), 1.0))),
    )
    assert not right.unnamed and wrong.unnamed
    assert right.told == pytest.approx(wrong.told)  # the streams are the same, the names are not


def test_splits_that_share_speakers():
    assert shared_speakers(of(WHOLE)).share == 0
    shared = shared_speakers(of(replace(WHOLE, dev=np.arange(len(WHOLE.ids)) % 4 == 0)))
    assert shared.share == 1 and len(shared.speakers) == 12


def named(whole: whole_corpora.Whole, **fields) -> list[str]:
    train, dev = whole.split()
    with one_core():
        found = signs(train, dev, "emotion", by="speaker")
    json.dumps(found.to_json(), allow_nan=False)
    told = evidence(signs=found, dev_utterances=len(dev), **fields)
    answers = [
        (entry, answer)
        for entry in causes.entries()
        if entry.name in (*MISTAKES, "leakage", "shared_speakers") and (answer := entry.rule(told)) is not None
    ]
    names = {answer.name for _, answer in answers}
    return [answer.name for entry, answer in answers if not entry.is_explained(names)]


def test_any_number_of_streams_of_any_names():
    rng, whole = np.random.default_rng(0), whole_corpora.planted(0, speakers=6)
    third = whole.rows["audio"] @ rng.normal(size=(96, 40)) + 3 * rng.normal(size=(len(whole.ids), 40))
    rows = {"face": whole.rows["video"], "voice": whole.rows["audio"], "text.bert": third}
    there = np.ones(len(whole.ids), dtype=bool)
    streams = {name: StreamArrays(row.astype(np.float32), there) for name, row in rows.items()}
    whole = replace(whole, features=replace(whole.features, streams=streams))
    found = joins(of(whole))
    assert len(found) == 3 + 3 and all(one.kind != "order" for one in found)
    shifted = whole.having({**whole.rows, "face": np.roll(whole.rows["face"], 1, axis=0)})
    assert {one.moved for one in joins(of(shifted)) if one.kind == "order"} == {"face"}


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [
        "all streams a row late", "one speaker's rows from another", "two speakers' rows shuffled",
        "labels shifted, half of the speakers", "30 % of labels random", "20 % duplicated",
        "near copies of train in dev", "30 % of speakers wrong", "dev of the same speakers",
        "the label as a column", "30 % filled with the last value", "two encoders, half of the speakers",
    ],
)  # fmt: skip
def test_mistakes_are_named_by_their_causes(words):
    how, right = damages.DAMAGES[words]
    assert named(how(whole_corpora.planted(1), np.random.default_rng(1), 1.0))[0] in right


@pytest.mark.slow
@pytest.mark.parametrize("seed", [2, 3])
def test_a_clean_corpus_is_told_no_mistake(seed):
    assert named(whole_corpora.planted(seed)) == []
