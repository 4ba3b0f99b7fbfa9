"""Rows that stay in a file, and are read in slices: what a corpus of any size is sealed from, and looked at by."""

from __future__ import annotations

import contextlib
import os
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from dualstream.pipeline.disk import O_BINARY, O_CLOEXEC
from dualstream.pipeline.errors import DualstreamError
from dualstream.pipeline.storage.temporary import STANDS, temporary_path
from numpy.typing import DTypeLike, NDArray

BLOCK_BYTES = 1 << 20
SPOOL_BYTES = 1 << 20  # of a column that wait in memory before they go to the file
GROWTH = 1.125  # room that may be taken too much
LEAST_ROWS = 256
O_TEMPORARY: int = getattr(os, "O_TEMPORARY", 0)  # Windows: the file goes with its last descriptor


class RowsOnDisk:
    """Rows of one column, shape (R, ...), where they lie; in the place of an array that is read in slices.

    A slice, a mask or an index gives an array, and so does `np.asarray`, of all rows.
    """

    def __init__(self, shape: tuple[int, ...], dtype: DTypeLike, read: Callable[[int, int], NDArray[Any]]) -> None:
        self.shape = shape
        self.dtype: np.dtype[Any] = np.dtype(dtype)
        self._read = read

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of all rows."""
        return int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize

    def __getitem__(self, at: Any) -> NDArray[Any]:
        if isinstance(at, slice):
            start, stop, step = at.indices(len(self))
            assert step == 1, "rows on disk are read one after the other"
            return self._read(start, max(start, stop))
        index = np.asarray(at)
        if index.ndim == 0:
            row = int(index) % len(self)
            return np.asarray(self._read(row, row + 1)[0])
        if index.dtype == np.bool_:
            parts = [rows[index[span]] for span, rows in blocks(self)]
            return np.concatenate(parts) if parts else np.empty(self.shape, self.dtype)
        return np.stack([self[one] for one in index]) if len(index) else self._read(0, 0)

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(self._read(0, len(self)), dtype)


def blocks(rows: NDArray[Any] | RowsOnDisk, block_rows: int | None = None) -> Iterator[tuple[slice, NDArray[Any]]]:
    """Yield the rows in slices, each with where it lies; of at most BLOCK_BYTES, or of so many rows."""
    step = block_rows or rows_in_block(rows)
    for start in range(0, len(rows), step):
        span = slice(start, min(start + step, len(rows)))
        yield span, np.asarray(rows[span])


def rows_in_block(rows: NDArray[Any] | RowsOnDisk) -> int:
    """Return how many of the rows a block of BLOCK_BYTES holds, one at least."""
    return max(1, BLOCK_BYTES // max(1, rows.nbytes // max(1, len(rows))))


def in_blocks(rows: RowsOnDisk) -> RowsOnDisk:
    """Return the same rows, whose last block is kept: slices of a narrow column follow those of a wide one."""
    step = rows_in_block(rows)
    first, held = 0, np.empty(0, rows.dtype)

    def read(start: int, stop: int) -> NDArray[Any]:
        nonlocal first, held
        if stop - start > step:
            return rows[start:stop]
        if not first <= start <= stop <= first + len(held):
            first = start // step * step
            held = rows[first : min(len(rows), first + 2 * step if stop > first + step else first + step)]
        return held[start - first : stop - first].copy()

    return RowsOnDisk(rows.shape, rows.dtype, read)


class GrowingRows:
    """Rows that are appended to one array; a large one is moved by the system's page table, not copied."""

    def __init__(self) -> None:
        self._held: NDArray[Any] | None = None
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def append(self, rows: NDArray[Any]) -> None:
        """Append rows; the first ones settle width and type."""
        count = self._count + len(rows)
        if self._held is None:
            self._held = np.empty((max(count, LEAST_ROWS), *rows.shape[1:]), rows.dtype)
        if rows.shape[1:] != self._held.shape[1:]:
            raise ValueError(f"rows of shape {rows.shape[1:]} after rows of shape {self._held.shape[1:]}")
        if count > len(self._held):
            self._held.resize((int(count * GROWTH), *self._held.shape[1:]), refcheck=False)
        self._held[self._count : count] = rows
        self._count = count

    def rows(self) -> NDArray[Any]:
        """Return all rows; nothing may be appended any more."""
        assert self._held is not None, "no rows were appended"
        if len(self._held) != self._count:
            self._held.resize((self._count, *self._held.shape[1:]), refcheck=False)
        return self._held


class SpooledRows:
    """Rows that are appended to a file without a name; it goes with the process, however that ends."""

    def __init__(self, beside: Path) -> None:
        self._beside = beside
        self._waiting = GrowingRows()
        self._shape: tuple[int, ...] = ()
        self._dtype: np.dtype[Any] = np.dtype(np.uint8)
        self._written = 0
        self._descriptor = -1

    def __len__(self) -> int:
        return self._written + len(self._waiting)

    def append(self, rows: NDArray[Any]) -> None:
        """Append rows; the first ones settle width and type.

        Raises
        ------
        DualstreamError
            Where the disk is full or refuses.
        """
        if not len(self):
            self._shape, self._dtype = rows.shape[1:], rows.dtype
        if rows.shape[1:] != self._shape:
            raise ValueError(f"rows of shape {rows.shape[1:]} after rows of shape {self._shape}")
        self._waiting.append(rows)
        if len(self._waiting) * self._row_bytes > SPOOL_BYTES:
            self._spill()

    def rows(self) -> RowsOnDisk:
        """Return all rows; nothing may be appended any more."""
        return RowsOnDisk((len(self), *self._shape), self._dtype, self._read)

    @property
    def _row_bytes(self) -> int:
        return int(np.prod(self._shape, dtype=np.int64)) * self._dtype.itemsize

    def _spill(self) -> None:
        held = self._waiting.rows()
        try:
            if self._descriptor < 0:
                self._descriptor = _nameless(self._beside)
                weakref.finalize(self, os.close, self._descriptor)
            view = np.ascontiguousarray(held).reshape(-1).view(np.uint8).data
            os.lseek(self._descriptor, 0, os.SEEK_END)
            while view:
                view = view[os.write(self._descriptor, view) :]
        except OSError as error:
            raise DualstreamError(
                f"cannot write {self._beside} ({len(self) * self._row_bytes:,} bytes of a column so far): "
                f"{error.strerror or error}. {STANDS}"
            ) from error
        self._written += len(held)
        self._waiting = GrowingRows()

    def _read(self, start: int, stop: int) -> NDArray[Any]:
        found = np.empty((stop - start, *self._shape), self._dtype)
        there = max(0, min(stop, self._written) - start)
        if there:
            os.lseek(self._descriptor, start * self._row_bytes, os.SEEK_SET)
            view = found[:there].reshape(-1).view(np.uint8).data
            while view:
                block = os.read(self._descriptor, len(view))
                if not block:
                    raise DualstreamError(f"a temporary file in {self._beside.parent} became shorter: a bad disk?")
                view[: len(block)] = block
                view = view[len(block) :]
        if there < len(found):
            first = start + there - self._written
            found[there:] = self._waiting.rows()[first : first + len(found) - there]
        return found


def _nameless(beside: Path) -> int:
    """Open a new file beside `beside` that has no name any more, where the system offers that."""
    path = temporary_path(beside)
    flags = os.O_CREAT | os.O_EXCL | os.O_RDWR | O_BINARY | O_CLOEXEC | O_TEMPORARY
    descriptor = os.open(path, flags, 0o600)
    if not O_TEMPORARY:
        with contextlib.suppress(OSError):  # what can't be unlinked while it is open is a leftover to the next run
            os.unlink(path)
    return descriptor
