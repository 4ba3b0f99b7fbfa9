"""How many rows of a stream lie far outside of what is usual in train."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
from dualstream.heads.data.batch import FeatureSet
from dualstream.heads.diagnosis.signs.table import Floats, Mask, Names, row_names
from dualstream.heads.evaluation.outliers import UsualRange

from dualstream.documents import JsonObject

TOLD = 1.5  # times as wide, from which on a column that varies without far rows tells what they do


@dataclass(frozen=True)
class Outlying:
    """How many rows of a stream lie far outside of what is usual in train; train and dev."""

    stream: str
    rows: int
    far: int
    worst: float
    """Times the limit that the farthest row lies out."""
    widens: float = float("inf")
    """Times as far as without them, that the column spreads which they widen most: what heads are scaled by."""
    utterances: tuple[str, ...] = ()
    """Ids of those far outside."""

    def to_json(self) -> JsonObject:
        """Return the values; None for a column that doesn't vary without these rows."""
        return {**asdict(self), "widens": self.widens if np.isfinite(self.widens) else None}


def outlying(train: FeatureSet, dev: FeatureSet | None, name: str, names: Names | None = None) -> Outlying:
    """Count the rows of the stream `name` that lie far outside; what is not finite is counted elsewhere."""
    parts = [part for part in (train, dev) if part is not None]
    ids = np.array(names.ids if names is not None else row_names(parts))
    present = np.concatenate([part.streams[name].present for part in parts])
    usual = UsualRange.of(train.streams[name].utterance[train.streams[name].present])
    rows = np.concatenate([part.streams[name].utterance for part in parts])
    known = present & np.isfinite(rows).all(axis=1)
    rows, ids = rows[known], ids[known]
    excess = usual.excess(rows) if usual is not None else np.zeros(len(rows))
    far = excess > 1
    widens = _widens(rows.astype(np.float64), far) if far.any() else 1.0
    worst = float(excess.max(initial=0.0))
    return Outlying(name, len(rows), int(far.sum()), worst, widens, tuple(ids[far].tolist()))


def _widens(rows: Floats, far: Mask) -> float:
    """Return how many times as wide the far rows make the column that they widen most."""
    if far.all():
        return 1.0
    with_them, without = rows.std(axis=0), rows[~far].std(axis=0)
    alive = without > 0
    widest = float((with_them[alive] / without[alive]).max(initial=1.0))
    rest = with_them[~alive].any()  # columns that only the far rows move say nothing where another one tells
    return float("inf") if rest and widest < TOLD else widest
