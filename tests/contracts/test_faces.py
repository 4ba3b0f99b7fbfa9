"""Every registered face detector and scorer of who talks: named, described, and refusing what it can't be built of."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from dualstream.features.faces import detection, scoring

ROOT = Path(__file__).resolve().parents[2]
DETECTORS, SCORERS = detection.REGISTRY.names(), scoring.REGISTRY.names()
PAGE = (ROOT / "docs" / "faces.md").read_text("utf-8")


@pytest.mark.parametrize("name", DETECTORS)
def test_a_detector_is_described_and_refuses_weights_that_are_not_its(name: str, tmp_path: Path) -> None:
    entry = detection.REGISTRY.get(name)
    assert re.fullmatch(r"[a-z0-9-]+", name) and entry.summary.endswith(".")
    assert f"`{name}`" in PAGE
    if entry.weights:
        with pytest.raises(ValueError, match="--face-weights FILE"):
            detection.build_detector(name, None)
        with pytest.raises(FileNotFoundError):
            detection.build_detector(name, tmp_path / "none")
    else:
        with pytest.raises(ValueError, match="brings its own weights"):
            detection.build_detector(name, tmp_path / "none")


@pytest.mark.parametrize("name", SCORERS)
def test_a_scorer_is_described_and_refuses_weights_that_are_not_its(name: str, tmp_path: Path) -> None:
    entry = scoring.REGISTRY.get(name)
    assert re.fullmatch(r"[a-z0-9-]+", name) and entry.summary.endswith(".")
    assert f"`{name}`" in PAGE
    if entry.weights:
        with pytest.raises(ValueError, match="--speaker-weights FILE"):
            scoring.build_scorer(name, None)
    else:
        with pytest.raises(ValueError, match="no weights to choose"):
            scoring.build_scorer(name, tmp_path / "none")


def test_there_are_some() -> None:
    assert {"blazeface", "yunet", "mtcnn"} <= set(DETECTORS)
    assert {"sync", "lr-asd"} <= set(SCORERS)
