"""What tests of worker processes share."""

from __future__ import annotations

from pathlib import Path

import pytest
from dualstream.pipeline.extraction import clip_workers


@pytest.fixture
def by_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the smallest corpus be read by worker processes."""
    monkeypatch.setattr(clip_workers, "LEAST_CLIPS", 0)


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    (tmp_path / "notes").mkdir()
    return tmp_path / "notes"
