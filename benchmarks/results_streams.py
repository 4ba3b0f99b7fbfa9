"""Parts of docs/results.md on encoders of today and on more than two streams."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from checkout import ROOT
from results_parts import (
    EVEN,
    EXTRACTED,
    FITTED,
    OTHER_LIST,
    OWN_LIST,
    Document,
    MeasuredPart,
    ResultsJob,
    compare,
)
from results_parts import PARTS as EARLIER

NETWORK = "whisper-tiny.en"  # a folder below DUALSTREAM_WEIGHTS
WHISPER = f"audio.{NETWORK}"
THREE = ("video", "audio", WHISPER)
FACE_WHISPER = f"video+{WHISPER}"
JOINED = ("linear", "linear_late", "lda_late", "linear_lda_late")
FUSIONS = ",".join((*JOINED, "auto"))
BY_SPEAKER = {"emodb": "speaker", "ravdess": "speaker:4"}
FACE_TABLE = "meld/openface_au17_train_dev.npz"
UNITS_TOP = 5.0  # the scale of OpenFace's intensities ends here: rows above it are broken


# ---- whisper beside acoustic


def whisper_cache(job: ResultsJob) -> Document:
    """Make the caches in which whisper's rows stand beside the acoustic columns, and RAVDESS's action units."""
    commands = []
    for corpus, video, audio in (
        ("emodb", "none", OWN_LIST),
        ("ravdess", f"table:{job.scratch / 'units.npz'}", OTHER_LIST),
    ):
        words = ("--root", str(job.data / corpus), "--video", video, "--audio", audio)
        words += ("--audio", f"hf:{network(job)}", "--out", str(job.scratch / f"{corpus}-whisper.h5"))
        commands.append(job.cli("extract", str(job.scratch / f"{corpus}.csv"), *words))
    return {"commands": commands}


def network(job: ResultsJob) -> Path:
    """Return the folder of whisper-tiny.en."""
    assert job.weights is not None
    return job.weights / NETWORK


def emodb_whisper(job: ResultsJob, *words: str) -> Document:
    """Compare and join acoustic and whisper on EMO-DB, one speaker out."""
    how = ("--streams", f"audio,{WHISPER}", "--folds", BY_SPEAKER["emodb"], "--fusions", FUSIONS, *EVEN, *words)
    found = compare(job, "emodb-whisper.h5", f"emodb-whisper{''.join(words)}", *how)
    pairs = [(f"linear:{WHISPER}", "linear_audio"), ("linear_lda_late", f"linear:{WHISPER}")]
    return {**found, "pairs": paired(job, "emodb", ("audio", WHISPER), pairs, norm=bool(words))}


def ravdess_whisper(job: ResultsJob, *words: str) -> Document:
    """Compare and join action units, acoustic and whisper on RAVDESS: each alone, two and two, all three."""
    two = (f"{name}:{FACE_WHISPER}" for name in JOINED)
    fusions = ",".join((FUSIONS, *two))
    how = ("--streams", ",".join(THREE), "--folds", BY_SPEAKER["ravdess"], "--fusions", fusions, *EVEN, *words)
    found = compare(job, "ravdess-whisper.h5", f"ravdess-whisper{''.join(words)}", *how)
    pairs = [
        (f"linear:{WHISPER}", "linear_audio"),
        *((f"{name}:{FACE_WHISPER}", f"linear:{WHISPER}") for name in JOINED[1::2]),
        *((name, single) for name in JOINED[1::2] for single in ("linear_audio", f"linear:{WHISPER}")),
        *((name, f"{name}:{FACE_WHISPER}") for name in JOINED),
        *((name, f"{name}:video+audio") for name in JOINED[1::2]),
    ]
    return {**found, "pairs": paired(job, "ravdess", THREE, pairs, norm=bool(words))}


def unprojected(job: ResultsJob) -> Document:
    """Score three streams on RAVDESS with whisper's own 384 columns in place of 192: what the projection takes."""
    cache = str(job.scratch / "ravdess-wide.h5")
    command = job.cli("project", str(job.scratch / "ravdess-whisper.h5"), "--kind", "none", "--out", cache)
    fusions = ",".join((*JOINED, *(f"{name}:{FACE_WHISPER}" for name in JOINED)))
    found: Document = {"commands": [command]}
    for name, words in (("as_is", ()), ("norm", ("--speaker-norm",))):
        how = ("--streams", ",".join(THREE), "--folds", BY_SPEAKER["ravdess"], "--fusions", fusions, *EVEN, *words)
        found[name] = compare(job, "ravdess-wide.h5", f"ravdess-wide-{name}", *how)
    return found


def paired(
    job: ResultsJob, corpus: str, streams: Sequence[str], pairs: Sequence[tuple[str, str]], *, norm: bool
) -> list[Document]:
    """Compare closed-form variants two by two on the same utterances, as `compare` holds each to the best stream.

    Emotion's UAR, first less second, with its interval over speakers; p is Holm's, corrected over these pairs.
    """
    from dualstream.heads.evaluation.statistics import holm
    from dualstream.heads.variants.options import FitOptions
    from dualstream.pipeline.experiments.options import DecodingOptions, agreed
    from dualstream.pipeline.experiments.parallel import VariantJob, fit_all
    from dualstream.pipeline.experiments.protocol import plan
    from dualstream.pipeline.experiments.scoring import compare_to
    from dualstream.pipeline.experiments.training_data import read_corpus

    cache = job.scratch / f"{corpus}-whisper.h5"
    read = read_corpus(cache, streams={one: one for one in streams}, speaker_norm=norm)
    planned = plan(read, BY_SPEAKER[corpus])
    fit, answering = agreed(FitOptions(seeds=(0,), loss="cross_entropy", patience=0), DecodingOptions())
    names = list(dict.fromkeys(name for pair in pairs for name in pair))
    _, predictions, _ = fit_all(VariantJob(planned, fit, answering), names, workers=1, progress=None)
    classes = {task: len(read.vocabulary[task]) for task in fit.tasks}
    _, groups = planned.clusters()
    found = [
        compare_to(predictions[one], predictions[other], groups, classes=classes, tasks=("emotion",))["emotion"]
        for one, other in pairs
    ]
    corrected = holm([one.p_value for one in found])
    return [
        {
            "variant": name,
            "against": other,
            "difference": one.difference,
            "interval": list(one.interval),
            "p_holm": p,
        }
        for (name, other), one, p in zip(pairs, found, corrected, strict=True)
    ]


# ---- layers


def layers(job: ResultsJob) -> Document:
    """Read whisper's layers in every way, on both corpora and across them."""
    import study_layers

    scratch = job.scratch / "layers"
    scratch.mkdir(parents=True, exist_ok=True)
    return study_layers.figures(study_layers.extract(job.data, network(job), scratch))


# ---- two corpora of tables


def cremad_votes(job: ResultsJob) -> Document:
    """Join the votes of people who heard and who saw CREMA-D's clips; actors of dev are scored."""
    folder, cache = job.data / "cremad_votes", str(job.scratch / "cremad.h5")
    words = ("--video", f"table:{folder / 'video_votes.npz'}", "--audio", f"table:{folder / 'audio_votes.npz'}")
    command = job.cli("extract", str(folder / "manifest.csv"), *words, "--out", cache)
    fusions = f"{FUSIONS},concat_norm"
    return {
        "commands": [command],
        **compare(job, "cremad.h5", "cremad", "--tasks", "emotion", "--fusions", fusions, *EVEN),
    }


def meld_face(job: ResultsJob) -> Document:
    """Score MELD's dev by action units, as they were found and without the rows that are broken or empty."""
    manifest, cleaned = job.scratch / "meld-train-dev.csv", job.scratch / "meld-face-clean.npz"
    write_train_dev(manifest)
    removed = write_clean(job.data / FACE_TABLE, cleaned)
    found: Document = {"commands": [], "removed": removed}
    for name, table in (("as_found", job.data / FACE_TABLE), ("clean", cleaned)):
        cache = f"meld-face-{name}.h5"
        words = ("--video", f"table:{table}", "--audio", "none", "--out", str(job.scratch / cache))
        found["commands"].append(job.cli("extract", str(manifest), *words))
        fusions = "linear_video,dialogue:video,auto"
        found[name] = compare(job, cache, f"meld-face-{name}", "--tasks", "emotion", "--fusions", fusions)
    return found


def write_train_dev(target: Path) -> None:
    """Write MELD's manifest without test, of which there are no action units."""

    head, *lines = (ROOT / "data_manifest.csv").read_text().splitlines()
    split = head.split(",").index("split")
    kept = [line for line in lines if line.split(",")[split] != "test"]
    target.write_text("\n".join((head, *kept)) + "\n")


def write_clean(source: Path, target: Path) -> Document:
    """Write a table without its broken rows (beyond the scale) and its empty ones (all zero); count both."""
    import numpy as np

    with np.load(source, allow_pickle=False) as table:
        arrays = {name: table[name] for name in table.files}
    rows = arrays["features"]
    broken, empty = (~np.isfinite(rows) | (rows > UNITS_TOP)).any(1), (rows == 0).all(1)
    keep = ~(broken | empty)
    with target.open("wb") as file:
        np.savez(file, **{name: one[keep] if len(one) == len(keep) else one for name, one in arrays.items()})
    return {"broken": int(broken.sum()), "empty": int(empty.sum()), "kept": int(keep.sum())}


def _weighed(measure: object, *needs: str, sources: tuple[str, ...] = FITTED) -> MeasuredPart:
    own = (*sources, "benchmarks/results_streams.py")
    return MeasuredPart(measure, own, needs=needs, wanted=lambda job: job.weights is not None, weights=True)  # type: ignore[arg-type]


STREAMS: dict[str, MeasuredPart] = {
    "whisper_cache": _weighed(whisper_cache, "emodb_cache", "ravdess_cache", sources=EXTRACTED),
    "emodb_whisper": _weighed(emodb_whisper, "whisper_cache"),
    "emodb_whisper_norm": _weighed(lambda job: emodb_whisper(job, "--speaker-norm"), "whisper_cache"),
    "ravdess_whisper": _weighed(ravdess_whisper, "whisper_cache"),
    "ravdess_whisper_norm": _weighed(lambda job: ravdess_whisper(job, "--speaker-norm"), "whisper_cache"),
    "unprojected": _weighed(unprojected, "whisper_cache"),
    "layers": _weighed(layers, sources=(*EXTRACTED, *FITTED, "benchmarks/study_layers.py")),
    "cremad_votes": MeasuredPart(cremad_votes, FITTED, wanted=lambda job: not job.quick),
    "meld_face": MeasuredPart(meld_face, FITTED, wanted=lambda job: not job.quick),
}
PARTS: dict[str, MeasuredPart] = {**EARLIER, **STREAMS}
