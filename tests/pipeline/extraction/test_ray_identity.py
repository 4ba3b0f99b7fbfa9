"""--region speaker --identity over Ray: parts of an installed package and their weights reach the nodes; same bytes."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from dualstream.features.faces.rows import BY_IDENTITY
from dualstream.pipeline.cache import read_cache

from tests.pipeline.commands.test_extract_cli import REPOSITORY
from tests.pipeline.extraction.test_identity import ROWS, manifest, root  # noqa: F401  # a fixture
from tests.pipeline.extraction.test_ray import LIMIT_S, cluster, command, head  # noqa: F401  # fixtures

pytest.importorskip("ray")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

PACKAGE = '''\
"""A detector and an embedder of colours, each with a file of weights, and an encoder of a frame's middle."""
import hashlib
import numpy as np
from dualstream.features import encoder
from dualstream.features.faces import detection, embedding
from tests.features.planted_faces import ColourDetector
from tests.pipeline.colours import MeanColour, MeanOfMiddle

class Weighed(MeanColour):
    def __init__(self, weights):
        self.sha256 = hashlib.sha256(weights.read_bytes()).hexdigest()
    def to_json(self):
        return {**super().to_json(), "weights": {"source": "file", "sha256": self.sha256, "licence": "none"}}

detection.register("colours", weights=True)(lambda weights: ColourDetector(weights))
embedding.register("people", weights=True)(lambda weights: Weighed(weights))
encoder.register("video", "middle")(lambda argument, options: MeanOfMiddle())
'''
POINTS = """\
[dualstream.encoders]
middle = planted_parts
[dualstream.face_detectors]
colours = planted_parts
[dualstream.face_embedders]
people = planted_parts
"""
FACES = (
    *("--video", "middle", "--audio", "none", "--projection", "none", "--shard-size", "5", "--region", "speaker"),
    *("--face-detector", "colours", "--face-weights", "detector.bin"),
    *("--identity", "--identity-embedder", "people", "--identity-weights", "people.bin"),
)


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return a PYTHONPATH with an installed package of such parts, in all processes."""
    folder = tmp_path_factory.mktemp("package")
    (folder / "planted_parts.py").write_text(PACKAGE)
    facts = folder / "planted_parts-1.0.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: planted-parts\nVersion: 1.0\n")
    (facts / "entry_points.txt").write_text(POINTS)
    return os.pathsep.join([str(folder), str(REPOSITORY)])


def test_identity_over_two_nodes(
    root: Path,  # noqa: F811
    cluster: Any,  # noqa: F811
    package: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Weights by relative paths; the speakers of undecided windows are recovered, as without Ray."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", package)
    for name in ("detector.bin", "people.bin"):
        Path(name).write_text(name)
    manifest(root / "manifest.csv")
    for name in ("first", "second"):
        cluster.add_node(num_cpus=1, node_name=name, env_vars={"PYTHONPATH": package})
    for name, nodes in (("here.h5", None), ("there.h5", cluster)):
        words = command(root, tmp_path / name, *FACES, cluster=nodes)
        done = subprocess.run(words, capture_output=True, text=True, timeout=LIMIT_S)
        assert done.returncode == 0, done.stderr
        assert (
            "--identity uses the manifest's speaker names" in done.stderr and "2 go with 2 speakers" in done.stderr
        )
    cache = read_cache(Path("there.h5"))
    assert Path("there.h5").read_bytes() == Path("here.h5").read_bytes()
    assert cache.provenance["identity"]["tied"] == {"anna": 1, "bela": 1}
    faces = cache.streams["video"].faces
    assert faces is not None and len(cache.utterances.id) == len(ROWS)
    assert (faces.state[: int(cache.offsets[12])] == BY_IDENTITY).all()
