"""Every command and link in the README and the documents is real."""

import dataclasses
import importlib
import pkgutil
import re
import shlex
from pathlib import Path
from typing import is_typeddict

import click
import pytest
import typer
from dualstream.features import encoder
from dualstream.pipeline import provenance
from dualstream.pipeline.bundles import manifest, predictions
from dualstream.pipeline.encoder_training import document as encoder_training

from dualstream import cli, pipeline
from dualstream.documents import Document

ROOT = Path(__file__).resolve().parents[1]
SYNOPSIS = r"\[|\b(ROOT|CORPUS|MANIFEST|FILE|RUN|BUNDLE|NAME)\b|⏎"  # shows what may be said, or a file's text
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])


def commands(page):
    """Yield the words after `dualstream` of each command line that the page shows."""
    text = page.read_text().replace("\\\n", " ")
    for line in text.splitlines():
        found = re.match(r"(?:    |\$ )dualstream (.+)", line)
        if found and not re.search(SYNOPSIS, found.group(1)):
            yield found.group(1).split("  #")[0].strip()


CASES = [(page.name, words) for page in PAGES for words in commands(page)]


@pytest.mark.parametrize(("page", "words"), CASES, ids=[f"{page}: {words[:40]}" for page, words in CASES])
def test_command_lines_are_understood(page, words):
    group = typer.main.get_command(cli.app)
    name, *rest = shlex.split(words)
    command = group.get_command(click.Context(group), name)
    assert command is not None, f"{page} shows a command {name!r} that is not there"
    command.make_context(name, rest, resilient_parsing=False)  # raises on an unknown or ill-formed option


def test_there_are_commands_to_check():
    assert len([page for page, _ in CASES if page == "README.md"]) >= 8


def test_pages_show_the_command_that_is_installed():
    """``python cli.py`` runs in a checkout only; docs/command_line.md says so, and every other line is for all."""
    files = [
        *PAGES,
        *(ROOT / name for name in ("CONTRIBUTING.md", "ARCHITECTURE.md", "benchmarks/results_template.md")),
    ]
    assert [path.name for path in files if "python cli.py" in path.read_text()] == ["command_line.md"]
    places = [
        place for part in ("dualstream", "features", "heads", "pipeline") for place in (ROOT / part).rglob("*.py")
    ]
    assert [place for place in places if "python cli.py" in place.read_text()] == []


@pytest.mark.parametrize("page", PAGES, ids=[page.name for page in PAGES])
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#\s]+)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


@pytest.mark.parametrize("page", PAGES, ids=[page.name for page in PAGES])
def test_sources_that_are_named_exist(page):
    for name in re.findall(r"\b(?:benchmarks|features|heads|pipeline|tests)/[\w/]+\.py\b", page.read_text()):
        assert (ROOT / name).exists(), f"{page.name} names {name}"


def test_every_benchmark_is_in_their_list():
    """In both directions: each program has its place, and none is listed that has gone."""
    folder = ROOT / "benchmarks"
    text = (folder / "README.md").read_text()
    named = set(re.findall(r"`(\w+\.py)`", text))
    programs = {
        path.name
        for kind in ("bench_*.py", "study_*.py", "gpu_box.py", "mistakes.py")
        for path in folder.glob(kind)
    }
    assert programs <= named and all((folder / name).exists() for name in named)


def documents(kind=Document):
    """Yield every class of document below a class."""
    for one in kind.__subclasses__():
        yield one
        yield from documents(one)


def test_every_document_of_a_file_or_of_json_is_described():
    for module in pkgutil.walk_packages(pipeline.__path__, "dualstream.pipeline."):
        if not module.name.endswith("remote"):  # needs ray
            importlib.import_module(module.name)
    page = (ROOT / "docs" / "json.md").read_text()
    sections = {part.partition("\n")[0]: part for part in page.split("\n### ")[1:]}
    flattened = {"holds", "found", "states_stopping", "document"}  # their keys stand beside the others, or nowhere
    renamed = {
        ("MajorityReport", "name"): "class",
        ("MajorityReport", "base"): "from",
        ("MajorityLine", "line"): "name",
    }
    kinds = [one for one in documents() if one.FORMAT]
    assert len(kinds) >= 18 and len({one.FORMAT for one in kinds}) == len(kinds)
    for kind in (one for one in documents() if one.__module__.startswith("dualstream.")):
        title = kind.FORMAT or ("dualstream manifest" if kind.__name__ == "ManifestSummary" else kind.__name__)
        assert title in sections, f"docs/json.md has no section {title}"
        for name in {field.name for field in dataclasses.fields(kind)} - flattened:
            key = renamed.get((kind.__name__, name), name)
            assert f"| `{key}` |" in sections[title], f"docs/json.md does not say what {title} has in {key}"
    for kind in typed_dictionaries(provenance, encoder, manifest, predictions, encoder_training):
        for key in kind.__annotations__:
            assert f"| `{key}` |" in sections[kind.__name__], f"docs/json.md: {kind.__name__} lacks {key}"


def typed_dictionaries(*modules):
    """Return the classes of typed dictionaries that some modules define."""
    found = [
        one
        for module in modules
        for one in vars(module).values()
        if is_typeddict(one) and one.__module__ == module.__name__
    ]
    assert len(found) >= 12
    return found
