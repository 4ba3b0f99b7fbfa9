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

from dualstream.pipeline.processes import has_ended, namespace, start_mark

TEMPORARY_SUFFIX = ".tmp"
STANDS = (
    "All that was committed before stands; make room or fix the disk, then run the same command again: it goes on "
    "from there"
)
KEPT_CHARACTERS = 150  # of the file's own name: a longer one is cut, file systems take 255 in all
LEFT_AFTER_S = 3600.0  # another machine's file that nobody has written to for so long belongs to no live run

OWNER = r"[0-9a-f]{10}-\d{1,10}-\d{0,20}"  # machine, process, and when it began, as `owner` gives them
_NAME = re.compile(rf"(.+)\.({OWNER})-\d{{1,10}}\.tmp")
_numbers = itertools.count()


def temporary_path(path: Path) -> Path:
    """Return a name beside `path` that no other write, of this process or of any other, uses."""
    return path.with_name(f"{path.name[:KEPT_CHARACTERS]}.{owner()}-{next(_numbers)}{TEMPORARY_SUFFIX}")


def owner() -> str:
    """Return what names of files and folders say of the process that they are of: this one."""
    return f"{_machine()}-{os.getpid()}-{start_mark(os.getpid())}"


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
    return (of is None or found[1] == of[:KEPT_CHARACTERS]) and is_abandoned(path, found[2])


def is_abandoned(path: Path, owner: str) -> bool:
    """Tell whether the process that a file or folder is of has ended; by age, where it is another machine's."""
    machine, process, began = owner.split("-")
    if machine == _machine():
        return has_ended(int(process), began)
    try:
        return time.time() - path.stat().st_mtime > LEFT_AFTER_S
    except OSError:  # gone by now
        return False


@functools.cache
def _machine() -> str:
    """Return what tells this machine, and this container on it, from others."""
    return hashlib.sha256(f"{platform.node()} {namespace()} {_boot()}".encode()).hexdigest()[:10]


def _boot() -> str:
    """Return what tells this boot of the machine from earlier ones; empty where the system does not say."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except (OSError, UnicodeError):
        return ""
