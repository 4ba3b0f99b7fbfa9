"""Real corpora as diagnoses tell them: what is known of each, and what is found. For docs/fusion.md.

    DUALSTREAM_DATA=FOLDER python benchmarks/study_stories.py [--part meld,cremad,pom,mosi] [--out FOLDER]
                                                              [--measures]

MELD's face stream (17 action units; upper and lower half of the face as two streams), CREMA-D's votes (people
who heard, people who saw), POM (half of the reviews without a face), and MOSI: its own clock, and the same
windows with the sound moved by -1.5 to +1.5 s, which the offset curve is to find. Caches are kept in --out and
not made again. With --measures only how the streams work together is told: no change is tried, no mistake sought.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import checkout  # noqa: F401
import numpy as np
from dualstream.heads.data.batch import FeatureSet, StreamArrays, stream_order
from dualstream.heads.diagnosis import changes, conclusion, diagnose
from dualstream.heads.diagnosis.alignment import offset_curve
from dualstream.heads.diagnosis.evidence import DiagnosisOptions
from dualstream.heads.diagnosis.measures import Measures, measure
from dualstream.heads.diagnosis.refit import Trial, grouping, pool, refit
from dualstream.heads.diagnosis.trials import PATIENCE, single_stream
from dualstream.heads.variants.registry import FitOptions
from dualstream.pipeline.commands.demo import run_command
from dualstream.pipeline.experiments.training_data import read_corpus
from dualstream.pipeline.reporting import measures
from frozen_rows import folder_of
from study_joint import meld_face

from dualstream.cores import one_core

UPPER = (0, 1, 2, 3, 4, 5, 6, 16)  # of the 17: brows, lids, cheeks, nose and blinks; the others are of the mouth
SHIFTS_S = (-1.5, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5)
HOP_S = 0.5


def main() -> None:
    """Tell the stories that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", default="meld,cremad,pom,mosi")
    parser.add_argument("--out", type=Path, default=Path("results/stories"))
    parser.add_argument("--fusion", default="concat_norm")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--measures", action="store_true")
    words = parser.parse_args()
    data = folder_of("DUALSTREAM_DATA")
    words.out.mkdir(parents=True, exist_ok=True)
    stories: dict[str, Callable[[Path, argparse.Namespace], None]] = {
        "meld": meld, "cremad": cremad, "pom": pom, "mosi": mosi
    }  # fmt: skip
    for part in words.part.split(","):
        started = time.process_time()
        with one_core():
            stories[part](data, words)
        print(f"({time.process_time() - started:.0f} s of processor time)", flush=True)


def meld(data: Path, words: argparse.Namespace) -> None:
    """MELD's real face stream, train and dev: the halves of the face as two streams."""
    corpus, train, dev = meld_face(data / "meld")
    face = corpus.streams["video"]
    seen = face.utterance.any(axis=1)  # 89 rows are zeros: no face was found
    halves = {
        "video": StreamArrays(face.utterance[:, list(UPPER)], seen),
        "audio": StreamArrays(np.delete(face.utterance, UPPER, axis=1), seen),
    }
    corpus = replace(corpus, streams=halves)
    told("MELD, upper half of the face as video, lower half as audio", corpus, train, dev, "emotion", words)


def cremad(data: Path, words: argparse.Namespace) -> None:
    """Votes of people who heard and of people who saw; joined by a linear head they are known to score 0.773."""
    of_cache("CREMA-D, votes", data / "cremad_votes", "video_votes", "audio_votes", "emotion", words)


def pom(data: Path, words: argparse.Namespace) -> None:
    """Reviews of which half have no row of the face."""
    of_cache("POM, aligned to words", data / "pom_aligned", "video_words", "audio_words", "sentiment", words)


def mosi(data: Path, words: argparse.Namespace) -> None:
    """MOSI's own clock: the diagnosis, and shifts of the sound that the offset curve is to find."""
    cache = of_cache("MOSI, face geometry and sound", data / "mosi", "face_geometry", "", "sentiment", words)
    if words.measures:
        return
    features = read_corpus(cache).features
    # within an utterance rows are centred: what eight speakers' dialogues hold together may be told apart here
    by_utterance = replace(features, dialogue=np.arange(len(features)))
    for unit, corpus in (("dialogue", features), ("utterance", by_utterance)):
        print(f"\n| sound moved by | peak | interval over {unit}s | p | verdict |\n|---|---|---|---|---|")
        for shift_s in SHIFTS_S:
            # `shifted` pairs a picture with the sound so many hops later: sound that comes late is found there
            moved = changes.shifted(-round(shift_s / HOP_S))(corpus)(corpus)
            curve = offset_curve(moved, hop_s=HOP_S)
            low, high = curve.peak_interval_s
            cells = f"{curve.peak_s:+.1f} s | {low:+.1f} to {high:+.1f} | {curve.p_value:.3f} | {curve.verdict}"
            print(f"| {shift_s:+.1f} s | {cells} |", flush=True)


def of_cache(title: str, folder: Path, video: str, audio: str, task: str, words: argparse.Namespace) -> Path:
    """Extract a corpus's tables, its sound where there is no table of it, and tell its story; return the cache."""
    cache = words.out / f"{folder.name}.h5"
    if not cache.exists():
        sound = f"table:{folder / f'{audio}.npz'}" if audio else "acoustic"
        manifest = str(folder / "manifest.csv")
        asked = ["extract", manifest, "--root", str(folder), "--video", f"table:{folder / f'{video}.npz'}"]
        run_command([*asked, "--audio", sound, "--out", str(cache)], print)
    corpus = read_corpus(cache)
    parts = [np.flatnonzero(corpus.splits == split) for split in ("train", "dev")]
    told(title, corpus.features, parts[0], parts[1], task, words)
    return cache


def told(
    title: str,
    features: FeatureSet,
    train: np.ndarray,
    dev: np.ndarray,
    task: str,
    words: argparse.Namespace,
) -> None:
    """Diagnose and print: causes, scores, what gained, and how the streams work together."""
    fit = FitOptions(seeds=tuple(range(words.seeds)), threads=1)
    options = DiagnosisOptions(fusion=words.fusion, task=task, fit=fit)  # type: ignore[arg-type]
    parts = features.take(train), features.take(dev) if len(dev) else None
    if words.measures:
        measured(title, *parts, options)
        return
    found = diagnose(*parts, options)
    evidence = found.evidence
    print(f"\n### {title}: {evidence.utterances} utterances of {evidence.groups} {evidence.grouped_by}s, {task}\n")
    for cause in found.causes:
        print(f"- *{conclusion.title(cause.name)}*: {cause.text}. {cause.advice}")
    print(f"\n| balanced accuracy | {words.fusion} | gain |\n|---|---|---|")
    print(f"| chance | {evidence.strength.chance:.1%} | |")
    for name, score in evidence.scores.items():
        print(f"| {name} | {score.mean:.1%} | |")
    for change in evidence.interventions.values():
        low, high = change.gain.interval or (float("nan"),) * 2
        print(
            f"| {change.name} | {change.score.mean:.1%} | "
            f"{change.gain.difference:+.1%} ({low:+.1%} to {high:+.1%}) |"
        )
    assert evidence.measures is not None
    print()
    say(evidence.measures, words.fusion)


def measured(title: str, train: FeatureSet, dev: FeatureSet | None, options: DiagnosisOptions) -> None:
    """Fit the joined head and each stream's on the diagnosis's folds, and print how they work together."""
    by, _ = grouping(train, dev, options.folds)
    pooled = pool(
        train, dev, folds=options.folds, task=options.task, by=by, sample=options.sample, seed=options.seed
    )
    fit = replace(options.fit, tasks=(options.task,), patience=min(options.fit.patience, PATIENCE))
    base = Trial("as it is", options.fusion, fit)
    names = stream_order(pooled.features.streams)
    refits = {
        "fused": refit(base, pooled),
        **{name: refit(single_stream(base, name, names), pooled) for name in names},
    }
    print(f"\n### {title}: {len(pooled.features)} utterances, {options.task}\n")
    say(measure(pooled, refits, seed=options.seed), options.fusion)


def say(found: Measures, fusion: str) -> None:
    """Print how the streams work together."""
    for name, said in measures.facts(found, fusion).items():
        print(f"- {name}: {said}")


if __name__ == "__main__":
    main()
