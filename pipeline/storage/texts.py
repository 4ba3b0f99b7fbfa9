"""Columns of short texts, held as they lie in a file: 12 bytes for an id, where a list of `str` takes 70."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

BLOCK = 4096  # texts that are turned into `str` at a time


class Texts(Sequence[str]):
    """Texts as UTF-8 of fixed length, shape (N,), without zero bytes; made into `str` where they are asked for."""

    def __init__(self, raw: NDArray[np.bytes_]) -> None:
        self.raw = raw

    @classmethod
    def of(cls, texts: Iterable[str]) -> Texts:
        """Return the column of some texts."""
        grown = GrowingTexts()
        part: list[str] = []
        for text in texts:
            part.append(text)
            if len(part) == BLOCK:
                grown.append(part)
                part = []
        grown.append(part)
        return grown.texts()

    def __len__(self) -> int:
        return len(self.raw)

    @overload
    def __getitem__(self, at: int) -> str: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[str]: ...
    def __getitem__(self, at: int | slice) -> str | Sequence[str]:
        if isinstance(at, slice):
            return _decoded(self.raw[at])
        return bytes(self.raw[at]).decode("utf-8")

    def __iter__(self) -> Iterator[str]:
        for start in range(0, len(self.raw), BLOCK):
            yield from _decoded(self.raw[start : start + BLOCK])

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Texts):
            return bool(np.array_equal(self.raw, other.raw))
        if not isinstance(other, Sequence) or len(self) != len(other):
            return False
        return all(one == text for one, text in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Texts({len(self)} of {self.raw.dtype.itemsize} bytes)"


class GrowingTexts:
    """Texts that are appended; the column grows as wide as the longest."""

    def __init__(self) -> None:
        self._parts: list[NDArray[np.bytes_]] = []

    def __len__(self) -> int:
        return sum(map(len, self._parts))

    def append(self, texts: Iterable[str]) -> None:
        """Append texts."""
        raw = encoded(texts)
        if not len(raw):
            return
        self._parts.append(raw)
        while len(self._parts) > 1 and len(self._parts[-2]) < 2 * len(self._parts[-1]):  # few parts, each larger
            self._parts[-2:] = [np.concatenate(self._parts[-2:])]

    def texts(self) -> Texts:
        """Return the column."""
        if len(self._parts) != 1:
            self._parts = [np.concatenate(self._parts) if self._parts else encoded(())]
        return Texts(self._parts[0])


def encoded(texts: Iterable[str]) -> NDArray[np.bytes_]:
    """Return texts as UTF-8 of fixed length, the longest one's.

    Raises
    ------
    ValueError
        Where one holds a zero byte.
    """
    parts, rest = [], iter(texts)
    while raw := [text.encode("utf-8") for text in islice(rest, BLOCK)]:  # an object takes four times its text
        if any(b"\0" in item for item in raw):
            raise ValueError("holds a zero byte")
        parts.append(np.array(raw, dtype=f"S{max([1, *map(len, raw)])}"))
    return parts[0] if len(parts) == 1 else np.concatenate([np.zeros(0, "S1"), *parts])


def _decoded(raw: NDArray[Any]) -> list[str]:
    """Return the texts of an array; joined and split, ten times faster than one by one."""
    if not len(raw):
        return []
    texts = b"\0".join(raw.tolist()).decode("utf-8").split("\0")
    if len(texts) != len(raw):
        raise ValueError("a text holds a zero byte")
    return texts
