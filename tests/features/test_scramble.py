"""Scrambled sound: the same pieces in another order, softly cut."""

from __future__ import annotations

import numpy as np
import pytest
from dualstream.features.scramble import FADE_S, scrambled

RATE = 1000
FADE = round(FADE_S * RATE)


def numbered(pieces: int, step: int, rest: int = 0) -> np.ndarray:
    """Sound in which every sample of piece k is k + 1, the last piece being `rest` samples."""
    sound = np.repeat(np.arange(1, pieces + 1), step).astype(np.float32)
    return np.concatenate([sound, np.full(rest, pieces + 1, np.float32)])


def order_of(sound: np.ndarray, step: int) -> list[float]:
    """Return the value in the middle of each stretch of `step` samples."""
    return [float(sound[first + step // 2]) for first in range(0, len(sound), step)]


def test_every_piece_is_there_once_and_some_have_moved() -> None:
    sound = numbered(20, 50)
    found = scrambled(sound, (0.0, 1.0), 0.05, RATE, key="a")
    assert len(found) == len(sound) and found.dtype == np.float32
    assert sorted(order_of(found, 50)) == list(range(1, 21)) != order_of(found, 50)


def test_the_order_is_the_ids_and_no_chance() -> None:
    sound = numbered(20, 50)
    orders = {key: order_of(scrambled(sound, (0.0, 1.0), 0.05, RATE, key=key), 50) for key in ("a", "b")}
    assert orders["a"] != orders["b"]
    assert orders["a"] == order_of(scrambled(sound, (0.0, 1.0), 0.05, RATE, key="a"), 50)
    assert sound.tolist() == numbered(20, 50).tolist()


@pytest.mark.parametrize("count", [2, 3, 4])
def test_few_pieces_never_stay_as_they_are(count: int) -> None:
    sound = numbered(count, 50)
    for number in range(40):
        found = scrambled(sound, (0.0, count * 0.05), 0.05, RATE, key=str(number))
        assert order_of(found, 50) != order_of(sound, 50)


def test_only_what_is_covered_is_scrambled() -> None:
    sound = np.concatenate([np.full(100, -1), numbered(6, 50), np.full(100, -2)]).astype(np.float32)
    found = scrambled(sound, (0.1, 0.4), 0.05, RATE, key="a")
    assert (found[:100] == -1).all() and (found[400:] == -2).all()
    assert sorted(order_of(found[100:400], 50)) == [1, 2, 3, 4, 5, 6]


def test_a_rest_is_a_piece_too() -> None:
    sound = numbered(4, 50, rest=20)
    found = scrambled(sound, (0.0, 0.22), 0.05, RATE, key="a")
    counts = {value: int(np.sum(found == value)) for value in (1, 2, 3, 4, 5)}
    assert len(found) == 220 and all(counts[value] >= 50 - 2 * FADE for value in (1, 2, 3, 4))
    assert counts[5] >= 20 - 2 * FADE


def test_cuts_are_soft_and_the_sounds_own_ends_are_not() -> None:
    sound = np.ones(1000, np.float32)
    found = scrambled(sound, (0.0, 1.0), 0.1, RATE, key="a")
    assert np.abs(np.diff(found)).max() <= 1.0 / FADE + 1e-6
    assert (
        1000 - 20 * FADE <= (found == 1).sum() <= 1000 - 18 * FADE
    )  # nine joints with two ends each, and the outer


@pytest.mark.parametrize("covered_s", [(0.0, 0.05), (0.0, 0.0), (0.3, 0.3), (0.5, 0.2)])
def test_one_piece_stays(covered_s: tuple[float, float]) -> None:
    sound = numbered(4, 50)
    assert np.array_equal(scrambled(sound, covered_s, 0.05, RATE, key="a"), sound)
