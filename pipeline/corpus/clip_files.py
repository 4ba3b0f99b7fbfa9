"""From a row's path to its file: the place inside the data root, and what lies there, by name."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import Any

from dualstream.pipeline.errors import DualstreamError

REMEDY = "expected a clip: put it there, or fix the path"

_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (lambda mode: stat.S_ISCHR(mode) or stat.S_ISBLK(mode), "a device"),
)


class NoClipError(DualstreamError):
    """No regular file lies where a clip should; the message begins with one word for that and names no folder.

    ``missing``      nothing is there
    ``broken_link``  a link that leads nowhere
    ``outside``      a link that leads out of the data root
    ``not_a_file``   a folder, a named pipe, a socket or a device
    ``unreadable``   the system does not say what is there
    ``unfetched``    a store on another machine has it and does not give it
    """

    def __init__(self, kind: str, text: str) -> None:
        self.kind = kind
        self.text = text
        super().__init__(f"{kind}: {text}")

    def __reduce__(self) -> tuple[Any, ...]:
        return NoClipError, (self.kind, self.text)

    def of(self, what: str) -> NoClipError:
        """Return the same error, said of `what`: one of the two files of a clip."""
        return NoClipError(self.kind, f"{what}: {self.text}")


class EscapingPathError(DualstreamError):
    """A path leads out of the data root."""


def resolve(root: Path, path: str) -> Path:
    """Return the real, absolute place of a manifest's path, links followed, whether or not a file stands there.

    Raises
    ------
    EscapingPathError
        Where it lies outside `root`, be it by ``..`` or by a link.
    """
    real_root = os.path.realpath(root)
    place = os.path.realpath(os.path.join(real_root, path))
    if os.path.commonpath([real_root, place]) != real_root:
        raise EscapingPathError(
            f"path {path!r} leads to {place}, outside the data root {real_root}; "
            "give the folder that really holds the clips as --root"
        )
    return Path(place)


def clip_at(root: Path, path: str) -> Path:
    """Return the real place of the regular file that a manifest's path leads to; nothing is opened.

    Raises
    ------
    NoClipError
        Where there is none inside `root`, by name of what is there.
    """
    try:
        place = resolve(root, path)
    except EscapingPathError as error:
        raise NoClipError(
            "outside",
            "the path passes a link that leads out of the data root; expected a clip inside it: put it there, or "
            "give the folder that really holds the clips as the root",
        ) from error
    except (OSError, ValueError) as error:
        raise NoClipError("unreadable", f"{error}; {REMEDY}") from error
    require_file(os.path.join(root, path))
    return place


def require_file(place: str | os.PathLike[str]) -> None:
    """Refuse what is no regular file, without opening it: a named pipe would wait for ever.

    Raises
    ------
    NoClipError
        Saying what was found, what was expected and what to do.
    """
    try:
        mode = os.stat(place).st_mode
    except (FileNotFoundError, NotADirectoryError) as error:
        if _passes_broken_link(os.fspath(place)):
            raise NoClipError("broken_link", f"the path is a link that points nowhere; {REMEDY}") from error
        raise NoClipError("missing", f"there is no such file; {REMEDY}") from error
    except (OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno == errno.ELOOP:
            raise NoClipError("broken_link", f"the path is a link that leads back to itself; {REMEDY}") from error
        words = error.strerror if isinstance(error, OSError) else str(error)
        raise NoClipError("unreadable", f"{words}; {REMEDY}") from error
    if not stat.S_ISREG(mode):
        kind = next((name for holds, name in _KINDS if holds(mode)), "no regular file")
        raise NoClipError("not_a_file", f"{kind} is there; {REMEDY}")


def _passes_broken_link(place: str) -> bool:
    """Tell whether the path, or a folder on the way to it, is a link whose end does not exist."""
    while place and place != os.path.dirname(place):
        if os.path.islink(place) and not os.path.exists(place):
            return True
        place = os.path.dirname(place)
    return False
