"""Mistaken commands are refused by the status of their kind, in words that say what was found and what to do."""

from __future__ import annotations

from pathlib import Path

import mistakes
import pytest
from mistake import mistake

EVERY = 5  # a process each: this many-th are typed here, all of them by the benchmark


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("pyarrow")
    place = tmp_path_factory.mktemp("mistakes")
    mistakes.materials(place)
    return place


@pytest.mark.slow
@pytest.mark.parametrize("one", mistakes.MISTAKES[::EVERY], ids=lambda one: one.words)
def test_a_mistake_is_refused(folder: Path, one: object) -> None:
    done = mistakes.typed(folder, one.words)  # type: ignore[attr-defined]
    assert list(done.faults(one)) == [], done.said


def test_a_refusal_is_held_against_its_kind() -> None:
    """What the benchmark calls wrong: a traceback, another status, words that are missing, what is left behind."""
    one = mistake(2, "fit-head x", "x", "--out")
    assert list(mistakes.Typed(2, "error: x; choose another --out", 0.1, ()).faults(one)) == []
    faults = list(mistakes.Typed(1, "Traceback (most recent call last)", 0.1, ("y",)).faults(one))
    assert faults == [
        "a traceback", "status 1, not 2", "does not say 'x'", "does not say '--out'", "left behind: y"
    ]  # fmt: skip


def test_no_command_stands_in_two_tables() -> None:
    words = [one.words for one in mistakes.MISTAKES]
    assert len(words) == len(set(words)) and len(mistakes.VALUES) >= 90


def test_files_that_are_lost_or_changed_are_a_fault(tmp_path: Path) -> None:
    one = mistake(0, "manifest folder clips --out m.csv --replace")
    (tmp_path / "clips" / "joy").mkdir(parents=True)
    (tmp_path / "clips" / "joy" / "a.wav").write_bytes(b"RIFF")
    (tmp_path / "m.csv").write_text("id,path\n")
    assert list(mistakes.typed(tmp_path, one.words).faults(one)) == ["lost or changed: m.csv"]
