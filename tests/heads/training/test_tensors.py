"""From a FeatureSet to batches: scaling, thinning, padding, order, and hiding streams."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from dualstream.heads.fusion.network import Network, Settings, resolve
from dualstream.heads.training.plan import Order, hide_streams
from dualstream.heads.training.tensors import Scaler, TensorSet, subsample
from dualstream.heads.variants.registry import names
from sklearn.preprocessing import StandardScaler

from tests.heads.planted import plant

FEATURES = plant("same_window", 3, train=120, dev=2, test=2).train


def _tensors(name: str, max_windows: int = 64) -> TensorSet:
    names()
    kind: type[Network] = resolve(name)
    widths = {stream: FEATURES.streams[stream].width for stream in kind.streams}
    return TensorSet(FEATURES, kind, Settings(name, widths, 2, 2, 32, 0.0, max_windows), None)


def test_standardising_is_scikit_learns() -> None:
    rows = np.random.default_rng(0).normal(3.0, 2.0, (50, 4)).astype(np.float32)
    rows[:, 2] = 7.0
    present = np.arange(50) % 5 != 0
    scaler = Scaler.fit(rows, present, "standard")
    expected = StandardScaler().fit(rows[present].astype(np.float64)).transform(rows)
    found = scaler(rows, present).numpy()
    np.testing.assert_allclose(found[present], expected[present], atol=1e-5)
    assert (found[~present] == 0).all() and (found[:, 2] == 0).all()


def test_normed_rows_have_mean_0_and_variance_1() -> None:
    rows = np.random.default_rng(0).normal(3.0, 2.0, (50, 20)).astype(np.float32)
    found = Scaler.fit(rows, np.ones(50, bool), "normed")(rows, np.ones(50, bool)).numpy()
    np.testing.assert_allclose(found.mean(axis=1), 0.0, atol=1e-5)
    np.testing.assert_allclose(found.std(axis=1), 1.0, atol=1e-3)


def test_raw_rows_are_left_alone() -> None:
    rows = np.random.default_rng(0).normal(300.0, 2.0, (50, 20)).astype(np.float32)
    present = np.ones(50, bool)
    np.testing.assert_array_equal(Scaler.fit(rows, present, "raw")(rows, present).numpy(), rows)


def test_thinning_by_hand() -> None:
    """Of 6 windows 3 remain: the middles of [0, 2), [2, 4), [4, 6)."""
    rows, counts = subsample(np.array([0, 6, 8, 8, 11]), 3)
    np.testing.assert_array_equal(counts, [3, 2, 0, 3])
    np.testing.assert_array_equal(rows, [1, 3, 5, 6, 7, 8, 9, 10])


def test_batches_hold_the_right_windows() -> None:
    tensors = _tensors("aligned")
    batch = tensors.batch(np.array([4, 9]))
    for row, utterance in enumerate((4, 9)):
        start, stop = FEATURES.offsets[utterance], FEATURES.offsets[utterance + 1]
        windows = FEATURES.streams["audio"].windows
        assert windows is not None
        expected = tensors.scalers["audio"](windows[start:stop], np.ones(stop - start, bool))
        torch.testing.assert_close(batch.audio[row, : stop - start], expected)
        assert batch.audio_mask[row].sum() == stop - start
        assert (batch.audio[row, stop - start :] == 0).all()


def test_long_utterances_are_thinned() -> None:
    assert _tensors("aligned", max_windows=5).batch(np.arange(20)).video.shape == (20, 5, 12)


@pytest.mark.parametrize("name", ["concat", "aligned", "dialogue"])
def test_an_epoch_holds_each_utterance_once(name: str) -> None:
    order = Order(_tensors(name), 32)
    for batches in (order.in_turn(), order.shuffled(np.random.default_rng(0))):
        assert sorted(np.concatenate(batches)) == list(range(120))
        assert max(len(batch) for batch in batches) <= 32


def test_dialogues_stay_whole_and_in_order() -> None:
    turned = replace(FEATURES, turn=FEATURES.turn[::-1].copy())
    names()
    tensors = TensorSet(
        turned, resolve("dialogue"), Settings("dialogue", {"video": 12, "audio": 16}, 2, 2, 32, 0.0, 9), None
    )
    seen = set()
    for batch in Order(tensors, 32).shuffled(np.random.default_rng(0)):
        for dialogue in np.unique(turned.dialogue[batch]):
            rows = np.flatnonzero(turned.dialogue[batch] == dialogue)
            assert (np.diff(rows) == 1).all() and len(rows) == (turned.dialogue == dialogue).sum()
            assert (np.diff(turned.turn[batch[rows]]) > 0).all()
            assert dialogue not in seen
            seen.add(dialogue)


def test_windows_of_like_length_stand_together() -> None:
    lengths = np.diff(FEATURES.offsets)
    batches = Order(_tensors("aligned"), 20).shuffled(np.random.default_rng(0))
    padded = sum(len(batch) * lengths[batch].max() for batch in batches)
    assert padded <= 1.15 * lengths.sum() < len(lengths) * lengths.max()


def test_resampling_follows_the_chances() -> None:
    chance = np.zeros(120)
    chance[[3, 5]] = 0.5
    drawn = np.concatenate(Order(_tensors("concat"), 32, draw=chance).shuffled(np.random.default_rng(0)))
    assert len(drawn) == 120 and set(drawn) == {3, 5}


def test_hidden_streams() -> None:
    tensors = _tensors("concat")
    index = np.tile(np.arange(120), 50)
    hidden = hide_streams(tensors, index, 0.2, np.random.default_rng(0))
    assert hidden is not None
    assert not (hidden["video"] & hidden["audio"]).any()
    assert hidden["video"].mean() == pytest.approx(0.1, abs=0.015)
    assert hidden["audio"].mean() == pytest.approx(0.1, abs=0.015)
    batch = tensors.batch(index, hidden)
    assert (batch.video_utterance[~batch.video_present] == 0).all()
    np.testing.assert_array_equal(batch.audio_present.numpy(), ~hidden["audio"])
    assert hide_streams(tensors, index, 0.0, np.random.default_rng(0)) is None
    assert hide_streams(_tensors("video"), index, 0.5, np.random.default_rng(0)) is None


@pytest.mark.parametrize("fusion", ["concat", "dialogue", "aligned"])
@pytest.mark.parametrize("rate", [0.0, 0.4])
def test_an_epoch_holds_the_batches(fusion: str, rate: float) -> None:
    tensors = _tensors(fusion)
    order = Order(tensors, 1).shuffled(np.random.default_rng(0))  # more batches than are gathered at once
    rngs = np.random.default_rng(1), np.random.default_rng(1)
    epoch = list(tensors.epoch(order, lambda index: hide_streams(tensors, index, rate, rngs[0])))
    for index, found in zip(order, epoch, strict=True):
        expected = tensors.batch(index, hide_streams(tensors, index, rate, rngs[1]))
        np.testing.assert_array_equal(found.dialogue.numpy(), expected.dialogue.numpy())
        assert list(found.streams) == list(expected.streams) == ["video", "audio"]
        for stream, held in expected.streams.items():
            for name, value in vars(held).items():
                np.testing.assert_array_equal(getattr(found.streams[stream], name).numpy(), value.numpy())
    hidden = sum(int((~batch.audio_present).sum()) for batch in epoch)
    assert (hidden > int((~tensors.present["audio"]).sum())) == (rate > 0.0)


@pytest.mark.parametrize("fusion", ["concat", "dialogue"])
def test_frequency_is_how_often_an_utterance_comes(fusion: str) -> None:
    tensors = _tensors(fusion)
    chance = np.random.default_rng(1).random(tensors.count)
    order = Order(tensors, 32, draw=chance / chance.sum())
    epochs = [np.concatenate(order.shuffled(np.random.default_rng(seed))) for seed in range(400)]
    counted = np.bincount(np.concatenate(epochs), minlength=tensors.count) / 400
    expected = order.frequency()
    np.testing.assert_allclose(counted, expected, atol=5 * np.sqrt(expected.max() / 400))
    assert expected.std() > 0.1
    assert (Order(tensors, 32).frequency() == 1).all()
