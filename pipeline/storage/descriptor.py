"""Open files as HDF5 wants them. HDF5 must never see an exception: where its writes fail, it ends the process."""

from __future__ import annotations

import io
import os
from typing import Any

WAITING_BYTES = 1 << 18


class ReadFile(io.RawIOBase):
    """A file object over a descriptor, which it does not own, or closes with itself."""

    def __init__(self, descriptor: int, *, owns: bool = False) -> None:
        self._descriptor = descriptor
        self._owns = owns
        self._position = 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to a position, from the start, from here or from the end; return it."""
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position}.get(whence)
        self._position = (self._length() if start is None else start) + offset
        return self._position

    def tell(self) -> int:
        """Return the position."""
        return self._position

    def readinto(self, target: Any) -> int:
        """Fill `target` as far as the file goes; return the number of bytes."""
        os.lseek(self._descriptor, self._position, os.SEEK_SET)
        view = memoryview(target).cast("B")
        done = 0
        while done < len(view) and (block := os.read(self._descriptor, len(view) - done)):
            view[done : done + len(block)] = block
            done += len(block)
        self._position += done
        return done

    def close(self) -> None:
        """Close the descriptor, where it is the file's own."""
        if self._owns and not self.closed:
            os.close(self._descriptor)
        super().close()

    def _length(self) -> int:
        return os.fstat(self._descriptor).st_size


class WriteFile(ReadFile):
    """A file object that HDF5 writes to. The first failure is kept in `failure`, and all from then on in memory.

    Who writes asks `require` between two blocks, so that there is little of that, and calls `flush` at the end:
    small writes that follow each other go to the disk as one.
    """

    def __init__(self, descriptor: int) -> None:
        super().__init__(descriptor)
        self.failure: BaseException | None = None
        self._waiting = bytearray()
        self._waiting_at = 0
        self._kept: list[tuple[int, bytes]] = []
        """What the disk did not take, by position."""
        self._end = 0

    def require(self) -> None:
        """Raise what went wrong."""
        if self.failure is not None:
            raise self.failure

    def writable(self) -> bool:
        """Return True."""
        return True

    def write(self, data: Any) -> int:
        """Write at the position, some of it later with what comes next; a failure waits for `require`."""
        view = memoryview(data).cast("B")
        if (
            self._position != self._waiting_at + len(self._waiting)
            or len(self._waiting) + len(view) > WAITING_BYTES
        ):
            self.flush()
            self._waiting_at = self._position
        if len(view) > WAITING_BYTES:
            self._put(view, self._position)
            self._waiting_at = self._position + len(view)
        else:
            self._waiting += view
        self._position += len(view)
        self._end = max(self._end, self._position)
        return len(view)

    def readinto(self, target: Any) -> int:
        """Fill `target` with what was written; after a failure with what would have been."""
        self.flush()
        if self.failure is None:
            try:
                return super().readinto(target)
            except BaseException as error:  # noqa: BLE001 (raised by `require`)
                self.failure = error
        view = memoryview(target).cast("B")
        start = self._position
        for at, data in self._kept:
            first, last = max(at, start), min(at + len(data), start + len(view))
            if first < last:
                view[first - start : last - start] = data[first - at : last - at]
        self._position += len(view)
        return len(view)

    def truncate(self, size: int | None = None) -> int:
        """Cut the file, here where no size is given; return its size."""
        size = self._position if size is None else size
        self.flush()
        if self.failure is None:
            try:
                os.ftruncate(self._descriptor, size)
            except BaseException as error:  # noqa: BLE001 (raised by `require`)
                self.failure = error
        self._end = size
        return size

    def flush(self) -> None:
        """Have the disk take what waits."""
        waiting, self._waiting = self._waiting, bytearray()
        if waiting:
            self._put(memoryview(waiting), self._waiting_at)

    def _put(self, view: memoryview, position: int) -> None:
        if self.failure is None:
            try:
                os.lseek(self._descriptor, position, os.SEEK_SET)
                rest = view
                while rest:
                    rest = rest[os.write(self._descriptor, rest) :]
            except BaseException as error:  # noqa: BLE001 (raised by `require`)
                self.failure = error
        if self.failure is not None:
            self._kept.append((position, bytes(view)))

    def _length(self) -> int:
        return self._end
