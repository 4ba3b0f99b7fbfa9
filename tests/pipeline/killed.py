"""A forked child that ends at its n-th write, fsync or rename: nothing of Python or HDF5 gets to clean up.

`os` is wrapped in the child alone; the product has no hook for this.
"""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Callable
from typing import Any

from dualstream.pipeline.errors import DualstreamError

CALLS = ("write", "fsync", "replace")


def in_child(task: Callable[[], Any]) -> int:
    """Run `task` in a forked child; return its exit status, or minus the signal that ended it."""
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        status = 99
        try:
            task()
            status = 0
        except DualstreamError as error:
            status = error.exit_status
        except KeyboardInterrupt:
            status = 130
        except BaseException:  # noqa: BLE001  (a forked child must never return into pytest)
            traceback.print_exc()
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def wrapped(at: int, act: Callable[[str], None]) -> Callable[[], int]:
    """Wrap `CALLS` of `os`: before the call number `at` of them, counted from 0, `act` is called with its name.

    Return a function that tells how many calls there were.
    """
    count = 0

    def wrap(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **more: Any) -> Any:
            nonlocal count
            number, count = count, count + 1
            if number == at:
                act(name)
            return real(*args, **more)

        return call

    for name in CALLS:
        setattr(os, name, wrap(name, getattr(os, name)))
    return lambda: count


def die(name: str) -> None:
    os.kill(os.getpid(), signal.SIGKILL)
