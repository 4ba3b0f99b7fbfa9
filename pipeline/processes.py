"""Is a process of this machine still there? Asked of runs that left a temporary folder or a lock behind."""

from __future__ import annotations

import os
import sys
from pathlib import Path

STILL_ACTIVE = 259  # of GetExitCodeProcess
QUERY_LIMITED_INFORMATION = 0x1000


def is_alive(process: int) -> bool:
    """Tell whether a process is there; True where the system does not say."""
    if sys.platform == "win32":  # where os.kill(process, 0) would send it a Ctrl-C
        return _is_alive_on_windows(process)
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


def start_mark(process: int) -> str:
    """Return when a process began, as the system counts it: a number that went to another process shows by that.

    An empty string where the system does not say.
    """
    try:
        line = Path(f"/proc/{process}/stat").read_text(encoding="ascii", errors="replace")
        return line.rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""


def has_ended(process: int, began: str) -> bool:
    """Tell whether the process of that number, whose `start_mark` was `began`, is gone."""
    return not is_alive(process) or start_mark(process) != began


def namespace() -> int:
    """Return what tells containers with one host name apart, whose process numbers are not one another's."""
    try:
        return os.stat("/proc/self/ns/pid").st_ino
    except OSError:
        return 0


def _is_alive_on_windows(process: int) -> bool:
    import ctypes

    kernel = ctypes.windll.kernel32  # type: ignore[attr-defined]
    handle = kernel.OpenProcess(QUERY_LIMITED_INFORMATION, False, process)
    if not handle:
        return False
    code = ctypes.c_ulong()
    known = kernel.GetExitCodeProcess(handle, ctypes.byref(code))
    kernel.CloseHandle(handle)
    return not known or code.value == STILL_ACTIVE
