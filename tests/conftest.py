"""One thread for each process that runs tests, quick fonts in PDF, and a limit of time for a whole test run.

Tests run on all cores already: a process for each (``pytest -n``). Threads of torch inside them wait for each
other, spinning. What a test starts as a process of its own has the user's environment.

Cutting a TrueType font to a figure's letters takes as long as all the rest of a report: what is drawn for other
reasons than its font has the quick kind. A page draws its figures itself: their PNG and PDF files are blank but where
a test looks at them (``tests.figure_files.drawn_files``).

After the limit no test begins, and those that began are not cut off.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator

import pytest

VARIABLE = "OMP_NUM_THREADS"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--not-after",
        type=float,
        metavar="EPOCH_S",
        help="skip each test that would begin after this moment (seconds since 1970)",
    )


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("numprocesses", None) and not hasattr(config, "workerinput"):
        return  # runs no test itself
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # as in a shell's background job; tests press Ctrl-C
        signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.pop("COLUMNS", None)  # which xdist sets for its workers, and tables in a pipe obey
    if VARIABLE in os.environ:
        return
    os.environ[VARIABLE] = "1"  # read once, when the libraries are loaded
    try:
        import numpy  # noqa: F401
        import torch

        torch.set_num_threads(1)
    finally:
        del os.environ[VARIABLE]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Let the tests of whole commands, in this folder itself, come first: a run whose time ends early has run them."""
    items.sort(key=lambda item: item.path.parent != config.rootpath / "tests")


def pytest_runtest_setup(item: pytest.Item) -> None:
    limit = item.config.getoption("--not-after")
    if limit is not None and time.time() > limit:
        pytest.skip("the time of this run is up")


@pytest.fixture(scope="session", autouse=True)
def font_kind() -> Iterator[int]:
    """Draw quickly; give the kind of font that users get."""
    from dualstream.pipeline.reporting.drawing import STYLE

    with pytest.MonkeyPatch.context() as patch:
        kind: int = STYLE["pdf.fonttype"]
        patch.setitem(STYLE, "pdf.fonttype", 3)
        yield kind


@pytest.fixture(scope="session", autouse=True)
def undrawn_figure_files() -> Iterator[None]:
    from tests.figure_files import blank_files

    with blank_files():
        yield
