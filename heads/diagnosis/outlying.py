"""How many rows of a stream lie far outside of what is usual in train."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
from dualstream.heads.data.batch import FeatureSet
from dualstream.heads.evaluation.outliers import UsualRange

from dualstream.documents import JsonObject


@dataclass(frozen=True)
class Outlying:
    """How many rows of a stream lie far outside of what is usual in train; train and dev."""

    stream: str
    rows: int
    far: int
    worst: float
    """Times the limit that the farthest row lies out."""

    def to_json(self) -> JsonObject:
        """Return the values."""
        return asdict(self)


def outlying(train: FeatureSet, dev: FeatureSet | None, name: str) -> Outlying:
    """Count the rows of the stream `name` that lie far outside; what is not finite is counted elsewhere."""
    parts = [part.streams[name].utterance[part.streams[name].present] for part in (train, dev) if part is not None]
    usual = UsualRange.of(parts[0])
    rows = np.concatenate(parts)
    rows = rows[np.isfinite(rows).all(axis=1)]
    excess = usual.excess(rows) if usual is not None else np.zeros(len(rows))
    return Outlying(name, len(rows), int((excess > 1).sum()), float(excess.max(initial=0.0)))
