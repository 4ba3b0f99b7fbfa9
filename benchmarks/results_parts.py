"""The parts that docs/results.md is made of: what each measures, and what its figures depend on."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from checkout import ROOT

UNITS_HOP_S = 0.5  # action units stand once each half second, so that every window has a row
LINEAR = "linear_video,linear_audio,linear,linear_late,lda_late,linear_lda_late"
FEW = f"{LINEAR},concat,concat_norm"  # what --quick compares
OWN_LIST = "acoustic"  # chosen on RAVDESS: its scores there are optimistic
OTHER_LIST = "acoustic:emodb"  # chosen on EMO-DB alone: RAVDESS had no part in it
EVEN = ("--loss", "cross_entropy")  # acted corpora have about as many clips of each class: nothing to even out


Document = dict[str, Any]


@dataclass(frozen=True)
class ResultsJob:
    """What all parts are told."""

    data: Path
    scratch: Path
    seeds: int
    quick: bool
    meld: Path | None = None
    weights: Path | None = None

    @property
    def parts(self) -> Path:
        """Where the figures of each part are kept."""
        return self.scratch / ("parts-quick" if self.quick else "parts")

    def kept(self, part: str) -> Document:
        """Read what a part measured: ``{"key", "cpu_s", "figures"}``."""
        document: Document = json.loads((self.parts / f"{part}.json").read_text())
        return document

    def cli(self, *words: str) -> str:
        """Run one of the project's commands; return it as the page shows it."""
        done = subprocess.run(
            [sys.executable, str(ROOT / "cli.py"), *words], cwd=ROOT, capture_output=True, text=True
        )
        if done.returncode:
            sys.exit(f"{' '.join(words)}: status {done.returncode}\n{done.stderr[-2000:]}")
        places = {self.data: "DATA", self.scratch: "results", self.weights: "WEIGHTS"}
        shown = " ".join(words)
        for place, name in places.items():
            shown = shown.replace(str(place), name) if place else shown
        return f"dualstream {shown}"


# ---- the road of a user


def emodb_cache(job: ResultsJob) -> Document:
    """Make EMO-DB's manifest and cache."""
    manifest, cache = str(job.scratch / "emodb.csv"), str(job.scratch / "emodb.h5")
    root = str(job.data / "emodb")
    commands = [
        job.cli("manifest", "emodb", root, "--out", manifest, "--replace"),
        job.cli("extract", manifest, "--root", root, "--video", "none", "--out", cache),
    ]
    return {"commands": commands}


def ravdess_cache(job: ResultsJob) -> Document:
    """Make RAVDESS's manifest, its table of action units, and its caches: one a list of acoustic columns."""
    manifest, root = str(job.scratch / "ravdess.csv"), str(job.data / "ravdess")
    commands = [job.cli("manifest", "ravdess", root, "--drop", "calm", "--out", manifest, "--replace")]
    table = job.scratch / "units.npz"
    write_units(job.data / "ravdess", table)
    for audio, cache in ((OTHER_LIST, "ravdess.h5"), (OWN_LIST, "ravdess-own.h5")):
        words = ("--video", f"table:{table}", "--audio", audio, "--out", str(job.scratch / cache))
        commands.append(job.cli("extract", manifest, "--root", root, *words))
    return {"commands": commands}


def write_units(root: Path, table: Path) -> None:
    """Write the action units under the names of the sounds, the utterance's mean once each half second."""
    import csv

    import soundfile

    with (root / "action_units.csv").open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    columns = [name for name in rows[0] if name != "clip"]
    lengths_s = {path.stem: soundfile.info(path).duration for path in sorted((root / "audio").rglob("*.flac"))}
    ids, times, features = [], [], []
    for row in rows:
        name = "03" + row["clip"][2:]  # the films' names begin with 01
        if name not in lengths_s or name.split("-")[2] == "02":  # calm is dropped
            continue
        for time_s in np.arange(UNITS_HOP_S / 2, lengths_s[name], UNITS_HOP_S):
            ids.append(name)
            times.append(time_s)
            features.append([float(row[column]) for column in columns])
    with table.open("wb") as file:
        np.savez(
            file,
            id=np.array(ids),
            time_s=np.array(times),
            features=np.array(features, np.float32),
            columns=columns,
        )


def compare(job: ResultsJob, cache: str, out: str, *words: str) -> Document:
    """Run `compare`, and keep what the page needs of its document."""
    folder = job.scratch / "runs" / out
    how = ("--seeds", str(job.seeds), "--patience", "0", "--threads", "1")
    command = job.cli(
        "compare", str(job.scratch / cache), *words, *how, "--out", str(folder), "--replace", "--no-report"
    )
    return {"command": command, **reduced(json.loads((folder / "compare.json").read_text()))}


def reduced(document: Document) -> Document:
    """Return of a compare.json what the page shows."""
    rows, majority = [], {}
    for row in document["rows"]:
        one = {key: row.get(key) for key in ("variant", "single", "status", "reason", "fit_s")}
        one["chose"] = row.get("chosen") or []  # by `auto`, one name for each fold
        for task, scores in ((row["scores"] or {}).get("tasks") or {}).items():
            kept = ("balanced_accuracy", "weighted_f1", "log_loss", "calibrated_log_loss")
            one[task] = {name: scores[name] for name in kept}
            majority[task] = scores["majority"]
        rows.append(one)
    done = next(row for row in document["rows"] if row["scores"])
    lead = "emotion"
    return {
        "protocol": document["protocol"],
        "speaker_norm": document["speaker_norm"],
        "unit": done["scores"]["unit"],
        "groups": done["scores"]["tasks"][lead]["groups"],
        "best_single": document["best_single"][lead],
        "majority": majority,
        "rows": rows,
        "tests": [test for test in document["tests"] if test["task"] == lead],
        "stream_gains": [gain for gain in document.get("stream_gains", []) if gain["task"] == lead],
    }


def emodb(job: ResultsJob, *words: str) -> Document:
    """Compare the single streams on EMO-DB, one speaker out."""
    how = ("--folds", "speaker", "--fusions", "linear_audio", *EVEN, *words)
    return compare(job, "emodb.h5", f"emodb{''.join(words)}", *how)


def ravdess(job: ResultsJob, out: str, cache: str, fusions: str, *words: str) -> Document:
    """Compare variants on RAVDESS, sixteen actors in four folds."""
    return compare(job, cache, out, "--folds", "speaker:4", "--fusions", fusions, *EVEN, *words)


def meld(job: ResultsJob) -> Document:
    """Take MELD's clips the same road, and score test once with what was chosen without it."""
    assert job.meld is not None
    cache = str(job.scratch / "meld.h5")
    words = ("--root", str(job.meld), "--out", cache, "--video-weights", "imagenet")
    commands = [job.cli("extract", str(ROOT / "data_manifest.csv"), *words)]
    dev = compare(job, "meld.h5", "meld")
    rows = {}
    for name in ("video", "audio", "auto"):
        run = str(job.scratch / "runs" / f"meld-{name}")
        commands.append(job.cli("fit-head", cache, "--fusion", name, "--out", run, "--replace"))
        commands.append(job.cli("evaluate", run, "--split", "test"))
        scores = json.loads((Path(run) / "metrics_test.json").read_text())["tasks"]["emotion"]
        rows[name] = {key: scores[key] for key in ("balanced_accuracy", "weighted_f1", "accuracy", "macro_f1")}
    return {"commands": commands, "dev": dev, "test": rows}


# ---- the studies


def sets(job: ResultsJob) -> list[Document]:
    """Compare feature sets, scored alike."""
    import study_acoustic

    leave_out = ("ComParE_2016",) if job.quick else ()
    return study_acoustic.compare(study_acoustic.corpora(), store(job), leave_out)


def columns(job: ResultsJob) -> Document:
    """Choose the columns again, on each corpus and inside every fold."""
    import study_acoustic
    import study_columns

    return study_columns.select(study_acoustic.corpora(), store(job))


def stress(job: ResultsJob) -> list[Document]:
    """Score damaged sound."""
    import study_acoustic
    import study_stress

    return study_stress.stress(study_acoustic.corpora()[0], store(job))


def store(job: ResultsJob) -> Any:
    """Return where measured feature sets are kept."""
    from study_acoustic import Store

    return Store(job.scratch / "features")


@dataclass(frozen=True)
class MeasuredPart:
    """Something to measure."""

    measure: Callable[[ResultsJob], Any]
    sources: tuple[str, ...]
    """What its figures depend on, patterns below the repository."""
    needs: tuple[str, ...] = ()
    """Parts that must be there before it."""
    wanted: Callable[[ResultsJob], bool] = lambda job: True
    weights: bool = False
    """Whether it reads DUALSTREAM_WEIGHTS."""


EXTRACTED = ("features/**/*.py",)
FITTED = ("heads/**/*.py",)
CHOSEN = ("benchmarks/study_columns.py", "benchmarks/study_stress.py")
STUDIED = ("features/acoustic/*.py", "benchmarks/study_acoustic.py")


def _full(job: ResultsJob) -> bool:
    return not job.quick


PARTS: dict[str, MeasuredPart] = {
    "emodb_cache": MeasuredPart(emodb_cache, EXTRACTED),
    "ravdess_cache": MeasuredPart(ravdess_cache, EXTRACTED),
    "columns": MeasuredPart(columns, (*STUDIED, *CHOSEN), wanted=_full),
    "sets": MeasuredPart(sets, STUDIED),
    "stress": MeasuredPart(stress, (*STUDIED, "benchmarks/study_stress.py"), wanted=_full),
    "emodb": MeasuredPart(emodb, FITTED, needs=("emodb_cache",)),
    "emodb_norm": MeasuredPart(lambda job: emodb(job, "--speaker-norm"), FITTED, needs=("emodb_cache",)),
    "ravdess": MeasuredPart(
        lambda job: ravdess(job, "ravdess", "ravdess.h5", FEW if job.quick else "all"),
        FITTED,
        needs=("ravdess_cache",),
    ),
    "ravdess_norm": MeasuredPart(
        lambda job: ravdess(job, "ravdess-norm", "ravdess.h5", FEW if job.quick else "all", "--speaker-norm"),
        FITTED,
        needs=("ravdess_cache",),
    ),
    "ravdess_own": MeasuredPart(
        lambda job: ravdess(job, "ravdess-own", "ravdess-own.h5", f"{LINEAR},auto"),
        FITTED,
        needs=("ravdess_cache",),
        wanted=_full,
    ),
    "ravdess_own_norm": MeasuredPart(
        lambda job: ravdess(job, "ravdess-own-norm", "ravdess-own.h5", f"{LINEAR},auto", "--speaker-norm"),
        FITTED,
        needs=("ravdess_cache",),
        wanted=_full,
    ),
    "meld": MeasuredPart(meld, (*EXTRACTED, *FITTED), wanted=lambda job: job.meld is not None),
}
