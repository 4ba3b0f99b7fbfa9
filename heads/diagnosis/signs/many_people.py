"""One name of many people, as "other" or "all": its rows spread as far as the people of the other names lie apart.

    spread = (sum of variances inside of the name - the same of the others at mean) / that between the other names

of rows around their classes, whitened by what varies inside of the other names. One person's is about nought,
and no exception among the others'; it is asked of the name that has most rows by far, and told where two streams
agree.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from dualstream.heads.diagnosis.signs.same_speakers import whitened_by_speaker
from dualstream.heads.diagnosis.signs.table import Codes, Floats, Table, group_sums, without

LEAST_ROWS = 12  # of a name
OTHERS = 4  # names
LARGER = 1.5  # times the rows of the next
SPREAD = 0.75  # in two streams: 0.94 to 3.5 of 12 to 18 people, and of seven; of one person 0.46 at most
FAR = 5.0  # deviations of the others', in both: 6.8 to 22; of MELD's and CREMA-D's largest names 0.4 at most


@dataclass(frozen=True, repr=False)
class ManyPeople:
    """A name whose rows spread as people do."""

    speaker: int
    spread: float
    """By the spread between the other names, in the stream where it is smaller."""
    deviations: float
    """Of the other names' spreads, likewise."""
    others: int
    utterances: tuple[int, ...]


def many_people(table: Table) -> ManyPeople | None:
    """Say whether the name with most rows is that of many people, by the two streams that say so most clearly."""
    use = table.whole()
    codes, counts = np.unique(table.speaker[use], return_counts=True)
    codes, counts = codes[counts >= LEAST_ROWS], counts[counts >= LEAST_ROWS]
    if len(codes) <= OTHERS or len(table.raw) < 2:
        return None
    second, most = np.sort(counts)[-2:]
    if most < LARGER * second:
        return None
    use &= np.isin(table.speaker, codes)
    name, largest = np.searchsorted(codes, table.speaker[use]), int(counts.argmax())
    rows = [without(table.components(stream)[use], table.label[use]) for stream in table.raw]
    spreads = sorted((_spread(own, name, largest) for own in rows), reverse=True)[:2]
    spread, deviations = (min(one[at] for one in spreads) for at in (0, 1))
    if spread < SPREAD or deviations < FAR:
        return None
    code = int(codes[largest])
    mine = np.flatnonzero(table.speaker == code)
    return ManyPeople(code, spread, deviations, len(codes) - 1, tuple(mine.tolist()))


def _spread(rows: Floats, name: Codes, asked: int) -> tuple[float, float]:
    """Return how far a name's rows spread beyond the others', by the others' distance and by their deviation."""
    sizes = np.bincount(name)
    left = np.arange(len(sizes)) != asked
    others = name != asked
    whitened = whitened_by_speaker(without(rows[others], name[others]), rows)
    means = group_sums(whitened, name, len(sizes)) / sizes[:, None]
    squares = np.bincount(name, ((whitened - means[name]) ** 2).sum(axis=1)) / (sizes - 1)
    around = means[left] - means[left].mean(axis=0)
    between = float((around**2).sum() / (left.sum() - 1) - (squares[left] / sizes[left]).mean())
    beyond = float(squares[asked] - np.average(squares[left], weights=sizes[left]))
    if between <= 0:
        return 0.0, 0.0  # the others' names tell nothing
    return beyond / between, beyond / max(float(squares[left].std()), 1e-9)
