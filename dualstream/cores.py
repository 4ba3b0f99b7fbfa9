"""How many cores there are to use, limits that keep each piece of work on one of them, and threads that use them.

A solve and an epoch are many short operations. Libraries that cut each of them among threads wait, spinning, for
the slowest thread at every one: with a core taken by somebody else that costs many times what it gains, and how
a product is cut shows in its last digits. So each fit runs on one core, and several cores are used by several
fits: folds, seeds and variants.

The limits are the process's own, and counted: the first who asks sets them, the last who goes sets back what the
first found, whichever threads they are in.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import get_native_id
from typing import Any

TASKS = Path("/proc/self/task")  # where Linux lists the threads of a process; elsewhere nothing is waited for
LAST_WAIT_S = 5.0
BLAS_THREADS = 1  # while rows are made and heads fitted, on every machine


def available_cores() -> int:
    """Return how many cores this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Hold BLAS to one thread in the whole process. Works as a decorator too."""
    _BLAS.enter()
    try:
        yield
    finally:
        _BLAS.leave()


@contextmanager
def one_core() -> Iterator[None]:
    """Hold BLAS, and torch's operations in the calling thread, to one thread. Works as a decorator too.

    Where torch has not been imported yet it isn't now, and who imports it inside asks again.
    """
    with one_blas_thread():
        _TORCH.enter()
        try:
            yield
        finally:
            _TORCH.leave()


class _Blas:
    """The limit. Libraries that are loaded while it holds are found when it is asked for again."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._holders = 0
        self._limiters: list[Any] = []
        self._controller: Any = None
        self._modules = -1

    def enter(self) -> None:
        import numpy  # noqa: F401  # whose BLAS it is

        with self._lock:
            self._holders += 1
            if self._found_more() or self._holders == 1:
                with _controlling():
                    self._limiters.append(self._controller.limit(limits=BLAS_THREADS))

    def leave(self) -> None:
        with self._lock:
            self._holders -= 1
            while not self._holders and self._limiters:
                with _controlling():
                    self._limiters.pop().restore_original_limits()

    def _found_more(self) -> bool:
        """Look for libraries where modules were imported since the last time: it takes milliseconds."""
        from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]

        if self._modules == len(sys.modules):
            return False
        self._controller = ThreadpoolController().select(user_api="blas")
        self._modules = len(sys.modules)
        return True


@contextmanager
def _controlling() -> Iterator[None]:
    """Let the calling thread set limits: from threadpoolctl 3.8 on, whichever does so first keeps others out."""
    from threadpoolctl import OpenBLASController

    clear = getattr(OpenBLASController, "clear_controlling_thread", lambda force: None)
    clear(force=True)
    try:
        yield
    finally:
        clear(force=True)


class _Torch:
    """The limit on torch, which keeps a number for each thread beside the one that new threads begin with."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._holders = 0
        self._before: int | None = None
        self._here = threading.local()

    def enter(self) -> None:
        torch = _imported_torch()
        with self._lock:
            self._holders += 1
            self._here.depth = self._depth + 1
            if torch is None:
                return
            if self._before is None:
                self._before = torch.get_num_threads()
            if torch.get_num_threads() != 1:
                torch.set_num_threads(1)

    def leave(self) -> None:
        with self._lock:
            self._holders -= 1
            self._here.depth = self._depth - 1
            if self._before is None or (self._holders and self._depth):
                return
            if self._before != 1:
                sys.modules["torch"].set_num_threads(self._before)
            if not self._holders:
                self._before = None

    def take_on(self) -> None:
        """Hold the calling thread, which ends before the limit does and so has nothing to set back."""
        torch = _imported_torch()
        with self._lock:
            self._here.depth = self._depth + 1
            if torch is not None and self._before is not None:
                torch.set_num_threads(1)

    @property
    def _depth(self) -> int:
        depth: int = getattr(self._here, "depth", 0)
        return depth


def _imported_torch() -> Any:
    """Return torch, or None where it is not imported, or another thread is at it right now."""
    torch = sys.modules.get("torch")
    return torch if hasattr(torch, "set_num_threads") and hasattr(torch, "get_num_threads") else None


_BLAS, _TORCH = _Blas(), _Torch()


@contextmanager
def torch_threads(count: int | None) -> Iterator[None]:
    """Let torch's operations use so many threads in a block, and set back what was found; None: leave it."""
    if count is None:
        yield
        return
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def threads(count: int) -> Iterator[ThreadPoolExecutor]:
    """Give a pool of threads; when the block is left, the last of them is gone from the system too.

    Inside `one_core` they are held to one thread each.

    A thread that went through torch's autograd gives a Python object back in its last moment, after Python has
    joined it (before Python 3.13). A program that ends in that moment is aborted with all its work done:
    https://github.com/pytorch/pytorch/issues/117762.
    """
    used: set[int] = set()

    def begin() -> None:
        used.add(get_native_id())
        _TORCH.take_on()

    try:
        with ThreadPoolExecutor(count, initializer=begin) as pool:
            yield pool
    finally:
        end = time.monotonic() + LAST_WAIT_S
        while any((TASKS / str(one)).exists() for one in used) and time.monotonic() < end:
            time.sleep(0.0002)
