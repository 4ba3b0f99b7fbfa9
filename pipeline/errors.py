"""The failures that end a command, each with the exit status that scripts can rely on."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from dualstream.validation import validate

DONE_WITH_FAILURES = 3
EXIT_STATUSES = {
    0: "done",
    1: "failed",
    2: "usage",
    DONE_WITH_FAILURES: "done but some clips or variants failed",
    10: "no such cache, run or bundle",
    11: "locked",
    12: "fingerprint mismatch",
    13: "corrupt",
    130: "interrupted",
}


class DualstreamError(Exception):
    """A failure that is the user's to fix: the message says what was found, expected, and to be done."""

    exit_status = 1


class UsageError(DualstreamError):
    """The words of the command do not fit together."""

    exit_status = 2


class NoCacheError(DualstreamError):
    """The cache, run or bundle that was named does not exist."""

    exit_status = 10


class LockedError(DualstreamError):
    """Another run holds the lock on this output."""

    exit_status = 11


class FingerprintMismatchError(DualstreamError):
    """Things made in different ways were to be mixed."""

    exit_status = 12


class CorruptError(DualstreamError):
    """A file does not hold what it says it holds, or is of no shape that we read."""

    exit_status = 13


def require_valid(options: Any) -> None:
    """Check the fields of a dataclass of options, which are named as they are typed, against their annotations.

    Raises
    ------
    UsageError
        Names the option, what was found, and what was expected.
    """
    try:
        validate(options)
    except ValueError as error:
        name, _, rest = str(error).partition(" ")
        raise UsageError(f"--{name.replace('_', '-')} {rest}") from error


@contextlib.contextmanager
def resumable() -> Iterator[None]:
    """Have an interrupt of the block say that nothing which was committed is lost."""
    try:
        yield
    except KeyboardInterrupt as stop:
        stop.add_note("what was committed stands: say the same command again, and it goes on from there")
        raise
