"""One writer at a time: an advisory lock on a side file, which the system frees when its holder dies.

Some file systems lend no locks (NFS without its lock service, Lustre without ``-o flock``, some FUSE mounts), nor
do systems without `fcntl`. There a file that only one process can make stands for the lock: NAME.held names its
maker, is removed at the end, and one whose maker died is taken over.
"""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import os
import platform
from collections.abc import Iterator
from pathlib import Path

from dualstream.pipeline.disk import O_BINARY, O_CLOEXEC, O_NOFOLLOW
from dualstream.pipeline.errors import DualstreamError, LockedError
from dualstream.pipeline.processes import has_ended, namespace, start_mark

try:
    import fcntl
except ImportError:  # not a Unix
    fcntl = None  # type: ignore[assignment]

log = logging.getLogger(__name__)

HELD_SUFFIX = ".held"
LARGEST_NOTE_BYTES = 1000
TRIES = 3  # for a file that another process takes away in the same moment
NO_LOCKS = frozenset(
    getattr(errno, name)
    for name in ("ENOLCK", "ENOSYS", "EOPNOTSUPP", "ENOTSUP", "EINVAL")
    if hasattr(errno, name)
)


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock file `path` while the block runs.

    The file stays, and only the lock on it counts; where the block ends by an error, one made for it goes.

    Raises
    ------
    LockedError
        Where another process holds it.
    """
    was_there = os.path.lexists(path)
    descriptor, is_locked = _opened(path)
    try:
        if is_locked:
            with contextlib.suppress(OSError):  # the number is a courtesy: a full disk must not stop us here
                os.ftruncate(descriptor, 0)
                with open(descriptor, "r+b", buffering=0, closefd=False) as file:
                    file.seek(0)
                    file.write(f"{os.getpid()}\n".encode("ascii"))
            yield
        else:
            with _made_alone(path.with_name(path.name + HELD_SUFFIX), path):
                yield
    except BaseException:
        if is_locked and not was_there:
            with contextlib.suppress(OSError):
                os.unlink(path)  # who opened it meanwhile sees that it has no name, and opens another
        raise
    finally:
        os.close(descriptor)


def _opened(path: Path) -> tuple[int, bool]:
    """Open the lock file and lock it; False where system or file system lends no locks."""
    for _ in range(TRIES):
        try:
            descriptor = os.open(path, os.O_CREAT | os.O_RDWR | O_BINARY | O_CLOEXEC | O_NOFOLLOW, 0o666)
        except OSError as error:
            raise DualstreamError(
                f"cannot open the lock {path}: {error.strerror}; see that its folder can be written to, or choose "
                "another place"
            ) from error
        try:
            is_locked = _flocked(descriptor, path)
            if not is_locked or _is_at(path, descriptor):
                return descriptor, is_locked
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
    raise LockedError(f"{path} is held by another run, which ended in the same moment; run the command again")


def _is_at(path: Path, descriptor: int) -> bool:
    """Tell whether an open file is still the one that has the name."""
    try:
        return os.path.samestat(os.stat(path), os.fstat(descriptor))
    except OSError:
        return False


def _flocked(descriptor: int, path: Path) -> bool:
    """Lock an open file; return False where system or file system lends no locks."""
    if fcntl is None:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        holder = os.read(descriptor, 20).decode("ascii", "replace").strip()
        raise LockedError(
            f"{path} is held by another run{f' (process {holder})' if holder.isdigit() else ''}; "
            "wait until it ends, or choose another --out"
        ) from error
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise DualstreamError(
                f"cannot lock {path}: {error.strerror}; choose another --out, on a disk that lends locks"
            ) from error
        log.warning(
            "%s can't be locked on this file system (%s); %s stands for the lock", path, error.strerror,
            path.name + HELD_SUFFIX,
        )  # fmt: skip
        return False
    return True


@contextlib.contextmanager
def _made_alone(held: Path, path: Path) -> Iterator[None]:
    """Hold the lock by making `held`, which only one process can."""
    who = {"host": platform.node(), "pids": namespace(), "process": os.getpid(), "began": start_mark(os.getpid())}
    note = json.dumps(who).encode()
    for _ in range(TRIES):
        if _make(held, note, path):
            break
        other = _read(held)
        if other is not None and not _is_dead(other):
            raise _held_error(held, path, other)
        if other is not None:
            _clear(held, other)
    else:
        raise LockedError(f"{path} is held by another run, which began in the same moment; run the command again")
    try:
        yield
    finally:
        if _read(held) == note:
            with contextlib.suppress(OSError):
                os.unlink(held)


def _make(held: Path, note: bytes, path: Path) -> bool:
    """Make the file with our note in it; return False where it already exists."""
    try:
        descriptor = os.open(held, os.O_CREAT | os.O_EXCL | os.O_WRONLY | O_BINARY | O_CLOEXEC | O_NOFOLLOW, 0o666)
    except FileExistsError:
        return False
    except OSError as error:
        raise DualstreamError(
            f"cannot make {held}, which stands for the lock {path} here: {error.strerror}; choose another --out"
        ) from error
    try:
        os.write(descriptor, note)
    except OSError as error:
        with contextlib.suppress(OSError):
            os.unlink(held)
        raise DualstreamError(f"cannot write the lock {held}: {error.strerror}; make room") from error
    finally:
        os.close(descriptor)
    return True


def _read(held: Path) -> bytes | None:
    """Return who holds it, as written; None where the file is gone."""
    try:
        with open(held, "rb") as file:
            return file.read(LARGEST_NOTE_BYTES)
    except OSError:
        return None


def _is_dead(note: bytes) -> bool:
    """Tell whether the process that wrote a note has ended; False where that can't be known from here."""
    try:
        who = json.loads(note)
        here, process, began = (who["host"], who["pids"]), int(who["process"]), str(who["began"])
    except (ValueError, TypeError, KeyError):
        return False  # just being written, or not ours
    return here == (platform.node(), namespace()) and has_ended(process, began)


def _clear(held: Path, note: bytes) -> None:
    """Take away the file of a dead holder, and nothing that another process made there meanwhile."""
    aside = held.with_name(f"{held.name}.{os.getpid()}")
    try:
        os.rename(held, aside)
    except OSError:
        return  # another process was faster
    if _read(aside) == note:
        os.unlink(aside)
    else:
        os.replace(aside, held)


def _held_error(held: Path, path: Path, note: bytes) -> LockedError:
    try:
        who = json.loads(note)
        by = f"process {int(who['process'])} on {who['host']}"
    except (ValueError, TypeError, KeyError):
        by = "one that says nothing of itself"
    return LockedError(
        f"{path} is held by another run ({by}); wait until it ends, or choose another --out. This file system "
        f"lends no locks, so {held} stands for one: if that run is dead, remove that file"
    )
