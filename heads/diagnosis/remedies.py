"""Which of the changes that were tried fix a head, and which of those clearly do."""

from __future__ import annotations

from dualstream.heads.diagnosis.evidence import Evidence, Intervention
from dualstream.heads.evaluation.statistics import PairedDifference, holm

MIN_GAIN = 0.02  # of balanced accuracy: a smaller gain fixes nothing, however sure
ALPHA = 0.05  # chance of one lucky gain, or more, among all that are looked at together


def measured(evidence: Evidence, *names: str) -> tuple[Intervention, ...]:
    """Return those of the changes `names` that were tried, the largest gain first."""
    found = [evidence.interventions[name] for name in names if name in evidence.interventions]
    return tuple(sorted(found, key=lambda item: -item.gain.difference))


def significant(evidence: Evidence, *names: str) -> tuple[Intervention, ...]:
    """Return those of `names` that significantly gain, the largest gain first.

    A gain is sure where it is worth having, its interval excludes zero, and its paired test says so after
    correction for the number of `names` (Holm): of many changes that do nothing, one has a lucky gain.
    """
    found = measured(evidence, *names)
    corrected = holm([item.gain.p_value for item in found])
    return tuple(
        item
        for item, p_value in zip(found, corrected, strict=True)
        if item.gain.difference >= MIN_GAIN and (item.gain.low or 0.0) > 0 and p_value <= ALPHA
    )


def interval(comparison: PairedDifference | None) -> tuple[float, float] | None:
    """Return the ends of an interval, None where there is none."""
    if comparison is None or comparison.low is None or comparison.high is None:
        return None
    return (float(comparison.low), float(comparison.high))
