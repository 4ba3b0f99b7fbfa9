"""Who does the work in one process: threads, in order and within a bound on memory."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

STOP_EVERY_S = 0.02
AHEAD_PER_WORKER = 3  # results a worker may be ahead of the consumer: enough to ride over one long clip


class Budget:
    """Bytes that results not yet consumed may hold. The item that the consumer waits for always gets in."""

    def __init__(self, limit_bytes: int) -> None:
        if limit_bytes < 1:
            raise ValueError(f"the bound on memory is {limit_bytes} bytes; expected 1 or more")
        self.limit_bytes = limit_bytes
        self.held_bytes = 0
        self.most_held_bytes = 0
        self._next = 0
        self._closed = False
        self._changed = threading.Condition()

    def wait_for_room(self, number: int) -> bool:
        """Block until item `number` may start; return False where the run was closed meanwhile."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._closed or number <= self._next or self.held_bytes < self.limit_bytes
            )
            return not self._closed

    def hold(self, count_bytes: int) -> None:
        """Note a result that waits for the consumer."""
        with self._changed:
            self.held_bytes += count_bytes
            self.most_held_bytes = max(self.most_held_bytes, self.held_bytes)

    def release(self, number: int, count_bytes: int) -> None:
        """Note that the consumer has taken item `number` and wants the next one."""
        with self._changed:
            self.held_bytes -= count_bytes
            self._next = number + 1
            self._changed.notify_all()

    def close(self) -> None:
        """Let nobody wait any longer."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()


class OrderedThreads(Generic[Item, Result]):
    """Apply a function to items in threads, and give the results in the items' order.

    Workers run ahead of the consumer, over any boundary between shards, until they are
    ``AHEAD_PER_WORKER · workers`` items ahead or hold `budget_bytes`; the item that the consumer waits for
    is always let in, so one clip larger than the bound goes through, alone.

    Parameters
    ----------
    work
        Called as ``work(item)``; what it raises is raised where its result is consumed.
    size_bytes
        What a result weighs while it waits.
    stop
        Called when the run ends early, until no thread works any more, to end what they wait for (child
        processes, say).
    """

    def __init__(
        self,
        work: Callable[[Item], Result],
        *,
        workers: int,
        budget_bytes: int,
        size_bytes: Callable[[Result], int],
        stop: Callable[[], object] | None = None,
    ) -> None:
        if workers < 1:
            raise ValueError(f"workers are {workers}; expected 1 or more")
        self.budget = Budget(budget_bytes)
        self._work = work
        self._workers = workers
        self._size_bytes = size_bytes
        self._stop = stop

    def run(self, items: Iterable[Item]) -> Generator[Result, None, None]:
        """Yield the results in order. Close the generator to stop early."""
        waiting: deque[tuple[int, Future[tuple[Result, int]]]] = deque()
        numbered = enumerate(items)
        pool = ThreadPoolExecutor(self._workers, thread_name_prefix="dualstream-clip")
        finished = False
        try:
            for number, item in numbered:
                waiting.append((number, pool.submit(self._one, number, item)))
                if len(waiting) >= self._workers * AHEAD_PER_WORKER:
                    yield self._take(waiting)
            while waiting:
                yield self._take(waiting)
            finished = True
        finally:
            self.budget.close()
            if not finished:
                pool.shutdown(wait=False, cancel_futures=True)
                while self._stop is not None and any(not future.done() for _, future in waiting):
                    self._stop()
                    time.sleep(STOP_EVERY_S)
            pool.shutdown(wait=True, cancel_futures=True)

    def _one(self, number: int, item: Item) -> tuple[Result, int]:
        if not self.budget.wait_for_room(number):
            raise RuntimeError("the run was closed")
        result = self._work(item)
        size = self._size_bytes(result)
        self.budget.hold(size)
        return result, size

    def _take(self, waiting: deque[tuple[int, Future[tuple[Result, int]]]]) -> Result:
        number, future = waiting[0]
        result, size = future.result()
        waiting.popleft()  # only now: an interrupt while it was waited for must still find it
        self.budget.release(number, size)
        return result
