"""The directions that import-linter can't see, and what the command line may cost."""

import ast
import functools
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import dualstream

ROOT = Path(__file__).resolve().parents[1]
PARTS = ("features", "heads", "pipeline")
PRODUCT = [path for folder in ("dualstream", *PARTS) for path in (ROOT / folder).rglob("*.py")]


@functools.cache
def imported(path):
    """Return the top names of all modules that a file imports, wherever in it."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def users_of(module):
    """Return the product's files that import a module; ``dualstream.`` before a part of ours may be left out."""
    if module.partition(".")[0] in PARTS:
        module = f"dualstream.{module}"
    return {
        str(path.relative_to(ROOT))
        for path in PRODUCT
        if any(name == module or name.startswith(module + ".") for name in imported(path))
    }


def test_h5py_stays_where_files_are_sealed():
    assert users_of("h5py") == {
        "pipeline/storage/container.py",
        "pipeline/storage/csd.py",
        "pipeline/storage/foreign.py",
        "pipeline/storage/packing.py",
    }


def test_ffmpeg_runs_in_media_alone():
    for module in ("ffmpeg", "imageio_ffmpeg"):
        assert all(path.startswith("features/media/") for path in users_of(module))


def test_processes_are_started_in_media_by_the_demo_and_for_workers_alone():
    places = {path for path in users_of("subprocess") if not path.startswith("features/media/")}
    assert places <= {"pipeline/commands/demo.py", "pipeline/extraction/worker_process.py"}


def test_the_network_is_opened_by_one_file():
    for module in ("urllib.request", "http.client", "socket", "requests", "httpx", "huggingface_hub"):
        assert users_of(module) <= {"pipeline/storage/download.py"}, module


FILES = frozenset(PRODUCT)


@functools.cache
def file_of(module):
    top, _, rest = module.partition(".")
    names = rest.split(".") if top == "dualstream" and rest.partition(".")[0] in PARTS else module.split(".")
    stem = ROOT.joinpath(*names)
    return next((path for path in (stem.with_suffix(".py"), stem / "__init__.py") if path in FILES), None)


def files_used(path):
    """Return the product's files that a file imports; a package's face only where it is asked for a name of its own."""
    names = imported(path)
    taken = {name.rpartition(".")[0] for name in names if not file_of(name)}
    found = {file_of(name): name for name in names}
    return {
        file
        for file, name in found.items()
        if file and file != path and (file.stem != "__init__" or name in taken)
    }


def test_no_file_imports_itself_in_a_circle():
    """Over all imports, those inside functions too."""
    above = {path: files_used(path) for path in PRODUCT}
    assert len(above) > 100 and sum(map(len, above.values())) > len(above)
    while ground := {path for path, uses in above.items() if not uses & above.keys()}:
        above = {path: uses for path, uses in above.items() if path not in ground}
    assert {str(path.relative_to(ROOT)) for path in above} == set()


def test_nobody_imports_the_command_line():
    assert users_of("dualstream.cli") == {"dualstream/__main__.py"}
    assert users_of("cli") == set()


def test_nouns_do_not_import_steps():
    faces = {"dualstream/cli.py", "dualstream/api.py", "dualstream/predictor.py"}
    assert users_of("dualstream.pipeline.commands") <= faces


def test_importing_the_package_loads_nothing_heavy():
    """And offers its names all the same: each is there, and loaded when it is asked for."""
    program = (
        "import sys, dualstream\n"
        "ours = {'torch', 'numpy', 'scipy', 'sklearn', 'h5py', 'pandas', 'librosa', 'matplotlib', 'typer', 'rich'}\n"
        "assert not ours & set(sys.modules), ours & set(sys.modules)\n"
        "for name in dualstream.__all__:\n    assert getattr(dualstream, name) is not None\n"
        "assert 'torch' not in sys.modules and 'librosa' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_face_has_no_other_names():
    assert set(dualstream.__all__) - {"__version__"} == set(dualstream._HOMES)
    assert set(dualstream.__all__) <= set(dir(dualstream))
    with pytest.raises(AttributeError, match="has no attribute 'fit_heads'"):
        _ = dualstream.fit_heads


def test_no_pickle_is_ever_loaded():
    assert users_of("joblib") == {"dualstream/processes.py"} and users_of("dill") == set()
    assert "load" not in (ROOT / "dualstream/processes.py").read_text()
    passed_on = "pipeline/extraction/messages.py"  # between a run and its own workers
    others = "pipeline/storage/plain_pickle.py"  # writes them, and reads them without running them
    assert users_of("pickle") == {"features/weights.py", passed_on, others}
    assert "pickle.load" not in (ROOT / others).read_text() and "loads" not in (ROOT / others).read_text()
    for path in PRODUCT:
        if path.name == "messages.py":
            assert "open(" not in path.read_text()
            continue
        text = path.read_text()
        assert not re.search(r"import pickle|pickle\.load", text), path  # the name of its error is harmless
        assert "allow_pickle=True" not in text, path
        assert "weights_only=False" not in text, path


def test_help_is_light():
    """`--help` of the whole and of each command imports none of the heavy libraries."""
    program = (
        "import sys, runpy\n"
        "sys.argv = ['cli.py', *sys.argv[1:]]\n"
        "try:\n    runpy.run_path('cli.py', run_name='__main__')\n"
        "except SystemExit as end:\n    assert not end.code, end.code\n"
        "heavy = {'torch', 'torchvision', 'librosa', 'sklearn', 'scipy', 'matplotlib', 'h5py', 'numpy'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    for words in (
        ["--help"],
        ["extract", "--help"],
        ["fit-head", "--help"],
        ["diagnose", "--help"],
        ["train-encoder", "--help"],
    ):
        done = subprocess.run([sys.executable, "-c", program, *words], cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("words", [["fit-head", "nowhere.h5", "--fusion", "concat"], ["inspect", "nowhere.h5"]])
def test_no_such_cache_is_status_10(words, tmp_path):
    done = subprocess.run(
        [sys.executable, str(ROOT / "cli.py"), *words], cwd=tmp_path, capture_output=True, text=True,
        env={**os.environ, "NO_COLOR": "1"},
    )  # fmt: skip
    assert done.returncode == 10
    assert "nowhere.h5" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_version_that_is_cited_is_the_package_s():
    assert f"\nversion: {dualstream.__version__}\n" in (ROOT / "CITATION.cff").read_text()


def test_no_hint_names_a_package_of_an_index():
    """``pip install dualstream[...]`` would install whoever takes that name there; see dualstream.installation."""
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    assert [path for path in [*PRODUCT, *pages] if re.search(r"pip install '?dualstream", path.read_text())] == []


def test_benchmarks_set_no_number_of_threads_for_us():
    """What they measure is what a user gets, who sets no variable."""
    found = [
        path.name
        for path in (ROOT / "benchmarks").glob("*.py")
        if re.search("(OMP|MKL|OPENBLAS)_NUM", path.read_text())
    ]
    assert found == []


BENCHES = [*(ROOT / "benchmarks").glob("*.py")]
LINES, OF_FUNCTION = 400, 70


def test_files_and_functions_hold_one_idea_each():
    long = [
        f"{path.relative_to(ROOT)}: {count}" for path in (*PRODUCT, *BENCHES) if (count := lines(path)) > LINES
    ]
    for path in (*PRODUCT, *BENCHES):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and (node.end_lineno or 0) - node.lineno >= OF_FUNCTION:
                long.append(f"{path.relative_to(ROOT)}: {node.name}")
    assert long == []


def lines(path):
    return path.read_text(encoding="utf-8").count("\n")


def test_a_public_class_has_a_name_of_its_own_and_everything_public_a_docstring():
    places, bare = {}, []
    for path in (*PRODUCT, *BENCHES):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if not isinstance(node, ast.ClassDef | ast.FunctionDef) or node.name.startswith("_"):
                continue
            if isinstance(node, ast.ClassDef):
                places.setdefault(node.name, []).append(str(path.relative_to(ROOT)))
            # the names of mistakes say what was done, and `main` what its module does
            if not (path.stem.endswith("damages") or node.name == "main" or ast.get_docstring(node)):
                bare.append(f"{path.relative_to(ROOT)}: {node.name}")
    assert {name: where for name, where in places.items() if len(where) > 1} == {}
    assert bare == []
