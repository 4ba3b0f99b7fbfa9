"""The cause `collapse`: nearly all answers are one class."""

from __future__ import annotations

from dualstream.heads.diagnosis.causes import Cause, cause, remedied
from dualstream.heads.diagnosis.evidence import Evidence
from dualstream.heads.diagnosis.remedies import significant

COLLAPSED_SHARE = 0.85  # of the answers, to one class


@cause(title="Collapse to the majority class", rank=120)
def collapse(evidence: Evidence) -> Cause | None:
    """Nearly all answers are one class."""
    if evidence.answered_share < COLLAPSED_SHARE:
        return None
    remedies = significant(evidence, "rebalance classes")
    if not remedies:
        return None
    return remedied(
        "collapse",
        f"{evidence.answered_share:.0%} of the answers are one class; the commonest class has "
        f"{evidence.majority_share:.0%} of the utterances",
        remedies,
        "weigh the classes: --loss balanced_softmax",
    )
