"""The smallest mistake that would have been found: planted in the corpus itself, and looked for.

Where nothing is found, nothing may be wrong, or the corpus may be too small to tell. Shares of rows are moved to
other utterances, shares of labels drawn anew, in strengths that rise until the same measure with the same
threshold sees it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from dualstream.heads.diagnosis.signs.joins import LABELS, Join
from dualstream.heads.diagnosis.signs.table import WIDEST, Table
from dualstream.heads.diagnosis.signs.wrong_codes import ALL, ask_labels, ask_speakers

SHARES = (0.05, 0.1, 0.15, 0.2, 0.3, 0.5)


@dataclass(frozen=True)
class Limit:
    """What of a mistake would have been found."""

    mistake: str
    smallest: float | None
    """Share of rows or labels from which on it is found; None where none of SHARES would be."""
    words: str

    @property
    def seen(self) -> bool:
        """Whether some strength of it would have been found."""
        return self.smallest is not None


def limits(table: Table, joins: tuple[Join, ...]) -> tuple[Limit, ...]:
    """Return what of each mistake would have been found in this corpus."""
    if not table.raw:
        return ()
    found = [_noise(table), *(_moved(table, name) for name in table.raw)]
    for join in joins:
        if join.other == LABELS:
            continue
        pair = f"{join.one} and {join.other}"
        found.append(
            Limit(f"shift of {pair}", 0.0 if join.shift_seen else None, f"a shift of all rows between {pair}")
        )
    return tuple(found)


def _noise(table: Table) -> Limit:
    rows = np.concatenate([table.components(name, rank=WIDEST) for name in table.raw], axis=1)
    there = np.all(list(table.there.values()), axis=0)
    rng = np.random.default_rng(0)
    order = rng.permutation(len(table))
    drawn = rng.permutation(table.label[order])
    words = "labels drawn at random"
    for share in SHARES:
        label = table.label.copy()
        chosen = order[: round(share * len(order))]
        chosen = chosen[table.labelled()[chosen] & (drawn[: len(chosen)] >= 0)]
        label[chosen] = drawn[: len(chosen)]
        found = ask_labels(table, ALL, rows, there, label)
        if found is None:
            break
        if found.found:
            return Limit("label noise", share, words)
    return Limit("label noise", None, words)


def _moved(table: Table, name: str) -> Limit:
    rows, there = table.components(name, rank=WIDEST), table.there[name]
    rng = np.random.default_rng(0)
    order = rng.permutation(np.flatnonzero(there))
    words = f"rows of {name} that belong to other utterances"
    for share in SHARES:
        moved = order[: round(share * len(order))]
        other = rows.copy()
        other[moved] = rows[np.roll(moved, 1)]
        told = (ask_speakers(table, name, other, there), ask_labels(table, name, other, there))
        if not any(one is not None and one.told for one in told):
            break
        if any(one is not None and one.found for one in told):
            return Limit(f"moved rows of {name}", share, words)
    return Limit(f"moved rows of {name}", None, words)
