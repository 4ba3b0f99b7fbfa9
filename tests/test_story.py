"""The whole story, as a user types it: a corpus drawn on the spot, a starved extraction, its diagnosis."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from dualstream.heads.diagnosis.evidence import DiagnosisOptions
from dualstream.pipeline.commands.demo import LEAST_DIALOGUES, MARKER, DemoOptions, commands, plan_corpus

ROOT = Path(__file__).resolve().parents[1]


def run(*words, cwd):
    environment = {**os.environ, "COLUMNS": "110"}
    command = [sys.executable, str(ROOT / "cli.py"), *words]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)


def test_plan_keeps_splits_apart_and_classes_even():
    clips = list(plan_corpus(DemoOptions(dialogues=12)))
    assert len(clips) == 12 * 7
    for split, share in {"train": 8, "dev": 2, "test": 2}.items():
        emotions = [clip.script.emotion for clip in clips if clip.split == split]
        assert len(emotions) == share * 7
        assert {emotions.count(name) for name in set(emotions)} == {share}
    assert len({clip.path for clip in clips}) == len(clips)
    assert all(0 < clip.script.burst_start_s < clip.script.burst_end_s < clip.script.duration_s for clip in clips)


def test_the_smallest_demo_has_the_dialogues_that_its_diagnosis_needs():
    clips = list(plan_corpus(DemoOptions(dialogues=LEAST_DIALOGUES)))
    pooled = {(clip.split, clip.dialogue) for clip in clips if clip.split != "test"}
    assert len(pooled) == 2 * DiagnosisOptions().folds
    assert {clip.split for clip in clips} == {"train", "dev", "test"}


def test_a_smaller_demo_fails(tmp_path):
    done = run("demo", "--out", str(tmp_path / "d"), "--dialogues", str(LEAST_DIALOGUES - 1), cwd=tmp_path)
    assert done.returncode == 2 and f"expected {LEAST_DIALOGUES} or more" in done.stderr
    assert not list(tmp_path.iterdir())


def test_a_folder_that_no_demo_made_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    done = run("demo", "--out", str(tmp_path), cwd=tmp_path)
    assert done.returncode == 2
    assert "no demo made" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_demo_explains_the_failure_it_plants(tmp_path):
    done = run("demo", "--out", "d", "--dialogues", "18", cwd=tmp_path)
    assert done.returncode == 0, done.stderr + done.stdout
    out = tmp_path / "d"
    assert (out / MARKER).exists()
    for words in commands(Path("d")):
        assert f"$ dualstream {words[0]} " in done.stdout
    diagnosis = json.loads((out / "diagnosis" / "diagnosis.json").read_text())
    assert diagnosis["causes"][0]["name"] == "starved_sampling"
    assert diagnosis["causes"][0]["interval"][0] > 0  # the remedy's gain is sure
    page = (out / "diagnosis" / "report.html").read_text()
    assert "Starved sampling" in page
    assert not re.search(r"(src|href)=.?https?:|url\(.?https?:|@import", page)  # loads nothing
    assert done.stdout.strip().splitlines()[-1] == f"Done. Open {Path('d') / 'diagnosis' / 'report.html'}"
