"""What may stand where a file is to be written: nothing, or a plain file; never a folder, a device or a pipe.

A file is put in place by a rename: over a device, such as ``/dev/null``, that would leave a plain file there.
"""

from __future__ import annotations

from pathlib import Path

from dualstream.pipeline.errors import UsageError


def require_file_place(path: Path, word: str = "--out") -> None:
    """Say before the work starts that no file can be put at `path`.

    Parameters
    ----------
    word
        The option that names it.

    Raises
    ------
    UsageError
        Where a folder stands there, or what is neither a file nor a folder.
    """
    if path.is_dir():
        raise UsageError(f"{word} {path} is a folder; name a file, such as one in it")
    if path.exists() and not path.is_file():
        raise UsageError(f"{word} {path} is a device or a pipe, which no file can replace; name a file")
