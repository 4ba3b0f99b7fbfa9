"""What differs between systems and file systems: flags, syncing, and putting a new file in an old one's place.

Network mounts lack some of what a local disk has, and Windows some of what Unix has. Where a promise can't be
kept there (a folder that can't be synced), the work goes on; where the disk is full or broken, it never does.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import time
from pathlib import Path

log = logging.getLogger(__name__)

# Of `os.open`; 0 on systems without them. Without O_BINARY, Windows would turn line ends inside binary files.
O_BINARY: int = getattr(os, "O_BINARY", 0)
O_CLOEXEC: int = getattr(os, "O_CLOEXEC", 0)
O_DIRECTORY: int = getattr(os, "O_DIRECTORY", 0)
O_NOFOLLOW: int = getattr(os, "O_NOFOLLOW", 0)

UNSUPPORTED = frozenset(
    getattr(errno, name)
    for name in ("EINVAL", "ENOSYS", "ENOTSUP", "EOPNOTSUPP", "EBADF", "ENOTTY")
    if hasattr(errno, name)
)
NO_FOLDER_SYNC = UNSUPPORTED | {errno.EACCES, errno.EPERM, errno.EISDIR}  # Windows opens no folder
NO_REPLACING = frozenset((errno.EEXIST, errno.ENOTEMPTY, errno.EACCES, errno.EPERM, errno.EBUSY)) | UNSUPPORTED
BUSY_S = (0.05, 0.2, 0.75)  # Windows, CIFS: another program, such as a virus scanner, has the old file open


def sync(path: Path) -> None:
    """Have a file or folder on disk, not only in memory, before this returns, where the system offers that."""
    folder = path.is_dir()
    try:
        descriptor = os.open(path, (os.O_RDONLY | O_DIRECTORY if folder else os.O_RDWR | O_BINARY) | O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno not in (NO_FOLDER_SYNC if folder else UNSUPPORTED):
            raise
        log.info("%s can't be synced here: %s", path, error.strerror)


def sync_descriptor(descriptor: int) -> None:
    """Have an open file on disk before this returns, where the file system can promise that."""
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            raise
        log.info("an open file can't be synced here: %s", error.strerror)


def put_in_place(new: Path, path: Path) -> None:
    """Rename the file or folder `new` to `path`, in the place of a file that is there.

    Where the file system has no rename over a file that is there, the old one steps aside first and comes back
    if the new one can't be put there.
    """
    facts = os.stat(new)
    try:
        os.replace(new, path)
        return
    except FileNotFoundError:
        if _arrived(facts, new, path):  # NFS: the answer was lost, and the rename was asked for again
            return
        raise
    except OSError as error:
        if error.errno not in NO_REPLACING or not path.is_file():
            raise
        refused = error.errno
    if not _replaced_later(new, path):
        log.info("%s is not replaced by a rename here (error %s): the old file steps aside", path, refused)
        _step_aside(new, path)


def _arrived(facts: os.stat_result, new: Path, path: Path) -> bool:
    """Tell whether what was at `new` is at `path` now, whatever the rename said."""
    try:
        now = os.stat(path)
    except OSError:
        return False
    return not new.exists() and (now.st_ino, now.st_size) == (facts.st_ino, facts.st_size)


def _replaced_later(new: Path, path: Path) -> bool:
    """Try again a few times; return whether that helped."""
    for pause_s in BUSY_S:
        time.sleep(pause_s)
        with contextlib.suppress(OSError):
            os.replace(new, path)
            return True
    return False


def _step_aside(new: Path, path: Path) -> None:
    aside = path.with_name(f"{path.name}.{os.getpid()}.old")
    os.rename(path, aside)
    try:
        os.rename(new, path)
    except BaseException:
        os.rename(aside, path)
        raise
    with contextlib.suppress(OSError):
        os.unlink(aside)
