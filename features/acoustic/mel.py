"""librosa's mel filters, where it finds no home too: a container's plain user, a full or read-only disk.

As librosa loads, numba raises where it finds no folder for its compiled code (librosa #1156), and pooch where it
finds no home. They are given a temporary folder then, and the filters are the same.
"""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

ROOM_BYTES = 4 << 20  # more than numba keeps of what librosa compiles as it loads
MEMORY_DISK = Path("/dev/shm")  # of Linux: there where no disk can be written to

_alone = threading.Lock()


def mel_filters(**how: Any) -> NDArray[np.float32]:
    """Return `librosa.filters.mel` of these parameters, shape (bands, bins)."""
    with _alone:
        try:
            return _of_librosa(how)
        except (RuntimeError, OSError):
            with _temporary_place():
                return _of_librosa(how)


def _of_librosa(how: dict[str, Any]) -> NDArray[np.float32]:
    from librosa.filters import mel

    filters: NDArray[np.float32] = mel(**how)
    return filters


@contextmanager
def _temporary_place() -> Iterator[None]:
    """Have numba keep compiled code in a temporary folder, which is the place for caches meanwhile.

    Raises
    ------
    OSError
        Where there is none.
    """
    config: Any = import_module("numba").config

    before, caches = config.CACHE_DIR, os.environ.get("XDG_CACHE_HOME")
    with _roomy_folder() as folder:
        config.CACHE_DIR = os.environ["XDG_CACHE_HOME"] = folder
        try:
            yield
        finally:
            config.CACHE_DIR = before
            os.environ.pop("XDG_CACHE_HOME")
            os.environ |= {} if caches is None else {"XDG_CACHE_HOME": caches}


@contextmanager
def _roomy_folder() -> Iterator[str]:
    """Give a temporary folder that takes a few megabytes, wherever there is one."""
    for make_base in (tempfile.gettempdir, lambda: str(MEMORY_DISK), os.getcwd):
        with suppress(OSError):
            folder = tempfile.TemporaryDirectory(
                prefix="dualstream-numba-", dir=make_base(), ignore_cleanup_errors=True
            )
            probe = Path(folder.name, "probe")
            try:
                probe.write_bytes(bytes(ROOM_BYTES))
                probe.unlink()
            except OSError:
                folder.cleanup()
                continue
            break
    else:
        raise OSError(
            "librosa loads only where numba can keep compiled code, and no folder can be written to: set "
            "NUMBA_CACHE_DIR to one"
        )
    with folder as name:
        yield name
