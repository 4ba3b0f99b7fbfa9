"""One writer at a time: an advisory lock on a side file, which the system frees when its holder dies."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from pipeline.errors import DualstreamError, LockedError


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock file `path` while the block runs. The file stays; only the lock on it counts.

    Raises
    ------
    LockedError
        Where another process holds it.
    """
    try:
        descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
    except OSError as error:
        raise DualstreamError(
            f"cannot open the lock {path}: {error.strerror}; see that its folder can be written to, or choose "
            "another place"
        ) from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(descriptor, 20, 0).decode("ascii", "replace").strip()
            raise LockedError(
                f"{path} is held by another run{f' (process {holder})' if holder.isdigit() else ''}; "
                "wait until it ends, or choose another --out"
            ) from error
        with contextlib.suppress(OSError):  # the number is a courtesy: a full disk must not stop us here
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode("ascii"), 0)
        yield
    finally:
        os.close(descriptor)
