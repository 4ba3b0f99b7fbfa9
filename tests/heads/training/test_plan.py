"""Batches of an epoch: who is in them, how large they are, and how often each utterance comes."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from dualstream.heads.training.plan import POOL, Order, hide_streams


def tensors(count, *, lengths=None, dialogue=None, turn=None):
    """What a plan reads of a TensorSet."""
    return SimpleNamespace(
        count=count,
        lengths=np.zeros(count, np.int64) if lengths is None else np.asarray(lengths),
        whole_dialogues=dialogue is not None,
        dialogue_codes=None if dialogue is None else np.asarray(dialogue),
        turn=None if dialogue is None else np.asarray(turn),
    )


@pytest.mark.parametrize(
    ("count", "size", "sizes"), [(10, 4, [4, 3, 3]), (8, 4, [4, 4]), (3, 10, [3]), (1, 1, [1]), (5, 0, [1] * 5)]
)
def test_batches_are_of_nearly_one_size_and_hold_each_utterance_once(count, size, sizes):
    order = Order(tensors(count), size)
    for batches in (order.in_turn(), order.shuffled(np.random.default_rng(0))):
        assert sorted(np.concatenate(batches).tolist()) == list(range(count))
        assert [len(batch) for batch in batches] == sizes


def test_an_epoch_is_its_seeds_and_the_next_is_another():
    order = Order(tensors(50), 8)
    one, again = (np.concatenate(order.shuffled(np.random.default_rng(3))).tolist() for _ in range(2))
    rng = np.random.default_rng(3)
    first, second = (np.concatenate(order.shuffled(rng)).tolist() for _ in range(2))
    assert one == again == first != second


def test_without_shuffling_lengths_rise():
    lengths = np.random.default_rng(0).integers(1, 40, 30)
    found = np.concatenate(Order(tensors(30, lengths=lengths), 7).in_turn())
    assert (np.diff(lengths[found]) >= 0).all()


def test_shuffled_batches_hold_windows_of_like_length():
    """Padding is what they are for: a batch of like lengths pads less than one that is drawn at random."""
    lengths = np.random.default_rng(0).integers(1, 60, 640)
    order = Order(tensors(640, lengths=lengths), 16)

    def padding(batches):
        return sum(len(batch) * lengths[batch].max() - lengths[batch].sum() for batch in batches)

    batches = order.shuffled(np.random.default_rng(1))
    drawn = np.array_split(np.random.default_rng(2).permutation(640), 40)
    assert padding(batches) < 0.3 * padding(drawn)
    assert sorted(np.concatenate(batches).tolist()) == list(range(640))
    assert (
        len(
            {tuple(sorted(batch)) for batch in order.shuffled(np.random.default_rng(5))}
            & {tuple(sorted(batch)) for batch in batches}
        )
        < 5
    )
    assert POOL > 1


DIALOGUE = [5, 5, 2, 2, 2, 9, 5, 7]
TURN = [1, 0, 2, 0, 1, 0, 2, 0]


def test_dialogues_stay_whole_and_in_turn_order():
    order = Order(tensors(8, dialogue=DIALOGUE, turn=TURN), 4)
    assert [unit.tolist() for unit in order.units] == [[3, 4, 2], [1, 0, 6], [7], [5]]
    for seed in range(20):
        batches = order.shuffled(np.random.default_rng(seed))
        assert sorted(np.concatenate(batches).tolist()) == list(range(8))
        for batch in batches:
            rest = batch.tolist()
            while rest:  # each begins with a whole dialogue
                unit = next(unit.tolist() for unit in order.units if unit[0] == rest[0])
                assert rest[: len(unit)] == unit
                rest = rest[len(unit) :]


def test_a_dialogue_longer_than_a_batch_is_one_of_its_own():
    order = Order(tensors(6, dialogue=[1] * 5 + [2], turn=[0, 1, 2, 3, 4, 0]), 3)
    assert [batch.tolist() for batch in order.in_turn()] == [[0, 1, 2, 3, 4], [5]]


def test_batches_of_dialogues_are_filled_up():
    order = Order(tensors(6, dialogue=[1, 1, 2, 2, 3, 3], turn=[0, 1] * 3), 4)
    assert [batch.tolist() for batch in order.in_turn()] == [[0, 1, 2, 3], [4, 5]]


def test_each_utterance_comes_once_where_nothing_is_drawn():
    assert Order(tensors(4), 2).frequency().tolist() == [1, 1, 1, 1]


def test_draws_are_as_often_as_they_are_stated_to_be():
    chance = np.array([1.0, 1.0, 2.0, 4.0])
    order = Order(tensors(4), 2, chance)
    np.testing.assert_allclose(order.frequency(), [0.5, 0.5, 1, 2])  # four draws an epoch, by shares of 8
    rng = np.random.default_rng(0)
    drawn = np.concatenate([np.concatenate(order.shuffled(rng)) for _ in range(2000)])
    np.testing.assert_allclose(np.bincount(drawn, minlength=4) / 2000, order.frequency(), atol=0.06)


def test_dialogues_are_drawn_by_the_mean_of_theirs():
    order = Order(tensors(5, dialogue=[1, 1, 1, 2, 2], turn=[0, 1, 2, 0, 1]), 8, np.array([0, 0, 3.0, 1, 1]))
    np.testing.assert_allclose(order.frequency(), [1, 1, 1, 1, 1])  # means of 1 and 1: two draws of one half each
    order = Order(tensors(5, dialogue=[1, 1, 1, 2, 2], turn=[0, 1, 2, 0, 1]), 8, np.array([0, 0, 9.0, 1, 1]))
    np.testing.assert_allclose(order.frequency(), [1.5, 1.5, 1.5, 0.5, 0.5])
    rng = np.random.default_rng(0)
    drawn = np.concatenate([np.concatenate(order.shuffled(rng)) for _ in range(2000)])
    np.testing.assert_allclose(np.bincount(drawn, minlength=5) / 2000, order.frequency(), atol=0.06)


def both(*present):
    second = np.array(present, dtype=np.bool_)
    return SimpleNamespace(widths={"video": 3, "audio": 2}, there=np.stack((np.ones_like(second), second), axis=1))


def test_no_more_than_one_stream_is_hidden_and_only_where_both_are_there():
    there = np.random.default_rng(0).random(4000) < 0.7
    found = hide_streams(both(*there), np.arange(4000), 0.4, np.random.default_rng(1))
    assert not (found["video"] & found["audio"]).any()
    assert not ((found["video"] | found["audio"]) & ~there).any()
    for name in ("video", "audio"):
        assert np.mean(found[name][there]) == pytest.approx(0.2, abs=0.02)


def test_hiding_follows_the_batch():
    drawn = hide_streams(both(True, False, True), np.array([1, 1, 0, 2]), 1.0, np.random.default_rng(0))
    assert (drawn["video"] | drawn["audio"]).tolist() == [False, False, True, True]


def test_nothing_is_hidden_where_it_is_not_asked_for_or_there_is_one_stream():
    rng = np.random.default_rng(0)
    state = rng.bit_generator.state
    assert hide_streams(both(True), np.array([0]), 0.0, rng) is None
    one = SimpleNamespace(widths={"video": 3}, there=np.array([[True]]))
    assert hide_streams(one, np.array([0]), 0.5, rng) is None
    assert rng.bit_generator.state == state  # and no number is drawn for it
