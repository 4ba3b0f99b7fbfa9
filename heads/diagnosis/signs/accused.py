"""Rows that disagree with their labels in one stream alone, and whether another stream vouches for them.

Either its rows belong to other utterances there, or labels are wrong and the other stream is too weak to say so.
Rows of other utterances share nothing with the other stream; rows whose labels are wrong share as much with it as
all others do, and more, for what the class is stays in what both share:

    shared(i) = x_i' C y_i      C: covariance of both streams' rows beyond class and speaker, of rows not accused
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from dualstream.heads.diagnosis.signs.agreement import residual
from dualstream.heads.diagnosis.signs.table import Codes, Floats, Table
from dualstream.heads.diagnosis.signs.wrong_codes import WrongCodes

LEAST_ROWS = 12  # that are accused
LEAST_T = 6.0  # Student's t of what they share, and of what the others do
AS_MUCH = 0.8  # of what the others share


@dataclass(frozen=True)
class Vouched:
    """Rows of a stream that disagree with labels and go with another stream all the same."""

    stream: str
    other: str
    shared: float
    """What the rows share with the other stream, by what the rows that agree do."""
    t: float
    """Student's t of it."""


def vouched(table: Table, wrong: Sequence[WrongCodes]) -> tuple[Vouched, ...]:
    """Return which streams' accused rows go with another stream as the other rows do."""
    accused = [one for one in wrong if one.what == "label" and one.stream in table.raw and one.found]
    return tuple(each for one in accused for each in _by_others(table, one))


def _by_others(table: Table, one: WrongCodes) -> Iterator[Vouched]:
    named = np.zeros(len(table), dtype=bool)
    named[list(one.utterances)] = True
    for other in table.raw:
        use = table.there[one.stream] & table.there[other] & table.labelled()
        if other == one.stream or (named & use).sum() < LEAST_ROWS or (~named & use).sum() < 4 * LEAST_ROWS:
            continue
        speaker = table.speaker if table.named_speakers else np.zeros(len(table), dtype=np.int64)
        x, y = (residual(table.components(name), use, table.label, speaker) for name in (one.stream, other))
        mine, rest = (np.flatnonzero(side[use]) for side in (named, ~named))
        usual = np.concatenate([_shared(x, y, rest[half::2], rest[1 - half :: 2]) for half in (0, 1)])
        own = _shared(x, y, mine, rest)
        if _t(own) >= LEAST_T and _t(usual) >= LEAST_T and own.mean() >= AS_MUCH * usual.mean():
            yield Vouched(one.stream, other, float(own.mean() / usual.mean()), _t(own))


def _shared(x: Floats, y: Floats, asked: Codes, fitted: Codes) -> Floats:
    """Return what rows share along what both streams share in others."""
    along = x[fitted].T @ y[fitted] / len(fitted)
    return np.asarray(np.einsum("nd,de,ne->n", x[asked], along, y[asked]))


def _t(values: Floats) -> float:
    return float(values.mean() / (values.std(ddof=1) / np.sqrt(len(values)) + 1e-12))
