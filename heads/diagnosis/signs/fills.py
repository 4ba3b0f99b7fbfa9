"""Rows that were filled in: one value for many utterances, or the value of the row before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from dualstream.heads.diagnosis.signs.table import Codes, Floats, Mask, Table, few_values
from numpy.typing import NDArray

REPEATS = 5  # utterances with one and the same row, from which it is no recording of theirs
BEFORE = 0.5  # of the rows that are equal to another one, from which on the row before was filled in
COLUMNS = 3  # of fewer, rows lie between others by chance
MOST = 0.6  # of the values of a row that comes back, which stand in no other row of a stream of few values
CENTRE = 0.5  # spreads: a constant row nearer to the columns' centre than this is their mean or median


@dataclass(frozen=True)
class Fill:
    """Utterances of a stream whose row stands for nothing that was recorded."""

    stream: str
    rows: int
    """Present rows of the stream."""
    kind: Literal["mean", "constant", "zeros", "before", "between", "predicted"]
    """``mean``: the columns' centre, of all rows or a group's; ``before``: the row before it in the table;
    ``between``: on the line between the rows before and after (`between`); ``predicted``: a linear function of the
    other streams' rows (`predicted`)."""
    values: int
    """Different rows that they were filled with."""
    utterances: tuple[int, ...]


def fills(table: Table, name: str, others: dict[str, set[int]]) -> tuple[Fill, ...]:
    """Find the rows of the stream `name` that were filled in.

    `others` holds, by stream, the utterances whose row is that of the utterance before: where another stream
    repeats as well the utterance itself stands twice, and nothing was filled in.
    """
    raw = table.raw[name]
    finite = np.isfinite(raw).all(axis=1)
    marked = table.there[name]
    count = int(marked.sum())
    found: list[Fill] = []
    if raw.shape[1] > 1:
        zeros = np.flatnonzero(finite & (raw == 0).all(axis=1) & table.present[name])
        if len(zeros):
            found.append(Fill(name, count + len(zeros), "zeros", 1, tuple(zeros.tolist())))
    index = np.flatnonzero(marked)
    if not len(index):
        return tuple(found)
    rows = raw[index].astype(np.float32)
    _, code, repeats = np.unique(rows, axis=0, return_inverse=True, return_counts=True)
    code = code.reshape(-1)
    if few_values(rows):  # equal rows are chance, but for one that holds what no other does
        return (*found, *_foreign(name, count, rows, index, code, repeats))
    often = np.flatnonzero(repeats >= REPEATS)
    before = repeated_before(table, name)
    in_runs = {int(i) for i in before}
    constant = [
        c
        for c in often
        if not (_mostly(index[code == c], in_runs) or _one_utterance(table, name, index[code == c]))
    ]
    filled = np.flatnonzero(np.isin(code, constant))
    if len(filled):
        rest = raw[index[~np.isin(code, constant)]]
        central = _central(raw[index[filled]], rest)
        found.append(
            Fill(name, count, "mean" if central else "constant", len(constant), tuple(index[filled].tolist()))
        )
    mine = in_runs - set(index[filled].tolist())
    mine -= set().union(*(other for stream, other in others.items() if stream != name))
    repeated = int((repeats - 1).sum()) - int(np.maximum(repeats[constant] - 1, 0).sum())
    if len(mine) >= BEFORE * repeated and mine:  # of rows that stand twice anywhere, some are neighbours
        found.append(Fill(name, count, "before", len(mine), tuple(sorted(mine))))
    return tuple(found)


def _foreign(
    name: str, count: int, rows: NDArray[np.float32], index: Codes, code: Codes, repeats: Codes
) -> tuple[Fill, ...]:
    """Return the row that comes back most often, where most of its values are those of no other row."""
    most = code == repeats.argmax()
    if most.sum() < REPEATS or rows.shape[1] < COLUMNS or most.all():
        return ()
    own = rows[most][0]
    strange = np.array([~np.isin(value, column) for value, column in zip(own, rows[~most].T, strict=True)])
    if strange.mean() < MOST:
        return ()
    central = _central(rows[most].astype(np.float64), rows[~most].astype(np.float64))
    return (Fill(name, count, "mean" if central else "constant", 1, tuple(index[most].tolist())),)


def drawn_again(table: Table) -> Mask:
    """Say which utterances are an earlier one again, in class, speaker and the rows of all streams, shape (N,)."""
    again, known = np.zeros(len(table), dtype=bool), set()
    for place in range(len(table)) if len(table.raw) > 1 else ():
        rows = tuple(own[place].tobytes() for own in table.raw.values())
        key = (int(table.label[place]), int(table.speaker[place]), *map(hash, rows))
        again[place] = key in known and any(there[place] for there in table.there.values())
        known.add(key)
    return again


def unfilled(table: Table, filled: Sequence[Fill]) -> Table:
    """Return the table with rows that were filled in taken for absent: they are nobody's, or another's again."""
    if not filled:
        return table  # with what it has found of its components
    there = {name: mask.copy() for name, mask in table.there.items()}
    for one in filled:
        there[one.stream][list(one.utterances)] = False
    return replace(table, there=there)


def repeated_before(table: Table, name: str) -> Codes:
    """Return the utterances whose row in the stream `name` is that of the utterance before it."""
    there, rows = table.there[name], table.raw[name]
    same = there[1:] & there[:-1] & (rows[1:] == rows[:-1]).all(axis=1)
    return np.flatnonzero(same) + 1


def _mostly(utterances: Codes, among: set[int]) -> bool:
    return sum(int(one) in among for one in utterances) >= 0.7 * (len(utterances) - 1)


def _one_utterance(table: Table, name: str, places: Codes) -> bool:
    """Say whether utterances of one row are one and the same: in class, speaker and every other stream."""
    if len(table.raw) < 2:
        return False
    held = [table.label, table.speaker, *(own for stream, own in table.raw.items() if stream != name)]
    return all((one[places] == one[places[0]]).all() for one in held)


def _central(filled: Floats, rest: Floats) -> bool:
    if len(rest) < 2:
        return False
    spread = rest.std(axis=0)
    alive = spread > 0
    if not alive.any():
        return False
    off = np.abs(filled - rest.mean(axis=0))[:, alive] / spread[alive]
    return float(np.median(np.sqrt((off**2).mean(axis=1)))) < CENTRE or float(np.median(off)) < CENTRE
