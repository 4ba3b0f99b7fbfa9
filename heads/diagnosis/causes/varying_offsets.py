"""The cause `varying_offsets`: clips have different offsets between their streams, so that no one shift fixes
them."""

from __future__ import annotations

from dualstream.heads.diagnosis.causes import Cause, cause
from dualstream.heads.diagnosis.evidence import Evidence
from dualstream.heads.diagnosis.pairs import Offsets


@cause(title="Offsets that differ between clips", rank=65)
def varying_offsets(evidence: Evidence) -> Cause | None:
    """Part of the clips agree at another shift than the others."""
    parts = [_words(one) for one in evidence.offsets if one.curve is not None and one.second is not None]
    if not parts:
        return None
    return Cause(
        "varying_offsets",
        "; ".join(parts),
        0.0,
        None,
        (),
        "don't shift the corpus as a whole: look for what the clips differ in (camera, cut, container), and mend "
        "each kind's time stamps by itself",
    )


def _words(found: Offsets) -> str:
    curve, second = found.curve, found.second
    assert curve is not None and second is not None
    first, later = found.streams
    low, high = curve.peak_interval_s
    return (
        f"the streams agree best with {later} {curve.peak_s:+.1f} s against {first} (95 % interval {low:+.1f} to "
        f"{high:+.1f} s), but {second.share:.0%} of the agreement is near {second.shift_s:+.1f} s, "
        "where one offset for all clips would leave less"
    )
