"""The cause `missing_by_class`: whether a stream is there tells the class."""

from __future__ import annotations

from dualstream.heads.diagnosis.causes import Cause, cause, mistake
from dualstream.heads.diagnosis.evidence import Evidence
from dualstream.heads.diagnosis.signs.absences import MissingByClass


@cause(title="A stream is missing by class", rank=13)
def missing_by_class(evidence: Evidence) -> Cause | None:
    """A stream is missing in some classes far more than in others: heads read the class off the mask."""
    signs = evidence.signs
    found = [] if signs is None else [one for one in signs.missing if one.found]
    if not found:
        return None
    return mistake(
        "missing_by_class",
        "; ".join(_words(one) for one in found) + ": heads tell the class by whether the stream is there, and "
        "scores are too good",
        None,
        "find out what went wrong with the clips of these classes and extract them again; until then, score only "
        "utterances that have every stream",
    )


def _words(one: MissingByClass) -> str:
    most = max(one.shares, key=lambda name: one.shares[name])
    least = min(one.shares, key=lambda name: one.shares[name])
    return (
        f"{one.stream} is missing in {one.shares[most]:.0%} of {most!r} and {one.shares[least]:.0%} of "
        f"{least!r}, in {one.overall:.0%} of all (p {one.p_value:.3f} where labels are drawn anew)"
    )
