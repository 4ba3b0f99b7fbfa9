"""A command that must be refused, and the exit statuses by kind: what the tables of mistakes are made of."""

from __future__ import annotations

from dataclasses import dataclass

USAGE = 2
"""The words of the command, or a file that they name: not there, in the way, or holding something else."""
CLIPS_FAILED = 3
"""Done, but clips have a reason in the place of an answer: of many, one may be missing."""
ABSENT = 10
"""There is no such cache, run or bundle."""
MISMATCH = 12
"""Things made in different ways were to be mixed."""
CORRUPT = 13
"""A file that a program wrote, ours or a pickle, is damaged or holds what is not admitted."""


@dataclass(frozen=True)
class RefusedCommand:
    """One command that must be refused."""

    status: int
    words: str
    says: tuple[str, ...]
    """What its message must hold."""


def mistake(status: int, words: str, *says: str) -> RefusedCommand:
    """Return one."""
    return RefusedCommand(status, words, says)
