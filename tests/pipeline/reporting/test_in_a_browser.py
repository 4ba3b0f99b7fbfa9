"""Pages in a real browser: nothing is cut on a laptop, nothing stands beyond the edge of a phone, dark is dark."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from dualstream.heads.variants.registry import FitOptions
from dualstream.pipeline.cache import write_cache
from dualstream.pipeline.commands.compare import CompareOptions, compare
from dualstream.pipeline.commands.diagnose import DiagnoseOptions, diagnose
from dualstream.pipeline.commands.evaluate import evaluate
from dualstream.pipeline.commands.fit_head import fit_head
from dualstream.pipeline.reporting.error_browser import ErrorBrowser
from dualstream.pipeline.reporting.prediction_page import prediction_page

from tests import browser
from tests.pipeline.planted_corpus import planted_cache
from tests.pipeline.reporting import test_annotations, test_error_browser

CHROMIUM = browser.find()
pytestmark = [pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine"), pytest.mark.slow]
FIT = FitOptions(seeds=(0, 1), epochs=2, hidden=8, threads=1)


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return a page of each kind."""
    folder = tmp_path_factory.mktemp("pages")
    write_cache(folder / "cache.h5", planted_cache())
    fit_head(folder / "cache.h5", "concat", folder / "run", fit=FIT)
    evaluate(folder / "run")
    chosen = CompareOptions(fusions=("linear_lda_late", "concat_norm", "auto"), folds="speaker:4")
    compare(folder / "cache.h5", folder / "compared", fit=FIT, options=chosen)
    diagnose(folder / "cache.h5", folder / "diagnosed", DiagnoseOptions())
    return {name: folder / name / "report.html" for name in ("run", "compared", "diagnosed")}


@pytest.mark.parametrize("name", ["run", "compared", "diagnosed"])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1280, 768, 390])
def test_a_page_fits_its_window(pages: dict[str, Path], tmp_path: Path, name: str, dark: bool, width: int) -> None:
    check(pages[name], tmp_path, width=width, dark=dark)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1280, 768, 390])
def test_a_page_of_a_recording_fits_its_window(tmp_path: Path, dark: bool, width: int) -> None:
    spans = [(5.0 * k, 5.0 * k + 5.0) for k in range(120)]
    report = test_annotations.report(*(test_annotations.answered("film.mp4", *span, 0) for span in spans))
    rng = np.random.default_rng(0)
    page = prediction_page(report, [test_annotations.timeline(5.0, rng) for _ in spans])
    (tmp_path / "page.html").write_text(page, encoding="utf-8")
    check(tmp_path / "page.html", tmp_path, width=width, dark=dark)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1280, 768, 390])
def test_the_error_browser_fits_its_window(tmp_path: Path, dark: bool, width: int) -> None:
    rows = [test_error_browser.row(f"train_dia{k}_utt0", -1.0, 0.5 * k, label="surprise") for k in range(40)]
    (tmp_path / "page.html").write_text(ErrorBrowser("t", "l", rows, ("face", "voice")).html(), encoding="utf-8")
    check(tmp_path / "page.html", tmp_path, width=width, dark=dark)


ACTED = """<script>
addEventListener("load", async () => {
  const choose = (name, value) => { const one = form.elements[name]; one.value = value;
    one.dispatchEvent(new Event("input", {bubbles: true})); one.dispatchEvent(new Event("change")); };
  const ids = () => [...body.rows].map(row => row.cells[0].firstChild.textContent);
  const said = {plain: ids()};
  choose("by", "stream:voice"); said.voice = ids();
  heads[0].click(); said.id = ids(); heads[0].click(); said.back = ids();
  said.arrow = heads[0].parentElement.getAttribute("aria-sort");
  choose("right", "true"); said.right = ids();
  choose("find", "nobody"); said.none = [ids().length, none.hidden];
  none.querySelector("button").click(); await new Promise(done => setTimeout(done, 20));
  said.again = [ids().length, none.hidden, more.hidden];
  document.title = JSON.stringify(said);
});
</script>"""


def test_the_error_browser_sorts_and_filters(tmp_path: Path) -> None:
    values = {"c": (-3.0, 1.0), "a": (0.5, -2.0), "b": (1.0, 2.0)}
    rows = [
        test_error_browser.row(name, *nats, answer="joy" if name == "b" else "anger")
        for name, nats in values.items()
    ]
    (tmp_path / "page.html").write_text(ErrorBrowser("t", "l", rows, ("face", "voice")).html(), encoding="utf-8")
    assert CHROMIUM is not None
    said = browser.ask(CHROMIUM, tmp_path / "page.html", tmp_path, ACTED)
    assert (said["plain"], said["voice"]) == (["c", "a", "b"], ["a", "c", "b"])
    assert (said["id"], said["back"], said["arrow"]) == (["a", "b", "c"], ["c", "b", "a"], "descending")
    assert (said["right"], said["none"], said["again"]) == (["b"], [0, False], [3, True, True])


def written(tmp_path: Path, count: int) -> Path:
    rows = [test_error_browser.row(f"u{k:03d}", -1.0, 0.5 * k, label="surprise") for k in range(count)]
    (tmp_path / "page.html").write_text(ErrorBrowser("t", "l", rows, ("face", "voice")).html(), encoding="utf-8")
    return tmp_path / "page.html"


LOADED = '<script>addEventListener("load", async () => { const said = {}; %s; document.title = JSON.stringify(said); });</script>'
FOLLOWED = """
  const stands = () => document.activeElement.tagName + " " + (document.activeElement.cells?.[0].firstChild.textContent ?? "");
  more.focus(); more.click(); said.more = [stands(), body.rows.length];
  more.focus(); more.click(); said.last = [stands(), body.rows.length, more.hidden];
  form.elements.find.value = "nobody"; form.elements.right.value = "true"; draw();
  said.asked = count.textContent; said.printed = getComputedStyle(form).display;
  none.querySelector("button").focus(); none.querySelector("button").click();
  await new Promise(done => setTimeout(done, 20));
  said.back = document.activeElement.name; said.all = count.textContent
"""


def test_the_keyboard_goes_on_where_the_list_did(tmp_path: Path) -> None:
    assert CHROMIUM is not None
    said = browser.ask(CHROMIUM, written(tmp_path, 250), tmp_path, LOADED % FOLLOWED)
    assert said["more"] == ["TR u100", 200] and said["last"] == ["TR u200", 250, True]
    assert said["asked"] == "0 of 250 utterances: answer is right, id contains nobody; order: most misled"
    assert said["back"] == "by" and said["all"].startswith("250 of 250 utterances; order: most misled, the first")


PRINTED = """
  said.form = getComputedStyle(form).display;
  said.heads = [...document.querySelectorAll("#list th")].map(one => {
    const button = one.querySelector("button"), after = getComputedStyle(one, "::after").content;
    const shown = !button ? one.textContent : getComputedStyle(button).display === "none" ? JSON.parse(after) : "";
    return shown; });
  said.whole = [...document.querySelectorAll("#list td.named")].every(one => {
    const range = document.createRange(); range.selectNodeContents(one.lastChild);
    const words = range.getClientRects(), chip = one.firstChild.getBoundingClientRect();
    return words.length === 1 && chip.bottom > words[0].top && chip.top < words[0].bottom; })
"""


def test_a_printed_list_names_its_columns(tmp_path: Path) -> None:
    """Chromium leaves buttons out of the head of a table's second page: the words stand there without them."""
    page = written(tmp_path, 3)
    page.write_text(page.read_text("utf-8").replace("@media print", "@media all"), "utf-8")
    assert CHROMIUM is not None
    said = browser.ask(CHROMIUM, page, tmp_path, LOADED % PRINTED, width=760)
    assert said["form"] == "none" and said["whole"]
    assert said["heads"] == [
        "utterance",
        "label",
        "answer",
        "probability of the label",
        "face",
        "voice",
        "misled by",
    ]


def check(page: Path, tmp_path: Path, *, width: int, dark: bool) -> None:
    assert CHROMIUM is not None
    seen = browser.look(CHROMIUM, page, tmp_path, width=width, dark=dark)
    assert seen.page <= seen.width and seen.wide == []
    if width >= 1280:
        assert seen.cut == []
    assert (sum(seen.ground) < sum(seen.ink)) is dark and seen.contrast > 7  # WCAG's level AAA
