"""The cause `misaligned`: the streams agree best at a shift that is not zero."""

from __future__ import annotations

import numpy as np
from dualstream.heads.diagnosis.causes import Cause, cause
from dualstream.heads.diagnosis.evidence import Evidence
from dualstream.heads.diagnosis.pairs import Offsets
from dualstream.heads.diagnosis.remedies import interval, measured


@cause(title="Misaligned streams", rank=70, explained_by="varying_offsets")
def misaligned(evidence: Evidence) -> Cause | None:
    """The streams agree best at a shift that is not zero."""
    late_s, several = evidence.late_s, len(evidence.streams) > 2
    found = [one for one in evidence.offsets if one.curve is not None and one.curve.verdict == "shifted"]
    if not found or not late_s:
        return None
    remedies = measured(evidence, "shift by the best offset")
    gain = remedies[0].gain if remedies else None
    moves = " and ".join(f"{name} by {-late:+.1f} s" for name, late in late_s.items())
    return Cause(
        "misaligned",
        (f"{_late(evidence)}; " if several else "") + "; ".join(_words(one) for one in found),
        gain.difference if gain else 0.0,
        interval(gain),
        remedies,
        f"shift {moves} before windows are joined, and fix the clips' time stamps",
    )


def _late(evidence: Evidence) -> str:
    """Return which of several streams run late, in words."""
    late_s = evidence.late_s
    clock = [name for name in evidence.streams if name not in late_s]
    return ", ".join(f"{name} runs {late:+.1f} s" for name, late in late_s.items()) + (
        f" against {' and '.join(clock)}" if clock else ""
    )


def _words(found: Offsets) -> str:
    first, second = found.streams
    curve = found.curve
    assert curve is not None
    low, high = curve.peak_interval_s
    edge = abs(curve.peak_s) == float(np.abs(curve.shift_s).max())
    return (
        f"the streams agree best with {second} {curve.peak_s:+.1f} s against {first} (95 % interval "
        f"{low:+.1f} to {high:+.1f} s)" + ("; that is as far as was looked (--max-shift)" if edge else "")
    )
