"""Whatever becomes of what a command prints, its work is done, and its status says so."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from dualstream.pipeline.cache import write_cache
from dualstream.pipeline.options.output import SteadyOutput, lost_output, steady_output

from tests.pipeline.planted_corpus import planted_cache

ROOT = Path(__file__).resolve().parents[3]
FIT = ("--fusion", "linear_audio", "--no-report")
ENCODINGS = [
    "ascii",
    "utf-16",
    *(pytest.param(name, marks=pytest.mark.slow) for name in ("cp1252", "latin-1", "cp437")),
]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("output") / "cache.h5"
    write_cache(path, planted_cache())
    return path


def command(*words: object, shell: str = "", **env: str) -> subprocess.CompletedProcess[bytes]:
    """Run a command, its output as `shell` redirects it."""
    line = ["sh", "-c", f'"$@" {shell}', "sh", sys.executable, "cli.py", *map(str, words)]
    return subprocess.run(line, cwd=ROOT, capture_output=True, env={**os.environ, "OMP_NUM_THREADS": "1", **env})


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_console_that_lacks_signs(cache: Path, tmp_path: Path, encoding: str) -> None:
    done = command("fit-head", cache, *FIT, "--out", tmp_path / "run", PYTHONIOENCODING=encoding)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run" / "config.json").exists()
    shown = done.stdout.decode(encoding)
    assert "emotion" in shown and "majority" in shown
    assert "?" not in shown


@pytest.mark.parametrize(
    "shell",
    [
        ">&- 2>&- <&-",
        "> /dev/full 2> /dev/full",
        "| true",
        *(pytest.param(part, marks=pytest.mark.slow) for part in (">&-", "> /dev/full")),
    ],
)
def test_output_that_goes_nowhere(cache: Path, tmp_path: Path, shell: str) -> None:
    shell = shell if shell != "| true" else "; echo $? > $STATUS; } | true"
    status = tmp_path / "status"
    words = ("fit-head", cache, *FIT, "--out", tmp_path / "run")
    if "STATUS" in shell:
        line = ["sh", "-c", f'{{ "$@" {shell}', "sh", sys.executable, "cli.py", *map(str, words)]
        env = {**os.environ, "OMP_NUM_THREADS": "1", "STATUS": str(status)}
        subprocess.run(line, cwd=ROOT, env=env, check=True)
        assert status.read_text() == "0\n"
    else:
        done = command(*words, shell=shell)
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "run" / "config.json").exists()


def test_evaluate_shows_what_it_logged(cache: Path, tmp_path: Path) -> None:
    assert command("fit-head", cache, *FIT, "--out", tmp_path / "run").returncode == 0
    done = command("evaluate", tmp_path / "run", PYTHONIOENCODING="ascii")
    assert done.returncode == 0, done.stderr
    assert b"emotion: 80 utterances of test" in done.stdout
    assert len((tmp_path / "run" / "test_log.jsonl").read_text().splitlines()) == 1


def test_a_document_that_is_lost_fails(cache: Path) -> None:
    done = command("inspect", cache, "--json", shell="> /dev/full")
    assert done.returncode == 1
    assert b"could not be written to standard output: No space left on device" in done.stderr


def test_a_text_that_is_lost_is_noted(cache: Path) -> None:
    done = command("inspect", cache, shell="> /dev/full")
    assert done.returncode == 0
    assert (
        done.stderr == b"note: standard output could not be written (No space left on device); all else was done\n"
    )


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
def test_json_holds_every_sign_whatever_the_console(tmp_path: Path, encoding: str) -> None:
    rows = ["id,path,split,speaker,emotion", "u0,a/Zoë→.wav,train,Zoë →,joy", "u1,b.wav,dev,,anger"]
    (tmp_path / "m.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    done = command("check", tmp_path / "m.csv", "--no-media", "--json", PYTHONIOENCODING=encoding)
    plain = command("check", tmp_path / "m.csv", "--no-media", "--json", PYTHONIOENCODING="utf-8")
    assert json.loads(done.stdout.decode(encoding)) == json.loads(plain.stdout)


def test_help_on_a_console_that_lacks_signs() -> None:
    for name in ("extract", "fit-head", "diagnose"):
        done = command(name, "--help", PYTHONIOENCODING="ascii")
        assert done.returncode == 0, done.stderr
        assert b"--help" in done.stdout


class Refusing(io.StringIO):
    def write(self, text: str) -> int:
        raise OSError(28, "No space left on device")


def test_a_stream_that_refuses_once_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", Refusing())
    with steady_output():
        print("first")
        print("second", flush=True)
        assert lost_output() == "No space left on device"
        assert not sys.stdout.isatty()
    assert isinstance(sys.stdout, Refusing)


def test_a_reader_that_left_is_no_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    class Left(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError(32, "Broken pipe")

    monkeypatch.setattr(sys, "stdout", Left())
    with steady_output():
        print("text")
        assert lost_output() == ""


def test_signs_become_plain_ones() -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii", write_through=True)
    before = sys.stdout
    sys.stdout = stream
    try:
        with steady_output():
            print("36.0–41.7 % ±0.5 → Zoë … 日 \udce9", end="")
    finally:
        sys.stdout = before
    assert raw.getvalue() == rb"36.0-41.7 % +/-0.5 -> Zoe ... ? \xe9"


def test_a_closed_stream_is_no_terminal() -> None:
    stream = io.StringIO()
    stream.close()
    steady = SteadyOutput(stream)
    assert not steady.isatty()
    assert steady.write("text") == 4
    steady.flush()
