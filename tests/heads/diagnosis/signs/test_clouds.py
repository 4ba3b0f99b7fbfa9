"""What is no second kind of rows: people, tails; and values that a mean of windows or a row's limit hides."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import whole_corpora
from dualstream.heads.data.batch import FeatureSet, StreamArrays
from dualstream.heads.diagnosis.causes.outlying_rows import outlying_rows
from dualstream.heads.diagnosis.causes.put_values import put_values as cause_of_values
from dualstream.heads.diagnosis.outlying import Outlying, outlying
from dualstream.heads.diagnosis.signs.carried import of_speakers, thins_out
from dualstream.heads.diagnosis.signs.kinds import two_kinds
from dualstream.heads.diagnosis.signs.measure import rows_alone
from dualstream.heads.diagnosis.signs.table import Names, Table
from dualstream.heads.diagnosis.signs.values import put_values

from tests.heads.diagnosis.measured import evidence
from tests.heads.diagnosis.signs.test_signs import of, signs_of

TABLE = of(whole_corpora.planted(0, speakers=12))
NONE = np.zeros(len(TABLE), dtype=bool)


def table_of(rows, speaker):
    count = len(rows)
    return Table.of_rows(
        {"video": (rows, np.ones(count, dtype=bool))},
        label=np.arange(count) % 3,
        classes=("a", "b", "c"),
        speaker=speaker,
        dialogue=np.arange(count),
        dev=np.zeros(count, dtype=bool),
        names=Names(tuple(f"u{i}" for i in range(count))),
    )


def test_two_of_six_people_are_no_second_kind_of_rows():
    for seed in (14, 15, 19):  # of 30 those in whom distance alone is large enough
        rng = np.random.default_rng(seed)
        speaker = np.repeat(np.arange(6), 25)
        rows = 3 * rng.normal(size=(6, 16))[speaker] + rng.normal(size=(150, 16))
        assert two_kinds(table_of(rows, speaker), "video") is None


def test_speakers_of_another_make_are_even_where_the_direction_was_not_fitted():
    rng = np.random.default_rng(0)
    speaker = np.repeat(np.arange(14), 20)
    rows = rng.normal(size=(14, 12))[speaker] + rng.normal(size=(280, 12))
    small = np.isin(speaker, (0, 3, 5, 8, 9))
    away = 3 * rng.normal(size=12)
    assert not of_speakers(rows + np.where(small[:, None], away, 0), small, speaker)
    assert of_speakers(rows, small, speaker)
    one = speaker == 3
    assert of_speakers(rows, one, speaker)
    assert not of_speakers(rows + np.where(one[:, None], 8 * away, 0), one, speaker)


def test_rows_that_thin_out_into_the_distance_are_no_cloud():
    rng = np.random.default_rng(0)
    size = np.exp(2.5 * rng.normal(size=300))  # of any size, over four powers of ten
    rows = size[:, None] * (1 + 0.1 * rng.normal(size=(300, 8)))
    assert thins_out(rows, size > np.quantile(size, 0.94))
    apart = rng.normal(size=(300, 8)) + np.where(np.arange(300) < 30, 8, 0)[:, None]
    assert not thins_out(apart, np.arange(300) < 30)


def test_the_order_of_the_table_is_no_matter():
    rng = np.random.default_rng(1)
    rows = rng.standard_t(2, size=(260, 20)) * np.exp(rng.normal(size=(260, 1)))
    rows[:30] += 30
    found = two_kinds(table_of(rows, np.full(260, -1)), "video")
    order = rng.permutation(260)
    again = two_kinds(table_of(rows[order], np.full(260, -1)), "video")
    assert sorted(order[list(again.utterances)]) == sorted(found.utterances)


def with_windows(put):
    """Return a corpus of 80 utterances of five windows, and the utterances in which a window's pitch is not known."""
    rng = np.random.default_rng(0)
    windows = rng.normal(size=(400, 6)).astype(np.float32)
    at = np.array([7, 33, 90, 91])
    if put:
        windows[at, 2] = -255.0
    else:
        windows[at, 2] = -np.exp(rng.uniform(4, 9, size=4))  # far, but of no one value
    rows = windows.reshape(80, 5, 6).mean(axis=1)
    there = np.ones(80, dtype=bool)
    features = FeatureSet(
        streams={"audio": StreamArrays(rows, there, windows, np.ones(400, dtype=bool))},
        offsets=np.arange(81) * 5,
        start_s=np.tile(np.arange(5) * 0.5, 80),
        emotion=np.arange(80) % 2,
        sentiment=np.full(80, -1),
        emotion_names=("a", "b"),
        sentiment_names=("negative", "positive"),
        dialogue=np.arange(80),
        turn=np.zeros(80, np.int64),
        speaker=np.arange(80) % 8,
    )
    return features, sorted({int(i) // 5 for i in at})


def test_a_value_that_the_mean_of_windows_hides():
    features, places = with_windows(True)
    backwards = tuple(range(79, -1, -1))  # the table is the other way round
    names = Names(tuple(f"u{i}" for i in range(80)), place=backwards)
    table = Table.of(features, None, "emotion", names)
    found = put_values(table, "audio", np.zeros(80, dtype=bool))
    assert (found.kind, found.value, found.columns) == ("windows", -255.0, 1)
    assert {table.ids[place] for place in found.utterances} == {f"u{place}" for place in places}
    other, _ = with_windows(False)
    assert put_values(Table.of(other, None, "emotion", names), "audio", np.zeros(80, dtype=bool)) is None

    far = outlying(features, None, "audio", names)
    signs = signs_of(table, values=(found,))
    assert far.far and set(far.utterances) <= {f"u{place}" for place in places}
    assert outlying_rows(evidence(outlying=(far,))).utterances == far.utterances
    assert outlying_rows(evidence(outlying=(far,), signs=signs)) is None  # what they hold is named by itself
    assert "-255 stands for" in cause_of_values(evidence(signs=signs)).text


def test_columns_that_are_one_value_in_the_same_rows():
    rows = TABLE.raw["video"].copy()
    some = np.arange(len(rows)) % 20 == 3
    rows[np.ix_(some, np.arange(9, 15))] = 0
    found = put_values(replace(TABLE, raw={**TABLE.raw, "video": rows}), "video", NONE)
    assert (found.kind, found.value, found.columns) == ("stuck", 0.0, 6)
    assert set(found.utterances) == set(np.flatnonzero(some))
    few, more = (signs_of(TABLE, values=(replace(found, share=share),)) for share in (0.05, 0.07))
    assert cause_of_values(evidence(signs=few)) is None  # 0.9 % of the stream's values
    assert "0 stands for 7.0% of the values of 6 of" in cause_of_values(evidence(signs=more)).text
    limits = np.maximum(TABLE.raw["video"] - np.quantile(TABLE.raw["video"], 0.1, axis=0), 0)  # each its own zeros
    assert put_values(replace(TABLE, raw={**TABLE.raw, "video": limits}), "video", NONE) is None


def test_cells_far_beyond_all_else():
    rng = np.random.default_rng(0)
    rows, some = TABLE.raw["video"].copy(), rng.random(TABLE.raw["video"].shape) < 0.005
    rows[some] = 43_800 + rng.integers(365, size=int(some.sum()))
    found = put_values(replace(TABLE, raw={**TABLE.raw, "video": rows}), "video", NONE)
    assert found.kind == "far" and set(found.utterances) == set(np.flatnonzero(some.any(axis=1)))
    tails = TABLE.raw["video"] * rng.standard_t(1.5, size=TABLE.raw["video"].shape)
    assert put_values(replace(TABLE, raw={**TABLE.raw, "video": tails}), "video", NONE) is None


def test_rows_with_a_put_value_are_no_second_kind_of_rows():
    rows = TABLE.raw["video"].copy()
    some = np.arange(len(rows)) % 12 == 3
    rows[np.ix_(some, np.arange(8))] = 0
    found = rows_alone(replace(TABLE, raw={**TABLE.raw, "video": rows}))
    assert [one.kind for one in found["values"]] == ["value"] and found["kinds"] == ()


def test_far_rows_that_widen_nothing_are_no_cause():
    wide = Outlying("video", 400, 4, 3.0, 2.1, ("a", "b", "c", "d"))
    assert outlying_rows(evidence(outlying=(wide,))).utterances == ("a", "b", "c", "d")
    assert outlying_rows(evidence(outlying=(replace(wide, widens=1.6),))) is None


def test_how_far_rows_widen_a_column():
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(400, 5)).astype(np.float32)
    rows[7, 2] = 400
    features, _ = with_windows(True)
    features = features.take(np.resize(np.arange(80), 400))
    stream = StreamArrays(rows, np.ones(400, dtype=bool))
    found = outlying(replace(features, streams={"audio": stream}), None, "audio")
    assert found.utterances == ("train row 7",)
    kept = np.delete(rows[:, 2].astype(float), 7)
    assert abs(found.widens / (rows[:, 2].astype(float).std() / kept.std()) - 1) < 1e-6
