"""The cause `too_little_data`: the variant memorises its training rows."""

from __future__ import annotations

from dualstream.heads.diagnosis.causes import MISTAKES, Cause, cause
from dualstream.heads.diagnosis.evidence import Evidence
from dualstream.heads.diagnosis.remedies import MIN_GAIN, interval, measured, significant
from dualstream.heads.variants import registry

OVERFIT_GAP = 0.20  # balanced accuracy on fitted less on held-out rows
ROWS_PER_COLUMN = 3.0  # training utterances a joined column, below which a variant with a hidden layer is large


@cause(
    title="Too little data for this variant",
    rank=110,
    explained_by=("scale_mismatch", "collapse", "whitened_projection", *MISTAKES),
)
def too_little_data(evidence: Evidence) -> Cause | None:
    """The variant memorises its training rows."""
    if registry.is_closed_form(evidence.fusion):
        return None  # its penalty was chosen on rows that were not fitted
    if not evidence.above_chance:
        return None  # nothing says that there is anything to learn
    gap = evidence.train_score - evidence.strength.fused
    columns = sum(evidence.spaces[name].width for name in evidence.streams)
    rows = evidence.utterances
    if gap < OVERFIT_GAP or rows > ROWS_PER_COLUMN * columns:
        return None
    remedies = measured(evidence, "regularise")
    balanced = significant(evidence, "equalise widths", "join late")
    if balanced and remedies and balanced[0].gain.difference > remedies[0].gain.difference + MIN_GAIN:
        return None  # what is learnt by heart is one wide stream, not the corpus
    return Cause(
        "too_little_data",
        f"{rows} utterances for {columns} columns: {evidence.train_score:.1%} on rows that were fitted, "
        f"{evidence.strength.fused:.1%} on others",
        remedies[0].gain.difference if remedies else 0.0,
        interval(remedies[0].gain) if remedies else None,
        remedies,
        "more utterances, fewer columns (`project --width`), or a linear head",
    )
