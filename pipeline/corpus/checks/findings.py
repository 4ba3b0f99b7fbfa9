"""A fault that was found, with the places where it stands."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from dualstream.pipeline.corpus.checks.catalogue import CATALOGUE, SEVERITIES, Kind

from dualstream.documents import JsonObject


@dataclass(frozen=True)
class Case:
    """One place where a fault stands."""

    subject: str
    """The utterance's id, or the dialogue, speaker, episode, class or file."""
    detail: str = ""
    """What was measured there."""


@dataclass(frozen=True)
class Finding:
    """A fault that was found, with all its cases."""

    code: str
    cases: tuple[Case, ...]
    note: str = ""
    """A sentence that sums the cases up; may be empty."""

    def __post_init__(self) -> None:
        assert self.code in CATALOGUE and self.cases, self.code

    @property
    def kind(self) -> Kind:
        """The catalogue's entry."""
        return CATALOGUE[self.code]

    def to_json(self) -> JsonObject:
        """Return the finding as JSON values, all cases included."""
        kind = self.kind
        return {
            "code": self.code,
            "severity": kind.severity,
            "count": len(self.cases),
            "of": kind.noun,
            "what": kind.what,
            "means": kind.means,
            "note": self.note,
            "cases": [{"subject": case.subject, "detail": case.detail} for case in self.cases],
        }


def found(code: str, cases: Iterable[Case], note: str = "") -> list[Finding]:
    """Return a finding with those cases, in a list; an empty list where there are none."""
    some = tuple(cases)
    return [Finding(code, some, note)] if some else []


def by_severity(findings: Iterable[Finding]) -> list[Finding]:
    """Sort findings: errors first; otherwise in the catalogue's order."""
    order = list(CATALOGUE)
    return sorted(findings, key=lambda f: (SEVERITIES.index(f.kind.severity), order.index(f.code)))
