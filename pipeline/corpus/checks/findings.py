"""A rule of the data doctor in words, and what it found: a finding, with the places where it stands."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from dualstream.documents import JsonObject

Severity = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")
Topic = Literal["files", "repeats", "labels", "times", "meld", "clips", "other"]
TOPICS: tuple[Topic, ...] = ("files", "repeats", "labels", "times", "meld", "clips", "other")
ANSWERED = "the prior answers for it in every score (`--scored present` leaves it out)."
"""What becomes of an utterance that has no features."""


@dataclass(frozen=True)
class Rule:
    """One kind of fault: its name, how severe it is, and what it means for the results."""

    code: str
    """Such as ``class-rare``: small letters, digits and dashes."""
    severity: Severity
    """``error``: a clip can't be used or a score would be wrong; ``warning``: look before you trust; ``note``."""
    noun: str
    """What a case of it is, in the singular: ``utterance``, ``dialogue``, ``class`` …"""
    what: str
    """The fault in a few words."""
    means: str
    """What it means for the results, in a sentence."""
    topic: Topic = "other"
    """Findings of one severity are reported topic by topic."""

    def found(self, cases: Iterable[Case], note: str = "") -> list[Finding]:
        """Return a finding with those cases, in a list; an empty list where there are none."""
        some = tuple(cases)
        return [Finding(self, some, note)] if some else []


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

    rule: Rule
    cases: tuple[Case, ...]
    note: str = ""
    """A sentence that sums the cases up; may be empty."""

    @property
    def code(self) -> str:
        """The rule's name."""
        return self.rule.code

    def to_json(self) -> JsonObject:
        """Return the finding as JSON values, all cases included."""
        return {
            "code": self.code,
            "severity": self.rule.severity,
            "count": len(self.cases),
            "of": self.rule.noun,
            "what": self.rule.what,
            "means": self.rule.means,
            "note": self.note,
            "cases": [{"subject": case.subject, "detail": case.detail} for case in self.cases],
        }
