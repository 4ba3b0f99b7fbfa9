"""Utterances as columns: some 80 bytes for each, where an object takes 300; one is made when it is asked for."""

from __future__ import annotations

import contextlib
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from itertools import repeat
from math import isnan, nan
from typing import Any

from dualstream.pipeline.corpus.utterance import NO_EXTRA, Utterance

from dualstream.packed_texts import CodedTexts, PackedTexts

BLOCK = 1024  # utterances that are made at a time
NO_TURN = -1

_TEXTS = ("id", "path", "split", "dialogue", "speaker", "emotion", "sentiment", "sound")
_FIELDS = tuple(one.name for one in fields(Utterance))
_PUT: tuple[Callable[[Utterance, Any], None], ...] = tuple(getattr(Utterance, name).__set__ for name in _FIELDS)


class UtteranceSequence(Sequence[Utterance]):
    """Some utterances in order: equal to any sequence of the same ones, and pickled as a tuple of them."""

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence) or len(self) != len(other):
            return False
        return all(one == another for one, another in zip(self, other, strict=True))

    def __hash__(self) -> int:
        return hash(tuple(self))

    def __reduce__(self) -> tuple[Any, ...]:
        return tuple, (list(self),)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self)} utterances)"


class UtteranceColumns(UtteranceSequence):
    """All utterances of a manifest. Each was checked when it came, and is made again without that."""

    def __init__(self) -> None:
        self.id, self.path = PackedTexts(), PackedTexts()
        self.split, self.dialogue, self.speaker = CodedTexts(), CodedTexts(), CodedTexts()
        self.emotion, self.sentiment, self.sound = CodedTexts(), CodedTexts(), CodedTexts()
        self.extra: dict[str, PackedTexts] = {}
        """Columns beyond the contract, by name, as they first occur; blank where a row has none."""
        self._spans_s = array("d")
        """Start and end of each, NaN for None; nothing where no utterance is a span."""
        self._turns = array("i")
        self._at_hand: tuple[Utterance, ...] = ()

    @classmethod
    def of(cls, utterances: Iterable[Utterance]) -> UtteranceColumns:
        """Return the columns of some utterances; columns as they are."""
        if isinstance(utterances, UtteranceColumns):
            return utterances
        columns = cls()
        for one in utterances:
            columns.append(one)
        return columns.closed()

    def append(self, one: Utterance) -> None:
        """Append an utterance."""
        before = len(self)
        for name in _TEXTS:
            getattr(self, name).append(getattr(one, name))
        if one.start_s is not None or self._spans_s:
            self._spans_s.extend(repeat(nan, 2 * before - len(self._spans_s)))
            self._spans_s.extend(nan if at_s is None else at_s for at_s in (one.start_s, one.end_s))
        self._turns.append(NO_TURN if one.turn is None else one.turn)
        if one.extra or self.extra:
            self._append_extra(one.extra, before)

    def _append_extra(self, extra: Mapping[str, str], before: int) -> None:
        for name in extra:
            if name not in self.extra:
                self.extra[name] = PackedTexts(repeat("", before))
        for name, column in self.extra.items():
            column.append(extra.get(name, ""))

    def closed(self) -> UtteranceColumns:
        """Return itself without what only appending needs."""
        for column in vars(self).values():
            if isinstance(column, CodedTexts):
                column.close()
        return self

    @contextlib.contextmanager
    def at_hand(self) -> Iterator[None]:
        """Keep all utterances made within a block: for who goes through them dozens of times."""
        self._at_hand = tuple(self)
        try:
            yield
        finally:
            self._at_hand = ()

    @property
    def turn(self) -> Sequence[int]:
        """The turn of each, NO_TURN where it has none."""
        return self._turns

    def __len__(self) -> int:
        return len(self._turns)

    def __getitem__(self, at: Any) -> Any:
        places = range(len(self))[at]
        if isinstance(places, range):
            return UtteranceView(self, places)
        return next(self._made(places, places + 1))

    def __iter__(self) -> Iterator[Utterance]:
        return self.at(range(len(self)))

    def at(self, places: range) -> Iterator[Utterance]:
        """Yield the utterances at some places."""
        if self._at_hand:
            yield from self._at_hand[places.start : places.stop : places.step]
            return
        if places.step != 1:
            yield from (self[place] for place in places)
            return
        for start in range(places.start, places.stop, BLOCK):
            yield from self._made(start, min(start + BLOCK, places.stop))

    def _made(self, start: int, stop: int) -> Iterator[Utterance]:
        span = slice(start, stop)
        columns: dict[str, Iterable[Any]] = {name: getattr(self, name)[span] for name in _TEXTS}
        bounds = [None if isnan(at_s) else at_s for at_s in self._spans_s[2 * start : 2 * stop]]
        columns["start_s"] = bounds[::2] or repeat(None)
        columns["end_s"] = bounds[1::2] or repeat(None)
        columns["turn"] = [None if turn == NO_TURN else turn for turn in self._turns[span]]
        columns["extra"] = self._extras(span) if self.extra else repeat(NO_EXTRA)
        for values in zip(*(columns[name] for name in _FIELDS), strict=False):
            one = object.__new__(Utterance)
            for put, value in zip(_PUT, values, strict=True):
                put(one, value)
            yield one

    def _extras(self, span: slice) -> Iterator[Mapping[str, str]]:
        for cells in zip(*(column[span] for column in self.extra.values()), strict=True):
            yield {name: cell for name, cell in zip(self.extra, cells, strict=True) if cell} or NO_EXTRA


class UtteranceView(UtteranceSequence):
    """Some of a manifest's utterances, such as a shard's."""

    def __init__(self, columns: UtteranceColumns, places: range) -> None:
        self._columns = columns
        self._places = places

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, at: Any) -> Any:
        places = self._places[at]
        return UtteranceView(self._columns, places) if isinstance(places, range) else self._columns[places]

    def __iter__(self) -> Iterator[Utterance]:
        return self._columns.at(self._places)
