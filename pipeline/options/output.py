"""What a command prints can never end it: a console that lacks a sign, a pipe that nobody reads, a full disk.

Signs that a console can't show are written in plain ones; output that goes nowhere is dropped, and noted once.
The work and its exit status do not depend on either.
"""

from __future__ import annotations

import codecs
import contextlib
import errno
import os
import sys
import unicodedata
from collections.abc import Iterator
from typing import Any, TextIO

PLAIN_ERRORS = "dualstream.plain"  # name of the error handler
PLAIN_SIGNS = {
    "–": "-", "—": "-", "−": "-", "‐": "-", "…": "...", "·": ".", "•": "*", "×": "x", "±": "+/-",
    "→": "->", "←": "<-", "≤": "<=", "≥": ">=", "≈": "~", "Δ": "delta ", "σ": "sigma", "°": " deg",
    "‘": "'", "’": "'", "“": '"', "”": '"', "«": '"', "»": '"', "″": '"', "′": "'", "µ": "u", "μ": "u",
    "█": "#", "━": "-", "─": "-", "│": "|", "┃": "|", "✓": "yes", "✔": "yes", "✗": "no", "✘": "no",
}  # fmt: skip


class SteadyOutput:
    """A text stream whose writes never raise; after the first that fails, the rest is dropped."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.lost: OSError | ValueError | None = None
        """Why output was dropped; None where all of it was taken."""

    def write(self, text: str) -> int:
        """Write what can be written; return the number of characters as if all were."""
        self._attempt(lambda: self._stream.write(text))
        return len(text)

    def writelines(self, lines: Any) -> None:
        """Write several texts."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Flush, where that can be done."""
        self._attempt(self._stream.flush)

    def isatty(self) -> bool:
        """Tell whether a person looks on; False for a stream that is closed."""
        try:
            return self.lost is None and self._stream.isatty()
        except (OSError, ValueError):
            return False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    @property
    def nobody_reads(self) -> bool:
        """Whether output was dropped since its reader went away (``| head``), which is no failure."""
        return isinstance(self.lost, OSError) and self.lost.errno in (errno.EPIPE, errno.EINVAL, errno.ECONNRESET)

    def _attempt(self, act: Any) -> None:
        if self.lost is not None:
            return
        try:
            act()
        except (OSError, ValueError) as error:
            self.lost = error
            _into_nothing(self._stream)


@contextlib.contextmanager
def steady_output() -> Iterator[None]:
    """Have standard output and standard error never end the block; within another such block, do nothing."""
    if isinstance(sys.stdout, SteadyOutput):
        yield
        return
    _fill_closed()
    before = sys.stdout, sys.stderr
    for stream in before:
        _show_plain(stream)
    sys.stdout, sys.stderr = SteadyOutput(before[0]), SteadyOutput(before[1])
    try:
        yield
    finally:
        for steady in (sys.stdout, sys.stderr):
            steady.flush()
        sys.stdout, sys.stderr = before


def lost_output() -> str:
    """Return why standard output was not written, in words; nothing where it was, or where its reader left."""
    stream = sys.stdout
    if not isinstance(stream, SteadyOutput):
        return ""
    stream.flush()
    if stream.lost is None or stream.nobody_reads:
        return ""
    return str(getattr(stream.lost, "strerror", None) or stream.lost)


def speaks_unicode() -> bool:
    """Tell whether standard output can show any sign."""
    encoding = getattr(sys.stdout, "encoding", None) or "ascii"
    try:
        return codecs.lookup(encoding).name.startswith("utf")
    except LookupError:
        return False


def _plain(error: UnicodeError) -> tuple[str, int]:
    """Return plain signs for those that an encoding lacks: an accent goes, a lone byte is shown by its number."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    shown = "".join(_plain_sign(sign, error.encoding) for sign in error.object[error.start : error.end])
    return shown, error.end


def _plain_sign(sign: str, encoding: str) -> str:
    if "\udc80" <= sign <= "\udcff":  # a byte of a name that is no text
        return f"\\x{ord(sign) - 0xDC00:02x}"
    bare = PLAIN_SIGNS.get(sign) or "".join(
        one for one in unicodedata.normalize("NFKD", sign) if not unicodedata.combining(one)
    )
    try:
        bare.encode(encoding)
    except (UnicodeError, LookupError):
        return "?"
    return bare or "?"


def _show_plain(stream: TextIO) -> None:
    """Give a stream that would raise, or write what is no text, the plain signs in place."""
    if getattr(stream, "errors", None) in ("strict", "surrogateescape"):
        with contextlib.suppress(AttributeError, OSError, ValueError):
            codecs.register_error(PLAIN_ERRORS, _plain)
            stream.reconfigure(errors=PLAIN_ERRORS)  # type: ignore[attr-defined]


def _fill_closed() -> None:
    """Open the null device for streams that were closed before we began: no other file may get their numbers."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            with contextlib.suppress(OSError):
                os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free, which is this one
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 (for the whole process)


def _into_nothing(stream: TextIO) -> None:
    """Let what waits in a stream's buffer go, so that the end of the process does not fail on it again."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        number = stream.fileno()
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, number)
        os.close(nothing)
