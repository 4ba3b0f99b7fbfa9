"""What every importer keeps, whoever wrote it. A new one is tested here without a new test."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest
from dualstream.pipeline.corpus.importers import importer, names, summary
from dualstream.pipeline.corpus.manifest import ManifestError
from typer.testing import CliRunner

from dualstream import cli

ROOT = Path(__file__).resolve().parents[2]
IN_TREE = [name for name in names() if importer(name).__module__.startswith("dualstream.")]


@pytest.mark.parametrize("name", names())
def test_it_takes_a_root_and_refuses_one_that_is_not_its_corpus(name: str, tmp_path: Path) -> None:
    (tmp_path / "readme.txt").write_text("nothing")
    assert list(inspect.signature(importer(name)).parameters) == ["root"]
    with pytest.raises(ManifestError, match="expected"):
        importer(name)(tmp_path)


def test_the_help_lists_every_importer_with_its_summary() -> None:
    shown = CliRunner().invoke(cli.app, ["manifest", "--help"], env={"COLUMNS": "250", "NO_COLOR": "1"}).output
    for name in names():
        assert summary(name) and f"{name}: {summary(name)}" in shown


@pytest.mark.parametrize("name", IN_TREE)
def test_it_stands_in_the_docs(name: str) -> None:
    assert f"\n| `{name}` |" in (ROOT / "docs" / "manifest.md").read_text("utf-8")
    called = summary(name).partition(":")[0]
    assert called == "Any folder" or called in (ROOT / "README.md").read_text("utf-8")
