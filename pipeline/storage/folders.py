"""Folders that output goes into, and what is said where nothing can be written there."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

from dualstream.pipeline.errors import DualstreamError, UsageError

LEAST_FREE_BYTES = 1 << 20  # a run or a bundle is larger; less is as good as full
OF_THE_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO)


class UnwrittenError(DualstreamError):
    """The disk is full or refuses; what stood at that place before stands."""

    def __init__(self, path: Path, error: OSError) -> None:
        self.error = error
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        remedy = "make room" if full else "see that its folder can be written to, or choose another place"
        super().__init__(
            f"cannot write {path}: {error.strerror or error}. What stood there before stands; {remedy}, then run "
            "the same command again"
        )


def make_folder(path: Path) -> None:
    """Make a folder and those above it, where they are not there yet.

    Raises
    ------
    UsageError
        Where a file stands in the way, or the disk does not let it be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        file = next((one for one in (path, *path.parents) if one.exists() and not one.is_dir()), None)
        why = f"{file} is a file" if file is not None else error.strerror
        raise UsageError(f"cannot make the folder {path}: {why}; choose another --out") from error


def require_writable(path: Path, word: str = "--out") -> None:
    """Say before the work starts that nothing could be written to `path` at its end. Nothing is written to tell.

    Parameters
    ----------
    word
        The option that names it.

    Raises
    ------
    UsageError
        Where the folder, or the nearest one above it that is there, is read-only, or its disk is full.
    """
    there = next(one for one in path.absolute().parents if one.exists())
    if not there.is_dir():
        raise UsageError(f"{word} {path}: {there} is a file; expected a folder. Choose another {word}")
    if not os.access(there, os.W_OK | os.X_OK):
        raise UsageError(
            f"{word} {path}: the folder {there} can't be written to; see to that, or choose another {word}"
        )
    free = _free_bytes(there)
    if free is not None and free < LEAST_FREE_BYTES:
        raise UsageError(
            f"{word} {path}: the disk of {there} has {free:,} bytes left; expected {LEAST_FREE_BYTES:,} or more. "
            f"Make room, or choose another {word}"
        )


def _free_bytes(folder: Path) -> int | None:
    """Return what a plain user may still write; None where the file system, or the system, does not say."""
    try:
        if hasattr(os, "statvfs"):
            disk = os.statvfs(folder)
            return disk.f_bavail * disk.f_frsize if disk.f_blocks else None
        return shutil.disk_usage(folder).free
    except (OSError, AttributeError):
        return None
