"""The cause `label_noise`: a share of the labels can't be right."""

from __future__ import annotations

from dualstream.heads.diagnosis.causes import MISTAKES, Cause, cause, mistake
from dualstream.heads.diagnosis.evidence import Evidence
from dualstream.heads.diagnosis.signs.remedies import NOISE
from dualstream.heads.diagnosis.signs.verdicts import noise

OTHERS = (*(name for name in MISTAKES if name != "label_noise"), "outlying_rows", "broken_features", "leakage")


@cause(title="Noise in the labels", rank=49, explained_by=OTHERS)
def label_noise(evidence: Evidence) -> Cause | None:
    """A share of the labels is wrong: where a probe is sure, it is contradicted as often as where it isn't."""
    signs = evidence.signs
    found = None if signs is None else noise(signs)
    if signs is None or found is None:
        return None
    low, high = (found.rate * end / max(found.drawn, 1e-9) for end in found.interval)
    return mistake(
        "label_noise",
        f"about {found.rate:.0%} of the labels are wrong (95 % interval {low:.0%} to {high:.0%}; as "
        f"if {found.drawn:.0%} "
        f"had been drawn at random), {len(found.utterances)} of them found",
        signs.remedies.get(NOISE),
        "look at the utterances that are listed, and label them again or leave them out; of a test "
        "split too, whose "
        "scores the noise limits",
        utterances=signs.called(found.utterances),
    )
