"""What is refused, and the extraction of tables, import neither torch nor librosa nor numba: they take seconds."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PROGRAM = """
import json, sys
sys.path.insert(0, sys.argv[1])
from dualstream.cli import app
heavy = {"torch", "torchvision", "librosa", "numba", "sklearn", "matplotlib"}
ended = []
for words in sys.argv[2:]:
    try:
        app(words.split())
    except SystemExit as end:
        ended.append([end.code or 0, words, sorted(heavy & set(sys.modules))])
print(json.dumps(ended), file=sys.stderr)
"""
REFUSED = [
    (2, "extract none.csv"),
    (2, "extract m.csv --root none"),
    (2, "extract m.csv --video resnet"),
    (2, "extract m.csv --video cnn5 --video-weights none.pth"),
    (2, "extract m.csv --video cnn5 --video-weights random:x"),
    (2, "extract m.csv --video table:none.csv --audio bilstm"),
    (2, "extract m.csv --video table:odd.csv --audio none"),
    (2, "extract m.csv --precision fp64"),
    (2, "extract m.csv --region fcae"),
    (2, "extract m.csv --identity"),
    (2, "extract m.csv --speaker-weights w.pth"),
    (2, "extract m.csv --face-detector blazeface"),
    (2, "extract m.csv --speaker-scorer nobody"),
    (2, "extract m.csv --speaker-margin 1"),
    (2, "extract m.csv --identity-embedder onnx"),
    (2, "extract m.csv --region face"),
    (2, "extract m.csv --region face --face-detector hog"),
    (2, "extract m.csv --region face --face-weights m.csv --speaker-scorer sync"),
    (2, "extract m.csv --region speaker --face-weights m.csv --speaker-scorer hog"),
    (2, "extract m.csv --region speaker --face-weights m.csv --identity --identity-weights none"),
    (2, "extract m.csv --region speaker --face-weights m.csv --video none"),
    (2, "extract m.csv --region face --face-weights m.csv --audio none --channels mix"),
    (2, "extract m.csv --region-debug faces"),
    (2, "extract m.csv --video none --fit crop"),
    (2, "extract m.csv --video none --sampling every:3"),
    (2, "extract m.csv --video none --decode fast"),
    (2, "extract m.csv --audio none --channels mix"),
    (2, "extract m.csv --rate 50"),
    (2, "extract m.csv --video table:t.csv --audio none --max-clip-s 60"),
    (2, "check m.csv --root . --face-detector blazeface"),
    (2, "check m.csv --no-media --ffmpeg nowhere"),
    (2, "check m.csv --no-media --root none"),
    (2, "convert csd m.csv --manifest m.csv --rate 5 --out x.csd"),
    (2, "check none.csv --root ."),
    (2, "check m.csv"),
    (2, "manifest nothing ."),
    (2, "manifest emodb none"),
    (10, "project none.h5"),
    (10, "inspect none.h5"),
    (2, "train-encoder none.csv --encoder cnn5"),
    (2, "train-encoder m.csv --encoder resnet"),
    (2, "train-encoder m.csv --encoder cnn5 --weights none.pth"),
    (2, "train-encoder m.csv --encoder cnn5 --out weights.bin"),
    (10, "fit-head none.h5 --fusion concat"),
    (2, "fit-head none.h5 --fusion nothing"),
    (2, "fit-head none.h5 --fusion concat --loss hinge"),
    (2, "compare none.h5 --fusions nothing"),
    (10, "compare none.h5"),
    (10, "evaluate none"),
    (10, "report none"),
    (10, "diagnose none.h5"),
    (2, "diagnose none.h5 --task mood"),
    (10, "export none --out bundle"),
    (10, "predict none a.mp4"),
    (2, "predict none a.mp4 --timeline 3"),
]
ROWS = "a,a.wav,train,,,,,,joy,positive\nb,b.wav,train,,,,,,anger,negative\nc,c.wav,dev,,,,,,joy,positive\n"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("refusals")
    (place / "m.csv").write_text(f"id,path,split,start_s,end_s,dialogue,turn,speaker,emotion,sentiment\n{ROWS}")
    (place / "t.csv").write_text("id,x,y\na,1,2\nb,2,3\nc,0,1\n")
    (place / "odd.csv").write_text("id,x,y\na,1,much\n")
    return place


def ended(place: Path, *lines: str) -> list[list[object]]:
    """Run commands in one process; return (status, command, what heavy is loaded by then) of each."""
    command = [sys.executable, "-c", PROGRAM, str(ROOT), *lines]
    done = subprocess.run(command, capture_output=True, text=True, cwd=place, timeout=200)
    found: list[list[object]] = json.loads(done.stderr.splitlines()[-1])
    return found


def test_tables_are_extracted_without_torch(place: Path) -> None:
    words = "extract m.csv --root . --video table:t.csv --audio none --out t.h5"
    assert ended(place, words, "inspect t.h5 --json") == [[0, words, []], [0, "inspect t.h5 --json", []]]
    assert (place / "t.h5").is_file()


def test_refusals_are_light(place: Path) -> None:
    found = ended(place, *(words for _, words in REFUSED))
    assert found == [[status, words, []] for status, words in REFUSED]
