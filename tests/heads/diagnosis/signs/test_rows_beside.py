"""Rows that depend on their split, on their batch and on the rows beside them: planted, found, and put right."""

from __future__ import annotations

from dataclasses import replace

import damages
import numpy as np
import pytest
import unseen_features
import whole_corpora
from dualstream.heads.diagnosis import causes
from dualstream.heads.diagnosis.signs.alike import treated_alike
from dualstream.heads.diagnosis.signs.batches import batches
from dualstream.heads.diagnosis.signs.between import between
from dualstream.heads.diagnosis.signs.class_directions import class_directions
from dualstream.heads.diagnosis.signs.measure import rows_alone
from dualstream.heads.diagnosis.signs.pieces import piece
from dualstream.heads.diagnosis.signs.remedies import FACTORS, TREATED, measured
from dualstream.heads.diagnosis.signs.row_factors import row_factors
from dualstream.heads.diagnosis.signs.smoothed import smoothed
from dualstream.heads.diagnosis.signs.split_treatment import split_treatments

from dualstream.cores import one_core
from tests.heads.diagnosis.measured import evidence
from tests.heads.diagnosis.signs.test_signs import WHOLE, damaged, of, signs_of

DEV, SPEAKER = WHOLE.dev, WHOLE.features.speaker
COUNT = len(WHOLE.ids)


def with_video(change, whole=WHOLE):
    """Return the table with the video rows that `change` makes of them."""
    rows = whole.rows
    return of(whole.having({**rows, "video": change(rows["video"].copy())}))


def by_part(change, *parts):
    """Return a change of rows that changes each part by itself."""

    def changed(rows):
        for part in parts:
            rows[part] = change(rows[part])
        return rows

    return changed


def standardise(rows):
    return (rows - rows.mean(axis=0)) / rows.std(axis=0)


def centre(rows):
    return rows - rows.mean(axis=0)


def to_components(rows):
    own = centre(rows)
    return own @ np.linalg.eigh(own.T @ own)[1][:, ::-1]


def speakers(of_dev):
    return [code == SPEAKER for code in np.unique(SPEAKER[of_dev == DEV])]


def blocks(length, first=0, count=COUNT):
    return [np.arange(at, min(at + length, count)) for at in range(first, count, length)]


def found_by(name, table, **signs):
    """Return the cause `name` by signs of a table."""
    return causes.REGISTRY.get(name).rule(evidence(signs=signs_of(table, **signs)))


def test_a_clean_corpus_has_none_of_them():
    table = of(WHOLE)
    found = rows_alone(table)
    assert found["batches"] == found["smoothed"] == found["row_factors"] == found["split_treatments"] == ()
    assert found["pieces"] == () and not any(one.kind == "between" for one in found["fills"])


@pytest.mark.parametrize(
    "change",
    [
        lambda rows: (rows - rows[~DEV].mean(axis=0)) / rows[~DEV].std(axis=0),
        lambda rows: (rows - rows[~DEV].mean(axis=0)) @ np.linalg.eigh(np.cov(rows[~DEV].T))[1],
        lambda rows: rows / np.abs(rows[~DEV]).max(axis=0),
        by_part(standardise, *speakers(True), *speakers(False)),
        by_part(standardise, np.arange(COUNT)),
        lambda rows: rows.astype(np.float16).astype(float),
    ],
    ids=["train's figures", "train's components", "train's maxima", "every speaker", "the whole table", "half"],
)
def test_what_is_fitted_on_train_or_done_to_all_is_no_fault(change):
    table = with_video(change)
    assert split_treatments(table) == () and smoothed(table) == ()
    assert batches(table, "video") is None and row_factors(table, "video") is None


@pytest.mark.parametrize(
    ("kind", "split", "change"),
    [
        ("centred", "dev", by_part(centre, DEV)),
        ("centred", "dev", by_part(standardise, DEV)),
        ("centred", "each", by_part(standardise, DEV, ~DEV)),
        ("deviation", "dev", by_part(lambda rows: rows / rows.std(axis=0), DEV)),
        ("maximum", "dev", by_part(lambda rows: rows / np.abs(rows).max(axis=0), DEV)),
        ("maximum", "each", by_part(lambda rows: rows / np.abs(rows).max(axis=0), DEV, ~DEV)),
        ("components", "each", by_part(to_components, DEV, ~DEV)),
        ("components", "dev", by_part(to_components, DEV)),
        ("components", "each", by_part(lambda rows: to_components(rows)[:, :35] / 7, DEV, ~DEV)),
        ("speakers", "train", by_part(standardise, *speakers(False))),
        ("speakers", "dev", by_part(centre, *speakers(True))),
    ],
)
def test_what_was_done_to_a_split_by_itself_leaves_exact_traces(kind, split, change):
    table = with_video(change)
    (one,) = split_treatments(table)
    assert (one.stream, one.kind, one.of) == ("video", kind, split) and one.share > 0.95
    assert set(one.utterances) == set(np.flatnonzero(DEV if split != "train" else ~DEV))
    told = found_by("drift", table, split_treatments=(one,))
    assert told.name == "drift" and "video" in told.text and len(told.utterances) == len(one.utterances)


@pytest.mark.parametrize(("sign", "of_split"), [(-1, "train"), (1, "dev")])
def test_a_split_with_noise_spreads_more_than_speakers_do(sign, of_split):
    rng = np.random.default_rng(0)
    part = DEV if sign > 0 else ~DEV
    table = with_video(by_part(lambda rows: rows + rows.std(axis=0) * rng.normal(size=rows.shape), part))
    (one,) = split_treatments(table)
    assert (one.stream, one.kind, one.of) == ("video", "spread", of_split)
    # noise of one deviation around classes of people, which hold most of the variance
    around = WHOLE.rows["video"][part].var(axis=0).mean()
    assert 1.2 < one.share < 2.5 and around > 0
    assert "spread" in found_by("drift", table, split_treatments=(one,)).text


def test_columns_that_were_turned_in_each_split_are_turned_back_without_a_label():
    rng = np.random.default_rng(0)
    turns = [np.linalg.qr(rng.normal(size=(35, 35)))[0] for _ in range(2)]

    def turned(rows):
        rows = standardise(rows)
        for part, turn in zip((DEV, ~DEV), turns, strict=True):
            rows[part] = rows[part] @ turn
        return rows

    table = with_video(turned)
    assert set(class_directions(table)) == {"video"}
    (one,) = split_treatments(table)
    assert one.kind == "directions" and one.share < 0.3 < one.beyond
    with one_core():
        gains = measured(table, signs_of(table, split_treatments=(one,)), "speaker")
    assert gains[TREATED].gain.difference > 0.02 and "turn dev's columns" in gains[TREATED].remedy
    back = treated_alike(table, one)
    right = (standardise(WHOLE.rows["video"]) @ turns[1])[DEV]
    before = np.mean((table.raw["video"][DEV] - right) ** 2)
    assert np.mean((back[DEV] - right) ** 2) < 0.9 * before  # as far as the other stream tells directions


def test_signs_that_each_split_has_of_its_own_are_told_without_speakers_names():
    sign = np.where(np.random.default_rng(0).random(35) < 0.5, -1, 1)
    table = with_video(by_part(lambda rows: rows.mean(axis=0) + (rows - rows.mean(axis=0)) * sign, DEV))
    nameless = replace(table, speaker=np.full(COUNT, -1))
    assert not nameless.named_speakers and set(class_directions(nameless)) == {"video"} == set(
        class_directions(table)
    )
    told = found_by("drift", table, split_treatments=split_treatments(table))
    assert "something else of the classes" in told.text


def test_wrong_labels_of_dev_are_no_other_directions():
    label = WHOLE.features.emotion.copy()
    label[DEV] = (label[DEV] + 1) % 7
    assert class_directions(of(WHOLE.having(emotion=label))) == {}


@pytest.mark.parametrize("seed", [1, 3])
def test_an_encoder_that_knows_trains_labels_turns_no_columns(seed):
    known = damages.fitted_on_labels(whole_corpora.planted(seed), np.random.default_rng([seed, 1]), 1.0)
    assert class_directions(of(known)) == {}


def test_equal_rows_in_turn_are_no_batches():
    rows = np.tile(WHOLE.rows["video"][:24], (COUNT // 24, 1))
    assert rows_alone(with_video(lambda _: rows))["batches"] == ()


def test_speakers_of_both_splits_are_normalised_alike():
    table = damaged(unseen_features.speakers_normalised_in_train)
    found = split_treatments(table)
    assert {one.stream for one in found} == {"audio", "video"} and {one.kind for one in found} == {"speakers"}
    rows = treated_alike(table, found[0])
    for code in np.unique(SPEAKER):
        np.testing.assert_allclose(rows[code == SPEAKER].mean(axis=0), 0, atol=1e-5)
        np.testing.assert_allclose(rows[code == SPEAKER].std(axis=0), 1, atol=1e-3)


@pytest.mark.parametrize("length", [16, 32, 50, 100])
@pytest.mark.parametrize("layer", [False, True])
def test_blocks_of_an_encoder_in_training_mode_are_found(length, layer):
    rng = np.random.default_rng(0)
    after = rng.normal(size=(35, 35)) if layer else np.eye(35)
    table = with_video(
        by_part(lambda rows: (centre(rows) / (rows.std(axis=0) + 1e-3)) @ after + 3, *blocks(length))
    )
    one = batches(table, "video")
    assert one is not None and (one.length, one.kind) == (length, "mean")
    assert one.blocks == COUNT // length and len(one.utterances) == one.blocks * length
    assert batches(table, "audio") is None
    assert f"each {length} video rows" in found_by("broken_features", table, batches=(one,)).text


@pytest.mark.parametrize(
    "parts",
    [
        [np.arange(COUNT)[~DEV][at : at + 32] for at in range(0, int((~DEV).sum()), 32)],
        blocks(32, first=13),
        blocks(32, count=COUNT // 2),
    ],
    ids=["of train", "not from the first row", "a half"],
)
def test_blocks_are_found_in_a_part_and_from_any_row(parts):
    one = batches(with_video(by_part(standardise, *parts)), "video")
    assert one is not None and one.length == 32


def test_blocks_that_were_divided_by_their_spread_are_found():
    one = batches(with_video(by_part(lambda rows: rows / rows.std(axis=0), *blocks(32))), "video")
    assert one is not None and (one.length, one.kind) == (32, "spread")


def test_few_columns_have_no_blocks_by_chance():
    rng = np.random.default_rng(0)
    for _ in range(5):
        narrow = rng.normal(size=(COUNT, 1)) + rng.normal(size=(12, 1))[SPEAKER]
        assert batches(with_video(lambda rows, own=narrow: own), "video") is None


def smoothing(weights):
    """Return a change of rows that takes weighted means of the rows beside each."""

    def change(rows):
        reach, place = len(weights) // 2, np.arange(len(rows))
        near = [rows[np.clip(place + step, 0, COUNT - 1)] for step in range(-reach, reach + 1)]
        return np.tensordot(np.array(weights) / np.sum(weights), near, axes=1)

    return change


@pytest.mark.parametrize(
    "weights", [(1, 1, 0), (1, 1, 1), (1, 1, 1, 1, 1), np.exp(-(np.arange(-4, 5) ** 2) / 2)], ids=len
)
def test_rows_that_were_smoothed_along_the_table_are_found(weights):
    table = with_video(smoothing(weights))
    (one,) = smoothed(table)
    assert one.stream == "video" and one.power < 0.1 < 0.4 < one.others and not one.speakers
    cause = found_by("wrong_join", table, smoothed=(one,))
    assert "smoothed along the table" in cause.text and len(cause.utterances) == COUNT


def test_some_speakers_rows_that_were_smoothed_are_found():
    def change(rows):
        near = smoothing((1, 1, 1, 1, 1))(rows)
        return np.where((SPEAKER % 2 == 0)[:, None], near, rows)

    (one,) = smoothed(with_video(change))
    assert one.speakers == (0, 2, 4, 6, 8, 10)


def test_differences_from_row_to_row_are_found():
    table = damaged(unseen_features.differences)
    (one,) = smoothed(table)
    assert one.alike < -0.3 and one.power < 0.1
    assert "differences from row to row" in found_by("wrong_join", table, smoothed=(one,)).text


def test_rows_that_overlap_in_all_streams_are_not_told_to_be_smoothed():
    change = smoothing((1, 1, 1))
    assert smoothed(of(WHOLE.having({name: change(rows) for name, rows in WHOLE.rows.items()}))) == ()


@pytest.mark.parametrize("share", [0.05, 0.3, 0.6])
@pytest.mark.parametrize("half", [False, True])
def test_rows_that_were_interpolated_are_found_one_by_one(share, half):
    missing = np.random.default_rng(0).random(COUNT) < share
    missing[[0, -1]] = False

    def change(rows):
        known = np.flatnonzero(~missing)
        own = np.stack([np.interp(np.arange(COUNT), known, column[known]) for column in rows.T], axis=1)
        return own.astype(np.float16).astype(float) if half else own

    table = with_video(change)
    (one,) = between(table, "video")
    assert one.kind == "between" and between(table, "audio") == ()
    assert len(set(one.utterances) ^ set(np.flatnonzero(missing))) <= 0.02 * missing.sum()
    assert "interpolated" in found_by("imputed_rows", table, fills=(one,)).text


def test_rows_that_were_interpolated_inside_of_speakers_are_found_where_speakers_take_turns():
    turns = np.argsort(np.arange(COUNT) % (COUNT // 12), kind="stable")  # each speaker says one after the other
    whole = WHOLE.take(turns)
    missing = np.random.default_rng(0).random(COUNT) < 0.3

    def change(rows):
        for code in range(12):
            at = np.flatnonzero(whole.features.speaker == code)
            known = at[~missing[at]]
            rows[at] = np.stack([np.interp(at, known, column[known]) for column in rows.T], axis=1)
        return rows

    rows = whole.rows
    (one,) = between(of(whole.having({**rows, "video": change(rows["video"])})), "video")
    assert len(one.utterances) > 0.9 * missing.sum()


def test_rows_of_one_direction_are_not_told_to_be_interpolated():
    loud = np.random.default_rng(0).normal(size=(COUNT, 1))
    assert between(with_video(lambda rows: loud * rows[:1]), "video") == ()


@pytest.mark.parametrize(("start", "end"), [(0, 72), (400, 475), (552, COUNT)])
def test_a_piece_of_the_table_from_another_run_is_found_where_it_ends(start, end):
    def change(rows):
        shift = np.random.default_rng(0).normal(size=rows.shape[1]) * rows.std(axis=0)
        rows[start:end] += 0.7 * shift
        return rows

    table = with_video(change)
    one = piece(table, "video")
    assert one is not None and piece(table, "audio") is None and one.distance > 1.2 * one.others
    right = set(range(start, end))
    assert len(right & set(one.utterances)) >= 0.85 * len(right | set(one.utterances))
    cause = found_by("two_kinds_of_rows", table, pieces=(one,))
    assert "rows that follow each other" in cause.text and len(cause.utterances) == len(one.utterances)


def test_a_factor_of_each_row_is_told_and_divided_out():
    own = np.random.default_rng(0).uniform(0.1, 1, size=(COUNT, 1))
    table = with_video(lambda rows: rows * own)
    one = row_factors(table, "video")
    assert one is not None and one.correlation > 0.85 and row_factors(table, "audio") is None
    assert np.corrcoef(np.log(one.factors), np.log(own[:, 0]))[0, 1] > 0.9
    small = np.argsort(own[:, 0])[: len(one.utterances)]
    assert len(set(one.utterances) & set(small)) > 0.85 * len(small)
    with one_core():
        gains = measured(table, signs_of(table, row_factors=(one,)), "speaker")
    assert gains[FACTORS].remedy == "divide each row by its factor"
    cause = found_by("scale_by_group", table, row_factors=(one,))
    assert "a factor of its own" in cause.text and len(cause.utterances) == len(one.utterances)


def test_loud_voices_and_sparse_columns_are_no_factors():
    rng = np.random.default_rng(0)
    loud = np.exp(0.2 * rng.normal(size=(COUNT, 1)))
    assert row_factors(with_video(lambda rows: rows * loud), "video") is None
    sparse = rng.exponential(size=(COUNT, 35)) * (rng.random((COUNT, 35)) < 0.3) * rng.exponential(size=(COUNT, 1))
    assert row_factors(with_video(lambda rows: sparse), "video") is None


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "means over padding",
        "principal components of each split",
        "speakers standardised in train alone",
        "train augmented, dev not",
        "30 % interpolated between their neighbours",
        "a moving mean over five rows",
    ],
)
def test_a_diagnosis_names_them_first(name):
    from study_damages import diagnosed

    damage, right = unseen_features.FEATURES[name]
    whole = damage(whole_corpora.planted(1, speakers=12), np.random.default_rng([1, 1]), 1.0)
    with one_core():
        assert diagnosed(whole)[0] in right
