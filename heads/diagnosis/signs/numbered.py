"""Speakers who are numbered inside each dialogue: the first to speak is 0 everywhere, whoever it is.

Inside a dialogue such names part the people, and rows are told apart by them; across dialogues a name says
nothing, and might as well have been dealt anew to the people of each dialogue.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from dualstream.heads.diagnosis.signs.table import Codes, Floats, Table, group_sums, without

DIALOGUES = 10
EVERYWHERE = 0.5  # of the dialogues, in which the median name speaks
DEALS = 99
APART_Z = 6.0  # deviations by which the people of a dialogue must be told apart
CHANCE = 0.05  # of names dealt anew inside of the dialogues, that say as much, or
LITTLE = (
    0.15  # of what parts the people inside of dialogues, that names may tell across them: who speaks first, say
)


@dataclass(frozen=True)
class Numbered:
    """Names that part the people of a dialogue and say nothing across dialogues."""

    names: int
    dialogues: int
    apart_z: float
    """How clearly the people of a dialogue differ, in deviations of rows that are dealt anew inside of it."""
    p_value: float
    """Chance that names which are dealt anew to the people of each dialogue say as much across dialogues."""
    told: float
    """Of what parts the people inside of dialogues, the share that names tell across dialogues: 1 of people's."""


def numbered(table: Table) -> Numbered | None:
    """Look for names that mean someone else in each dialogue."""
    use = table.whole() if table.raw else None
    if use is None or not table.named_speakers:
        return None
    dialogue = np.unique(table.dialogue[use], return_inverse=True)[1]
    speaker = np.unique(table.speaker[use], return_inverse=True)[1]
    count = int(dialogue.max(initial=-1)) + 1
    cells, cell = np.unique(np.stack([dialogue, speaker], axis=1), axis=0, return_inverse=True)
    cell = cell.reshape(-1)
    if count < DIALOGUES or np.median(np.bincount(cells[:, 1])) < EVERYWHERE * count or len(cells) < 1.5 * count:
        return None
    rows = np.concatenate([table.components(name)[use] for name in table.raw], axis=1)
    rows = without(without(rows, table.label[use]), dialogue)
    rng = np.random.default_rng(0)
    dealt = [_between(rows, _inside(cell, dialogue, rng), len(cells)) for _ in range(19)]
    inside = _between(rows, cell, len(cells))
    apart = (inside - np.mean(dealt)) / (np.std(dealt) + 1e-12)
    sizes = np.bincount(cell)
    means = group_sums(rows, cell, len(cells)) / sizes[:, None]
    stands = _between(means, cells[:, 1], int(speaker.max()) + 1)
    anew = np.array(
        [_between(means, _inside(cells[:, 1], cells[:, 0], rng), int(speaker.max()) + 1) for _ in range(DEALS)]
    )
    p_value = (1 + int((anew >= stands).sum())) / (DEALS + 1)
    people = 1 - float(np.mean(dealt)) / max(inside, 1e-12)  # of what lies between the people of a dialogue
    share = (stands - float(anew.mean())) / max(float((means**2).sum() - anew.mean()), 1e-12)
    told = share / max(people, 1e-12)
    found = apart >= APART_Z and (p_value > CHANCE or told <= LITTLE)
    return Numbered(int(speaker.max()) + 1, count, float(apart), p_value, told) if found else None


def _inside(codes: Codes, group: Codes, rng: np.random.Generator) -> Codes:
    """Return codes dealt anew inside of each group."""
    dealt = np.empty_like(codes)
    order = rng.permutation(len(codes))
    dealt[np.argsort(group, kind="stable")] = codes[order[np.argsort(group[order], kind="stable")]]
    return dealt


def _between(rows: Floats, group: Codes, count: int) -> float:
    """Return the sum of squares between the means of groups."""
    sizes = np.maximum(np.bincount(group, minlength=count), 1)
    return float(((group_sums(rows, group, count) ** 2).sum(axis=1) / sizes).sum())
