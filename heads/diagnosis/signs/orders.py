"""Orders that a file of rows may have beside the table's: shifts, neighbours swapped, and other sort orders."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np
from dualstream.heads.diagnosis.signs.table import Codes, Table

LARGEST_SHIFT = 3  # rows
FIELDS = 8  # of ids, by which tables may have been sorted
WORKERS = (2, 4)  # who took rows by turns, and whose files were put one after the other


def rearrangements(table: Table) -> Iterator[tuple[str, Codes]]:
    """Yield ways to move rows that may have been joined wrong: words, and the row that each place should take."""
    count, here = len(table), np.arange(len(table))
    for shift in (*range(1, LARGEST_SHIFT + 1), *range(-1, -LARGEST_SHIFT - 1, -1)):
        words = f"{abs(shift)} row{'s' if abs(shift) > 1 else ''} {'later' if shift > 0 else 'earlier'}"
        yield f"{words} over the whole table", (here + shift) % count
        if table.named_speakers:
            yield f"{words} inside each speaker", _inside(table.speaker, shift)
        if table.dev.any():
            yield f"{words} inside each split", _inside(table.dev.astype(np.int64), shift)
    if table.dev.any() and not table.dev.all():
        firsts, lasts = np.argsort(table.dev, kind="stable"), np.argsort(~table.dev, kind="stable")
        for words, own, others in (("train", firsts, lasts), ("dev", lasts, firsts)):
            source = np.empty(count, dtype=np.int64)
            source[own] = others
            yield f"a table of both splits that begins with {words}", source
    pairs = np.minimum(here ^ 1, count - 1)
    yield "the other of each two rows", pairs
    yield "the other of each two rows but the first", np.concatenate(([0], np.minimum(pairs[:-1] + 1, count - 1)))
    if table.named_speakers:
        yield "the reverse order inside each speaker", _reversed(table.speaker)
    seen = {here.tobytes()}
    for words, order in _orders(table):
        back = np.argsort(order, kind="stable")
        for what, source in ((f"back from {words}", back), (f"into {words}", order)):
            if source.tobytes() not in seen:
                seen.add(source.tobytes())
                yield what, source


def _inside(group: Codes, shift: int) -> Codes:
    source = np.arange(len(group))
    for code in np.unique(group):
        members = np.flatnonzero(group == code)
        source[members] = np.roll(members, -shift)
    return source


def _reversed(group: Codes) -> Codes:
    source = np.arange(len(group))
    for code in np.unique(group):
        source[group == code] = np.flatnonzero(group == code)[::-1]
    return source


def _orders(table: Table) -> Iterator[tuple[str, Codes]]:
    """Yield sort orders that a file of rows may have, by words: the place in the table of each of its rows."""
    here = np.arange(len(table))
    ids = np.array(table.ids)
    natural = [[int(part) if part.isdigit() else -1 for part in re.split(r"(\d+)", name)] for name in table.ids]
    yield "the reverse order", here[::-1].copy()
    yield "the order of their ids", np.argsort(ids, kind="stable")
    yield "the order of the numbers in their ids", np.array(sorted(here.tolist(), key=lambda i: natural[i]))
    yield "an order by class", np.argsort(table.label, kind="stable")
    named = np.array([table.classes[code] if code >= 0 else "" for code in table.label])
    yield "an order by the classes' names", np.argsort(named, kind="stable")
    yield "an order by speaker", np.argsort(table.speaker, kind="stable")
    yield "an order by speaker and class", np.lexsort((here, table.label, table.speaker))
    yield "an order by class and speaker", np.lexsort((here, table.speaker, table.label))
    yield "an order by split", np.argsort(table.dev, kind="stable")
    if table.named_speakers:
        called = np.array([table.speaker_names[code] if code >= 0 else "" for code in table.speaker])
        yield "an order by the speakers' names", np.argsort(called, kind="stable")
    for count in WORKERS:
        yield f"the files of {count} who took rows by turns", np.argsort(here % count, kind="stable")
    yield "an order by dialogue", np.argsort(table.dialogue, kind="stable")
    fields = [re.split(r"[-_./ ]+", name) for name in table.ids]
    width = min(map(len, fields), default=0)
    if width > 1:
        backwards = np.array(["-".join(parts[::-1]) for parts in fields])
        yield "an order by their ids read from the last part", np.argsort(backwards, kind="stable")
    for number in range(min(width, FIELDS)) if width > 1 else ():
        own = np.array([parts[number] for parts in fields])
        if 1 < len(np.unique(own)) < len(own):
            yield f"an order by part {number + 1} of their ids", np.argsort(own, kind="stable")
            rest = np.array(["-".join(parts[number:] + parts[:number]) for parts in fields])
            yield f"an order by their ids from part {number + 1} on", np.argsort(rest, kind="stable")
