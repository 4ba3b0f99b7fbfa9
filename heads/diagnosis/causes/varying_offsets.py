"""The cause `varying_offsets`: clips have different offsets between their streams, so that no one shift fixes
them."""

from __future__ import annotations

from dualstream.heads.diagnosis.causes import Cause, cause
from dualstream.heads.diagnosis.evidence import Evidence


@cause(title="Offsets that differ between clips", rank=65)
def varying_offsets(evidence: Evidence) -> Cause | None:
    """Part of the clips agree at another shift than the others."""
    curve, second = evidence.curve, evidence.second_offset
    if curve is None or second is None:
        return None
    low, high = curve.peak_interval_s
    first, later = evidence.streams
    return Cause(
        "varying_offsets",
        f"the streams agree best with {later} {curve.peak_s:+.1f} s against {first} (95 % interval {low:+.1f} to "
        f"{high:+.1f} s), but {second.share:.0%} of the agreement is near {second.shift_s:+.1f} s, "
        f"where one offset "
        "for all clips would leave less",
        0.0,
        None,
        (),
        "don't shift the corpus as a whole: look for what the clips differ in (camera, cut, container), and mend "
        "each kind's time stamps by itself",
    )
