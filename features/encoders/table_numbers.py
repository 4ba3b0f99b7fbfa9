"""The numbers of a table as they come, block by block: features in single precision, times in double.

Rows beyond SPILL_BYTES go to a file without a name, and are read from there when they are asked for, so a table of
any size takes little memory.
"""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
from dualstream.features.encoders.table_columns import TIME_COLUMNS
from numpy.typing import DTypeLike, NDArray

BLOCK_ROWS = 1024
SPILL_BYTES = 2 << 20
GROWTH = 1.125  # room that may be taken too much


class Numbers:
    """Rows of numbers that are appended; the first one that is not finite is kept, and how many there are."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names
        is_time = np.array([name in TIME_COLUMNS for name in names], np.bool_)
        self._feature_at, self._time_at = np.flatnonzero(~is_time), np.flatnonzero(is_time)
        self.features = Grown(np.float32, (len(self._feature_at),), spills=True)
        """Shape (N, D)."""
        self._times = {name: Grown(np.float64, ()) for name in names if name in TIME_COLUMNS}
        self.bad_cells = 0
        self.first_bad: tuple[int, str, float] | None = None
        """Its row, its column and what stands there."""

    @classmethod
    def of(cls, names: Sequence[str], values: NDArray[np.float64]) -> Numbers:
        """Return the numbers of a whole array, shape (N, len(names))."""
        numbers = cls(names)
        for start in range(0, len(values), BLOCK_ROWS):
            numbers.append(values[start : start + BLOCK_ROWS])
        return numbers

    def __len__(self) -> int:
        return len(self.features)

    def append(self, values: NDArray[np.float64]) -> None:
        """Append rows, shape (n, len(names))."""
        with np.errstate(over="ignore"):
            single = values.astype(np.float32)  # above 3.4e38 it becomes infinite
        bad = np.argwhere(~np.isfinite(single))
        if len(bad):
            row, column = map(int, bad[0])
            self.bad_cells += len(bad)
            self.first_bad = self.first_bad or (len(self) + row, self._names[column], float(values[row, column]))
        self.features.append(single[:, self._feature_at])
        for at in self._time_at.tolist():
            self._times[self._names[at]].append(values[:, at])

    def times(self) -> dict[str, NDArray[np.float64]]:
        """Return the times by name, each of shape (N,)."""
        return {name: np.asarray(column) for name, column in self._times.items()}


class Grown:
    """Rows of one type that are appended, and given by their numbers; in the place of an array (N, ...)."""

    def __init__(self, dtype: DTypeLike, row: tuple[int, ...], *, spills: bool = False) -> None:
        self.dtype = np.dtype(dtype)
        self._row = row
        self._held = np.empty((0, *row), self.dtype)
        self._count = 0
        self._written = 0
        """Rows that are in the file; those that are held follow them."""
        self._spills = spills
        self._file: Any = None
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return self._written + self._count

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of all rows."""
        return (len(self), *self._row)

    def append(self, rows: NDArray[Any]) -> None:
        """Append rows."""
        count = self._count + len(rows)
        if count > len(self._held):
            self._held.resize((max(BLOCK_ROWS, int(count * GROWTH)), *self._row), refcheck=False)
        self._held[self._count : count] = rows
        self._count = count
        if self._spills and self._held.nbytes > SPILL_BYTES:
            self._spill()

    def __getitem__(self, rows: NDArray[Any]) -> NDArray[Any]:
        if not self._written:
            return np.asarray(self._held[rows])
        found = np.empty((len(rows), *self._row), self.dtype)
        if len(rows) and rows[-1] < self._written and (np.diff(rows) == 1).all():
            return self._from_file(int(rows[0]), int(rows[-1]) + 1)
        for at, row in enumerate(rows.tolist()):
            found[at] = (
                self._from_file(row, row + 1)[0] if row < self._written else self._held[row - self._written]
            )
        return found

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        if not self._written:
            return np.asarray(self._held[: self._count], dtype)
        return np.concatenate([self._from_file(0, self._written), self._held[: self._count]]).astype(self.dtype)

    def __reduce__(self) -> tuple[Any, ...]:
        return _grown, (np.asarray(self),)

    def _from_file(self, start: int, stop: int) -> NDArray[Any]:
        rows = np.empty((stop - start, *self._row), self.dtype)
        with self._lock:
            self._file.seek(start * (rows.nbytes // max(1, len(rows))))
            count = self._file.readinto(rows.reshape(-1).view(np.uint8).data)
        if count != rows.nbytes:
            raise OSError(f"a temporary file in {tempfile.gettempdir()} became shorter: a bad disk?")
        return rows

    def _spill(self) -> None:
        """Write what is held to the file; where the disk has no room, it stays in memory."""
        try:
            if self._file is None:
                self._file = tempfile.TemporaryFile(prefix="dualstream-table-")  # noqa: SIM115
            self._file.seek(0, os.SEEK_END)
            self._file.write(self._held[: self._count].reshape(-1).view(np.uint8).data)
            self._file.flush()
        except OSError:
            self._spills = False
            return
        self._written += self._count
        self._held, self._count = np.empty((0, *self._row), self.dtype), 0


def _grown(rows: NDArray[Any]) -> Grown:
    found = Grown(rows.dtype, rows.shape[1:])
    found.append(rows)
    return found
