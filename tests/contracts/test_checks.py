"""What every rule of the data doctor keeps, whoever wrote it. A new one is tested here without a new test."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from dualstream.pipeline.corpus.checks import registry
from dualstream.pipeline.corpus.checks.clips import Facts
from dualstream.pipeline.corpus.checks.findings import SEVERITIES, TOPICS, Case, Finding, Rule
from dualstream.pipeline.corpus.checks.registry import (
    CHECKS,
    Check,
    CheckedCorpus,
    check,
    examine,
    examines,
    rules,
)
from dualstream.pipeline.corpus.manifest import Manifest, read_manifest
from dualstream.pipeline.corpus.utterance import Utterance

ROOT = Path(__file__).resolve().parents[2]
CODES = [rule.code for rule in rules()]
BARE = Manifest((Utterance("u", "u.mp4", "train"),))
MELD = read_manifest(ROOT / "data_manifest.csv")
SOUND = Manifest(tuple(Utterance(f"u{i}", f"u{i}.mp4", split) for i, split in enumerate(("train", "dev", "test"))))


@pytest.mark.parametrize("code", CODES)
def test_it_is_named_and_worded(code: str) -> None:
    rule = CHECKS.get(code).rule
    assert rule.code == code and rule.severity in SEVERITIES and rule.topic in TOPICS
    assert rule.noun and rule.what and not rule.what.endswith(".") and rule.means.endswith(".")
    if CHECKS.module_of(code).startswith("dualstream."):
        row = f"| {rule.severity} | `{code}` | {rule.what} | {rule.means} |"
        assert row in (ROOT / "docs" / "manifest.md").read_text("utf-8")


@pytest.mark.parametrize("code", CODES)
def test_it_finds_findings_of_its_own_that_are_json(code: str) -> None:
    """On one bare row, on three, on MELD's table, and on clips that are all missing."""
    own = {one.rule.code for one in CHECKS.entries() if one.run is CHECKS.get(code).run}
    missing = tuple(Facts(u, "missing", "no file") for u in SOUND)
    for corpus in (
        CheckedCorpus(BARE),
        CheckedCorpus(SOUND),
        CheckedCorpus(MELD),
        CheckedCorpus(SOUND, clips=missing, extra_files=("x.mp4",)),
    ):
        findings = list(CHECKS.get(code).run(corpus))
        assert {finding.code for finding in findings} <= own
        for finding in findings:
            document = finding.to_json()
            assert json.loads(json.dumps(document, allow_nan=False)) == document and finding.cases


def test_findings_come_by_severity_then_by_topic() -> None:
    order = {code: place for place, code in enumerate(CODES)}
    found = examine(CheckedCorpus(SOUND))
    keys = [(SEVERITIES.index(one.rule.severity), order[one.code]) for one in found]
    assert len(found) > 2 and keys == sorted(keys)


@pytest.fixture
def entries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget after the test what it registered."""
    rules()
    monkeypatch.setattr(CHECKS, "_entries", dict(CHECKS._entries))


def test_a_function_under_the_decorator_is_a_rule(entries: None) -> None:
    @check("planted-last", severity="error", noun="utterance", what="it is the last", means="nothing.")
    def last(corpus: CheckedCorpus) -> list[Case]:
        return [Case(corpus.manifest.utterances[-1].id, "planted")]

    found = {one.code: one for one in examine(CheckedCorpus(SOUND))}
    assert found["planted-last"].cases == (Case("u2", "planted"),)
    assert [one.code for one in examine(CheckedCorpus(SOUND)) if one.rule.severity == "error"][
        -1
    ] == "planted-last"


def test_a_code_given_twice_fails(entries: None) -> None:
    with pytest.raises(ValueError, match=r"check 'no-sound' is registered twice: by .*rules.media and by "):
        check("no-sound", severity="note", noun="utterance", what="x", means="y.")(lambda corpus: [])


@pytest.mark.parametrize(
    ("code", "severity", "says"),
    [
        ("No Sound", "note", "check 'No Sound': expected small letters"),
        ("planted", "severe", "check planted: severity 'severe', .*expected one of error, warning, note"),
    ],
)
def test_words_that_are_none_fail(entries: None, code: str, severity: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        check(code, severity=severity, noun="utterance", what="x", means="y.")(lambda corpus: [])  # type: ignore[arg-type]


def test_a_finding_of_no_registered_rule_fails(entries: None) -> None:
    mine, other = (Rule(code, "note", "utterance", "x", "y.") for code in ("planted-mine", "planted-other"))

    @examines(mine)
    def finds(corpus: CheckedCorpus) -> list[Finding]:
        return other.found([Case("u0")])

    with pytest.raises(ValueError, match="found planted-other, a rule that is not registered"):
        examine(CheckedCorpus(SOUND))


def test_a_rule_that_breaks_is_named(entries: None) -> None:
    def breaks(corpus: CheckedCorpus) -> list[Finding]:
        raise KeyError("planted")

    registry.CHECKS.add("planted", Check(Rule("planted", "note", "utterance", "x", "y."), breaks), __name__)
    with pytest.raises(KeyError) as caught:
        examine(CheckedCorpus(SOUND))
    assert caught.value.__notes__ == ["in the check planted"]
