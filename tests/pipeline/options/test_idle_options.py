"""No option of any command is parsed and ignored: where it would change nothing, it is refused, or told of.

Each option is listed here as one that acts wherever its command runs, or as one that some combination leaves idle;
a new one fails until it is listed, and each that may be idle has a case that shows what is said then. The options
that shape an extraction have a contract of their own: tests/pipeline/extraction/test_idle_options.py.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import typer
from dualstream.features.media import find_ffmpeg
from dualstream.heads.diagnosis.options import DiagnosisOptions
from dualstream.heads.variants.options import FitOptions
from dualstream.pipeline.cache import write_cache
from dualstream.pipeline.commands import demo, diagnose
from dualstream.pipeline.errors import UsageError
from dualstream.pipeline.experiments import protocol
from dualstream.pipeline.experiments.training_data import read_corpus
from dualstream.pipeline.extraction.options import ExtractionOptions
from dualstream.pipeline.options.corpus import DemoCommand
from dualstream.pipeline.options.generate import options_of
from dualstream.pipeline.options.heads import DiagnoseOptions
from typer.testing import CliRunner

from dualstream import cli
from tests.pipeline.corpora import MELD_MANIFEST, meld_table, touch
from tests.pipeline.planted_corpus import planted_cache

GROUP: Any = typer.main.get_command(cli.app)
COMMON = {"config", "quiet", "verbose"}
DOCUMENT = {*COMMON, "as_json"}
FIT = {one.name for one in dataclasses.fields(FitOptions)}
OF_PROTOCOL = {
    "cache",
    "like",
    "out",
    "folds",
    "streams",
    "speaker_norm",
    "scored",
    "replace",
    "report",
    "dry_run",
}
FACES = {"face_detector", "face_weights", "speaker_scorer", "speaker_weights", "speaker_margin", "speaker_alone"}
ANNOTATIONS = {"vtt", "srt", "elan", "textgrid", "audacity", "rttm"}

ACT: dict[str, set[str]] = {
    "manifest": {
        *DOCUMENT, "corpus", "root", "out", "dev_speakers", "test_speakers", "drop", "speaker_from",
        "dialogue_from", "split_from", "replace", "dry_run",
    },
    "check": {*DOCUMENT, "manifest", "media", "strict"},
    "extract": {
        *DOCUMENT, "manifest", "root", "out", "executor", "shard_size", "replace", "verify_clips", "retry_failed",
        "limit", "part", "dry_run",
    },
    "project": {*DOCUMENT, "cache", "out", "kind", "shards", "dry_run"},
    "inspect": {*DOCUMENT, "cache", "verify"},
    "train-encoder": {
        *DOCUMENT, "manifest", "root", "out", "window_s", "hop_s", "encoder", "weights", "augment", "epochs",
        "patience", "batch_size", "learning_rate", "weight_decay", "loss", "resample", "sample_weight", "unfreeze",
        "precision", "seed", "device", "threads", "workers", "samples", "licence", "ffmpeg", "replace",
        "keep_going", "dry_run",
    },
    "weights": {*DOCUMENT, "action"},
    "fit-head": {*DOCUMENT, *OF_PROTOCOL, "fusion", "joint_decoding"},
    "compare": {*DOCUMENT, *OF_PROTOCOL, "fusions", "workers", "end_to_end", "joint_decoding"},
    "evaluate": {*DOCUMENT, "run", "split", "cache", "streams", "scored", "errors"},
    "report": {*DOCUMENT, "run", "out", "table"},
    "diagnose": {
        *DOCUMENT, "cache", "task", "fusion", "folds", "measures", "limits", "streams", "speaker_norm", "scored",
        "against", "out",
    },
    "export": {*DOCUMENT, "run", "out", "cache", "with_weights", "onnx", "replace"},
    "predict": {*DOCUMENT, "bundle", "files", "csv", "page", "replace"},
    "convert": {*DOCUMENT, "source", "out", "replace"},
    "demo": {*COMMON, "out", "dialogues", "seed", "workers"},
}  # fmt: skip
"""Options that do what they say in every combination that is not refused."""
IDLE: dict[str, set[str]] = {
    "manifest": {"sentiment"},
    "check": {"root", "sound", "workers", "ffmpeg", "faces", *FACES},
    "extract": {
        *(one.name for one in dataclasses.fields(ExtractionOptions)),
        *("workers", "keep_going", "ray_address", "projection", "region_debug"),
    },
    "project": {"width", "streams", "seed"},
    "train-encoder": {
        "sampling", "fit", "channels", "task_balance", "sentiment_weight", "unfreeze_every", "depth_rate",
    },
    "weights": {"name"},
    "fit-head": {*FIT, "ensemble", "tensorboard"},
    "compare": {*FIT, "ensemble"},
    "diagnose": {
        *(FIT - {"tasks", "task_balance", "sentiment_weight", "decoding", "layers"}), "max_shift_s", "manifest",
        "root",
    },
    "predict": {
        "root", "segments", "table", "speaker", "speaker_per_file", "timeline_s", *ANNOTATIONS, "weights", "device",
        "ffmpeg", "workers",
    },
    "convert": {"to", "run", "manifest", "rate"},
}  # fmt: skip
"""Options that a combination leaves nothing to do, which is refused or told of."""

ROWS = "a,a.wav,train,,,,,,joy,positive\nb,b.wav,train,,,,,,anger,negative\nc,c.wav,dev,,,,,,joy,positive\n"
TABLES = "--root . --video table:t.csv --audio none --dry-run"
REFUSED = [
    ("check m.csv --no-media --ffmpeg f", "--ffmpeg f opens clips, which --no-media leaves alone: leave one out"),
    ("check m.csv --no-media --faces", "--faces opens the clips; it does not go with --no-media"),
    ("extract m.csv --ray-address auto", "--ray-address auto is for --executor ray"),
    ("extract m.csv --part 1/2 --projection pca", "give --projection pca to the run without --part"),
    ("extract m.csv --region-debug faces", "found --region frame: name face or speaker, or leave it out"),
    ("weights list vgg16", "expected `weights list`, or `weights get NAME`"),
    ("train-encoder m.csv --encoder bilstm --fit crop", "--fit crop shapes nothing here"),
    ("train-encoder m.csv --encoder cnn5 --channels mix", "--channels mix shapes nothing here"),
    ("train-encoder m.csv --encoder cnn5 --depth-rate 0.5", "--depth-rate 0.5 shapes nothing here"),
    (
        "train-encoder m.csv --encoder cnn5 --task-balance uncertainty --sentiment-weight 2",
        "--sentiment-weight 2.0 shapes nothing here, since the balance of the tasks is uncertainty: leave it out",
    ),
    (
        "train-encoder one.csv --encoder cnn5 --task-balance uncertainty",
        "--task-balance uncertainty shapes nothing here, since train has labels of emotion only: leave it out",
    ),
    (
        "diagnose c.h5 --root .",
        "--root . says where the paths of --manifest start: give that too, or leave it out",
    ),
    ("diagnose c.h5 --no-measures --manifest m.csv", "which --no-measures leaves out: leave one out"),
    (
        "diagnose c.h5 --fusion dialogue:concat_norm --manifest m.csv",
        "--manifest shows pictures in errors.html, and there would be none: dialogue:concat_norm reads whole",
    ),
    ("convert t.csv --out x --to csd --rate 5", "--manifest and --rate are for what is read from others"),
    ("predict none a.mp4 --timeline 3", "--timeline 3 stands in --json and on --page"),
]
TOLD = [
    ("check m.csv --no-media --root .", "--root . is for clips, and --no-media opens none: it changes nothing"),
    ("check m.csv --no-media --no-sound", "--no-sound is for clips"),
    ("check m.csv --no-media --workers 3", "--workers 3 is for clips"),
    (f"extract m.csv {TABLES} --workers 3", "--workers 3 is for reading clips, and all streams are tables"),
    (f"extract m.csv {TABLES} --ffmpeg FFMPEG", "is for reading clips, and all streams are tables"),
    (f"extract m.csv {TABLES} --keep-going", "--keep-going is for reading clips, and all streams are tables"),
    (f"extract m.csv {TABLES} --threads 2", "--threads 2 is for networks"),
    ("fit-head c.h5 --fusion linear --dry-run --epochs 3", "--epochs has no effect: linear is solved"),
    (
        "fit-head c.h5 --fusion concat --dry-run --seeds 1 --ensemble",
        "--ensemble has no effect: there is one seed",
    ),
    ("fit-head c.h5 --fusion linear --dry-run --ensemble", "--ensemble has no effect: every seed of a solved"),
    (
        "compare c.h5 --fusions concat --dry-run --seeds 1 --ensemble",
        "--ensemble has no effect: there is one seed",
    ),
    ("fit-head c.h5 --fusion linear --dry-run --tensorboard t", "--tensorboard has no effect: linear is solved"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("idle")
    head = "id,path,split,start_s,end_s,dialogue,turn,speaker,emotion,sentiment\n"
    (place / "m.csv").write_text(head + ROWS)
    (place / "one.csv").write_text(head + ROWS.replace("positive", "").replace("negative", ""))
    (place / "t.csv").write_text("id,x,y\na,1,2\nb,2,3\nc,0,1\n")
    write_cache(place / "c.h5", planted_cache())
    return place


def said(folder: Path, monkeypatch: pytest.MonkeyPatch, line: str) -> tuple[int, str]:
    """Return the exit status of a command, and all that it said, on lines of any length."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("COLUMNS", "400")
    done = CliRunner().invoke(cli.app, line.replace("FFMPEG", str(find_ffmpeg(None))).split())
    return done.exit_code, done.output


@pytest.mark.parametrize("command", GROUP.list_commands(None))
def test_each_option_of_each_command_is_looked_at(command: str) -> None:
    names = {one.path[-1] for one in options_of(GROUP.get_command(None, command).asked)}
    act, idle = ACT[command], IDLE.get(command, set())
    assert names == act | idle
    assert command == "extract" or not act & idle


@pytest.mark.parametrize(("line", "words"), REFUSED)
def test_what_can_only_be_a_mistake_is_refused(folder: Path, monkeypatch: Any, line: str, words: str) -> None:
    status, output = said(folder, monkeypatch, line)
    assert (status, words in " ".join(output.split())) == (2, True), output


@pytest.mark.parametrize(("line", "words"), TOLD)
def test_what_is_harmless_is_told(folder: Path, monkeypatch: Any, line: str, words: str) -> None:
    status, output = said(folder, monkeypatch, line)
    assert (status, words in " ".join(output.split())) == (0, True), output


@pytest.mark.parametrize("line", ["check m.csv --no-media", f"extract m.csv {TABLES}"])
def test_nothing_is_told_where_nothing_is_idle(folder: Path, monkeypatch: Any, line: str) -> None:
    assert "changes nothing" not in said(folder, monkeypatch, line)[1]


def test_sentiments_of_the_corpus_itself_are_not_left_out(tmp_path: Path, monkeypatch: Any) -> None:
    """`manifest meld --sentiment none` keeps MELD's own, and says so."""
    for split in ("train", "dev", "test"):
        (tmp_path / f"{split}_sent_emo.csv").write_bytes(meld_table(split))
    touch(tmp_path, [row.split(",")[1] for row in MELD_MANIFEST.splitlines()[1:]])
    status, output = said(tmp_path, monkeypatch, "manifest meld . --sentiment none --dry-run")
    assert status == 0
    assert "the corpus labels sentiments itself, and those stay" in " ".join(output.split())


@pytest.mark.parametrize(
    ("asked", "names"),
    [
        ({}, []),
        ({"focal_gamma": 1.0}, ["--focal-gamma"]),
        ({"patience": 0, "watch": "loss"}, ["--watch"]),
        ({"patience": 20}, ["--patience"]),
        ({"balance_strength": 2.0, "penalty": 2.0, "max_windows": 9, "epochs": 3}, []),
    ],
)
def test_a_diagnosis_says_which_options_no_head_uses(
    folder: Path, asked: dict[str, Any], names: list[str]
) -> None:
    fit = dataclasses.replace(DiagnosisOptions().fit, **asked)
    options = DiagnoseOptions(diagnosis=DiagnosisOptions(fit=fit))
    words = diagnose._ignored(read_corpus(folder / "c.h5"), options)
    assert [one.split()[0] for one in words] == names


def test_a_shift_of_streams_without_windows_is_told(folder: Path) -> None:
    corpus = read_corpus(folder / "c.h5")
    streams = {
        name: dataclasses.replace(one, windows=None, window_present=None)
        for name, one in corpus.features.streams.items()
    }
    bare = dataclasses.replace(corpus, features=dataclasses.replace(corpus.features, streams=streams))
    options = DiagnoseOptions(diagnosis=DiagnosisOptions(max_shift_s=1.0))
    assert diagnose._ignored(corpus, options) == []
    assert diagnose._ignored(bare, options) == ["--max-shift 1 has no effect: a stream has no windows to shift"]


def test_an_average_of_seeds_that_differ_is_told_nothing_of() -> None:
    assert protocol.ignored_options(["concat"], FitOptions(), ensemble=True) == []


def test_a_demo_hands_on_what_every_command_takes() -> None:
    assert demo._common(DemoCommand(quiet=True, verbose=2)) == ["--quiet", "--verbose", "--verbose"]
    assert demo._common(DemoCommand()) == []


def test_the_manifest_of_a_diagnosis_is_of_use_or_refused(folder: Path) -> None:
    with pytest.raises(UsageError, match="no fusion variant is called 'nothing'"):
        diagnose._no_errors(
            read_corpus(folder / "c.h5"), DiagnoseOptions(diagnosis=DiagnosisOptions(fusion="nothing"))
        )
