"""The first Ctrl-C ends a fit at its next report and keeps what is done; the second interrupts at once."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from dualstream.heads.variants.contract import ProgressEvent
from dualstream.heads.variants.registry import Progress

from dualstream.signals import Wishes


@contextmanager
def graceful_interrupt(progress: Progress | None) -> Iterator[Progress]:
    """Let the first Ctrl-C end a fit at its next report, so that the best so far is kept.

    Gives the callback to hand to the fit. A second Ctrl-C interrupts at once, unless it comes with the first. A
    signal that the process was told to ignore stays ignored.
    """
    asked = threading.Event()
    wishes = Wishes()

    def report(event: ProgressEvent) -> None:
        if progress is not None:
            progress(event)
        if asked.is_set():
            raise KeyboardInterrupt

    def handle(number: int, frame: FrameType | None) -> None:
        if not wishes.is_new():
            return
        if asked.is_set():
            raise KeyboardInterrupt
        asked.set()
        with suppress(OSError, RuntimeError):  # the terminal is gone, or a line is being written at this moment
            sys.stderr.write("\nstopping after this epoch, keeping what is done so far (Ctrl-C again: at once)\n")

    if threading.current_thread() is not threading.main_thread():
        yield report
        return
    found = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    before = {number: old for number, old in found.items() if old not in (signal.SIG_IGN, None)}
    for number in before:
        signal.signal(number, handle)
    try:
        yield report
    finally:
        for number, old in before.items():
            signal.signal(number, old)
