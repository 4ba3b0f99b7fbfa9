"""The cause `broken_features`: columns or rows that carry nothing."""

from __future__ import annotations

from dualstream.heads.diagnosis.causes import Cause, cause
from dualstream.heads.diagnosis.evidence import Evidence

DEAD_SHARE = 0.05  # of a stream's columns
BROKEN_ROWS = 0.01  # of the utterances, not finite or unmarked zeros
MISSING_SHARE = 0.5  # of the utterances, in which a stream is not there at all


@cause(title="Broken features", rank=30)
def broken_features(evidence: Evidence) -> Cause | None:
    """Columns or rows that carry nothing: dead, not finite, zeros that pose as values, or not there at all."""
    parts = []
    for name in evidence.streams:
        space, coverage = evidence.spaces[name], evidence.coverage[name]
        absent = coverage.saw_nothing - space.not_finite  # rows that aren't finite count as absent there
        if absent > MISSING_SHARE * evidence.utterances:
            parts.append(f"{name} is missing from {absent} of {evidence.utterances} utterances")
        if space.dead_columns > DEAD_SHARE * space.width:
            parts.append(f"{space.dead_columns} of {space.width} {name} columns never change")
        if space.not_finite > BROKEN_ROWS * evidence.utterances:
            parts.append(
                f"{space.not_finite} {name} rows hold NaN or infinity, in {space.not_finite_columns} of "
                f"{space.width} columns"
            )
        if space.zero_rows > BROKEN_ROWS * evidence.utterances:
            parts.append(f"{space.zero_rows} {name} rows are all zeros without being marked as missing")
    for one in () if evidence.signs is None else evidence.signs.batches:
        parts.append(
            f"each {one.size} {one.stream} rows of the table have a mean of nought ({one.count} batches): an "
            "encoder in training mode normalised each row by its neighbours"
        )
    if not parts:
        return None
    return Cause(
        "broken_features",
        "; ".join(parts),
        0.0,
        None,
        (),
        "fix the extraction (encoders in evaluation mode): `inspect` says which encoder and projection made the "
        "columns, and why clips failed",
    )
