"""A file whose digest is that of the bytes that are read: opened once, and refused where it changes meanwhile."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import BinaryIO


@contextmanager
def open_hashed(path: Path) -> Iterator[tuple[BinaryIO, str]]:
    """Give an open file, at its start, and the SHA-256 of its bytes in hex.

    What is read through it is of the file that was hashed, whatever is put at its name meanwhile.

    Raises
    ------
    ValueError
        At the end of the block, where the file's own bytes were written to meanwhile.
    """
    with path.open("rb") as file:
        before = _stamp(file)
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        file.seek(0)
        yield file, sha256
        if not file.closed and _stamp(file) != before:
            raise ValueError(f"{path} changed while it was read; run the same command again when it is whole")


def digest_of_file(path: Path, algorithm: str = "sha256") -> str:
    """Return the digest of a file's bytes in hex, without holding them all; that of how it came, no security."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, partial(hashlib.new, algorithm, usedforsecurity=False)).hexdigest()


def read_hashed(path: Path) -> tuple[bytes, str]:
    """Return all bytes of a file, and their SHA-256 in hex."""
    data = path.read_bytes()
    return data, hashlib.sha256(data).hexdigest()


def _stamp(file: BinaryIO) -> tuple[int, int]:
    facts = os.fstat(file.fileno())
    return facts.st_size, facts.st_mtime_ns
