"""The cause `same_stream`: two streams hold the same rows."""

from __future__ import annotations

from dualstream.heads.diagnosis.causes import Cause, cause, mistake
from dualstream.heads.diagnosis.evidence import Evidence
from dualstream.heads.diagnosis.signs.found import Signs
from dualstream.heads.diagnosis.signs.same_streams import SameStream


@cause(title="One stream twice", rank=14)
def same_stream(evidence: Evidence) -> Cause | None:
    """Two streams are the same, as they stand or up to a linear function: one was read for both."""
    return None if evidence.signs is None else found_in(evidence.signs)


def found_in(signs: Signs) -> Cause | None:
    """Return the cause where two streams are the same."""
    if not signs.same_streams:
        return None
    return mistake(
        "same_stream",
        "; ".join(_words(one) for one in signs.same_streams) + ": joining them has nothing to join",
        None,
        "look at which file each stream was read from, and extract the one that is missing",
    )


def _words(one: SameStream) -> str:
    if one.equal >= 0.5:
        return f"{one.one} and {one.other} hold the same row, value by value, in {one.equal:.0%} of the utterances"
    return f"{one.one} and {one.other} tell {one.told:.1%} of each other by a linear function"
