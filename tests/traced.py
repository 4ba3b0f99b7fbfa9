"""What a piece of Python takes of memory, whatever other threads of the process do meanwhile."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable
from typing import NamedTuple, TypeVar

T = TypeVar("T")
TRIES = 3


class Memory(NamedTuple):
    """Bytes beyond those that were there before."""

    held: int
    """By the result."""
    peak: int
    """The most at any time."""


def traced(act: Callable[[], T]) -> tuple[T, Memory]:
    """Return what a function returns, and the memory that it takes: the least of three times.

    What is imported for the first time, and what other threads take, only adds to some of them.
    """
    found: list[Memory] = []
    result: T
    for _ in range(TRIES):
        result = None  # type: ignore[assignment]  # the last one's isn't counted
        gc.collect()
        tracemalloc.start()
        try:
            result = act()
            found.append(Memory(*tracemalloc.get_traced_memory()))
        finally:
            tracemalloc.stop()
    return result, Memory(min(one.held for one in found), min(one.peak for one in found))
