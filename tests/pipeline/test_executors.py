"""Threads give results in order, within their bound on memory, and end when the run ends."""

from __future__ import annotations

import random
import threading
import time
from typing import Any

import pytest
from dualstream.pipeline.executors import AHEAD_PER_WORKER, OrderedThreads


def ordered(work: Any, **options: Any) -> OrderedThreads[int, int]:
    chosen = {"workers": 3, "budget_bytes": 10**9, "size_bytes": lambda result: 1, **options}
    return OrderedThreads(work, **chosen)


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_results_come_in_the_order_of_the_items(workers: int) -> None:
    shuffled = random.Random(workers)

    def work(number: int) -> int:
        time.sleep(shuffled.random() * 0.005)
        return number * number

    assert list(ordered(work, workers=workers).run(range(60))) == [n * n for n in range(60)]


def test_workers_really_run_side_by_side() -> None:
    together = threading.Barrier(3, timeout=10)  # passes only when three items are inside at once
    assert list(ordered(lambda number: (together.wait(), number)[1]).run(range(6))) == list(range(6))


def test_memory_stays_within_the_bound() -> None:
    threads = ordered(lambda number: number, workers=4, budget_bytes=100, size_bytes=lambda result: 40)
    for _ in threads.run(range(40)):
        time.sleep(0.002)
    # Four workers may each have started while there was room for a little more.
    assert threads.budget.most_held_bytes <= 100 + 4 * 40
    assert threads.budget.held_bytes == 0


def test_one_item_larger_than_the_bound_goes_through() -> None:
    threads = ordered(lambda number: number, workers=2, budget_bytes=10, size_bytes=lambda result: 10**6)
    assert list(threads.run(range(20))) == list(range(20))


def test_items_are_not_drawn_far_ahead() -> None:
    drawn = []

    def items() -> Any:
        for number in range(1000):
            drawn.append(number)
            yield number

    run = ordered(lambda number: number, workers=2).run(items())
    next(run)
    assert len(drawn) <= 2 * AHEAD_PER_WORKER
    run.close()


def test_error_comes_where_its_result_was_due() -> None:
    def work(number: int) -> int:
        if number == 5:
            raise KeyError("five")
        return number

    run = ordered(work).run(range(100))
    assert [next(run) for _ in range(5)] == [0, 1, 2, 3, 4]
    with pytest.raises(KeyError, match="five"):
        next(run)


def test_closing_stops_what_the_threads_wait_for() -> None:
    released = threading.Event()
    started = []

    def work(number: int) -> int:
        started.append(number)
        if number:
            assert released.wait(60)
        return number

    run = ordered(work, stop=released.set).run(range(100))
    assert next(run) == 0
    began_s = time.monotonic()
    run.close()
    assert time.monotonic() - began_s < 30  # of the 60 s that they would wait
    assert len(started) <= 3 * AHEAD_PER_WORKER
    assert not [one for one in threading.enumerate() if one.name.startswith("dualstream-clip")]


def test_stop_reaches_an_item_that_the_consumer_waits_for() -> None:
    released = threading.Event()

    def work(number: int) -> int:
        if not released.wait(30):
            raise AssertionError("nobody stopped this")
        return number

    class Interrupted(Exception):
        pass

    def items() -> Any:
        yield 0
        raise Interrupted  # while item 0 is at work

    with pytest.raises(Interrupted):
        list(ordered(work, stop=released.set).run(items()))


@pytest.mark.parametrize(("workers", "budget"), [(0, 1), (1, 0)])
def test_options_fail(workers: int, budget: int) -> None:
    with pytest.raises(ValueError, match="expected 1 or more"):
        ordered(abs, workers=workers, budget_bytes=budget)
