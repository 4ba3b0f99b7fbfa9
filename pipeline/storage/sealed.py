"""Sealed files: HDF5 images under a SHA-256, published whole or not at all, and refused when a bit differs.

    byte 0            512                                      length
    │ header (text)   │ HDF5 image (its user block is the header) │
      kind, length, SHA-256 of all that follows

HDF5 leaves the first 512 bytes of a file with a user block alone, so any HDF5 reader opens a sealed file.
A file is published by: temporary name, fsync, read back and compare, rename, fsync of the folder. It is
*committed* when the rename has returned, and is never opened for writing again.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import re
import stat
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from io import FileIO
from pathlib import Path
from typing import TypeVar

import numpy as np
from dualstream.pipeline.disk import O_BINARY, O_CLOEXEC, put_in_place, sync, sync_descriptor
from dualstream.pipeline.errors import CorruptError, DualstreamError
from dualstream.pipeline.memory import refuse_shortage
from dualstream.pipeline.storage.temporary import STANDS, is_leftover, temporary_path
from dualstream.pipeline.storage.temporary import TEMPORARY_SUFFIX as TEMPORARY_SUFFIX
from numpy.typing import NDArray

log = logging.getLogger(__name__)
HEADER_BYTES = 512
READ_BLOCK_BYTES = 8 << 20
LARGEST_FILE_BYTES = 64 << 30
DAMAGED_SUFFIX = ".damaged"
MADE_BY = {"cache": "expected a cache, which `extract` makes of a manifest"}
SHORTER = "nothing: the file became shorter while it was read"

Read = TypeVar("Read")

_HEADER = re.compile(rb"dualstream sealed file\nkind ([a-z]+)\nbytes (\d{1,15})\nsha256 ([0-9a-f]{64})\n\0+")


def seal(image: bytearray | memoryview, kind: str) -> str:
    """Write the header into the first 512 bytes of `image`, in place, and return the SHA-256 of the rest."""
    digest = hashlib.sha256(memoryview(image)[HEADER_BYTES:]).hexdigest()
    image[:HEADER_BYTES] = _header(kind, len(image), digest)
    return digest


def read_sealed(path: Path, kind: str) -> NDArray[np.uint8]:
    """Return all bytes of a sealed file, shape (length,), after its header and digest have been checked.

    Raises
    ------
    FileNotFoundError
        Where there is no such file.
    CorruptError
        Where it is not a sealed file of this kind, or not the bytes that were sealed.
    MemoryShortageError
        Where there is no room for it.
    """
    with open(path, "rb", buffering=0) as file:
        facts = os.fstat(file.fileno())
        if not stat.S_ISREG(facts.st_mode):
            raise CorruptError(f"{path} is not a regular file; expected a dualstream {kind}")
        head = _read_exactly(file.fileno(), HEADER_BYTES)
        expected = _parse(head, facts.st_size, path, kind)
        try:
            image = np.empty(facts.st_size, dtype=np.uint8)
            image[:HEADER_BYTES] = np.frombuffer(head, dtype=np.uint8)
            found = _read_and_hash(file, image)
        except (MemoryError, OSError, RuntimeError) as error:
            refuse_shortage(error, f"while {path} is read", needed_bytes=2 * facts.st_size)  # bytes, then values
            raise
    _require_digest(path, found, expected)
    return image


def open_sealed(path: Path, kind: str) -> tuple[int, str]:
    """Open a sealed file whose header and digest hold; return the descriptor and the SHA-256 of its bytes.

    Its bytes are read once, a block at a time, and none is kept.

    Raises
    ------
    FileNotFoundError, CorruptError
        As `read_sealed`.
    """
    descriptor = os.open(path, os.O_RDONLY | O_BINARY | O_CLOEXEC)
    try:
        facts = os.fstat(descriptor)
        if not stat.S_ISREG(facts.st_mode):
            raise CorruptError(f"{path} is not a regular file; expected a dualstream {kind}")
        expected = _parse(_read_exactly(descriptor, HEADER_BYTES), facts.st_size, path, kind)
        found, length = _digest_after_header(descriptor)
        if length != facts.st_size:
            found = SHORTER
        _require_digest(path, found, expected)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor, expected


def read_twice(read: Callable[[], Read]) -> Read:
    """Return what `read` returns; where it finds damage, believe it only if a second reading finds it too.

    The first error and its frames are gone by then, with all that they held.
    """
    with contextlib.suppress(CorruptError):
        return read()
    return read()


def set_aside(path: Path) -> Path:
    """Give a damaged file another name, so that a whole one can take its place, and return that name.

    Nothing is ever removed for being damaged: who has the file can still look at it.
    """
    number, aside = 1, path.with_name(path.name + DAMAGED_SUFFIX)
    while os.path.lexists(aside):
        number += 1
        aside = path.with_name(f"{path.name}{DAMAGED_SUFFIX}-{number}")
    os.rename(path, aside)
    return aside


def digest_in(image: NDArray[np.uint8] | bytes | bytearray | memoryview) -> str:
    """Return the SHA-256 that the header of a sealed image states, such as `read_sealed` has verified."""
    match = _HEADER.fullmatch(bytes(image[:HEADER_BYTES]))
    if match is None:
        raise ValueError("the image has no header of a sealed file")
    return match[3].decode()


def peek_digest(path: Path, kind: str) -> str:
    """Return the SHA-256 that a sealed file's header states; the bytes themselves are not read.

    Of a file that is read as well, take `digest_in` of what was read: another may stand at its name by now.

    Raises
    ------
    FileNotFoundError
        Where there is no such file.
    CorruptError
        Where the header is not that of a sealed file of this kind and length.
    """
    with open(path, "rb", buffering=0) as file:
        return _parse(_read_exactly(file.fileno(), HEADER_BYTES), os.fstat(file.fileno()).st_size, path, kind)


def is_sealed(path: Path, kind: str) -> bool:
    """Tell whether a file begins as a sealed file of this kind does, be the rest of it damaged or not."""
    try:
        with open(path, "rb") as file:
            start = file.read(HEADER_BYTES)
    except OSError:
        return False
    return start.startswith(f"dualstream sealed file\nkind {kind}\n".encode("ascii"))


def publish(path: Path, data: bytes | bytearray | memoryview, *, durable: bool = True) -> None:
    """Put `data` at `path`, whole or not at all, and durably: after this returns it survives a power cut.

    Parameters
    ----------
    durable
        False for a note that may be lost in a power cut: the disk is then not waited for.

    Raises
    ------
    DualstreamError
        Where the disk is full or refuses; nothing is left behind and an older file at `path` stands.
    """
    with _coming(path, durable=durable) as (descriptor, temporary):
        _write_all(descriptor, memoryview(data))
        if durable:
            sync_descriptor(descriptor)
        os.lseek(descriptor, 0, os.SEEK_SET)
        _compare(descriptor, memoryview(data), temporary)


def publish_built(path: Path, kind: str, build: Callable[[int], None], verify: Callable[[int], None]) -> str:
    """Publish a sealed file of any size, as `publish` does, and return its digest; it is never whole in memory.

    Parameters
    ----------
    build
        Writes the image into the open file; its first 512 bytes are kept free.
    verify
        Reads it back, and raises CorruptError where it does not hold what it should.

    Raises
    ------
    DualstreamError
        As `publish`.
    """
    with _coming(path) as (descriptor, temporary):
        build(descriptor)
        length = os.fstat(descriptor).st_size
        digest, found = _digest_after_header(descriptor)
        os.lseek(descriptor, 0, os.SEEK_SET)
        _write_all(descriptor, memoryview(_header(kind, length, digest)))
        sync_descriptor(descriptor)
        os.lseek(descriptor, 0, os.SEEK_SET)
        try:
            _parse(_read_exactly(descriptor, HEADER_BYTES), found, temporary, kind)
            verify(descriptor)
        except CorruptError as error:
            raise DualstreamError(
                f"{temporary} read back differs from what was written: a bad disk, or bad memory? ({error})"
            ) from error
    return digest


@contextlib.contextmanager
def _coming(path: Path, *, durable: bool = True) -> Iterator[tuple[int, Path]]:
    """Open a new file that gets its name `path` where the block ends well, and goes where it does not."""
    temporary = temporary_path(path)
    try:
        descriptor = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_RDWR | O_BINARY | O_CLOEXEC, 0o666)
        try:
            yield descriptor, temporary
            length = os.fstat(descriptor).st_size
        finally:
            os.close(descriptor)
        put_in_place(temporary, path)
        if durable:
            sync(path.parent)
        log.debug("%s written, %d bytes", path, length)
    except BaseException as error:
        length = 0
        with contextlib.suppress(OSError):
            length = os.stat(temporary).st_size
            os.unlink(temporary)
        if isinstance(error, OSError):
            raise DualstreamError(
                f"cannot write {path} ({length:,} bytes so far): {error.strerror or error}. {STANDS}"
            ) from error
        raise


def remove_leftovers(folder: Path, of: str | None = None) -> list[Path]:
    """Remove temporary files that runs which have ended left in `folder`, and return them.

    Parameters
    ----------
    of
        The name of the one file whose temporary files go; default: those of all files.
    """
    found = folder.glob("*" + TEMPORARY_SUFFIX)
    leftovers = sorted(path for path in found if is_leftover(path, of) and path.is_file())
    for path in leftovers:
        path.unlink(missing_ok=True)
    return leftovers


def _header(kind: str, length: int, digest: str) -> bytes:
    text = f"dualstream sealed file\nkind {kind}\nbytes {length}\nsha256 {digest}\n".encode("ascii")
    return text.ljust(HEADER_BYTES, b"\0")


def _parse(head: bytes, length: int, path: Path, kind: str) -> str:
    match = _HEADER.fullmatch(head)
    if match is None or len(head) != HEADER_BYTES:
        raise CorruptError(
            f"{path} ({length:,} bytes) does not begin as a dualstream {kind} does, or is damaged there"
            + (f"; {MADE_BY[kind]}" if kind in MADE_BY else "")
        )
    found, declared, digest = match[1].decode(), int(match[2]), match[3].decode()
    if found != kind:
        raise CorruptError(f"{path} is a dualstream {found}; expected a {kind}")
    if declared != length:
        raise CorruptError(
            f"{path} has {length:,} bytes where {declared:,} were sealed: it was cut or grew. Copy the file "
            "again, or make it again"
        )
    if length > LARGEST_FILE_BYTES:
        raise CorruptError(f"{path} has {length:,} bytes; expected at most {LARGEST_FILE_BYTES:,}")
    if head != _header(kind, length, digest):
        raise CorruptError(f"{path} is damaged in its header")
    return digest


def _require_digest(path: Path, found: str, expected: str) -> None:
    if found != expected:
        raise CorruptError(
            f"{path} is damaged: SHA-256 {found[:12]}… where {expected[:12]}… was sealed. The bytes changed "
            "after they were written; copy the file again, or make it again with extract --verify-clips"
        )


def _read_exactly(descriptor: int, count: int) -> bytes:
    found = b""
    while len(found) < count and (more := os.read(descriptor, count - len(found))):
        found += more
    return found


def _read_and_hash(file: FileIO, image: NDArray[np.uint8]) -> str:
    """Fill `image` from byte 512 on and return the SHA-256 of that; a second thread hashes meanwhile."""
    digest = hashlib.sha256()
    view = image.data
    position = HEADER_BYTES
    with ThreadPoolExecutor(1) as hasher:
        while position < len(image):
            count = file.readinto(view[position : position + READ_BLOCK_BYTES])
            if not count:
                break
            hasher.submit(digest.update, view[position : position + count])
            position += count
    return digest.hexdigest() if position == len(image) else SHORTER


def _digest_after_header(descriptor: int) -> tuple[str, int]:
    """Return the SHA-256 of all after the header, and the length of the file."""
    digest = hashlib.sha256()
    length = os.lseek(descriptor, HEADER_BYTES, os.SEEK_SET)
    while block := os.read(descriptor, READ_BLOCK_BYTES // 8):
        digest.update(block)
        length += len(block)
    return digest.hexdigest(), length


def _write_all(descriptor: int, view: memoryview) -> None:
    while view:
        view = view[os.write(descriptor, view[:READ_BLOCK_BYTES]) :]


def _compare(descriptor: int, view: memoryview, path: Path) -> None:
    position = 0
    while position < len(view):
        block = os.read(descriptor, READ_BLOCK_BYTES)
        written = view[position : position + len(block)]
        if not block or not np.array_equal(np.frombuffer(block, np.uint8), np.frombuffer(written, np.uint8)):
            raise DualstreamError(
                f"{path} read back differs from what was written at byte {position}: a bad disk?"
            )
        position += len(block)
