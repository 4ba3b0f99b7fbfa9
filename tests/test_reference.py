"""docs/reference/ says what the docstrings say, and holds every name that a page imports."""

import ast
import importlib.util
import re
from pathlib import Path

import pytest

import dualstream

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.fixture(scope="module")
def reference():
    spec = importlib.util.spec_from_file_location("make_reference", ROOT / "docs" / "make_reference.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def made(reference):
    return reference.pages()


def test_it_is_what_the_docstrings_say(made, reference):
    kept = {path.name: path.read_text("utf-8") for path in reference.FOLDER.glob("*.md")}
    assert kept.keys() == made.keys(), "run `make docs`"
    differ = [name for name in made if kept[name] != made[name]]
    assert differ == [], "docs/reference/ is not what the docstrings say: run `make docs`"


def test_every_name_of_the_face_has_a_section_with_words(made):
    sections = dict(re.findall(r"^## (\w+)\n\n```python\n.*?```\n\n(.*?)$", made["python.md"], flags=re.M | re.S))
    assert set(sections) == set(dualstream.__all__) - {"__version__"}
    assert all(len(text.split()) > 3 for text in sections.values())


def test_every_name_that_a_page_imports_is_in_it(reference):
    listed = {
        name
        for names in (reference.OPTIONS, reference.RESULTS, reference.EXTENSION)
        for members in names.values()
        for name in members
    }
    named = set()
    for page in PAGES:
        for block in re.findall(r"^```python\n(.*?)^```$", page.read_text("utf-8"), flags=re.M | re.S):
            for module, names in re.findall(r"^\s*from (dualstream[\w.]*) import (.+)$", block, flags=re.M):
                named |= {(module, name.strip()) for name in names.split(",")}
    faces = {path.rpartition(":")[2] for path in dualstream._HOMES.values()}
    assert len(named) > 10
    assert {one for one in named if one[1] not in {*listed, *faces, *dualstream.__all__}} == set()


def test_links_lead_somewhere(made, reference):
    for name, text in made.items():
        for target in re.findall(r"\]\(([^)#\s]+)", text):
            assert target in made or (reference.FOLDER / target).exists(), f"{name} links to {target}"


def test_a_docstring_of_numpy_s_style_is_markdown(reference):
    text = (
        "Do it.\n\nMore of ``it``.\n\nParameters\n----------\na, b\n    Two\n    lines.\nc\n    One.\n\n"
        "Returns\n-------\nA number."
    )
    assert reference._markdown(text) == (
        "Do it.\n\nMore of `it`.\n\n**Parameters**\n\n- `a, b`: Two lines.\n- `c`: One.\n\n**Returns**\n\nA number.\n"
    )


def test_a_signature_is_cut_at_its_own_commas(reference):
    assert list(reference._split("a: dict[str, int]={}, *, b: Callable[[int, str], None]=f(1, 2)")) == [
        "a: dict[str, int]={}",
        "*",
        "b: Callable[[int, str], None]=f(1, 2)",
    ]


def test_what_only_the_command_line_is_told_is_left_out(reference):
    body = 'a: Annotated[int, Ge(1), Cli(panel=X)] = 2\n"""Some."""\nb: Annotated[Path, Cli(positional=True)]\n_c: int = 0\n'
    (tree,) = ast.parse("class A:\n" + "".join(f"    {line}\n" for line in body.splitlines())).body
    assert list(reference._fields(tree)) == [("a", "Annotated[int, Ge(1)]", "2", "Some."), ("b", "Path", "", "")]
