"""A limit of time for a whole test run: no test begins after it, and those that began are not cut off."""

from __future__ import annotations

import time

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--not-after",
        type=float,
        metavar="EPOCH_S",
        help="skip each test that would begin after this moment (seconds since 1970)",
    )


def pytest_runtest_setup(item: pytest.Item) -> None:
    limit = item.config.getoption("--not-after")
    if limit is not None and time.time() > limit:
        pytest.skip("the time of this run is up")
