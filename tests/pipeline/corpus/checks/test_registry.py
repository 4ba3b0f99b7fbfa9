"""How rules are registered, ordered and run."""

from __future__ import annotations

import pytest
from dualstream.pipeline.corpus.checks.findings import Case, Rule
from dualstream.pipeline.corpus.checks.registry import CHECKS, CheckedCorpus, check, examine, examines, rules
from dualstream.pipeline.corpus.manifest import Manifest
from dualstream.pipeline.corpus.utterance import Utterance

from tests.registries import scratch

WORDS = {"noun": "utterance", "what": "odd", "means": "nothing."}
CORPUS = CheckedCorpus(Manifest((Utterance("a", "a.mp4", "train"),)))


@pytest.fixture(autouse=True)
def no_rules():
    with scratch(CHECKS, only=()):
        yield


def one(code, severity="note", topic="other", cases=("a",)):
    @check(code, severity=severity, topic=topic, **WORDS)
    def found(corpus):
        return [Case(subject) for subject in cases]


def test_errors_come_first_then_topics():
    one("b-note", "note", "files")
    one("a-warning", "warning", "labels")
    one("c-error", "error", "clips")
    one("d-error", "error", "files")
    assert [finding.code for finding in examine(CORPUS)] == ["d-error", "c-error", "a-warning", "b-note"]
    assert [rule.code for rule in rules()] == ["b-note", "d-error", "a-warning", "c-error"]


def test_a_rule_without_a_case_is_no_finding():
    one("quiet", cases=())
    assert examine(CORPUS) == []


def test_several_rules_share_one_pass():
    runs = []
    first, second = Rule("first", "error", **WORDS), Rule("second", "note", **WORDS)

    @examines(first, second)
    def both(corpus):
        runs.append(corpus)
        yield from second.found([Case("b")], "a note")
        yield from first.found([Case("a")])

    assert [(finding.code, finding.note) for finding in examine(CORPUS)] == [("first", ""), ("second", "a note")]
    assert len(runs) == 1


def test_a_rule_that_is_not_registered():
    known, unknown = Rule("known", "error", **WORDS), Rule("unknown", "error", **WORDS)

    @examines(known)
    def found(corpus):
        yield from unknown.found([Case("a")])

    with pytest.raises(ValueError, match=r"found unknown, a rule that is not registered; name it in @examines"):
        examine(CORPUS)


def test_a_rule_that_breaks_is_named():
    @check("broken", severity="note", **WORDS)
    def broken(corpus):
        yield Case(str(1 / 0))

    with pytest.raises(ZeroDivisionError) as caught:
        examine(CORPUS)
    assert caught.value.__notes__ == ["in the check broken"]


@pytest.mark.parametrize("code", ["Too-short", "too_short", "-x", "x-", "a--b", "", "ä"])
def test_codes_are_of_small_letters_and_single_dashes(code):
    with pytest.raises(ValueError, match="expected small letters, digits and single dashes"):
        one(code)


def test_a_code_is_given_once():
    one("twice")
    with pytest.raises(ValueError, match="'twice' is registered twice"):
        one("twice")


@pytest.mark.parametrize(("severity", "topic"), [("grave", "other"), ("note", "weather")])
def test_severities_and_topics_are_known(severity, topic):
    with pytest.raises(ValueError, match="expected one of error, warning, note, and one of files, repeats"):
        one("x", severity, topic)
