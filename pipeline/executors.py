"""Who does the work: threads in this process, in order and within a bound on memory; or ray, a shard per task."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Generic, TypeVar

from dualstream.pipeline.errors import DualstreamError

from dualstream.installation import install_hint

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


def ray_tasks(make: Callable[[Any], Result], jobs: Sequence[Any], *, workers: int) -> Iterator[tuple[int, Result]]:
    """Run ``make(job)`` as ray tasks, `workers` at a time, and yield ``(index, result)`` as they finish.

    Raises
    ------
    DualstreamError
        Where ray is not installed.
    """
    require_ray()
    import ray

    mine = not ray.is_initialized()
    if mine:
        ray.init(include_dashboard=False, log_to_driver=False)
    task = ray.remote(max_retries=2)(make)
    running: dict[Any, int] = {}
    following = iter(enumerate(jobs))
    try:
        while True:
            while len(running) < workers and (job := next(following, None)) is not None:
                running[task.remote(job[1])] = job[0]
            if not running:
                return
            done, _ = ray.wait(list(running), num_returns=1)
            yield running.pop(done[0]), ray.get(done[0])
    finally:
        for reference in running:
            with contextlib.suppress(ray.exceptions.RayError):
                ray.cancel(reference, force=True)
        if mine:
            ray.shutdown()


def require_ray() -> None:
    """Raise DualstreamError where ray is not installed."""
    try:
        import ray  # noqa: F401
    except ImportError as error:
        raise DualstreamError(
            f"--executor ray needs the package ray: {install_hint('ray')}, or use --executor local"
        ) from error
