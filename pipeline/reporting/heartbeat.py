"""A plain line on standard error every 30 seconds while a command works, for logs and for who waits at none.

Heartbeats nest: the innermost reports, and one that is silent (a bar is drawn) keeps the outer ones silent too.
They share one clock, which the outermost starts: a command of many short parts is heard like one of a long part.
"""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import ClassVar

EVERY_S = 30.0
"""Seconds between two lines; a command that ends sooner prints none."""


class Heartbeat:
    """Reports what a command is doing, from a thread of its own. Use it as a context manager.

    Parameters
    ----------
    describe
        Returns what is going on: ``clips: 120 of 13708 done, 3.2/s, 1 h 10 min left``.
    silent
        Print nothing, and keep enclosing heartbeats from printing: something is drawn on the terminal.
    """

    muted: ClassVar[bool] = False
    """Whether nothing is said on the way at all (`silenced`); bars and lines that are drawn look here too."""
    _open: ClassVar[list[Heartbeat]] = []

    def __init__(self, describe: Callable[[], str], *, silent: bool = False) -> None:
        self._describe = describe
        self._silent = silent
        self._ended = threading.Event()
        self._started_s = time.monotonic()

    def __enter__(self) -> Heartbeat:
        self._started_s = time.monotonic()
        Heartbeat._open.append(self)
        if Heartbeat._open[0] is self:
            threading.Thread(target=self._beat, daemon=True, name="heartbeat").start()
        return self

    def __exit__(self, *reason: object) -> None:
        self.stop()

    def stop(self) -> None:
        """End it; calling it again does nothing."""
        self._ended.set()
        if self in Heartbeat._open:
            Heartbeat._open.remove(self)

    def line(self) -> str:
        """Return the line for now: the time since this one started, and what the innermost says is going on."""
        told = Heartbeat._open[-1] if Heartbeat._open else self
        return f"[{format_duration(time.monotonic() - self._started_s)}] {told._describe()}"

    def _beat(self) -> None:
        """Print for all that are inside this one, the outermost."""
        while not self._ended.wait(EVERY_S):
            if Heartbeat.muted or any(one._silent for one in Heartbeat._open):
                continue
            with contextlib.suppress(OSError, ValueError, IndexError):  # nobody reads, it is closed; it has ended
                sys.stderr.write(f"{self.line()}\n")
                sys.stderr.flush()


@contextlib.contextmanager
def silenced() -> Iterator[None]:
    """Have no progress reported within the block, neither lines nor bars."""
    before, Heartbeat.muted = Heartbeat.muted, True
    try:
        yield
    finally:
        Heartbeat.muted = before


def format_duration(seconds: float) -> str:
    """Return seconds in words that fit their size: ``850 ms``, ``12 s``, ``3 min 20 s``, ``2 h 5 min``."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
