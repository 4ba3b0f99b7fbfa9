"""What a diagnosis can name: the registry of causes. Each file here is one: its rule, its remedies and its text.

    @cause(rank=45, title="Loud fans")
    def loud_fans(evidence: Evidence) -> Cause | None: ...

A rule fires on what is broken by itself (dead columns, copies, frames that were never sampled, a peak of the
offset curve away from zero) or on a remedy that gains significantly. Another package names its module under the
entry points ``dualstream.causes``; see docs/extend_cause.md.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from dualstream.heads.diagnosis.evidence import Evidence, Intervention
from dualstream.heads.diagnosis.remedies import interval

from dualstream.discovery import Registry
from dualstream.documents import JsonObject


@dataclass(frozen=True)
class Cause:
    """One named cause with what speaks for it."""

    name: str
    """Of `names()`, or of heads.diagnosis.conclusion.OTHERWISE."""
    text: str
    """What was found, in one sentence with its figures."""
    effect: float
    """Balanced accuracy that it costs, as measured by its remedy; 0 where no refit can measure it."""
    interval: tuple[float, float] | None
    remedies: tuple[Intervention, ...]
    """Measured remedies, best first."""
    advice: str
    """What to do."""
    utterances: tuple[str, ...] = ()
    """Ids of the utterances concerned, where it concerns some and not all."""
    speakers: tuple[str, ...] = ()
    """Names of the speakers concerned, likewise."""

    def to_json(self) -> JsonObject:
        """Return the values."""
        return {
            "name": self.name,
            "text": self.text,
            "effect": self.effect,
            "interval": list(self.interval) if self.interval else None,
            "remedies": [remedy.to_json() for remedy in self.remedies],
            "advice": self.advice,
            "utterances": list(self.utterances),
            "speakers": list(self.speakers),
        }


Rule = Callable[[Evidence], Cause | None]
F = TypeVar("F", bound=Rule)
ALL = "*"


@dataclass(frozen=True)
class CauseEntry:
    """A registered cause."""

    name: str
    rule: Rule
    rank: int
    """The smaller, the earlier it is named; ours lie between 10 and 130."""
    explained_by: tuple[str, ...]
    """Causes beside which this one is not named: they bring its symptom about. ``*``: all others."""
    title: str
    """What a page calls it."""

    def is_explained(self, names: set[str]) -> bool:
        """Return whether one of the causes `names` brings this one's symptom about."""
        others = names - {self.name}
        return bool(others if ALL in self.explained_by else others & set(self.explained_by))


DISTORTING = (
    "label_in_column",
    "scale_by_group",
    "columns_by_group",
    "two_kinds_of_rows",
    "imputed_rows",
)
OF_COLUMNS = (*DISTORTING, "missing_by_class", "same_stream", "put_values")
OF_JOINS = ("duplicates", "wrong_join")
OF_LABELS = ("wrong_labels", "label_noise")
OF_SPEAKERS = ("wrong_speakers",)
MISTAKES = (*OF_COLUMNS, *OF_JOINS, *OF_LABELS, *OF_SPEAKERS)
"""Causes that lie in how the corpus was put together: what heads make of such a corpus is no cause beside them.

They stand in the order in which they are asked, for each sign rests on what the signs before it look at:

    columns     what one stream's rows hold, nothing else being looked at
    joins       whether streams go together: of rows that are what they seem
    labels      whether all streams that tell the class disagree with it: of rows that stand where they belong
    speakers    which utterances are alike beyond their classes: of labels that are right

So a mistake is not named beside an earlier one that brings its symptom about: `DISTORTING` ones change all that
follows, others what they touch. And a claim of a later kind holds only where each stream bears it out: names of
classes that one stream contradicts (`label_maps`) say nothing of labels, groups of utterances that are classes
(`speakers`) nothing of speakers, and columns that go together otherwise in rows that stand elsewhere
(`verdicts.two_makes`) nothing of kinds.
"""

REGISTRY: Registry[CauseEntry] = Registry(
    "cause", package="dualstream.heads.diagnosis.causes", group="dualstream.causes"
)


def cause(*, rank: int, explained_by: tuple[str, ...] | str = (), title: str = "") -> Callable[[F], F]:
    """Register a rule as the cause that is called as the function is; a name given twice is an error.

    Without a `title`, pages call it as the function is called, with spaces.
    """
    explained = (explained_by,) if isinstance(explained_by, str) else explained_by

    def add(rule: F) -> F:
        name = rule.__name__
        REGISTRY.add(name, CauseEntry(name, rule, rank, explained, title or plain_title(name)), rule.__module__)
        return rule

    return add


def entries() -> list[CauseEntry]:
    """Return all causes, the weightiest first."""
    return sorted(REGISTRY.entries(), key=lambda entry: (entry.rank, entry.name))


def names() -> list[str]:
    """Return the names of all causes, the weightiest first."""
    return [entry.name for entry in entries()]


def plain_title(name: str) -> str:
    """Return a cause's name as a title: ``loud_fans`` as ``Loud fans``."""
    return name.replace("_", " ").strip().capitalize()


def remedied(name: str, text: str, remedies: tuple[Intervention, ...], advice: str) -> Cause:
    """Return a cause whose effect is what its best remedy gains."""
    gain = remedies[0].gain
    return Cause(name, text, gain.difference, interval(gain), remedies, advice)


def mistake(
    name: str,
    text: str,
    remedy: Intervention | None,
    advice: str,
    *,
    utterances: Sequence[str] = (),
    speakers: Sequence[str] = (),
) -> Cause:
    """Return a cause that concerns some utterances or speakers; its effect is what its remedy gains."""
    gain = None if remedy is None else remedy.gain
    return Cause(
        name,
        text,
        0.0 if gain is None else gain.difference,
        interval(gain),
        () if remedy is None else (remedy,),
        advice,
        tuple(dict.fromkeys(utterances)),
        tuple(dict.fromkeys(speakers)),
    )
