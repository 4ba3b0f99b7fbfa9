"""The documentation as a site: it builds strictly, every page has its place, and nothing is loaded from outside."""

from __future__ import annotations

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag

import pytest

ROOT = Path(__file__).resolve().parents[1]


class Links(HTMLParser):
    """Where a page leads, what it loads, and the places that it names."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.to: list[str] = []
        self.loads: list[str] = []
        self.names: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.names.add(found.get("id") or found.get("name") or "")
        if tag == "a" and found.get("href"):
            self.to.append(str(found["href"]))
        elif tag in ("script", "img", "iframe") and found.get("src"):
            self.loads.append(str(found["src"]))
        elif tag == "link" and found.get("rel") in ("stylesheet", "icon", "shortcut icon"):
            self.loads.append(str(found.get("href")))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("mkdocs")
    out = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "-q", "-d", str(out)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return out


def test_links_lead_to_places_that_are_there(site: Path) -> None:
    pages = {path.resolve(): Links(path.read_text("utf-8")) for path in site.rglob("*.html")}
    assert len(pages) > 30
    lost = []
    for path, links in pages.items():
        if path.name == "404.html":
            continue
        for link in links.to:
            if re.match(r"[a-z]+:|//", link):
                continue
            file, name = urldefrag(link)
            target = (path.parent / unquote(file)).resolve() if file else path
            if target not in pages or (name and name not in pages[target].names):
                lost.append(f"{path.name}: {link}")
    assert lost == []


def test_nothing_is_loaded_from_outside(site: Path) -> None:
    for path in site.rglob("*.html"):
        assert [one for one in Links(path.read_text("utf-8")).loads if re.match(r"https?:|//", one)] == []


def test_every_page_has_a_place_in_the_site() -> None:
    text = (ROOT / "mkdocs.yml").read_text()
    pages = [path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")]
    assert [page for page in pages if not re.search(rf": {re.escape(page)}$", text, flags=re.MULTILINE)] == []


@pytest.mark.parametrize("option", ["extract"])
def test_the_page_of_a_command_names_all_of_its_options(option: str) -> None:
    """Each option of `extract` stands on its page, but for those that all commands have."""
    import click
    import typer

    from dualstream import cli

    group = typer.main.get_command(cli.app)
    command = group.get_command(click.Context(group), option)  # type: ignore[attr-defined,arg-type]
    page = (ROOT / "docs" / f"{option}.md").read_text()
    known = {
        "--json",
        "--config",
        "--quiet",
        "--verbose",
        "--help",
        "--out",
        "--limit",
        "--dry-run",
        "--region-debug",
    }
    names = {one.opts[0] for one in command.params if one.param_type_name == "option"} - known
    assert [name for name in sorted(names) if f"{name}" not in page] == []
