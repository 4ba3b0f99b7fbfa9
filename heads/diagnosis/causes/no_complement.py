"""The cause `no_complement`: the other streams add nothing that the best one doesn't say."""

from __future__ import annotations

from dualstream.heads.diagnosis.causes import Cause, cause
from dualstream.heads.diagnosis.evidence import Evidence
from dualstream.heads.diagnosis.remedies import ALPHA, MIN_GAIN
from dualstream.heads.evaluation.statistics import holm
from dualstream.heads.variants.streams import network_of

HIDDEN_GAIN = 0.08  # of balanced accuracy: where no more than this may hide, the streams add nothing to each other
JOINING = ("standardise", "equalise widths", "modality dropout", "align windows", "regularise", "join late")


@cause(title="The streams do not complement each other", rank=130, explained_by="*")
def no_complement(evidence: Evidence) -> Cause | None:
    """The other streams add nothing that the best one doesn't say."""
    best = evidence.scores[evidence.best_single].mean
    joins = [item.over_best for item in evidence.interventions.values() if item.name in JOINING]
    joins.append(evidence.fused_over_best)
    gain = max(join.difference for join in joins)
    # "Nothing to gain" takes more than no gain found: what might hide in the plainest joins must be small
    plain = (evidence.fused_over_best, evidence.interventions["join late"].over_best)
    may_hide = max(join.high if join.high is not None else 1.0 for join in plain)
    # So many joins are tried that one in six corpora would have a lucky one: corrected (Holm)
    corrected = holm([join.p_value for join in joins])
    joins_help = any(
        join.difference >= MIN_GAIN and p_value <= ALPHA for join, p_value in zip(joins, corrected, strict=True)
    )
    best_low = evidence.scores[evidence.best_single].low or 0.0
    if joins_help or may_hide > HIDDEN_GAIN or best_low <= evidence.strength.chance:
        return None
    other = " or ".join(evidence.others_than(evidence.best_single))
    return Cause(
        "no_complement",
        f"{evidence.best_single} alone reaches {best:.1%}; no way of joining {other} to it brings more than "
        f"{max(gain, 0):.1%} (redundancy of the streams, linear CKA: {_redundancy(evidence)})",
        0.0,
        None,
        (),
        f"use --fusion {network_of(evidence.best_single)}: nothing is lost by it",
    )


def _redundancy(evidence: Evidence) -> str:
    if not evidence.pairs:
        return f"{evidence.redundancy:.2f}"
    return ", ".join(f"{' and '.join(one.streams)} {one.redundancy:.2f}" for one in evidence.pairs)
