"""The cause `scale_by_group`: some rows of a stream are larger than the others by one factor."""

from __future__ import annotations

from dualstream.heads.diagnosis.causes import Cause, cause
from dualstream.heads.diagnosis.causes.two_kinds_of_rows import of_kind
from dualstream.heads.diagnosis.evidence import Evidence
from dualstream.heads.diagnosis.signs.found import Signs
from dualstream.heads.diagnosis.signs.kinds import TwoKinds
from dualstream.heads.diagnosis.signs.remedies import SCALE


@cause(title="Rows of two scales", rank=16)
def scale_by_group(evidence: Evidence) -> Cause | None:
    """Some rows of a stream (of some speakers, or any) are larger or smaller by one factor."""
    return None if evidence.signs is None else found_in(evidence.signs)


def found_in(signs: Signs) -> Cause | None:
    """Return the cause where a stream has such rows."""
    return of_kind(
        signs,
        "scale",
        "scale_by_group",
        _words,
        signs.remedies.get(SCALE),
        "extract these rows as the others were, or divide them by the factor",
    )


def _words(one: TwoKinds) -> str:
    apart = f", {one.distance:.0f} deviations apart" if one.distance else ""
    return f"are {_factor(one.factor)} the others{apart}"


def _factor(factor: float) -> str:
    return f"{factor:,.3g} times as large as" if factor >= 1 else f"{1 / factor:,.3g} times smaller than"
