"""Every benchmark measures the checkout that it lies in, whichever is installed."""

import ast
import subprocess
import sys
from pathlib import Path

import bench_busy
import bench_fit_head
import click
import pytest
import typer
from dualstream.pipeline.experiments.corpus_folds import folds
from dualstream.pipeline.experiments.training_data import read_corpus

from dualstream import cli

ROOT = Path(__file__).resolve().parents[2]
BENCHMARKS = sorted((ROOT / "benchmarks").glob("*.py"))


def imports(body):
    """Return the top names of the modules that statements import, in order."""
    found = []
    for node in body:
        if isinstance(node, ast.Import):
            found += [alias.name.partition(".")[0] for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found.append(node.module.partition(".")[0])
    return found


@pytest.mark.parametrize("path", BENCHMARKS, ids=[path.stem for path in BENCHMARKS])
def test_the_checkout_comes_first_on_the_path(path):
    tree = ast.parse(path.read_text())
    assert ("sys.path" in path.read_text()) == (path.stem == "checkout")
    anywhere, on_top = imports(ast.walk(tree)), imports(tree.body)
    if "dualstream" in anywhere:
        siblings = {one.stem for one in BENCHMARKS}
        first = next(name for name in on_top if name == "dualstream" or name in siblings)
        assert first != "dualstream" and "checkout" in on_top


def test_another_dualstream_is_not_what_is_measured(tmp_path):
    (tmp_path / "dualstream").mkdir()
    (tmp_path / "dualstream" / "__init__.py").write_text("raise SystemExit('this one is installed')")
    program = f"import sys; sys.path[:0] = [{str(ROOT / 'benchmarks')!r}, {str(tmp_path)!r}]; import bench_projection, dualstream; print(dualstream.__file__)"
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(ROOT / "dualstream" / "__init__.py")


def test_every_command_of_the_busy_table_is_understood(tmp_path, monkeypatch):
    """And the corpus that it draws can be cut into the folds that are asked for."""
    monkeypatch.setattr(bench_busy, "watch", lambda words: None)
    monkeypatch.setattr(bench_busy, "draw", lambda root, clips: (f"{root}/manifest.csv", str(root)))
    for sizes in ("SIZES", "DIALOGUES"):
        monkeypatch.setattr(bench_fit_head, sizes, dict(getattr(bench_fit_head, sizes)))
    every = bench_busy.commands(tmp_path, 900, 8)
    group = typer.main.get_command(cli.app)
    for name, *rest in every.values():
        group.get_command(click.Context(group), name).make_context(name, rest, resilient_parsing=False)
    asked = [words[words.index("--folds") + 1] for words in every.values() if "--folds" in words]
    corpus = read_corpus(tmp_path / "cache.h5")
    assert asked and [len(folds(corpus, by)) for by in asked] == [4]
