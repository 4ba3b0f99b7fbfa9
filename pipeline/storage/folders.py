"""Folders that output goes into."""

from __future__ import annotations

from pathlib import Path

from pipeline.errors import UsageError


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
