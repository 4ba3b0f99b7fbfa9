"""The cause `misaligned`: the streams agree best at a shift that is not zero."""

from __future__ import annotations

import numpy as np
from dualstream.heads.diagnosis.causes import Cause, cause
from dualstream.heads.diagnosis.evidence import Evidence
from dualstream.heads.diagnosis.remedies import interval, measured


@cause(title="Misaligned streams", rank=70, explained_by="varying_offsets")
def misaligned(evidence: Evidence) -> Cause | None:
    """The streams agree best at a shift that is not zero."""
    curve = evidence.curve
    if curve is None or curve.verdict != "shifted":
        return None
    low, high = curve.peak_interval_s
    first, second = evidence.streams
    edge = abs(curve.peak_s) == float(np.abs(curve.shift_s).max())
    remedies = measured(evidence, "shift by the best offset")
    gain = remedies[0].gain if remedies else None
    return Cause(
        "misaligned",
        f"the streams agree best with {second} {curve.peak_s:+.1f} s against {first} (95 % interval "
        f"{low:+.1f} to {high:+.1f} s)" + ("; that is as far as was looked (--max-shift)" if edge else ""),
        gain.difference if gain else 0.0,
        interval(gain),
        remedies,
        f"shift {second} by {-curve.peak_s:+.1f} s before windows are joined, and fix the clips' time stamps",
    )
