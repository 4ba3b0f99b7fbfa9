"""The rules of the data doctor: each a function under a decorator, with its words, in one file.

    @check("too-short", severity="warning", noun="utterance", what="hardly any length", means="one window, ...")
    def too_short(corpus: Corpus) -> Iterator[Case]: ...

The file stands in rules/, or in any installed package with an entry point in the group ``dualstream.checks``;
see docs/extend_check.md.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

from dualstream.pipeline.corpus.checks.findings import SEVERITIES, TOPICS, Case, Finding, Rule, Severity, Topic
from dualstream.pipeline.corpus.checks.limits import Limits
from dualstream.pipeline.corpus.manifest import Manifest

from dualstream.discovery import Registry

if TYPE_CHECKING:
    from dualstream.pipeline.corpus.checks.clips import Facts

CODE = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


@dataclass(frozen=True)
class CheckedCorpus:
    """What the rules look at."""

    manifest: Manifest
    limits: Limits = field(default_factory=Limits)
    clips: tuple[Facts, ...] = ()
    """What was found where each row's path points, in the manifest's order; none where no clip was opened."""
    extra_files: tuple[str, ...] = ()
    """Clips and recordings below the data root that no row names, as paths below it; likewise."""

    @cached_property
    def readable(self) -> tuple[Facts, ...]:
        """The facts of the clips that can be used; their `probe` is known."""
        return tuple(fact for fact in self.clips if not fact.fault)


CasesOf = Callable[[CheckedCorpus], Iterable[Case]]
FindingsOf = Callable[[CheckedCorpus], Iterable[Finding]]
C = TypeVar("C", bound=CasesOf)
F = TypeVar("F", bound=FindingsOf)


@dataclass(frozen=True)
class Check:
    """A rule with what looks for it."""

    rule: Rule
    run: FindingsOf
    """Several rules may share one, which then finds them all in one pass."""


CHECKS: Registry[Check] = Registry(
    "check", package="dualstream.pipeline.corpus.checks.rules", group="dualstream.checks"
)


def check(
    code: str, *, severity: Severity, noun: str, what: str, means: str, topic: Topic = "other"
) -> Callable[[C], C]:
    """Make a function that yields cases a rule, with the words of `Rule`; a code given twice is an error."""
    rule = Rule(code, severity, noun, what, means, topic)

    def add(function: C) -> C:
        _register(Check(rule, lambda corpus: rule.found(function(corpus))), function.__module__)
        return function

    return add


def examines(*rules: Rule) -> Callable[[F], F]:
    """Register a function that looks for several rules in one pass, and yields findings of theirs."""

    def add(function: F) -> F:
        for rule in rules:
            _register(Check(rule, function), function.__module__)
        return function

    return add


def rules() -> list[Rule]:
    """Return all rules in the order in which findings of one severity are reported."""
    return sorted((one.rule for one in CHECKS.entries()), key=lambda rule: TOPICS.index(rule.topic))


def examine(corpus: CheckedCorpus) -> list[Finding]:
    """Return what all rules find: errors first, then by topic."""
    order = {rule.code: place for place, rule in enumerate(rules())}
    runs = {one.run: one.rule.code for one in CHECKS.entries()}
    with corpus.manifest.columns.at_hand():
        findings = [finding for run, code in runs.items() for finding in _findings(run, code, corpus)]
    strange = [one.code for one in findings if one.code not in order]
    if strange:
        raise ValueError(f"found {strange[0]}, a rule that is not registered; name it in @examines(...)")
    return sorted(findings, key=lambda one: (SEVERITIES.index(one.rule.severity), order[one.code]))


def _findings(run: FindingsOf, code: str, corpus: CheckedCorpus) -> list[Finding]:
    try:
        return list(run(corpus))
    except Exception as error:
        error.add_note(f"in the check {code}")
        raise


def _register(entry: Check, module: str) -> None:
    rule = entry.rule
    if not CODE.fullmatch(rule.code):
        raise ValueError(
            f"check {rule.code!r}: expected small letters, digits and single dashes, such as too-short"
        )
    if rule.severity not in SEVERITIES or rule.topic not in TOPICS:
        raise ValueError(
            f"check {rule.code}: severity {rule.severity!r}, topic {rule.topic!r}; expected one of "
            f"{', '.join(SEVERITIES)}, and one of {', '.join(TOPICS)}"
        )
    CHECKS.add(rule.code, entry, module)
