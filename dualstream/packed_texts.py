"""Columns of texts of any length that grow: packed one after the other, or as codes where rows share a text.

A list of `str` takes 60 to 100 bytes for each beside its characters, a dictionary of them 200; these take 8 and 4,
and an index of them 20.
"""

from __future__ import annotations

from abc import abstractmethod
from array import array
from bisect import bisect, bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise, repeat
from typing import TYPE_CHECKING, overload

if TYPE_CHECKING:  # the command line reads manifests' options without NumPy
    import numpy as np
    from numpy.typing import NDArray

BLOCK = 4096  # texts that are made into `str` at a time
FEW = 1024  # different texts that are kept as `str`
ANY = "surrogatepass"  # a text may hold what no file can: who writes it refuses it


class PackedTexts(Sequence[str]):
    """Texts in UTF-8, one behind the other, and where each ends."""

    def __init__(self, texts: Iterable[str] = ()) -> None:
        self._raw = bytearray()
        self._ends = array("Q", [0])
        for text in texts:
            self.append(text)

    def append(self, text: str) -> None:
        """Append a text."""
        self._raw += text.encode("utf-8", ANY)
        self._ends.append(len(self._raw))

    def __len__(self) -> int:
        return len(self._ends) - 1

    @overload
    def __getitem__(self, at: int) -> str: ...
    @overload
    def __getitem__(self, at: slice) -> list[str]: ...
    def __getitem__(self, at: int | slice) -> str | list[str]:
        if isinstance(at, slice):
            start, stop, step = at.indices(len(self))
            assert step == 1, "packed texts are read one after the other"
            ends = self._ends[start : max(start, stop) + 1]
            first = ends[0]
            raw = bytes(self._raw[first : ends[-1]])
            return [raw[a - first : b - first].decode("utf-8", ANY) for a, b in pairwise(ends)]
        place = range(len(self))[at]
        return self._raw[self._ends[place] : self._ends[place + 1]].decode("utf-8", ANY)

    def __iter__(self) -> Iterator[str]:
        for start in range(0, len(self), BLOCK):
            yield from self[start : start + BLOCK]


class _Numbered(Sequence[str]):
    """Rows of texts that stand once: each row has the number of its text."""

    codes: array[int]

    @property
    @abstractmethod
    def names(self) -> Sequence[str]:
        """The texts that rows have the numbers of."""

    def __len__(self) -> int:
        return len(self.codes)

    @overload
    def __getitem__(self, at: int) -> str: ...
    @overload
    def __getitem__(self, at: slice) -> list[str]: ...
    def __getitem__(self, at: int | slice) -> str | list[str]:
        names = self.names
        return [names[code] for code in self.codes[at]] if isinstance(at, slice) else names[self.codes[at]]


class CodedTexts(_Numbered):
    """Texts that many rows share: each once, and a number for each row."""

    def __init__(self) -> None:
        self.codes = array("i")
        self._packed = PackedTexts()
        self._few: list[str] = []
        self._code_of: dict[str, int] = {}

    def append(self, text: str) -> None:
        """Append a text."""
        code = self._code_of.setdefault(text, len(self._code_of))
        if code == len(self._packed):
            self._packed.append(text)
            if code < FEW:
                self._few.append(text)
        self.codes.append(code)

    def close(self) -> None:
        """Forget what only appending needs."""
        self._code_of = {}

    @property
    def names(self) -> Sequence[str]:
        """The different texts, as they first occur."""
        return self._few if len(self._few) == len(self._packed) else self._packed

    def counts(self) -> Counter[str]:
        """Return how many rows have each text."""
        return Counter({self.names[code]: count for code, count in Counter(self.codes).items()})

    def __iter__(self) -> Iterator[str]:
        return map(self.names.__getitem__, self.codes)


class RunTexts(_Numbered):
    """Texts that stand in several rows one after the other: a run once, and each row the number of its run."""

    def __init__(self, texts: Iterable[str] = ()) -> None:
        self.runs = PackedTexts()
        self.codes = array("I")
        self._last: str | None = None
        for text in texts:
            self.append(text)

    def append(self, text: str) -> None:
        """Append a text."""
        if text != self._last:
            self.runs.append(text)
            self._last = text
        self.codes.append(len(self.runs) - 1)

    @property
    def names(self) -> Sequence[str]:
        """The text of each run."""
        return self.runs

    def __iter__(self) -> Iterator[str]:
        for place, text in enumerate(self.runs):
            yield from repeat(text, bisect(self.codes, place) - bisect_left(self.codes, place))


class TextIndex(Sequence[str]):
    """Different texts, and at which place each stands."""

    def __init__(self, texts: PackedTexts) -> None:
        import numpy as np

        self._texts = texts
        hashes = _hashes(texts)
        self._order = np.argsort(hashes, kind="stable").astype(np.uint32)
        self._hashes = hashes[self._order]

    @classmethod
    def of(cls, texts: RunTexts) -> tuple[TextIndex, NDArray[np.uint32]]:
        """Return the index of some texts as they first occur, and the place of the text of each row."""
        import numpy as np

        again = repeated(texts.runs)
        is_new = np.ones(len(texts.runs), np.bool_)
        is_new[[place for place, _ in again]] = False
        place_of = (np.cumsum(is_new) - 1).astype(np.uint32)
        place_of[~is_new] = place_of[[before for _, before in again]]
        different = PackedTexts(text for text, new in zip(texts.runs, is_new, strict=True) if new)
        return cls(different), place_of[np.asarray(texts.codes, np.uint32)]

    def get(self, text: str) -> int | None:
        """Return the place of a text; None where it is not there."""
        code = hash(text)
        at = int(self._hashes.searchsorted(code))
        while at < len(self._hashes) and self._hashes[at] == code:
            place = int(self._order[at])
            if self._texts[place] == text:
                return place
            at += 1
        return None

    def __len__(self) -> int:
        return len(self._texts)

    @overload
    def __getitem__(self, at: int) -> str: ...
    @overload
    def __getitem__(self, at: slice) -> list[str]: ...
    def __getitem__(self, at: int | slice) -> str | list[str]:
        return self._texts[at]

    def __iter__(self) -> Iterator[str]:
        return iter(self._texts)


def repeated(texts: Sequence[str]) -> list[tuple[int, int]]:
    """Return the places of texts that stood before, each with the first place, in order; 16 bytes for each text.

    Their hashes are compared, and texts only where these are equal.
    """
    import numpy as np

    hashes = _hashes(texts)
    order = np.argsort(hashes, kind="stable")
    hashes = hashes[order]
    alike = np.flatnonzero(hashes[1:] == hashes[:-1])
    first: dict[str, int] = {}
    found: list[tuple[int, int]] = []
    for place in np.unique(order[np.concatenate((alike, alike + 1))]).tolist():
        text = texts[place]
        before = first.setdefault(text, place)
        if before != place:
            found.append((place, before))
    return found


def _hashes(texts: Sequence[str]) -> NDArray[np.int64]:
    import numpy as np

    return np.fromiter(map(hash, texts), np.int64, count=len(texts))
