"""The smallest mistake of each kind that would have been found: planted in the corpus itself, and looked for.

Where nothing is found, nothing may be wrong, or the corpus may be too small to tell. A mistake is planted in the
user's own rows in strengths that rise, several times each, until the measure that names it sees all of them. Where
a rule is a plain count (copies, filled rows) its bound at this size is told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np
from dualstream.heads.diagnosis.signs import plantings
from dualstream.heads.diagnosis.signs.joins import LABELS, RELATED_Z, UNRELATED_Z, Join
from dualstream.heads.diagnosis.signs.label_columns import least_accuracy
from dualstream.heads.diagnosis.signs.limit import Limit
from dualstream.heads.diagnosis.signs.table import Table, few_values
from dualstream.heads.diagnosis.signs.verdicts import COPIED, FEW, FILLED
from dualstream.heads.diagnosis.signs.wrong_codes import WrongCodes

SHARES = (0.05, 0.07, 0.1, 0.14, 0.2, 0.28, 0.4, 0.55)
FACTORS = (2.2, 2.6, 3.2, 4.0, 6.0, 10.0, 30.0, 100.0)
DRAWS = 3  # times that a strength is planted; all must be found
MORE_DRAWS, MOST_MISSED = 5, 1  # then, where strengths rise, as many more but one: three hits say little of a rate
LEAST = 60  # rows


def limits(table: Table, joins: Sequence[Join], wrong: Sequence[WrongCodes]) -> tuple[Limit, ...]:
    """Return what of each mistake would have been found in this corpus.

    Parameters
    ----------
    joins, wrong
        What was found of the corpus as it is.
    """
    if not table.raw or len(table) < LEAST:
        return ()
    return (
        *_of_labels(table),
        *_of_joins(table, joins, wrong),
        *_of_speakers(table),
        *_of_kinds(table),
        *_counted(table),
    )


def smallest(grid: Sequence[float], is_found: Callable[[float, int], bool]) -> float | None:
    """Return the least strength of a rising grid that is found as often as DRAWS asks; None where none is."""

    def often(strength: float) -> bool:
        if not all(is_found(strength, draw) for draw in range(DRAWS)):
            return False
        if len(grid) == 1:
            return True
        return sum(not is_found(strength, DRAWS + draw) for draw in range(MORE_DRAWS)) <= MOST_MISSED

    return next((one for one in grid if often(one)), None)


def _of_labels(table: Table) -> Iterator[Limit]:
    noise = smallest(SHARES, partial(plantings.noise, table))
    yield Limit("label noise", noise, "labels drawn at random")
    if table.named_speakers:
        count = len(np.unique(table.speaker[table.speaker >= 0]))
        grid = sorted({1, 2, 3, 4, 6, 8, 12, 16, 24, 40, 60} & set(range(1, count // 2 + 1)))
        speakers = smallest(grid, lambda number, draw: plantings.other_labels(table, int(number), draw))
        yield Limit("labels of speakers", speakers, "speakers whose classes go by each other's names", "speakers")
    yield Limit("label in a column", least_accuracy(len(table.classes)), "a column that alone tells the class")


def _of_joins(table: Table, joins: Sequence[Join], wrong: Sequence[WrongCodes]) -> Iterator[Limit]:
    pairs = [one for one in joins if one.other != LABELS]
    with_labels = {one.one: one.z for one in joins if one.other == LABELS}
    for name in table.raw if len(table.raw) > 1 else ():
        told = [one for one in wrong if one.stream in table.raw and one.stream != name and one.told]
        share = smallest(SHARES, partial(plantings.moved, table, name, told))
        yield Limit(f"moved rows of {name}", share, f"rows of {name} that belong to other utterances")
        seen = any(z >= RELATED_Z for other, z in with_labels.items() if other != name)
        tells = with_labels.get(name, 0.0) > UNRELATED_Z or any(
            one.kind == "related" for one in pairs if name in (one.one, one.other)
        )
        yield Limit(f"shuffled {name}", 0.0 if seen and tells else None, f"all rows of {name} shuffled", "any")
    for one in pairs:
        words = f"a shift of all rows between {one.one} and {one.other}"
        yield Limit(f"shift of {one.one} and {one.other}", 0.0 if one.shift_seen else None, words, "any")


def _of_speakers(table: Table) -> Iterator[Limit]:
    if not table.named_speakers:
        yield Limit("wrong speakers", None, "wrong names of speakers, none of whom is named")
        return
    wrong = smallest(SHARES, partial(plantings.other_names, table))
    yield Limit("wrong speakers", wrong, "utterances named after another speaker")
    twice = smallest((1.0,), lambda _, draw: plantings.two_names(table, draw))
    yield Limit("one person, two names", None if twice is None else 0.0, "one person under two names", "any")
    if len(table.raw) > 1:
        drawn = plantings.random_names(table)
        yield Limit("random speakers", 0.0 if drawn else None, "speakers' names that mean nothing", "any")


def _of_kinds(table: Table) -> Iterator[Limit]:
    for name in table.raw:
        factor = smallest(FACTORS, partial(plantings.scaled, table, name))
        yield Limit(f"scale of {name}", factor, f"a factor on half of the rows of {name}", "factor")
        if table.named_speakers:
            half = smallest((0.5,), partial(plantings.other_encoder, table, name))
            words = f"another encoder in the rows of {name} of half of the speakers"
            yield Limit(f"encoders of {name}", None if half is None else 0.0, words, "any")


def _counted(table: Table) -> Iterator[Limit]:
    """Yield the mistakes that are found by counting: from a share of the rows, and a number of them."""
    for name in table.raw:
        rows = int(table.there[name].sum())
        chance = rows < LEAST or few_values(table.raw[name][table.there[name]].astype(np.float32))
        twice = None if chance else max(COPIED, FEW / max(rows, 1))
        yield Limit(f"copies in {name}", twice, f"rows of {name} that stand twice")
        filled: float | None = max(FILLED, (FEW + 1) / max(rows, 1))
        if chance:
            filled = smallest((FILLED, *SHARES), partial(plantings.filled, table, name))
        yield Limit(f"filled rows of {name}", filled, f"rows of {name} filled with one value")
