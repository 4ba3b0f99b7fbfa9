"""Names of files that are being written: who writes is in the name, so that nobody removes a live run's file.

    shard-00003.h5.5f1c09ab2e-4711-8812345-0.tmp
                   machine    pid  began   number

Several runs may write one file at the same time, from several machines (``extract --part``): each under a name of
its own. What a killed run left is told by its process being gone; on another machine, by its age.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import os
import platform
import re
import time
from pathlib import Path

from dualstream.pipeline.processes import is_alive, start_mark

TEMPORARY_SUFFIX = ".tmp"
KEPT_CHARACTERS = 150  # of the file's own name: a longer one is cut, file systems take 255 in all
LEFT_AFTER_S = 3600.0  # another machine's file that nobody has written to for so long belongs to no live run

_NAME = re.compile(r"(.+)\.([0-9a-f]{10})-(\d{1,10})-(\d{0,20})-(\d{1,10})\.tmp")
_numbers = itertools.count()


def temporary_path(path: Path) -> Path:
    """Return a name beside `path` that no other write, of this process or of any other, uses."""
    mine = os.getpid()
    who = f"{_machine()}-{mine}-{start_mark(mine)}-{next(_numbers)}"
    return path.with_name(f"{path.name[:KEPT_CHARACTERS]}.{who}{TEMPORARY_SUFFIX}")


def is_leftover(path: Path, of: str | None = None) -> bool:
    """Tell whether a file is one that a run which has ended left behind.

    Parameters
    ----------
    of
        The name of the file that was being written; None: any.
    """
    found = _NAME.fullmatch(path.name)
    if found is None:  # of an earlier version, which wrote under the lock alone
        return path.name == f"{of}{TEMPORARY_SUFFIX}" if of is not None else path.name.endswith(TEMPORARY_SUFFIX)
    name, machine, process, began = found[1], found[2], int(found[3]), found[4]
    if of is not None and name != of[:KEPT_CHARACTERS]:
        return False
    if machine == _machine():
        return not is_alive(process) or start_mark(process) != began
    try:
        return time.time() - path.stat().st_mtime > LEFT_AFTER_S
    except OSError:  # gone by now
        return False


@functools.cache
def _machine() -> str:
    """Return what tells this machine, and this container on it, from others."""
    try:
        processes = os.stat("/proc/self/ns/pid").st_ino
    except OSError:
        processes = 0
    return hashlib.sha256(f"{platform.node()} {processes} {_boot()}".encode()).hexdigest()[:10]


def _boot() -> str:
    """Return what tells this boot of the machine from earlier ones; empty where the system does not say."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except (OSError, UnicodeError):
        return ""
