"""Which of three streams or more stands wrong: what the pairs say together, where one pair may accuse either.

Of two streams whose rows agree once they are moved, the labels tell which one stands wrong, and a stream that says
little of the class may be accused in the other's place. A third stream is the better witness:

    a and b  moved        b and c  moved        a and c  as they stand        b stands wrong, whatever labels say
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from dualstream.heads.diagnosis.signs.joins import LABELS, Join, opposite


def settled(joins: Sequence[Join], streams: Sequence[str]) -> tuple[Join, ...]:
    """Return the joins with the stream accused that all pairs accuse; as they are where there are two streams."""
    if len(streams) < 3:
        return tuple(joins)
    pairs = [one for one in joins if one.other != LABELS]
    culprit = _culprit(pairs, streams)
    vouched = {name for one in pairs if one.kind == "related" for name in (one.one, one.other)}
    found = []
    for one in joins:
        if one in pairs and one.kind == "order" and culprit:
            one = _accusing(one, culprit)
        if one in pairs and one.kind == "shuffled" and one.moved in vouched:
            one = replace(one, kind="unknown", moved="")  # its rows go with those of a third stream
        found.append(one)
    return tuple(found)


def _culprit(pairs: Sequence[Join], streams: Sequence[str]) -> str:
    """Return the one stream that is in all pairs that agree once they are moved, and in none that agree as they
    stand; empty where that is no stream, or several.
    """
    moved = [{one.one, one.other} for one in pairs if one.kind == "order"]
    right = {name for one in pairs if one.kind == "related" for name in (one.one, one.other)}
    accused = [name for name in streams if moved and name not in right and all(name in pair for pair in moved)]
    return accused[0] if len(accused) == 1 else ""


def _accusing(join: Join, culprit: str) -> Join:
    """Return the join with the other side moved, the other way, where the accused one is not moved yet."""
    if join.moved == culprit:
        return join
    back = np.argsort(join.source, kind="stable")
    return replace(join, moved=culprit, best=opposite(join.best), source=tuple(back.tolist()))
