"""People under two names, masks and values that tell the class or nothing, streams that are one, other columns."""

from __future__ import annotations

from dataclasses import replace

import damages
import more_damages
import numpy as np
import pytest
from dualstream.heads.diagnosis import causes
from dualstream.heads.diagnosis.signs.absences import missing_by_class
from dualstream.heads.diagnosis.signs.kinds import two_kinds
from dualstream.heads.diagnosis.signs.same_speakers import SamePerson, merged, same_persons
from dualstream.heads.diagnosis.signs.same_streams import same_streams
from dualstream.heads.diagnosis.signs.structures import alike, put_in_order, unlike_groups
from dualstream.heads.diagnosis.signs.table import Table, group_sums
from dualstream.heads.diagnosis.signs.values import put_values
from planted_causes import PlantOptions, plant

from tests.heads.diagnosis.measured import evidence
from tests.heads.diagnosis.signs.test_signs import WHOLE, damaged, of, signs_of


def put(table, name):
    return put_values(table, name, np.zeros(len(table), dtype=bool))


def test_a_clean_corpus_has_none_of_them():
    table = of(WHOLE)
    assert same_persons(table) == () and same_streams(table) == ()
    for name in table.raw:
        assert put(table, name) is None and missing_by_class(table, name) is None
        assert unlike_groups(table, name, table.there[name]) is None


def test_people_who_have_another_name_in_dev_are_found_by_pairs():
    found = same_persons(damaged(more_damages.some_dev_speakers_renamed))
    count = int(WHOLE.features.speaker.max()) + 1
    assert len(found) == 3 and all(one.across_splits for one in found)
    assert all(one.speakers[1] == one.speakers[0] + count for one in found)
    cause = causes.REGISTRY.get("shared_speakers").rule(evidence(signs=signs_of(of(WHOLE), same_persons=())))
    assert cause is None


def test_mixed_names_are_wrong_speakers_and_names_of_another_split_are_shared_ones():
    mixed = damaged(more_damages.two_speakers_mixed)
    (one,) = same_persons(mixed)
    assert not one.across_splits and one.distance < 1.5 < 3 < one.usual
    told = evidence(signs=signs_of(mixed, same_persons=(one,)))
    assert "can't be told apart" in causes.REGISTRY.get("wrong_speakers").rule(told).text
    assert causes.REGISTRY.get("shared_speakers").rule(told) is None
    told = evidence(signs=signs_of(mixed, same_persons=(replace(one, across_splits=True),)))
    assert "under other names" in causes.REGISTRY.get("shared_speakers").rule(told).text


def test_speakers_who_leave_no_trace_are_not_told_to_be_one():
    """Rows that say nothing of who speaks: any two names lie as near as the halves of one."""
    rng = np.random.default_rng(0)
    for _ in range(5):
        rows = {name: rng.normal(size=rows.shape) for name, rows in WHOLE.rows.items()}
        assert same_persons(of(WHOLE.having(rows))) == ()


@pytest.mark.parametrize("seed", [0, 2, 3])
def test_names_that_say_nothing_in_corpora_of_other_causes(seed):
    train, dev = plant(PlantOptions(("drift",), seed=seed))
    assert same_persons(Table.of(train, dev, "emotion")) == ()


def test_names_of_one_person_are_merged_through_others():
    pairs = [SamePerson(pair, True, 1.0, 1.0, 4.0) for pair in ((0, 5), (5, 7), (2, 3))]
    codes = merged(np.array([0, 5, 7, 2, 3, -1, 4]), tuple(pairs))
    assert len({*codes[:3].tolist()}) == 1 and codes[3] == codes[4] and codes.tolist()[5:] == [-1, 4]


def test_a_stream_that_is_missing_by_class():
    table = damaged(more_damages.missing_by_class)
    (one,) = (one for name in table.raw if (one := missing_by_class(table, name)) is not None)
    assert one.found and sorted(one.shares.values())[-3] > 0.6 > 0.2 > sorted(one.shares.values())[-4]
    rule = causes.REGISTRY.get("missing_by_class").rule
    assert one.stream in rule(evidence(signs=signs_of(table, missing=(one,)))).text


def test_rows_that_are_missing_by_chance_or_by_speaker_are_no_matter():
    for how in (damages.unmarked_zeros, more_damages.constant_for_one_speaker):
        table = damaged(how)
        assert not any(one.found for name in table.raw if (one := missing_by_class(table, name)) is not None)
    speaker = WHOLE.features.speaker
    rows = {**WHOLE.rows, "video": np.where((speaker % 3 == 0)[:, None], 0.0, WHOLE.rows["video"])}
    assert not missing_by_class(of(WHOLE.having(rows)), "video").found


def test_values_for_nothing_and_values_cut_off():
    table = damaged(more_damages.unknown_as_minus_one)
    (one,) = (one for name in table.raw if (one := put(table, name)) is not None)
    assert (one.kind, one.value) == ("value", -1.0) and one.share == pytest.approx(0.1, abs=0.02)
    there = np.flatnonzero((table.raw[one.stream] == -1).any(axis=1))
    assert set(one.utterances) <= set(there.tolist()) and len(one.utterances) > 0.98 * len(there)
    table = damaged(more_damages.clipped)
    (one,) = (one for name in table.raw if (one := put(table, name)) is not None)
    assert one.kind == "ends" and one.columns == one.width and one.share == pytest.approx(1 / 3, abs=0.03)


def test_rectified_columns_and_counts_are_measurements():
    rows = {name: np.maximum(row, 0) for name, row in WHOLE.rows.items()}
    table = of(WHOLE.having(rows))
    assert put(table, "audio") is None and put(table, "video") is None
    counts = np.random.default_rng(0).poisson(3.0, WHOLE.rows["video"].shape).astype(float)
    assert put(of(WHOLE.having({**WHOLE.rows, "video": counts})), "video") is None


def test_a_stream_read_twice_as_it_is_or_turned():
    (one,) = same_streams(damaged(more_damages.one_stream_twice))
    assert one.equal == 1
    turned = WHOLE.rows["video"] @ np.random.default_rng(0).normal(size=(35, 35))
    (one,) = same_streams(of(WHOLE.having({"video": WHOLE.rows["video"], "audio": turned})))
    assert one.equal == 0 and one.told > 0.99
    noisy = WHOLE.rows["video"] * (1 + 0.3 * np.random.default_rng(1).normal(size=WHOLE.rows["video"].shape))
    assert same_streams(of(WHOLE.having({"video": WHOLE.rows["video"], "audio": noisy}))) == ()


@pytest.mark.parametrize(
    ("how", "by"), [(damages.two_encoders_by_speaker, "speaker"), (damages.dev_columns_permuted, "split")]
)
def test_columns_that_go_together_otherwise(how, by):
    table, clean = damaged(how), of(WHOLE)
    (name,) = (name for name in table.raw if (table.raw[name] != clean.raw[name]).any())
    found = unlike_groups(table, name, table.there[name])
    assert found.by == by and found.likeness < 0.2 < 0.7 < found.usual
    changed = (table.raw[name] != clean.raw[name]).any(axis=1)
    assert np.array_equal(found.rows, changed) or np.array_equal(found.rows, ~changed)


def test_an_order_of_columns_is_found_and_another_encoder_has_none():
    rng, rows = np.random.default_rng(0), WHOLE.rows["video"]
    order = rng.permutation(35)
    centre = np.abs(rows[::2].mean(axis=0)[:, None] - rows[1::2][:, order].mean(axis=0)) ** 2
    found, stands, put_back = put_in_order(rows[::2], rows[1::2][:, order], centre)
    np.testing.assert_array_equal(order[found], np.arange(35))
    assert stands < 0.3 and put_back > 0.9
    half = (
        WHOLE.rows["video"] - 1
    )  # mirrored rows lie elsewhere and go together alike: another kind, in no other order
    assert alike(np.cov(half.T), np.cov(-half.T)) == pytest.approx(1)
    kind = two_kinds(damaged(more_damages.mirrored), "audio") or two_kinds(damaged(more_damages.mirrored), "video")
    assert kind is None or kind.kind != "columns"


def test_sums_by_group_as_numpy_adds_them():
    rng = np.random.default_rng(0)
    rows, group = rng.normal(size=(200, 3)), rng.integers(0, 7, 200)
    expected = np.zeros((9, 3))
    np.add.at(expected, group, rows)
    np.testing.assert_array_equal(group_sums(rows, group, 9), expected)


def test_dev_extracted_otherwise_is_drift_and_no_memory_of_labels():
    table = damaged(damages.dev_scaled)
    kinds = tuple(one for name in table.raw if (one := two_kinds(table, name)) is not None)
    assert [one.by for one in kinds] == ["split"]
    found = causes.REGISTRY.get("drift").rule(evidence(signs=signs_of(table, kinds=kinds)))
    assert found is not None and "of one split" in found.text and len(found.utterances) == table.dev.sum()
