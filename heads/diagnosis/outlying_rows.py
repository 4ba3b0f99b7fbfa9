"""The cause `outlying_rows`: a few rows lie so far outside of the rest that heads are fitted to them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from heads.batch import FeatureSet
from heads.diagnosis.causes import Cause
from heads.diagnosis.evidence import Evidence
from heads.outliers import UsualRange

SEVERE = 20.0  # times the limit: one such row outweighs hundreds
MANY = 0.005  # of the rows


@dataclass(frozen=True)
class Outlying:
    """How many rows of a stream lie far outside of what is usual in train; train and dev."""

    stream: str
    rows: int
    far: int
    worst: float
    """Times the limit that the farthest row lies out."""

    def to_json(self) -> dict[str, Any]:
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


def outlying_rows(evidence: Evidence) -> Cause | None:
    """Rows far outside of the rest: one of them widens a column's deviation until the others look alike."""
    found = [one for one in evidence.outlying if one.worst >= SEVERE or one.far > MANY * one.rows]
    if not found:
        return None
    parts = [
        f"{one.far} of {one.rows} {one.stream} rows lie far outside of what is usual in train, the farthest "
        f"{one.worst:.3g} times as far as the limit"
        for one in found
    ]
    return Cause(
        "outlying_rows",
        "; ".join(parts),
        0.0,
        None,
        (),
        "look at these rows (the notes name them, `inspect` lists them) and extract them again, or leave them out",
    )
