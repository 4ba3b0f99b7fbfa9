"""Why a fusion fails, from features and predictions; and what fixes it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dualstream.cores import one_core
from dualstream.documents import JsonObject

if TYPE_CHECKING:
    from dualstream.heads.data.batch import FeatureSet
    from dualstream.heads.diagnosis.causes import Cause
    from dualstream.heads.diagnosis.evidence import DiagnosisOptions, Evidence
    from dualstream.heads.diagnosis.signs.table import Names


@dataclass(frozen=True, repr=False)
class Diagnosis:
    """What was measured, and what follows from it."""

    evidence: Evidence
    causes: tuple[Cause, ...]
    """The weightiest first; ``nothing_wrong`` or ``cannot_tell`` alone where no cause was found."""

    def to_json(self) -> JsonObject:
        """Return everything as JSON values."""
        measures = self.evidence.measures
        return {
            "causes": [cause.to_json() for cause in self.causes],
            "measures": None if measures is None else measures.to_json(),
            "evidence": self.evidence.to_json(),
        }


@one_core()
def diagnose(
    train: FeatureSet,
    dev: FeatureSet | None,
    options: DiagnosisOptions,
    *,
    other: tuple[FeatureSet, FeatureSet | None] | None = None,
    extracted: tuple[FeatureSet, FeatureSet | None] | None = None,
    unlabelled: FeatureSet | None = None,
    names: Names | None = None,
    progress: Callable[[str], None] = lambda line: None,
) -> Diagnosis:
    """Measure train and dev, name the causes of a failing fusion, and what each remedy gains.

    See `heads.diagnosis.gathering.gather` for the parameters and errors.
    """
    from dualstream.heads.diagnosis.conclusion import OTHERWISE, conclude
    from dualstream.heads.diagnosis.gathering import gather, with_limits

    evidence = gather(
        train,
        dev,
        options,
        other=other,
        extracted=extracted,
        unlabelled=unlabelled,
        names=names,
        progress=progress,
    )
    causes = conclude(evidence)
    if options.limits and causes[0].name in OTHERWISE:
        progress("what would have been found")
        evidence = with_limits(evidence, *(extracted or (train, dev)), options, names)
        causes = conclude(evidence)
    return Diagnosis(evidence, causes)
