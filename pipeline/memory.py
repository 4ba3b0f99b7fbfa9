"""Memory that runs short: an error of its own, which says how much was needed and how much is free.

A file that there is no room for is not damaged, and nothing may be thrown away for it.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from dualstream.features.memory import is_shortage
from dualstream.pipeline.errors import DualstreamError

try:
    import resource
except ImportError:  # not on this system
    resource = None  # type: ignore[assignment]

PROC = Path("/proc")
CGROUP = Path("/sys/fs/cgroup")
NO_LIMIT_BYTES = 1 << 60  # cgroup v1 writes a huge number where there is no limit
UNITS = {"": 1, "bytes": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}

_ASKED_FOR = re.compile(
    r"(?:allocate|allocating|tried to allocate)\D{0,24}?([\d.,]+)\s*(bytes|[kmgt])?(?:ib|b)?\b", re.IGNORECASE
)


class MemoryShortageError(DualstreamError, MemoryError):
    """There is not enough memory for what was to be done; nothing is damaged by that."""

    def __init__(self, what: str, *, needed_bytes: int | None = None, said: str = "") -> None:
        free = free_bytes()
        asked = (
            f"about {_words(needed_bytes)} needed in all"
            if needed_bytes is not None
            else "more needed than there is"
        )
        left = "the system does not say how much is left" if free is None else f"{_words(free)} left"
        because = f" ({said})" if said else ""
        super().__init__(
            f"memory is short{f' {what}' if what else ''}: {asked}, {left}{because}. No file is "
            "damaged by that. End other programs, raise the limit (ulimit -v, a container's, a scheduler's), or "
            "use a machine with more memory, then run the same command again"
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return _as_said, (str(self),)


def _as_said(words: str) -> MemoryShortageError:
    """Return the error that another process raised, with its words: how much is free is its own business."""
    error = MemoryShortageError("")
    error.args = (words,)
    return error


def refuse_shortage(error: BaseException, what: str = "", *, needed_bytes: int | None = None) -> None:
    """Raise MemoryShortageError where `error` is a shortage of memory; do nothing where it is something else.

    To be called first where an error is about to be given another meaning. The error's frames, which hold the
    arrays that fill the memory, are not kept.

    Parameters
    ----------
    what
        What was being done, such as ``while cache.h5 is read``.
    needed_bytes
        What that takes; None: what the error says was asked for.
    """
    if isinstance(error, MemoryShortageError) or not is_shortage(error):
        return
    said = " ".join(str(error).split())[:200]
    raise MemoryShortageError(what, needed_bytes=needed_bytes or _asked_for(said), said=said) from None


def shortage_words(error: BaseException) -> str:
    """Return what to tell a person of an error that is a shortage of memory; nothing where it is none."""
    try:
        refuse_shortage(error)
    except MemoryShortageError as shortage:
        return str(shortage)
    return str(error) if isinstance(error, MemoryShortageError) else ""


def free_bytes() -> int | None:
    """Return how many bytes this process may still take; None where the system does not say."""
    found = [one for one in (_of_the_system(), _of_the_limit(), _of_the_group()) if one is not None]
    return max(0, min(found)) if found else None


def _asked_for(words: str) -> int | None:
    """Return the bytes that a library's message says it wanted."""
    match = _ASKED_FOR.search(words)
    if match is None:
        return None
    try:
        return int(float(match[1].rstrip(".,").replace(",", "")) * UNITS[(match[2] or "").lower()])
    except (ValueError, OverflowError):
        return None


def _of_the_system() -> int | None:
    for line in _read(PROC / "meminfo").splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) << 10
    return None


def _of_the_limit() -> int | None:
    """Return what the limit on the address space (``ulimit -v``) leaves."""
    pages = _read(PROC / "self" / "statm").split()
    if resource is None or not pages:
        return None
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    return None if limit == resource.RLIM_INFINITY else limit - int(pages[0]) * resource.getpagesize()


def _of_the_group() -> int | None:
    """Return what a container's limit leaves: control groups, version 2 or 1."""
    for limit, used in (
        ("memory.max", "memory.current"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
    ):
        most, now = _read(CGROUP / limit).strip(), _read(CGROUP / used).strip()
        if most.isdigit() and now.isdigit() and int(most) < NO_LIMIT_BYTES:
            return int(most) - int(now)
    return None


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""


def _words(count: int) -> str:
    return f"{count / 1e9:,.2f} GB" if count >= 10_000_000 else f"{count:,} bytes"
