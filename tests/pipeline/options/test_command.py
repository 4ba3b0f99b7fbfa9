"""What every command can do: its version, be quiet, log, complete."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from dualstream.pipeline.cache import write_cache
from dualstream.pipeline.options.emit import Notices
from dualstream.pipeline.reporting.heartbeat import Heartbeat, silenced
from dualstream.pipeline.reporting.progress import Progress
from typer.testing import CliRunner

import dualstream
from dualstream import cli
from tests.pipeline.planted_corpus import planted_cache

ROOT = Path(__file__).resolve().parents[3]
TABLE = "id,path,split,start_s,end_s,dialogue,turn,speaker,emotion,sentiment\n"


def invoke(*words: Any) -> Any:
    return CliRunner().invoke(cli.app, [str(word) for word in words])


def test_the_version_is_the_package_s() -> None:
    done = invoke("--version")
    assert done.exit_code == 0 and done.stdout == f"dualstream {dualstream.__version__}\n"


@pytest.fixture
def tables(tmp_path: Path) -> list[Any]:
    """Return the words of an extraction of a table, with a note in it: two rows are not enough for a projection."""
    (tmp_path / "m.csv").write_text(TABLE + "a,a.wav,train,,,,,,joy,positive\nb,b.wav,train,,,,,,anger,negative\n")
    (tmp_path / "t.csv").write_text("id,x,y\na,1,2\nz,2,3\n")
    encoders = ["--video", f"table:{tmp_path / 't.csv'}", "--audio", "none"]
    return ["extract", tmp_path / "m.csv", "--root", tmp_path, *encoders, "--out", tmp_path / "c.h5"]


def test_verbose_logs_on_standard_error_and_quiet_does_not(tables: list[Any]) -> None:
    loud = invoke(*tables, "-v", "--json")
    assert loud.exit_code == 0 and "INFO" in loud.stderr and "extract" in loud.stderr
    assert loud.stdout.startswith("{")
    written = invoke(*tables[:-1], tables[-1].with_name("d.h5"), "-vv").stderr
    assert "DEBUG" in written and "d.h5 written, " in written and dualstream.__version__ in written
    assert "DEBUG" not in loud.stderr
    quiet = invoke(*tables, "-q", "--json")
    assert quiet.exit_code == 0 and quiet.stderr == "" and quiet.stdout.startswith("{")
    assert "INFO" not in invoke(*tables).stderr  # nothing stays set up


def test_quiet_says_no_notes(tmp_path: Path) -> None:
    write_cache(tmp_path / "cache.h5", planted_cache())
    said = []
    for words in ([], ["--quiet"]):
        run = tmp_path / f"run{len(words)}"
        fit = ["fit-head", tmp_path / "cache.h5", "--fusion", "linear_late", "--no-report", "--out", run]
        assert invoke(*fit).exit_code == 0
        assert invoke("evaluate", run, "--json").exit_code == 0
        done = invoke("evaluate", run, "--json", *words)
        assert done.exit_code == 0
        said.append(done.stderr)
    assert all("NOT THE FIRST TIME" in one for one in said)  # a warning is no note
    assert not Notices.quiet and not Heartbeat.muted


def test_nothing_is_drawn_where_progress_is_silenced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    with silenced():
        assert not Progress(3)._shown
    assert Progress(3)._shown


def test_choices_are_completed() -> None:
    words = "dualstream fit-head cache.h5 --loss "
    env = {"_DUALSTREAM_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": "4", "PATH": ""}
    program = "import sys; sys.argv[0] = 'dualstream'; from dualstream.cli import app; app(prog_name='dualstream')"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, env=env)
    assert done.stdout.split() == ["cross_entropy", "weighted", "focal", "logit_adjusted", "balanced_softmax"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--epochs", "many"], "Invalid value for '--epochs': found 'many'; expected a whole number"),
        (["--epochs=2.5"], "Invalid value for '--epochs': found '2.5'; expected a whole number"),
        (["--learning-rate", "2,5"], "Invalid value for '--learning-rate': found '2,5'; expected a number"),
    ],
)
def test_what_is_no_number_is_said(monkeypatch: pytest.MonkeyPatch, words: list[str], says: str) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    done = invoke("fit-head", "none.h5", "--fusion", "linear", *words)
    assert done.exit_code == 2 and says in done.output


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--penalty", "nan"], "Invalid value for '--penalty': found 'nan'; expected a number above 0"),
        (["--epochs=0"], "Invalid value for '--epochs': found '0'; expected 1 or more"),
        (["--dropout", "1.5"], "Invalid value for '--dropout': found '1.5'; expected 0 to below 1"),
    ],
)
def test_what_is_out_of_bounds_is_said(monkeypatch: pytest.MonkeyPatch, words: list[str], says: str) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    done = invoke("fit-head", "none.h5", "--fusion", "linear", *words)
    assert done.exit_code == 2 and says in done.output


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('epochs = "many"', "Invalid value for '--epochs': found 'many' in the file; expected a whole number"),
        ("penalty = -1", "Invalid value for '--penalty': found -1 in the file; expected a number above 0"),
        ("epochs = [1, 2]", "epochs is [1, 2]; expected one number"),
    ],
)
def test_what_a_file_gives_wrongly_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, says: str
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    (tmp_path / "fit.toml").write_text(text + "\n")
    done = invoke("fit-head", "none.h5", "--fusion", "linear", "--config", tmp_path / "fit.toml")
    assert done.exit_code == 2 and says in done.output


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["extract", "", "--out", "x.h5"], "error: an argument is empty"),
        (["extract", "m.csv", "--out", ""], "error: --out is empty"),
        (["extract", "m.csv", "--out="], "error: --out is empty"),
        (["fit-head", "c.h5", "--fusion", "linear", "--streams", ""], "error: --streams is empty"),
        (["extract", "m.csv", "--out", "-"], "error: --out is -"),
        (["extract", "m.csv", "--out=-"], "error: --out is -"),
        (["predict", "b", "-"], "error: an argument is -"),
    ],
)
def test_empty_words_and_standard_streams_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    done = invoke(*words)
    assert done.exit_code == 2 and says in done.output
    assert not list(tmp_path.iterdir())


def test_a_dash_that_names_no_file_is_a_value() -> None:
    done = invoke("fit-head", "none.h5", "--fusion", "linear", "--set", "-")
    assert "--set '-'; expected key=value" in done.output
