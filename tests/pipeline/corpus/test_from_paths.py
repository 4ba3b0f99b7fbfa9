"""Speakers, dialogues and splits read off paths, as a user types it."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from dualstream import cli

PATHS = ("joy/anna_ep1_03.mp4", "joy/ben_ep1_04.mp4", "anger/anna_ep2_01.mp4", "anger/extra.mp4")


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    for path in PATHS:
        (tmp_path / "clips" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "clips" / path).write_bytes(b"x")
    return tmp_path / "clips"


def typed(clips: Path, *words: str) -> tuple[int, str, list[dict[str, str]]]:
    out = clips.parent / "manifest.csv"
    found = CliRunner().invoke(cli.app, ["manifest", "folder", str(clips), "--out", str(out), *words])
    rows = list(csv.DictReader(out.read_text().splitlines())) if out.exists() else []
    return found.exit_code, found.output, rows


def test_what_groups_hold_is_the_speaker_and_the_dialogue(clips: Path) -> None:
    status, said, rows = typed(clips, "--speaker-from", "([a-z]+)_ep", "--dialogue-from", "_(ep[0-9]+)_", "--json")
    assert status == 0, said
    found = {row["path"]: (row["speaker"], row["dialogue"]) for row in rows}
    assert found == {
        "joy/anna_ep1_03.mp4": ("anna", "ep1"),
        "joy/ben_ep1_04.mp4": ("ben", "ep1"),
        "anger/anna_ep2_01.mp4": ("anna", "ep2"),
        "anger/extra.mp4": ("", ""),
    }
    report = json.loads(said)
    assert (report["speakers"], report["dialogues"]) == (2, 2)
    assert len(report["notes"]) == 2 and all(
        "1 of 4 paths, such as anger/extra.mp4" in one for one in report["notes"]
    )


def test_a_pattern_without_a_group_is_taken_whole_and_splits_by_its_speakers(clips: Path) -> None:
    status, said, rows = typed(clips, "--speaker-from", "anna|ben|extra", "--dev-speakers", "ben,extra")
    assert status == 0 and "3 speakers" in said
    assert {row["path"]: row["split"] for row in rows if row["speaker"] == "ben"} == {"joy/ben_ep1_04.mp4": "dev"}
    assert sum(row["split"] == "train" for row in rows) == 2


def test_splits_from_paths(tmp_path: Path) -> None:
    for name in ("a_val.mp4", "b_train.mp4", "c_test.mp4"):
        (tmp_path / "clips" / "joy").mkdir(parents=True, exist_ok=True)
        (tmp_path / "clips" / "joy" / name).write_bytes(b"x")
    status, said, rows = typed(tmp_path / "clips", "--split-from", "_([a-z]+)[.]")
    assert status == 0, said
    assert {row["path"][4]: row["split"] for row in rows} == {"a": "dev", "b": "train", "c": "test"}


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--speaker-from", "("), "is no regular expression"),
        (("--speaker-from", "zzz"), "finds nothing in 4 of 4 paths"),
        (("--split-from", "([a-z]+)_ep"), "anger/extra.mp4"),
        (("--split-from", "^([a-z]+)/"), "expected one of train"),
    ],
)
def test_what_does_not_fit_is_refused_with_a_path(clips: Path, words: tuple[str, ...], expected: str) -> None:
    status, said, rows = typed(clips, *words)
    assert status == 2 and expected in " ".join(said.split()) and rows == []
