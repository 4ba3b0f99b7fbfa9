"""The cause `leakage`: dev utterances that appear in train."""

from __future__ import annotations

from dualstream.heads.diagnosis.causes import Cause, cause
from dualstream.heads.diagnosis.evidence import Evidence

COPIED_SHARE = 0.02  # of the dev utterances


@cause(title="Leakage: dev utterances appear in train", rank=40)
def leakage(evidence: Evidence) -> Cause | None:
    """Dev utterances that appear in train."""
    if evidence.copies <= COPIED_SHARE * max(1, evidence.dev_utterances):
        return None
    share = evidence.copies / evidence.dev_utterances
    return Cause(
        "leakage",
        f"{evidence.copies} of {evidence.dev_utterances} dev utterances ({share:.0%}) have the very features of a "
        "train utterance: dev scores are too good",
        0.0,
        None,
        (),
        "take the copies out of the manifest: `check` lists the spans that splits share",
    )
