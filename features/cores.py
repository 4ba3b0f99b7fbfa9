"""One BLAS thread for whatever becomes rows: how a product is cut among threads shows in its last digits.

heads/cores.py does the same for fits; the two packages know nothing of each other, and who uses both at once
holds one of the limits around the other.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

BLAS_THREADS = 1  # while rows are made, on every machine


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Hold BLAS to one thread in the whole process. Works as a decorator too.

    The first who asks sets the limit, the last who goes sets back what the first found, whichever threads they
    are in: clips are read side by side.
    """
    _BLAS.enter()
    try:
        yield
    finally:
        _BLAS.leave()


class _Blas:
    """The limit. Libraries that are loaded while it holds are found when it is asked for again."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._holders = 0
        self._limiters: list[Any] = []
        self._controller: Any = None
        self._modules = -1

    def enter(self) -> None:
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


_BLAS = _Blas()
