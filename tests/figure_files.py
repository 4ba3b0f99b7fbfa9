"""Figures as files, drawn or not: a page draws each figure anyway, and most tests look at no file of one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from dualstream.pipeline.reporting.drawing import Drawing, FileKind

DRAWN = Drawing.file
BLANK: dict[FileKind, bytes] = {"png": b"\x89PNG\r\n\x1a\n", "pdf": b"%PDF-1.4\n"}


@contextmanager
def blank_files() -> Iterator[None]:
    """Let PNG and PDF files of figures begin as such files do, and hold nothing."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Drawing, "file", lambda _, kind: BLANK[kind])
        yield


@contextmanager
def drawn_files() -> Iterator[None]:
    """Draw them all the same, as a decorator or in a block."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Drawing, "file", DRAWN)
        yield
