"""How many cores there are to use, and threads that use them."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import get_native_id

TASKS = Path("/proc/self/task")  # where Linux lists the threads of a process; elsewhere nothing is waited for
LAST_WAIT_S = 5.0


def available_cores() -> int:
    """Return how many cores this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


@contextmanager
def threads(count: int) -> Iterator[ThreadPoolExecutor]:
    """Give a pool of threads; when the block is left, the last of them is gone from the system too.

    A thread that went through torch's autograd gives a Python object back in its last moment, after Python has
    joined it (before Python 3.13). A program that ends in that moment is aborted with all its work done:
    https://github.com/pytorch/pytorch/issues/117762.
    """
    used: set[int] = set()
    try:
        with ThreadPoolExecutor(count, initializer=lambda: used.add(get_native_id())) as pool:
            yield pool
    finally:
        end = time.monotonic() + LAST_WAIT_S
        while any((TASKS / str(one)).exists() for one in used) and time.monotonic() < end:
            time.sleep(0.0002)
