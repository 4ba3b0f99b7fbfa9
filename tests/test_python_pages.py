"""docs/python.md and the notebook, run as they are written."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from dualstream.pipeline.commands.demo import LEAST_DIALOGUES, DemoOptions, draw_corpus, plan_corpus

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "python.md"
NOTEBOOK = ROOT / "examples" / "quickstart.ipynb"


def run(code, cwd):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "MPLBACKEND": "agg"}
    return subprocess.run([sys.executable, "-c", code], cwd=cwd, env=environment, capture_output=True, text=True)


def blocks(page):
    return re.findall(r"^```python\n(.*?)^```", page.read_text(), re.S | re.M)


def cells(notebook):
    document = json.loads(notebook.read_text())
    assert document["nbformat"] == 4
    return ["".join(one["source"]) for one in document["cells"] if one["cell_type"] == "code"]


@pytest.mark.slow
def test_the_page_s_code_runs_in_order(tmp_path):
    pytest.importorskip("pandas")
    options = DemoOptions(dialogues=LEAST_DIALOGUES)
    draw_corpus(tmp_path / "MELD.Raw", list(plan_corpus(options)), options)
    done = run("\n".join(blocks(PAGE)), tmp_path)
    assert done.returncode == 0, done.stderr
    for shown in re.findall(r"# (\w+Result\([^…\n]*)", PAGE.read_text()):  # what the page says that is printed
        assert shown in done.stdout
    assert "no-such-clip.mp4 has no prediction:" in done.stdout


@pytest.mark.slow
def test_the_notebook_runs_in_order(tmp_path):
    pytest.importorskip("pandas")
    done = run("\n".join(cells(NOTEBOOK)), tmp_path)
    assert done.returncode == 0, done.stderr
    assert "emotion UAR" in done.stdout


@pytest.mark.parametrize("code", [*blocks(PAGE), *cells(NOTEBOOK)], ids=lambda code: code[:30].replace("\n", " "))
def test_every_piece_is_python(code):
    compile(code, "piece", "exec")


def test_the_notebook_keeps_no_output_and_needs_no_shell():
    document = json.loads(NOTEBOOK.read_text())
    for one in document["cells"]:
        assert one["cell_type"] == "markdown" or (one["outputs"] == [] and one["execution_count"] is None)
    assert not [code for code in cells(NOTEBOOK) if re.search(r"^\s*[!%]", code, re.M)]
