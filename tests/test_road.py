"""The README's commands, typed as they are written, with the installed package, beside folders of other people.

Only what a machine without the weights and without MELD can't do is typed in another way: see `typed`.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
from dualstream.features import media
from dualstream.pipeline.commands.demo import LEAST_DIALOGUES, DemoOptions, draw_corpus, plan_corpus
from dualstream.pipeline.corpus.synthetic import FRAME_RATE_HZ, SAMPLE_RATE_HZ, Script, Speaker, perform

from tests.clips import run_ffmpeg

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
IN_A_WHEEL = ("dualstream", "features", "heads", "pipeline")
CLASSES, CLIPS_OF_EACH = ("joy", "anger", "neutral"), 8
OTHERS = ("features", "heads", "pipeline")  # folders that a user may well have, and a cli.py


def commands(heading):
    """Return what the console blocks of a section of the README type."""
    section = README.read_text().split(f"## {heading}\n")[1].split("\n## ")[0]
    blocks = re.findall(r"^```console\n(.*?)^```", section, re.S | re.M)
    return [line[2:] for block in blocks for line in block.splitlines() if line.startswith("$ ")]


def typed(command):
    """Return the words that are typed: a small network of random weights in the place of VGG-16 and its file."""
    words = shlex.split(command)
    if "--video-weights" in words:
        at = words.index("--video-weights")
        words[at : at + 2] = ["--video", "cnn5", "--video-weights", "random:0"]
    if "--with-weights" in words:
        at = words.index("--with-weights")
        del words[at : at + 2]
    return words


@pytest.fixture(scope="session")
def wheel(tmp_path_factory):
    """The wheel, built from a copy, so that nothing is left in the checkout."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in IN_A_WHEEL:
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE", "data_manifest.csv"):
        shutil.copy(ROOT / name, source)
    here = int(version("setuptools").partition(".")[0]) >= 77
    build = [sys.executable, "-m", "pip", "wheel", "--no-deps", "-q", "-w", str(out), str(source)]
    done = subprocess.run([*build, *(["--no-build-isolation"] if here else [])], capture_output=True, text=True)
    if done.returncode and not here:
        pytest.skip("setuptools 77 is not here and could not be fetched")
    assert done.returncode == 0, done.stderr
    return next(out.glob("*.whl"))


@pytest.fixture(scope="session")
def environment(wheel, tmp_path_factory):
    """The variables of a virtual environment that holds the wheel, and sees the packages of this one."""
    place = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", place], check=True)
    install = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        place / "bin" / "python",
        "install",
        "-q",
        "--no-deps",
        wheel,
    ]
    subprocess.run(install, check=True)
    packages = next((place / "lib").glob("python*")) / "site-packages"
    (packages / "others.pth").write_text(sysconfig.get_path("purelib") + "\n")  # a .pth in there is not followed
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    return {**kept, "PATH": f"{place / 'bin'}{os.pathsep}{os.environ['PATH']}", "COLUMNS": "100"}


@pytest.fixture
def folder(tmp_path):
    """An empty folder, but for folders and a file that are called as ours are."""
    for name in OTHERS:
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise ImportError('these are not dualstream')\n")
    (tmp_path / "cli.py").write_text("raise ImportError('this is not dualstream')\n")
    return tmp_path


def run(words, folder, environment):
    return subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True)


def type_all(lines, folder, environment):
    for line in lines:
        done = run(typed(line), folder, environment)
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr


def draw(path, emotion, number, duration_s=1.8):
    rng = np.random.default_rng((CLASSES.index(emotion), number))
    frames, audio = perform(Script(emotion, duration_s, 0.2, duration_s - 0.3), Speaker.draw(rng), rng)
    path.parent.mkdir(parents=True, exist_ok=True)
    media.write_clip(path, frames, FRAME_RATE_HZ, audio, SAMPLE_RATE_HZ)


def test_the_readme_says_what_is_typed():
    """A command from an environment that is made and entered above it, and no road that stops for want of a file."""
    text = README.read_text()
    setup = text.split("## Set up")[1].split("\n## ")[0]
    assert setup.index("make demo") < setup.index(". .venv/bin/activate")
    assert "python cli.py" not in text
    own = commands("Your own clips")
    assert [line.split()[:2] for line in own] == [
        ["dualstream", name] for name in ("manifest", "check", "extract", "inspect", "compare", "diagnose")
    ]
    assert "dialogue" not in " ".join(own)  # a folder of clips has no dialogues
    weights = set(re.findall(r"--video-weights (\S+)", " ".join([*own, *commands("MELD")])))
    assert weights == {"vgg16-397923af.pth"} and f"/{weights.pop()}\n" in setup


def test_the_readme_installs_the_versions_that_the_constraints_name():
    pinned = (ROOT / "constraints.txt").read_text().splitlines()
    named = re.findall(r"\btorch\w*==[\d.]+", README.read_text())
    assert len(named) == 2 and set(named) <= set(pinned)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_road_of_ones_own_clips(folder, environment):
    for emotion in CLASSES:
        for number in range(CLIPS_OF_EACH):
            draw(folder / "clips" / emotion / f"{number}.mp4", emotion, number)
    type_all(commands("Your own clips"), folder, environment)
    assert (folder / "runs" / "compare" / "report.html").is_file()
    assert (folder / "runs" / "diagnosis" / "report.html").is_file()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_road_of_meld(folder, environment):
    options = DemoOptions(dialogues=LEAST_DIALOGUES)
    draw_corpus(folder / "MELD.Raw", list(plan_corpus(options)), options)
    draw(folder / "drawn.mp4", "joy", 0, duration_s=5.0)
    run_ffmpeg("-i", str(folder / "drawn.mp4"), "-c", "copy", str(folder / "episode.mkv"))
    # MELD's own manifest names 13,708 clips that are not here; this one stands in the folder, and comes first
    type_all(["dualstream manifest meld MELD.Raw", *commands("MELD")], folder, environment)
    assert "episode.mkv" in (folder / "episode.html").read_text()
    (code,) = re.findall(r"^```python\n(.*?)^```", README.read_text(), re.S | re.M)
    done = run(["python", "-c", code], folder, environment)
    assert done.returncode == 0, done.stderr
    assert re.search(r"^\d+\.\d+ \w+ \{'emotion': \{", done.stdout, re.M)


@pytest.mark.slow
def test_the_wheel_holds_one_package_and_melds_manifest(folder, environment):
    done = run(["dualstream", "check", "data_manifest.csv", "--no-media", "--json"], folder, environment)
    assert done.returncode == 0, done.stderr
    assert '"utterances": 13708' in done.stdout
    assert "the one that comes with dualstream is read" in done.stderr
    where = "import dualstream, dualstream.pipeline as p; print(dualstream.__file__); print(p.__file__)"
    done = run(["python", "-c", where], folder, environment)
    assert done.returncode == 0 and all("site-packages" in line for line in done.stdout.split())
    assert run(["python", "-m", "dualstream", "--help"], folder, environment).returncode == 0
    hint = "from dualstream.installation import install_hint; print(install_hint('onnx'))"
    assert run(["python", "-c", hint], folder, environment).stdout == (
        "pip install '.[onnx]' in the checkout of dualstream\n"
    )
    packages = Path(done.stdout.split()[0]).parents[1]
    assert {path.name for path in packages.iterdir() if path.suffix not in (".pth", ".dist-info")} == {
        "dualstream"
    }
