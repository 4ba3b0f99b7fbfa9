"""--region speaker by lr-asd on real clips of two faces: any workers, kills and parts give the same bytes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from dualstream.features.faces.rows import BY_MARGIN
from dualstream.pipeline.cache import read_cache
from dualstream.pipeline.commands.extract import extract
from dualstream.pipeline.corpus.manifest import Manifest, write_manifest
from dualstream.pipeline.corpus.utterance import Utterance
from dualstream.pipeline.extraction.recipe import ExtractionOptions
from dualstream.pipeline.extraction.request import RunOptions

from tests.pipeline.commands.test_extract_cli import REPOSITORY

WEIGHTS, DATA = (os.environ.get(name, "") for name in ("DUALSTREAM_WEIGHTS", "DUALSTREAM_DATA"))
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.skipif(not (WEIGHTS and DATA), reason="DUALSTREAM_WEIGHTS and DUALSTREAM_DATA are not set"),
]
FACE = Path(WEIGHTS) / "face"
OPTIONS = ExtractionOptions(
    video=("cnn5",),
    video_weights=("random:0",),
    audio=("none",),
    device="cpu",
    region=("speaker",),
    face_weights=FACE / "face_detection_full_range_sparse.tflite",
    speaker_scorer="lr-asd",
    speaker_weights=FACE / "lr_asd_ava.pt",
)
SPANS = (("s0_still", 1.9, 4.0), ("s1_still", 1.9, 4.0), ("s2_both", 3.2, 5.2), ("s1_both", 0.0, 2.0))
LIMIT_S = 200


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two faces side by side, in most of which the speaker changes."""
    pytest.importorskip("ai_edge_litert")
    rows = [
        Utterance(f"u{number}", f"{name}.mp4", "train", start_s=start_s, end_s=end_s, emotion="joy")
        for number, (name, start_s, end_s) in enumerate(SPANS)
    ]
    path = tmp_path_factory.mktemp("speakers") / "m.csv"
    write_manifest(Manifest(tuple(rows)), path)
    return path


def run(manifest: Path, out: Path, *, workers: int, part: str | None = None) -> tuple[int, int]:
    """Extract; return how many utterances were made and kept."""
    how = RunOptions(workers=workers, shard_size=1, projection=None if part else "none", part=part)
    report = extract(manifest, root=Path(DATA) / "two_faces", out=out, options=OPTIONS, run=how)
    return report.made, report.kept


@pytest.fixture(scope="module")
def reference(manifest: Path) -> bytes:
    """Extract by one worker; some windows are decided between two faces."""
    out = manifest.with_name("reference.h5")
    run(manifest, out, workers=1)
    faces = read_cache(out).streams["video"].faces
    assert faces is not None
    left = faces.box[faces.state == BY_MARGIN, 0] < 0.4
    assert left.any() and not left.all()
    return out.read_bytes()


def test_two_workers_that_are_killed_and_four_that_go_on(manifest: Path, reference: bytes, tmp_path: Path) -> None:
    out = tmp_path / "c.h5"
    words = [
        *(sys.executable, str(REPOSITORY / "cli.py"), "extract", str(manifest), "--out", str(out)),
        *("--root", f"{DATA}/two_faces", "--video", "cnn5", "--video-weights", "random:0", "--audio", "none"),
        *("--device", "cpu", "--region", "speaker", "--face-weights", str(OPTIONS.face_weights)),
        *("--speaker-scorer", "lr-asd", "--speaker-weights", str(OPTIONS.speaker_weights)),
        *("--shard-size", "1", "--projection", "none", "--workers", "2", "--quiet"),
    ]
    process = subprocess.Popen(words)
    end_s = time.monotonic() + LIMIT_S
    while not list(tmp_path.rglob("shard-*.h5")) and process.poll() is None:
        assert time.monotonic() < end_s
        time.sleep(0.01)
    process.kill()
    assert process.wait(LIMIT_S) == -signal.SIGKILL and not out.exists()
    made, kept = run(manifest, out, workers=4)
    assert kept >= 1 and made + kept == len(SPANS)
    assert out.read_bytes() == reference


def test_parts_by_different_numbers_of_workers(manifest: Path, reference: bytes, tmp_path: Path) -> None:
    out = tmp_path / "c.h5"
    assert run(manifest, out, workers=2, part="2/2") == (2, 0)
    assert run(manifest, out, workers=4, part="1/2") == (2, 0)
    assert run(manifest, out, workers=1) == (0, len(SPANS))
    assert out.read_bytes() == reference
