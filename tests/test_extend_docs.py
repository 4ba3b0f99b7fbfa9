"""The pages on extending dualstream, typed: their files as an installed package, their commands in an empty folder."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from dualstream.features.media import write_clip
from dualstream.pipeline.cache import read_cache

from tests.outside import write_package
from tests.pages import ROOT, blocks, commands

PAGES = ("extend_encoder", "extend_importer", "extend_check", "extend_trainable_encoder")
RATE_HZ = 16_000
LEVELS = {"anna_joy_01": 0.5, "anna_anger_01": 0.05, "bert_joy_01": 0.5, "bert_joy_02": 0.25, "cleo_sad_01": 0.1}


def modules(page: str) -> dict[str, str]:
    """Return the page's files by the name of their module, which the first line gives."""
    found = {}
    for source in blocks(page, "python"):
        place = re.match(r"# acme/(\w+)\.py\n", source)
        assert place is not None and len(source.splitlines()) < 50
        found[place[1]] = source
    return found


def entry_points(page: str) -> Mapping[str, Mapping[str, str]]:
    points: Mapping[str, Mapping[str, str]] = tomllib.loads("".join(blocks(page, "toml")))["project"][
        "entry-points"
    ]
    return points


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of installed packages that holds acme, with the files of all pages."""
    files = {name: source for page in PAGES for name, source in modules(page).items()}
    points: dict[str, dict[str, str]] = {}
    for group, found in (item for page in PAGES for item in entry_points(page).items()):
        points.setdefault(group, {}).update(found)
    assert set(points) == {"dualstream.encoders", "dualstream.importers", "dualstream.checks"}
    return write_package(tmp_path_factory.mktemp("site"), "acme", files, points)


def run(words: Sequence[str], site: Path | None, cwd: Path) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([*([str(site)] if site else []), str(ROOT)])
    environment = {**os.environ, "PYTHONPATH": path, "NO_COLOR": "1", "COLUMNS": "200", "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, *words], cwd=cwd, env=environment, capture_output=True, text=True, timeout=200
    )


def dualstream(words: Sequence[str], site: Path | None, cwd: Path) -> subprocess.CompletedProcess[str]:
    return run(["-m", "dualstream", *words], site, cwd)


@pytest.fixture(scope="module")
def work(site: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder outside the checkout: clips/, five clips of a tone of known level, and their manifest as the page makes it."""
    folder = tmp_path_factory.mktemp("work")
    (folder / "clips").mkdir()
    tone = np.sin(2 * np.pi * 250 * np.arange(round(1.5 * RATE_HZ)) / RATE_HZ).astype(np.float32)
    for name, level in LEVELS.items():
        frames = np.zeros((15, 16, 16, 3), np.uint8)
        write_clip(folder / "clips" / f"{name}.mp4", frames, 10, level * tone, RATE_HZ)
    for words in commands("extend_importer"):
        done = dualstream(words, site, folder)
        assert done.returncode == 0, done.stderr
    return folder


def test_a_package_outside_adds_an_importer_a_check_and_an_encoder(site: Path, work: Path) -> None:
    for words in (*commands("extend_check"), *commands("extend_encoder")):
        done = dualstream(words, site, work)
        assert done.returncode == 0, (words, done.stderr)
    rows = (work / "manifest.csv").read_text().splitlines()
    assert len(rows) == 6 and any("cleo_sad_01.mp4,test" in row and "sadness" in row for row in rows)

    found = json.loads(dualstream([*commands("extend_check")[0], "--json"], site, work).stdout)["findings"]
    (one_sided,) = [finding for finding in found if finding["code"] == "speaker-one-sided"]
    assert one_sided["cases"] == [{"subject": "bert", "detail": "2 rows, all joy"}]
    assert one_sided["severity"] == "warning"

    cache = read_cache(work / "cache.h5")
    for name, row in zip(
        cache.utterances.id, cache.streams["audio"].utterance, strict=True
    ):  # a sine's mean level is its peak's less 3 dB
        peak_db = 20 * np.log10(LEVELS[name])
        np.testing.assert_allclose(row, [peak_db - 20 * np.log10(np.sqrt(2)), peak_db], atol=1.0)


@pytest.mark.slow
def test_a_package_outside_adds_an_encoder_that_can_be_trained(site: Path, work: Path) -> None:
    for words in commands("extend_trainable_encoder"):
        done = dualstream(words, site, work)
        assert done.returncode == 0, (words, done.stderr)
    spec = read_cache(work / "tiles.h5").streams["video"].spec
    assert spec["name"] == "tiles" and spec["weights"]["source"] == "file" and spec["raw_width"] == 16
    done = dualstream(["train-encoder", "manifest.csv", "--root", "clips", "--encoder", "tiles"], None, work)
    assert done.returncode == 2 and "those that can be trained are: bilstm, cnn5, vgg16" in done.stderr


def test_a_changed_encoder_outside_is_noticed(site: Path, work: Path, tmp_path: Path) -> None:
    """Not only where an encoder is built again: a run with nothing to do builds none."""
    words, copy = commands("extend_encoder")[0], tmp_path / "site"
    assert dualstream(words, site, work).returncode == 0
    shutil.copytree(site, copy)
    assert dualstream(words, copy, work).returncode == 0
    source = copy / "acme" / "loudness.py"
    source.write_text(source.read_text().replace("column_names=", "version=2, column_names="))
    done = dualstream(words, copy, work)
    assert done.returncode == 12 and "version" in done.stderr


def test_help_and_errors_name_what_is_installed(site: Path, work: Path) -> None:
    shown = dualstream(["manifest", "--help"], site, work).stdout
    assert "acme-voices: ACME voices: acted sentences, named like anna_joy_03: speaker, emotion, number." in shown
    assert "acme-voices" not in dualstream(["manifest", "--help"], None, work).stdout
    listed = " ".join(dualstream(["extract", "--help"], site, work).stdout.split())
    for outside in ("Encoders of installed packages:", "entry point loudness of acme 1.0 = acme.loudness"):
        assert outside in listed
    assert "entry point tiles" in listed.partition("Encoders of installed packages:")[2]
    assert "installed packages" not in dualstream(["extract", "--help"], None, work).stdout
    extract = ["extract", "manifest.csv", "--root", "clips", "--video", "none", "--out", "x.h5", "--audio"]
    with_it, without = (dualstream([*extract, "loudnes"], where, work) for where in (site, None))
    assert with_it.returncode == without.returncode == 2
    assert "there are: acoustic, bilstm, hf, loudness, table" in with_it.stderr
    assert "there are: acoustic, bilstm, hf, table" in without.stderr


def test_weights_are_refused_for_an_encoder_outside(site: Path, work: Path) -> None:
    words = [
        "extract",
        "manifest.csv",
        "--root",
        "clips",
        "--video",
        "none",
        "--audio",
        "loudness",
        "--out",
        "x.h5",
    ]
    done = dualstream([*words, "--audio-weights", "no/sense"], site, work)
    assert done.returncode == 2
    assert "--audio-weights is given 1 times; 0 audio encoders take weights" in done.stderr


def test_the_contract_tests_take_it_in(site: Path) -> None:
    added = {
        "encoders": ("loudness", "tiles"),
        "trainable_encoders": ("tiles",),
        "importers": ("acme-voices",),
        "checks": ("speaker-one-sided",),
    }
    files = [f"tests/contracts/test_{contract}.py" for contract in added]
    chosen = " or ".join(dict.fromkeys(name for names in added.values() for name in names))
    done = run(["-m", "pytest", "-q", "-p", "no:cacheprovider", *files, "-k", chosen, "-rA"], site, ROOT)
    assert done.returncode == 0, done.stdout
    for contract, name in ((contract, name) for contract, names in added.items() for name in names):
        assert re.search(rf"PASSED .*test_{contract}\.py::.*\[.*{name}", done.stdout), (contract, name)


@pytest.mark.parametrize(
    ("group", "words"),
    [
        ("dualstream.encoders", ["extract", "manifest.csv", "--root", "clips", "--out", "x.h5", "--dry-run"]),
        pytest.param("dualstream.checks", ["check", "manifest.csv", "--no-media"], marks=pytest.mark.slow),
        pytest.param("dualstream.importers", ["manifest", "broken", "clips", "--dry-run"], marks=pytest.mark.slow),
    ],
)
def test_a_broken_package_outside_is_named_and_the_rest_goes_on(
    work: Path, tmp_path: Path, group: str, words: list[str]
) -> None:
    rows = (ROOT / "data_manifest.csv").read_text("utf-8").splitlines()[:20]
    (tmp_path / "manifest.csv").write_text("\n".join(rows) + "\n", "utf-8")
    (tmp_path / "clips").mkdir()
    site = write_package(tmp_path / "site", "acme", {"broken": "1 / 0"}, {group: {"broken": "acme.broken"}})
    done = dualstream(words, site, tmp_path)
    assert done.returncode in (1, 2) and "Traceback" not in done.stderr
    assert "entry point broken of acme 1.0 can't be loaded: ZeroDivisionError" in done.stderr
    for other in (["--help"], ["manifest", "folder", str(work / "clips"), "--dry-run"]):
        assert dualstream(other, site, tmp_path).returncode == 0
