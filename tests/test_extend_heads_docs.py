"""The pages on extending the heads and the diagnosis, typed: their files as an installed package, their commands in an empty folder."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from dualstream.pipeline.cache import write_cache

from tests.outside import write_package
from tests.pages import ROOT, blocks, commands
from tests.pipeline.planted_corpus import planted_cache

PAGES = ("extend_variant", "extend_loss", "extend_cause")
QUICK = ["--seeds", "2", "--epochs", "4", "--no-report"]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of installed packages that holds acme, with the files of all pages."""
    modules, points = {}, {}
    for page in PAGES:
        for source in blocks(page, "python"):
            if place := re.match(r"# acme/(\w+)\.py\n", source):
                modules[place[1]] = source
        for block in blocks(page, "toml"):
            points |= tomllib.loads(block)["project"]["entry-points"]
    assert set(modules) == {"gate", "smoothed", "absent"}
    assert set(points) == {"dualstream.variants", "dualstream.losses", "dualstream.causes"}
    return write_package(tmp_path_factory.mktemp("site"), "acme", modules, points)


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty folder outside the checkout, with a cache."""
    folder = tmp_path_factory.mktemp("work")
    write_cache(folder / "cache.h5", planted_cache())
    return folder


def run(words: Sequence[str], site: Path | None, cwd: Path) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([*([str(site)] if site else []), str(ROOT)])
    environment = {**os.environ, "PYTHONPATH": path, "NO_COLOR": "1", "COLUMNS": "200", "OMP_NUM_THREADS": "1"}
    return subprocess.run([sys.executable, *words], cwd=cwd, env=environment, capture_output=True, text=True)


def dualstream(words: Sequence[str], site: Path | None, cwd: Path) -> subprocess.CompletedProcess[str]:
    quick = {"evaluate": [], "diagnose": [*QUICK[:-1], "--no-limits"]}.get(words[0], QUICK)
    return run(["-m", "dualstream", *words, *quick], site, cwd)


@pytest.mark.slow
def test_a_package_outside_adds_a_variant_and_a_loss(site: Path, work: Path) -> None:
    for words in (*commands("extend_variant"), *commands("extend_loss")):
        done = dualstream(words, site, work)
        assert done.returncode == 0, (words, done.stderr)
    config = json.loads((work / "runs" / "gate" / "config.json").read_text())
    assert config["variant"] == "acme-gate" and config["options"]["parameters"] == {"temperature": 2.0}
    rows = json.loads((work / "runs" / "compared" / "compare.json").read_text())["rows"]
    assert "acme-gate" in {row["variant"] for row in rows if row["status"] == "done"}
    # without the package the run's weights can't be read, and that is said
    done = dualstream(["evaluate", "runs/gate", "--cache", "cache.h5"], None, work)
    assert done.returncode != 0 and "Traceback" not in done.stderr
    assert "no fusion variant is called 'acme-gate'" in done.stderr and "install that" in done.stderr
    done = dualstream(["fit-head", "cache.h5", "--fusion", "concat", "--loss", "acme-smoothed"], None, work)
    assert done.returncode == 2 and "expected one of: cross_entropy" in done.stderr


@pytest.mark.slow
def test_a_package_outside_adds_a_cause(site: Path, work: Path) -> None:
    (words,) = commands("extend_cause")
    done = dualstream(words, site, work)
    assert done.returncode == 0, done.stderr
    cache = planted_cache()
    seen = cache.streams["video"].present[np.isin(cache.utterances.split, ("train", "dev"))]
    causes = json.loads((work / words[words.index("--out") + 1] / "diagnosis.json").read_text())["causes"]
    (found,) = [cause for cause in causes if cause["name"] == "absent_stream"]
    absent = f"{np.mean(~seen):.1%}"
    assert absent == "7.8%"  # of 320: each 20th and each 25th
    assert (
        found["text"]
        == f"video is missing in {absent} of the utterances, which are answered from the other stream"
    )
    assert found["effect"] == 0.0 and found["remedies"] == []  # modality dropout is nothing to a linear head
    assert "A stream is missing in many utterances" in done.stdout
    without = dualstream([*words[:-1], "without"], None, work)
    assert without.returncode == 0 and "absent_stream" not in (work / "without" / "diagnosis.json").read_text()


def test_the_loss_of_the_page_is_torchs_label_smoothing(site: Path) -> None:
    program = (
        "import numpy as np, torch\n"
        "from dualstream.heads.training.losses import make_loss\n"
        "labels = np.array([0, 0, 1, 2, 1, -1])\n"
        "logits = torch.from_numpy(np.random.default_rng(0).normal(size=(1, 6, 3)))\n"
        "made = make_loss('acme-smoothed', labels, 3)\n"
        "truth = torch.from_numpy(labels)\n"
        "wanted = torch.nn.functional.cross_entropy(logits[0], truth, ignore_index=-1, label_smoothing=0.1)\n"
        "print(float(made.loss(logits, made.mass)[0]), float(wanted))\n"
    )
    done = run(["-c", program], site, ROOT)
    assert done.returncode == 0, done.stderr
    found, wanted = map(float, done.stdout.split())
    np.testing.assert_allclose(found, wanted, rtol=1e-6)


def test_the_estimator_of_the_page(site: Path) -> None:
    own = next(block for block in blocks("extend_variant", "python") if "DualHeadClassifier" in block)
    program = own + (
        "import numpy as np\n"
        "rows = np.random.default_rng(0).normal(size=(120, 8))\n"
        "model.set_params(video_width=4, epochs=20, models=1).fit(rows, rows[:, 0] > 0)\n"
        "assert model.score(rows, rows[:, 0] > 0) > 0.85\n"
    )
    done = run(["-c", program], site, ROOT)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("contract", "name"), [("variants", "acme-gate"), ("losses", "acme-smoothed"), ("causes", "absent_stream")]
)
def test_the_contract_tests_take_it_in(site: Path, contract: str, name: str) -> None:
    words = ["-m", "pytest", "-q", "-p", "no:cacheprovider", f"tests/contracts/test_{contract}.py", "-k", name]
    done = run([*words, "-rA"], site, ROOT)
    assert done.returncode == 0, done.stdout
    assert re.search(rf"PASSED .*\[.*{name}", done.stdout)
