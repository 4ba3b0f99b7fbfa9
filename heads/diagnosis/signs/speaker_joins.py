"""Speakers whose rows of two streams don't belong together, or only once they are moved inside of the speaker.

Each speaker's rows are held against each other along the directions in which the other speakers' rows agree: by
Student's t, which is about 0 for rows of other utterances.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from dualstream.heads.diagnosis.signs.agreement import residual
from dualstream.heads.diagnosis.signs.orders import LARGEST_SHIFT
from dualstream.heads.diagnosis.signs.stretches import late_rows
from dualstream.heads.diagnosis.signs.table import Floats, Table, middle_and_spread

SPEAKER_ROWS = 16
SPEAKERS = 6  # with so many rows, below which nothing is usual
USUAL_T = 5.0  # median of the speakers, below which one who doesn't agree is no exception
APART_T = 1.5
CLEAR_T = 4.0  # of a speaker's rows once a shift is put back
SHIFTED_T = 3.5  # by which a shift that is put back must agree better
FAR = 3.5  # robust deviations from the median
OTHERS_T = 1.5  # median of the speakers; below it one who agrees once moved is chance, unless two do so


@dataclass(frozen=True)
class SpeakerJoin:
    """How far the rows of one speaker agree between two streams, where the other speakers' do."""

    one: str
    other: str
    speaker: int
    t: float
    """Student's t of the agreement of the speaker's rows."""
    expected: float
    """Median of the speakers' t."""
    shift: int = 0
    """Rows by which `other` must be moved inside the speaker to agree; 0 where no shift does."""
    shifted_t: float = 0.0
    """Student's t of the agreement once it is."""


def speakers_apart(table: Table) -> tuple[SpeakerJoin, ...]:
    """Return the speakers whose rows of two streams don't belong together while those of the others clearly do, or
    who agree once a shift is put back.
    """
    if not table.named_speakers:
        return ()
    found: list[SpeakerJoin] = []
    names = list(table.raw)
    for place, one in enumerate(names):
        for other in names[place + 1 :]:
            found += _apart(table, one, other)
    return tuple(found)


def _apart(table: Table, one: str, other: str) -> list[SpeakerJoin]:
    use = table.there[one] & table.there[other] & table.labelled() & (table.speaker >= 0)
    codes, counts = np.unique(table.speaker[use], return_counts=True)
    codes = codes[counts >= SPEAKER_ROWS]
    if len(codes) < SPEAKERS:
        return []
    speaker = table.speaker[use]
    x, y = (residual(table.components(name), use, table.label, table.speaker) for name in (one, other))
    cross = {code: x[speaker == code].T @ y[speaker == code] for code in np.unique(speaker)}
    total = sum(cross.values())
    members = {code: np.flatnonzero(speaker == code) for code in codes}
    along_others = {code: (total - cross[code]) / (len(speaker) - len(members[code])) for code in codes}
    stands = np.array([_agreed(x[members[code]], y[members[code]], along_others[code]) for code in codes])
    middle, spread = middle_and_spread(stands)
    spread += 1e-9
    every = np.ones(len(speaker), dtype=bool)
    late = late_rows(x, y, (every, every), speaker)
    found = []
    for code, t in zip(codes, stands, strict=True):
        mine = members[code]
        shifted = {
            shift: _agreed(x[mine], y[np.roll(mine, -shift)], along_others[code])
            for shift in range(-LARGEST_SHIFT, LARGEST_SHIFT + 1)
            if shift
        }
        best = max(shifted, key=lambda shift: shifted[shift])
        clear = shifted[best] > CLEAR_T and shifted[best] - max(t, 0.0) > SHIFTED_T
        if int(code) in late:
            best = late[int(code)][0]
            moved = _agreed(x[mine], y[np.roll(mine, -best)], along_others[code])
            found.append(SpeakerJoin(one, other, int(code), float(t), middle, best, moved))
        elif clear:
            found.append(SpeakerJoin(one, other, int(code), float(t), middle, best, shifted[best]))
        elif middle >= USUAL_T and t < APART_T and (middle - t) / spread > FAR:
            found.append(SpeakerJoin(one, other, int(code), float(t), middle))
    shifts = [join.shift for join in found if join.shift]
    alone = middle < OTHERS_T and len(shifts) == len(set(shifts))
    return [join for join in found if not (alone and join.shift)]


def _agreed(x: Floats, y: Floats, along: Floats) -> float:
    """Return Student's t of how far rows agree along the directions that other speakers' rows agree in."""
    rows = np.einsum("nd,de,ne->n", x, along, y)
    return float(rows.mean() / (rows.std(ddof=1) / np.sqrt(len(rows)) + 1e-12))
