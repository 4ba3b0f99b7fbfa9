"""Which streams run late: one delay of each stream, from the offset curves of every two.

Of two streams the offset curve says by how much the second comes later than the first. Of three it says more:

    a against b  +1.0 s        b against c  -1.0 s        a against c  0.0 s

is one fault and not two: b runs 1 s late, and a and c are on one clock. Delays are chained along the pairs that
agree most, and the clock is the one that most streams share (the first stream's, where none is shared by more).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from dualstream.heads.diagnosis.alignment import OffsetCurve

KNOWN = ("shifted", "aligned")


def delays(
    streams: Sequence[str], curves: Iterable[tuple[tuple[str, str], OffsetCurve | None]]
) -> dict[str, float]:
    """Return by how much each stream that is not on the common clock runs late, seconds.

    Parameters
    ----------
    curves
        Of pairs of streams, all of one hop; a shift is positive where the second comes later.
    """
    known = [(pair, curve) for pair, curve in curves if curve is not None and curve.verdict in KNOWN]
    if not known:
        return {}
    hop_s = float(known[0][1].shift_s[1] - known[0][1].shift_s[0])
    found: dict[str, float] = {}
    for part in _chained(streams, known):
        found |= _against_the_common_clock(part, hop_s)
    return {name: found[name] for name in streams if name in found}


def _chained(
    streams: Sequence[str], known: Sequence[tuple[tuple[str, str], OffsetCurve]]
) -> list[dict[str, float]]:
    """Return the delays of streams that are tied to each other, against any one of them."""
    parts = [{name: 0.0} for name in streams]
    for (first, second), curve in sorted(known, key=lambda one: -float(np.nanmax(one[1].agreement))):
        one = next(part for part in parts if first in part)
        other = next(part for part in parts if second in part)
        if one is other:
            continue
        by = one[first] + (curve.peak_s if curve.verdict == "shifted" else 0.0) - other[second]
        merged = one | {name: delay_s + by for name, delay_s in other.items()}
        parts = [part for part in parts if part is not one and part is not other] + [merged]
    return parts


def _against_the_common_clock(part: dict[str, float], hop_s: float) -> dict[str, float]:
    """Return the delays that are not zero on the clock that most streams of `part` share."""
    clocks = [round(delay_s / hop_s) for delay_s in part.values()]
    common = max(clocks, key=clocks.count)  # of equally many, that of the first stream
    return {
        name: (clock - common) * hop_s
        for (name, _), clock in zip(part.items(), clocks, strict=True)
        if clock != common
    }
