"""What an installation says of itself: how an extra is installed, and the manifest that comes with it."""

import json
from pathlib import Path

import pytest
from dualstream.pipeline.corpus.manifest import MELD_MANIFEST, find_manifest
from typer.testing import CliRunner

from dualstream import cli, installation

ROOT = Path(__file__).resolve().parents[1]


def test_a_checkout_is_installed_from_where_it_is():
    assert installation.checkout() == ROOT
    assert installation.install_hint("onnx") == f"pip install -e '{ROOT}[onnx]'"
    assert installation.packaged(MELD_MANIFEST) == ROOT / "data_manifest.csv"


def test_an_installed_package_names_no_package_of_an_index(monkeypatch, tmp_path):
    (tmp_path / "features").mkdir()  # someone else's, in site-packages
    monkeypatch.setattr(installation, "HERE", tmp_path / "dualstream")
    assert installation.checkout() is None
    assert installation.install_hint("onnx") == "pip install '.[onnx]' in the checkout of dualstream"
    assert installation.packaged(MELD_MANIFEST) == tmp_path / "dualstream" / "data_manifest.csv"


@pytest.mark.parametrize(
    "words", [["check", MELD_MANIFEST, "--no-media"], ["extract", MELD_MANIFEST, "--dry-run"]]
)
def test_melds_manifest_comes_with_the_package(words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tables = ["--video", "none", "--audio", "table:none.csv"] if words[0] == "extract" else ["--json"]
    done = CliRunner().invoke(cli.app, [*words, *tables])
    assert "the one that comes with dualstream is read" in done.stderr and str(ROOT / MELD_MANIFEST) in done.stderr
    if words[0] == "check":
        assert done.exit_code == 0 and json.loads(done.stdout)["utterances"] == 13_708


def test_a_manifest_in_the_folder_comes_first(tmp_path, monkeypatch):
    said = []
    monkeypatch.chdir(tmp_path)
    (tmp_path / MELD_MANIFEST).write_text("mine")
    assert find_manifest(Path(MELD_MANIFEST), said.append) == Path(MELD_MANIFEST) and not said


@pytest.mark.parametrize("name", ["folder/data_manifest.csv", "manifest.csv", "/data_manifest.csv"])
def test_other_paths_are_taken_as_they_are(name, tmp_path, monkeypatch):
    said = []
    monkeypatch.chdir(tmp_path)
    assert find_manifest(Path(name), said.append) == Path(name) and not said
