"""Each two of the streams: what they give joined, how far they say the same, and whether they run on one clock."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from dualstream.heads.data.batch import FeatureSet
from dualstream.heads.diagnosis.alignment import OffsetCurve, offset_curve
from dualstream.heads.diagnosis.offsets import SecondOffset, second_offset
from dualstream.heads.diagnosis.signs.limit import Limit
from dualstream.heads.diagnosis.strength import Complement
from dualstream.heads.evaluation.statistics import Estimate, PairedDifference

from dualstream.documents import JsonObject


@dataclass(frozen=True, repr=False)
class Offsets:
    """How windows of two streams agree by shift."""

    streams: tuple[str, str]
    """A shift is positive where the second comes later."""
    curve: OffsetCurve | None
    """None where one of them has no windows."""
    second: SecondOffset | None
    """A second offset, that part of the clips have."""


def of_clock(found: Offsets) -> Iterator[Limit]:
    """Yield the smallest shift of all windows of one of two streams that would have been found.

    Where they are on one clock a shift moves the peak and its interval, which must leave zero out.
    """
    curve = found.curve
    if curve is None:
        return
    least_s = None
    if curve.verdict == "aligned":
        hop_s = float(curve.shift_s[1] - curve.shift_s[0])
        least_s = max(-curve.peak_interval_s[0], curve.peak_interval_s[1]) + hop_s
    words = f"windows of {found.streams[1]} later or earlier than those of {found.streams[0]}, in all clips"
    yield Limit(f"clock of {' and '.join(found.streams)}", least_s, words, "seconds")


@dataclass(frozen=True, repr=False)
class Pair:
    """Two of three streams or more."""

    streams: tuple[str, str]
    score: Estimate
    """Balanced accuracy of a head that joins these two only."""
    over_better: PairedDifference
    """That head over the better of the two alone."""
    complement: Complement
    redundancy: float
    """Linear CKA of their rows."""
    offsets: Offsets

    def to_json(self) -> JsonObject:
        """Return the values."""
        curve, second = self.offsets.curve, self.offsets.second
        return {
            "streams": list(self.streams),
            "score": self.score.to_json(),
            "over_better": self.over_better.to_json(),
            "complement": self.complement.to_json(),
            "redundancy": None if np.isnan(self.redundancy) else self.redundancy,
            "offset_curve": None if curve is None else curve.to_json(),
            "second_offset": None if second is None else second.to_json(),
        }


def offsets_between(
    features: FeatureSet, streams: tuple[str, str], *, hop_s: float, max_shift_s: float, seed: int
) -> Offsets:
    """Measure the offset of two streams where both have windows."""
    if any(features.streams[name].windows is None for name in streams):
        return Offsets(streams, None, None)
    curve = offset_curve(features, hop_s=hop_s, max_shift_s=max_shift_s, seed=seed, streams=streams)
    return Offsets(streams, curve, second_offset(features, curve, hop_s=hop_s, seed=seed, streams=streams))
