"""A batch of rows that a stream's file holds twice, as a restart leaves it: what stands behind it is a batch late.

    as encoded   y0 y1 y2 y3 y4 y5 y6 y7          as they stand   y0 y1 y2 y3 y2 y3 y4 y5

Its copies tell by how many rows, however little the streams share.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
from dualstream.heads.diagnosis.signs.copies import equal_rows
from dualstream.heads.diagnosis.signs.table import Codes, Table

LEAST = 8  # rows of a batch
MOST_OF = 0.7  # of its rows, that are equal to no row between


def moved_back(table: Table, name: str) -> Iterator[tuple[str, Codes]]:
    """Yield ways to move rows of the stream `name` where a batch of them stands twice: words, and source rows."""
    found = batch_twice(table, name)
    if found is None:
        return
    begin, late = found
    here = np.arange(len(table))
    ends = {len(table): "to the end of the table"}
    split = np.flatnonzero(table.dev[begin:] != table.dev[begin])
    if len(split):
        ends[begin + int(split[0])] = f"to {table.ids[begin + int(split[0]) - 1]}"
    for end, words in ends.items():
        source = here.copy()
        source[begin:end] = np.minimum(here[begin:end] + late, end - 1)
        yield f"{late} rows later from {table.ids[begin]} {words}, behind a batch that stands twice", source


def batch_twice(table: Table, name: str) -> tuple[int, int] | None:
    """Return where the longest batch of a stream begins that equals the rows right before it, and its length."""
    rows, there = table.raw[name], table.there[name]
    places = np.flatnonzero(there)
    apart = Counter(int(places[later] - places[first]) for later, first in equal_rows(rows[places]))
    found = []
    for late, count in apart.items():
        if late >= LEAST and count >= MOST_OF * late:
            same = np.zeros(len(rows), dtype=bool)
            same[late:] = there[late:] & there[:-late] & (rows[late:] == rows[:-late]).all(axis=1)
            ends = [0, *(np.flatnonzero(np.diff(same)) + 1).tolist(), len(rows)]
            found += [(first, late) for first, last in pairwise(ends) if same[first] and last - first >= late]
    return max(found, key=lambda one: one[1]) if found else None
