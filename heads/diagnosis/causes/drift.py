"""The cause `drift`: dev rows look unlike train rows, and heads fitted on train pay for it."""

from __future__ import annotations

import numpy as np
from dualstream.heads.diagnosis.causes import Cause, cause
from dualstream.heads.diagnosis.evidence import Evidence
from dualstream.heads.diagnosis.remedies import interval

DRIFT_AUC = 0.75
DRIFT_ALPHA = 0.01  # chance that such an area under the curve is luck of the dealing


@cause(title="Drift: dev looks unlike train", rank=50, explained_by=("memorised_labels", "wrong_speakers"))
def drift(evidence: Evidence) -> Cause | None:
    """Dev rows look unlike train rows, and heads fitted on train pay for it."""
    worst = max(evidence.streams, key=lambda name: np.nan_to_num(evidence.spaces[name].drift_auc))
    auc, p_value = evidence.spaces[worst].drift_auc, evidence.spaces[worst].drift_p_value
    if np.isnan(auc) or auc < DRIFT_AUC or p_value > DRIFT_ALPHA:
        return None  # a few dialogues that differ from others are no drift
    drop = evidence.drop_to_dev
    costs = drop is not None and drop.low is not None and drop.low > 0
    if evidence.grouped_by == "speaker" and not costs:
        return None  # new people look new; that is named where it clearly costs
    effect = drop.difference if drop else 0.0
    return Cause(
        "drift",
        f"a linear classifier tells dev {worst} rows from train rows with an area under the curve of {auc:.2f} "
        f"(0.5: not at all; p {p_value:.3f} where whole {evidence.grouped_by}s are assigned anew)",
        effect,
        interval(drop),
        (),
        "look for what differs between the splits (episodes, channels, encoder versions)"
        + ("" if evidence.speaker_norm else "; --speaker-norm removes what is constant for a speaker"),
    )
