"""Whether a stream's columns say of the classes in dev what they say in train.

    likeness of two sets of rows = correlation of what each column has to do with each class (their correlations)

In clean corpora train and dev are at least as alike as the halves of dev's speakers are. Where one stream's
columns were turned, flipped or drawn anew for each split, both splits know the classes, each in its own way:
halves of dev are alike, and dev is not like train. Labels of dev that are wrong would show in every stream, and
where an encoder was fitted on train's labels its rows say far more of them in train than in dev.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from dualstream.heads.diagnosis.signs.table import Codes, Floats, Mask, Table, few_values, standardised

COLUMNS = 96  # of wider streams so many, evenly spread
SPEAKERS = 3  # of a split, who are parted in halves (dialogues, where nobody is named)
HALVES = 7  # times
KNOWN = 0.3  # likeness of halves, below which a split tells too little of its classes
UNLIKE = 0.4  # of the likeness of halves of dev; 1.0 is the least in clean corpora
STRENGTH = 0.7  # of what columns have to do with classes in train, in dev: turning columns takes nothing away
LIKE = 0.8  # of it, that another stream keeps


@dataclass(frozen=True)
class Directions:
    """How alike a stream's classes are."""

    between: float
    """In train and dev."""
    train: float
    """In halves of train's speakers: the median."""
    dev: float
    """In halves of dev's speakers, likewise."""
    strength: float = 1.0
    """Squared correlations of columns and classes in dev, over those in train; what chance gives is taken off."""

    @property
    def lost(self) -> bool:
        """Whether dev knows the classes in another way than train."""
        known = min(self.train, self.dev) >= KNOWN and self.strength >= STRENGTH
        return known and self.between < UNLIKE * self.dev


def class_directions(table: Table) -> dict[str, Directions]:
    """Return the streams whose columns say something else of the classes in dev, where those of another don't."""
    if len(table.raw) < 2:
        return {}
    who = table.speaker if table.named_speakers else table.dialogue
    known = {name: one for name in table.raw if (one := _directions(table, name, who)) is not None}
    kept = [one for one in known.values() if one.dev >= KNOWN and one.between >= LIKE * one.dev]
    return {name: one for name, one in known.items() if one.lost} if kept else {}


def _directions(table: Table, name: str, who: Codes) -> Directions | None:
    use = table.there[name] & table.labelled() & (who >= 0)
    parts = [use & ~table.dev, use & table.dev]
    rows = table.raw[name]
    if min(len(np.unique(who[part])) for part in parts) < SPEAKERS or few_values(rows[use]):
        return None
    rows = standardised(rows[:, :: -(-rows.shape[1] // COLUMNS)], table.there[name])
    classes = np.eye(len(table.classes))[np.maximum(table.label, 0)]

    def profile(part: Mask) -> Floats:
        return _correlations(rows[part], classes[part])

    of_train, of_dev = map(profile, parts)
    inside = [
        float(np.median([_alike(profile(one), profile(part & ~one)) for one in _halves(who, part)]))
        for part in parts
    ]
    strong = [(whole**2).mean() - 1 / part.sum() for whole, part in zip((of_train, of_dev), parts, strict=True)]
    strength = float(strong[1] / strong[0]) if strong[0] > 0 else 1.0
    return Directions(_alike(of_train, of_dev), inside[0], inside[1], strength)


def _halves(who: Codes, part: Mask) -> list[Mask]:
    rng = np.random.default_rng(0)
    codes = np.unique(who[part])
    return [part & np.isin(who, rng.permutation(codes)[: len(codes) // 2]) for _ in range(HALVES)]


def _correlations(rows: Floats, classes: Floats) -> Floats:
    rows, classes = rows - rows.mean(axis=0), classes - classes.mean(axis=0)
    below = np.outer(rows.std(axis=0), classes.std(axis=0))
    return np.divide(rows.T @ classes / len(rows), below, out=np.zeros_like(below), where=below > 1e-12).ravel()


def _alike(one: Floats, other: Floats) -> float:
    one, other = one - one.mean(), other - other.mean()
    below = np.sqrt((one**2).sum() * (other**2).sum())
    return float((one * other).sum() / below) if below > 0 else 0.0
