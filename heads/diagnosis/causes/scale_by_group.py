"""The cause `scale_by_group`: some rows of a stream are larger than the others by one factor."""

from __future__ import annotations

from dualstream.heads.diagnosis.causes import Cause, cause, mistake
from dualstream.heads.diagnosis.causes.two_kinds_of_rows import of_kind
from dualstream.heads.diagnosis.evidence import Evidence
from dualstream.heads.diagnosis.signs.found import Signs
from dualstream.heads.diagnosis.signs.kinds import TwoKinds
from dualstream.heads.diagnosis.signs.remedies import FACTORS, SCALE
from dualstream.heads.diagnosis.signs.row_factors import RowFactors


@cause(title="Rows of two scales", rank=16)
def scale_by_group(evidence: Evidence) -> Cause | None:
    """Some rows of a stream (of some speakers, or any) are larger or smaller by one factor, or each by its own."""
    return None if evidence.signs is None else found_in(evidence.signs)


def found_in(signs: Signs) -> Cause | None:
    """Return the cause where a stream has such rows."""
    return _of_two_scales(signs) or _of_many(signs)


def _of_two_scales(signs: Signs) -> Cause | None:
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


def _of_many(signs: Signs) -> Cause | None:
    """Return the cause where each row of a stream has a factor of its own."""
    found = signs.row_factors
    if not found:
        return None
    return mistake(
        "scale_by_group",
        "; ".join(_of_factors(one) for one in found),
        signs.remedies.get(FACTORS),
        "take means over the frames that are there, no sums and no padding; or divide each row by its factor",
        utterances=[name for one in found for name in signs.called(one.utterances)],
    )


def _of_factors(one: RowFactors) -> str:
    return (
        f"each {one.stream} row has a factor of its own, from {one.lowest:.2f} to {one.highest:.2f} in nine of "
        f"ten: what it holds along the columns' means and across them grows together (correlation "
        f"{one.correlation:.2f}); {len(one.utterances)} rows are smaller than 0.7 times what is usual"
    )


def _factor(factor: float) -> str:
    return f"{factor:,.3g} times as large as" if factor >= 1 else f"{1 / factor:,.3g} times smaller than"
