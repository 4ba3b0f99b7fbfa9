"""Which files of a folder does the process open? Asked of the kernel, so that C libraries count too."""

from __future__ import annotations

import contextlib
import ctypes
import os
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

IN_OPEN = 0x20
IN_NONBLOCK = os.O_NONBLOCK
_EVENT = struct.Struct("iIII")


@contextlib.contextmanager
def opened_files(folder: Path) -> Iterator[set[str]]:
    """Yield a set that holds, when the block has ended, the names that were opened in `folder` meanwhile."""
    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "inotify_init1"):
        pytest.skip("inotify is needed to see which files are opened")
    descriptor = libc.inotify_init1(IN_NONBLOCK)
    libc.inotify_add_watch(descriptor, os.fsencode(folder), IN_OPEN)
    names: set[str] = set()
    try:
        yield names
    finally:
        with contextlib.suppress(BlockingIOError):
            while data := os.read(descriptor, 65536):
                position = 0
                while position < len(data):
                    _, _, _, length = _EVENT.unpack_from(data, position)
                    position += _EVENT.size
                    names.add(os.fsdecode(data[position : position + length].rstrip(b"\0")))
                    position += length
        names.discard("")
        os.close(descriptor)
