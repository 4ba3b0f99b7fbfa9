"""The cause `one_stream_dominates`: the head neglects a stream that is worth something."""

from __future__ import annotations

from dualstream.heads.diagnosis.causes import MISTAKES, Cause, cause, remedied
from dualstream.heads.diagnosis.evidence import Evidence
from dualstream.heads.diagnosis.remedies import MIN_GAIN, significant

USE_FOR_WORTH = 0.7  # of a stream's share in use to its share in worth: below it the head neglects the stream


@cause(
    title="One stream dominates",
    rank=100,
    explained_by=(
        "scale_mismatch",
        "starved_sampling",
        "whitened_projection",
        "too_little_data",
        "collapse",
        "broken_features",
        "outlying_rows",
        *MISTAKES,
    ),
)
def one_stream_dominates(evidence: Evidence) -> Cause | None:
    """The head neglects a stream that is worth something."""
    worth = evidence.strength.alone
    gains = {name: worth[name] - evidence.strength.chance for name in evidence.streams}
    share = evidence.strength.lean_share
    every = "both" if len(evidence.streams) == 2 else "all"
    total = sum(max(0.0, gain) for gain in gains.values())
    remedies = significant(evidence, "equalise widths", "modality dropout", "join late")
    if total <= 0 or not remedies:
        return None
    for name in evidence.streams:
        expected = max(0.0, gains[name]) / total
        other = " and ".join(evidence.others_than(name))
        if gains[name] > 2 * MIN_GAIN and share[name] < USE_FOR_WORTH * expected:
            return remedied(
                "one_stream_dominates",
                f"{name} alone reaches {worth[name]:.1%}, {expected:.0%} of what {every} streams give above "
                "chance, "
                f"but makes up {share[name]:.0%} of what the head uses; the rest is {other}",
                remedies,
                f"give {every} streams the same weight at the entrance, or hide the strong one now and then",
            )
    return None
