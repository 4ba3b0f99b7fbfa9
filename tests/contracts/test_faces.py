"""Every registered face detector and scorer of who talks: named, described, and refusing what it can't be built of."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from dualstream.features.faces import detection, embedding, scoring
from dualstream.features.faces.parts import PartRegistry

ROOT = Path(__file__).resolve().parents[2]
DETECTORS, SCORERS, EMBEDDERS = detection.REGISTRY, scoring.REGISTRY, embedding.REGISTRY
PAGE = (ROOT / "docs" / "faces.md").read_text("utf-8")
CASES = [
    *(
        pytest.param(DETECTORS, name, "--face-weights FILE", "brings its own weights")
        for name in DETECTORS.names()
    ),
    *(pytest.param(SCORERS, name, "--speaker-weights FILE", "no weights to choose") for name in SCORERS.names()),
    *(
        pytest.param(EMBEDDERS, name, "--identity-weights FILE", "no weights to choose")
        for name in EMBEDDERS.names()
    ),
]


@pytest.mark.parametrize(("registry", "name", "needed", "refused"), CASES)
def test_a_part_is_described_and_refuses_weights_that_are_not_its(
    registry: PartRegistry[object], name: str, needed: str, refused: str, tmp_path: Path
) -> None:
    entry = registry.get(name)
    assert re.fullmatch(r"[a-z0-9-]+", name) and entry.summary.endswith(".")
    assert f"`{name}`" in PAGE
    if entry.weights:
        with pytest.raises(ValueError, match=needed):
            registry.build(name, None)
        with pytest.raises(FileNotFoundError):
            registry.build(name, tmp_path / "none")
    else:
        with pytest.raises(ValueError, match=refused):
            registry.build(name, tmp_path / "none")


def test_there_are_some() -> None:
    assert {"blazeface", "yunet", "mtcnn"} <= set(DETECTORS.names())
    assert {"sync", "lr-asd"} <= set(SCORERS.names())
    assert {"face-api", "onnx"} <= set(EMBEDDERS.names())
