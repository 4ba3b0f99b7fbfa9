"""Pages in a real browser: nothing is cut on a laptop, nothing stands beyond the edge of a phone, dark is dark."""

from __future__ import annotations

from pathlib import Path

import pytest
from dualstream.heads.variants.registry import FitOptions
from dualstream.pipeline.cache import write_cache
from dualstream.pipeline.commands.compare import CompareOptions, compare
from dualstream.pipeline.commands.diagnose import DiagnoseOptions, diagnose
from dualstream.pipeline.commands.evaluate import evaluate
from dualstream.pipeline.commands.fit_head import fit_head

from tests import browser
from tests.pipeline.planted_corpus import planted_cache

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
    return {name: next((folder / name).glob("*.html")) for name in ("run", "compared", "diagnosed")}


@pytest.mark.parametrize("name", ["run", "compared", "diagnosed"])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1280, 768, 390])
def test_a_page_fits_its_window(pages: dict[str, Path], tmp_path: Path, name: str, dark: bool, width: int) -> None:
    assert CHROMIUM is not None
    seen = browser.look(CHROMIUM, pages[name], tmp_path, width=width, dark=dark)
    assert seen.page <= seen.width and seen.wide == []
    if width >= 1280:
        assert seen.cut == []
    assert (sum(seen.ground) < sum(seen.ink)) is dark and seen.contrast > 7  # WCAG's level AAA
