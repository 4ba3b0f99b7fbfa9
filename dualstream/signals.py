"""Signals that end a command: in one word while it is loaded, by KeyboardInterrupt at work, not at all then.

An interrupted command may still wait, such as for a thread whose disk does not answer: the next signal ends it.
"""

from __future__ import annotations

import atexit
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Literal

INTERRUPTED = 130
SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
SAME_S = 0.1  # what comes so soon after a signal is the same wish: `timeout`, for one, may send two


class Wishes:
    """Tells a signal that is a wish of its own from one that comes with the one before."""

    def __init__(self) -> None:
        self._last_s = float("-inf")

    def is_new(self) -> bool:
        """Take a signal that comes now, and tell whether it is a wish of its own."""
        now_s, before_s = time.monotonic(), self._last_s
        self._last_s = now_s
        return now_s - before_s >= SAME_S


class Ending:
    """What a signal comes to in each phase of a program."""

    def __init__(self) -> None:
        self._phase: Literal["loading", "at work", "interrupted", "over"] = "loading"
        self._wishes = Wishes()

    def take_signals(self) -> None:
        """Handle all signals that end a program, but for those that it was told to ignore."""
        for number in SIGNALS:
            if signal.getsignal(number) != signal.SIG_IGN:  # as `nohup`, or a shell without job control, has it
                signal.signal(number, self)
                # the interpreter's last steps give handlers back, but leave what is ignored
                atexit.register(signal.signal, number, signal.SIG_IGN)

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Let signals raise KeyboardInterrupt in the block; behind it, see `over`."""
        self._phase = "at work"
        try:
            yield
        except KeyboardInterrupt:
            self._phase = "interrupted"
            raise
        finally:
            self.over()

    def over(self) -> None:
        """Let signals come to nothing from now on; after an interrupt, let the next one end the process."""
        if self._phase != "interrupted":
            self._phase = "over"

    def __call__(self, *signalled: Any) -> None:
        """Take a signal."""
        if self._phase == "loading":
            with suppress(OSError):  # the terminal may be gone
                os.write(2, b"interrupted\n")
            os._exit(INTERRUPTED)
        if not self._wishes.is_new():
            return
        if self._phase == "at work":
            raise KeyboardInterrupt
        if self._phase == "interrupted":
            os._exit(INTERRUPTED)


ENDING = Ending()
"""Of this process. Until the program takes signals by it, they do what the caller had them do."""
