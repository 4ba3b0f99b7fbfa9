"""The cause `broken_features`: columns or rows that carry nothing."""

from __future__ import annotations

from dualstream.heads.diagnosis.causes import Cause, cause, mistake
from dualstream.heads.diagnosis.evidence import Evidence
from dualstream.heads.diagnosis.signs.batches import Batches
from dualstream.heads.diagnosis.signs.found import Signs

DEAD_SHARE = 0.05  # of a stream's columns
BROKEN_ROWS = 0.01  # of the utterances, not finite or unmarked zeros
MISSING_SHARE = 0.5  # of the utterances, in which a stream is not there at all


@cause(title="Broken features", rank=30)
def broken_features(evidence: Evidence) -> Cause | None:
    """Columns or rows that carry nothing, or their batch: dead, not finite, zeros that pose as values, not there
    at all, or normalised batch by batch.
    """
    of_batches = None if evidence.signs is None else found_in(evidence.signs)
    parts = [of_batches.text] if of_batches else []
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
    if not parts:
        return None
    return Cause(
        "broken_features",
        "; ".join(parts),
        0.0,
        None,
        (),
        (of_batches.advice + "; " if of_batches else "")
        + "fix the extraction: `inspect` says which encoder and projection made the columns, and why clips failed",
        of_batches.utterances if of_batches else (),
    )


def found_in(signs: Signs) -> Cause | None:
    """Return the cause where rows of a stream were normalised batch by batch."""
    if not signs.batches:
        return None
    return mistake(
        "broken_features",
        "; ".join(_words(one) for one in signs.batches),
        None,
        "put the encoder into evaluation mode (`model.eval()`), and normalise by figures of train, not of a batch",
        utterances=[name for one in signs.batches for name in signs.called(one.utterances)],
    )


def _words(one: Batches) -> str:
    what = "mean in every column" if one.kind == "mean" else "spread in every column"
    return (
        f"each {one.length} {one.stream} rows that follow each other have one {what}, to rounding ({one.blocks} "
        "blocks): they were normalised batch by batch, and depend on what was beside them"
    )
