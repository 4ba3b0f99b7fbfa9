"""Questions to a store that can be given up, whatever its package waits for: each is asked in a thread of its own.

thread of the run                thread of the question
    call ──────────────────────► the package's own function: a server may be slow, or silent for minutes
    wait  ◄── answer, error ───
    wait  ◄── `give_up`, from any thread: the run ends, and the question goes on alone, heard by nobody
"""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable
from concurrent.futures import CancelledError, Future, InvalidStateError
from contextlib import suppress
from typing import Any


class GivenUpError(BaseException):
    """Nobody waits for the answer any more. Like an interrupt, it is no failure, to be recorded or tried again."""


class StoreCalls:
    """The questions that wait for their answers. Safe to use from many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: set[Future[Any]] = set()

    def call(self, act: Callable[..., Any], *given: Any, **more: Any) -> Any:
        """Return what ``act(*given, **more)`` returns, or raise what it raises.

        Raises
        ------
        GivenUpError
            Where `give_up` was called meanwhile.
        """
        answer: Future[Any] = Future()

        def ask() -> None:
            try:
                settle = functools.partial(answer.set_result, act(*given, **more))
            except BaseException as error:  # noqa: BLE001  # whatever it is, it is raised where it is waited for
                settle = functools.partial(answer.set_exception, error)
            with suppress(InvalidStateError):  # nobody waits for it any more
                settle()

        with self._lock:
            self._waiting.add(answer)
        try:
            threading.Thread(target=ask, name="dualstream-store", daemon=True).start()
            return answer.result()
        except CancelledError:
            if answer.cancelled():
                raise GivenUpError from None
            raise
        finally:
            with self._lock:
                self._waiting.discard(answer)

    def give_up(self) -> None:
        """Let nobody wait for an answer any longer; questions that are asked later are answered as ever."""
        with self._lock:
            waiting = list(self._waiting)
        for answer in waiting:
            answer.cancel()


class Watch:
    """The callback that fsspec tells of each block: it ends what takes too long, or what nobody waits for."""

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._end_s = time.monotonic() + limit_s

    def relative_update(self, inc: int = 1) -> None:
        """Note a block."""
        if time.monotonic() > self._end_s:
            raise TimeoutError(f"it was still coming after {self._limit_s:.0f} s")

    def end(self) -> None:
        """Let the next block be the last one."""
        self._end_s = 0.0

    def __getattr__(self, name: str) -> Any:
        return getattr(_no_callback(), name)


@functools.cache
def _no_callback() -> Any:
    from fsspec.callbacks import NoOpCallback

    return NoOpCallback()
