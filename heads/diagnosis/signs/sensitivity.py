"""The smallest mistake of each kind that would have been found: planted in the corpus itself, and looked for.

Where nothing is found, nothing may be wrong, or the corpus may be too small to tell. A mistake is planted in the
user's own rows in strengths that rise, several times each, until the measure that names it sees all of them. Where
a rule is a plain count (copies, filled rows) its bound at this size is told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
from dualstream.heads.diagnosis.signs import plantings
from dualstream.heads.diagnosis.signs.joins import LABELS, RELATED_Z, UNRELATED_Z, Join
from dualstream.heads.diagnosis.signs.label_columns import least_accuracy
from dualstream.heads.diagnosis.signs.limit import Limit
from dualstream.heads.diagnosis.signs.table import Table, few_values
from dualstream.heads.diagnosis.signs.verdicts import COPIED, FEW, FILLED
from dualstream.heads.diagnosis.signs.wrong_codes import WrongCodes

from dualstream.processes import in_processes

SHARES = (0.05, 0.07, 0.1, 0.14, 0.2, 0.28, 0.4, 0.55)
FACTORS = (2.2, 2.6, 3.2, 4.0, 6.0, 10.0, 30.0, 100.0)
DRAWS = 3  # times that a strength is planted; all must be found
MORE_DRAWS, MOST_MISSED = 5, 1  # then, where strengths rise, as many more but one: three hits say little of a rate
LEAST = 60  # rows
ONCE = (1.0,)  # of a mistake that has one strength

IsFound = Callable[[float, int], bool]
"""Whether a mistake of a strength, planted for the n-th time, is found."""
Asked = Callable[[], Limit]


def limits(
    table: Table, joins: Sequence[Join], wrong: Sequence[WrongCodes], *, processes: int = 1
) -> tuple[Limit, ...]:
    """Return what of each mistake would have been found in this corpus.

    Parameters
    ----------
    joins, wrong
        What was found of the corpus as it is.
    processes
        In how many processes mistakes are planted; the answers do not depend on it.
    """
    if not table.raw or len(table) < LEAST:
        return ()
    asked = (
        *_of_labels(table),
        *_of_joins(table, joins, wrong),
        *_of_speakers(table),
        *_of_kinds(table),
        *_counted(table),
    )
    with in_processes(asked, processes) as found:
        return tuple(found)


def _given(limit: Limit) -> Limit:
    """Answer what needs no planting."""
    return limit


def _seen(limit: Limit, is_seen: Callable[[], bool]) -> Limit:
    """Answer whether a mistake that has one strength, and one way to be planted, is found."""
    return replace(limit, smallest=0.0 if is_seen() else None)


def _planted(limit: Limit, grid: Sequence[float], is_found: IsFound) -> Limit:
    """Answer with the least strength that is found."""
    found = smallest(grid, is_found)
    return replace(limit, smallest=0.0 if found is not None and limit.unit == "any" else found)


def smallest(grid: Sequence[float], is_found: IsFound) -> float | None:
    """Return the least strength of a rising grid that is found as often as DRAWS asks; None where none is."""

    def often(strength: float) -> bool:
        if not all(is_found(strength, draw) for draw in range(DRAWS)):
            return False
        if len(grid) == 1:
            return True
        return sum(not is_found(strength, DRAWS + draw) for draw in range(MORE_DRAWS)) <= MOST_MISSED

    return next((one for one in grid if often(one)), None)


def _of_labels(table: Table) -> Iterator[Asked]:
    noise = Limit("label noise", None, "labels drawn at random")
    yield partial(_planted, noise, SHARES, partial(plantings.noise, table))
    if table.named_speakers:
        count = len(np.unique(table.speaker[table.speaker >= 0]))
        grid = sorted({1, 2, 3, 4, 6, 8, 12, 16, 24, 40, 60} & set(range(1, count // 2 + 1)))
        words = "speakers whose classes go by each other's names"
        speakers = Limit("labels of speakers", None, words, "speakers")
        yield partial(
            _planted,
            speakers,
            grid,
            lambda number, draw: plantings.other_labels(table, int(number), draw),
        )
    least = least_accuracy(len(table.classes))
    yield partial(_given, Limit("label in a column", least, "a column that alone tells the class"))


def _of_joins(table: Table, joins: Sequence[Join], wrong: Sequence[WrongCodes]) -> Iterator[Asked]:
    pairs = [one for one in joins if one.other != LABELS]
    with_labels = {one.one: one.z for one in joins if one.other == LABELS}
    for name in table.raw if len(table.raw) > 1 else ():
        told = [one for one in wrong if one.stream in table.raw and one.stream != name and one.told]
        moved = Limit(f"moved rows of {name}", None, f"rows of {name} that belong to other utterances")
        yield partial(_planted, moved, SHARES, partial(plantings.moved, table, name, told))
        seen = any(z >= RELATED_Z for other, z in with_labels.items() if other != name)
        tells = with_labels.get(name, 0.0) > UNRELATED_Z or any(
            one.kind == "related" for one in pairs if name in (one.one, one.other)
        )
        shuffled = 0.0 if seen and tells else None
        yield partial(_given, Limit(f"shuffled {name}", shuffled, f"all rows of {name} shuffled", "any"))
    for one in pairs:
        words = f"a shift of all rows between {one.one} and {one.other}"
        shift = 0.0 if one.shift_seen else None
        yield partial(_given, Limit(f"shift of {one.one} and {one.other}", shift, words, "any"))


def _of_speakers(table: Table) -> Iterator[Asked]:
    if not table.named_speakers:
        yield partial(_given, Limit("wrong speakers", None, "wrong names of speakers, none of whom is named"))
        return
    wrong = Limit("wrong speakers", None, "utterances named after another speaker")
    yield partial(_planted, wrong, SHARES, partial(plantings.other_names, table))
    twice = Limit("one person, two names", None, "one person under two names", "any")
    yield partial(_planted, twice, ONCE, lambda _, draw: plantings.two_names(table, draw))
    if len(table.raw) > 1:
        drawn = Limit("random speakers", None, "speakers' names that mean nothing", "any")
        yield partial(_seen, drawn, partial(plantings.random_names, table))


def _of_kinds(table: Table) -> Iterator[Asked]:
    for name in table.raw:
        factor = Limit(f"scale of {name}", None, f"a factor on half of the rows of {name}", "factor")
        yield partial(_planted, factor, FACTORS, partial(plantings.scaled, table, name))
        if table.named_speakers:
            words = f"another encoder in the rows of {name} of half of the speakers"
            half = Limit(f"encoders of {name}", None, words, "any")
            yield partial(_planted, half, (0.5,), partial(plantings.other_encoder, table, name))


def _counted(table: Table) -> Iterator[Asked]:
    """Yield the mistakes that are found by counting: from a share of the rows, and a number of them."""
    for name in table.raw:
        rows = int(table.there[name].sum())
        chance = rows < LEAST or few_values(table.raw[name][table.there[name]].astype(np.float32))
        twice = None if chance else max(COPIED, FEW / max(rows, 1))
        yield partial(_given, Limit(f"copies in {name}", twice, f"rows of {name} that stand twice"))
        filled = Limit(f"filled rows of {name}", None, f"rows of {name} filled with one value")
        if chance:
            yield partial(_planted, filled, (FILLED, *SHARES), partial(plantings.filled, table, name))
        else:
            yield partial(_given, replace(filled, smallest=max(FILLED, (FEW + 1) / max(rows, 1))))
