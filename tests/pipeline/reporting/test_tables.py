"""Tables are as wide as what reads them: a terminal, COLUMNS, or a pipe of unknown width."""

from __future__ import annotations

import io

import pytest
from dualstream.pipeline.reporting.tables import PIPE_WIDTH, console


@pytest.mark.parametrize(("columns", "width"), [("80", 80), ("200", 200), ("", PIPE_WIDTH), ("wide", PIPE_WIDTH)])
def test_a_pipe_is_as_wide_as_columns_says(monkeypatch: pytest.MonkeyPatch, columns: str, width: int) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    assert console(io.StringIO()).width == width


def test_a_pipe_of_unknown_width_is_wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    assert console(io.StringIO()).width == PIPE_WIDTH
