"""RAVDESS: sound and action units of 16 actors, four folds by actor, everything chosen inside the training folds.

Each fold is fitted on 12 actors and scored on the four others. `auto` chooses among variants by folds
within those 12. Calm is dropped; the sentiment is derived: happy positive, neutral and surprised neutral,
the others negative. Rows marked transductive centre and scale each speaker's columns by that speaker's own
unlabelled utterances.

    DUALSTREAM_DATA=/data python benchmarks/study_ravdess.py
    DUALSTREAM_DATA=/data python benchmarks/study_ravdess.py --variants linear_late,auto --loss logit_adjusted
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from features.acoustic import AcousticEncoder
from heads import metrics, variant
from heads.batch import FeatureSet, StreamArrays
from heads.ensemble import ensemble
from heads.normalise import LABEL, normalise_speakers
from heads.statistics import holm
from heads.variant import FitOptions

EMOTIONS = {
    "01": "neutral",
    "03": "happy",
    "04": "sad",
    "05": "angry",
    "06": "fearful",
    "07": "disgust",
    "08": "surprised",
}
SENTIMENTS = ("neutral", "positive", "negative")
SENTIMENT_OF = {"neutral": 0, "happy": 1, "surprised": 0}  # the others are negative
FOLDS = 4
FIRST_WORDS = "03"  # of a sound's name (audio only); the video's action units have 01 (full) in its place
VARIANTS = ("linear_video", "linear_audio", "linear", "linear_late", "linear_late:lda", "auto")
CANDIDATES = "linear_video,linear_audio,linear,linear_late"


@dataclass(frozen=True)
class Row:
    """One variant's answers for all actors, each from outside the fold."""

    name: str
    rows: NDArray[np.float64]
    single: bool
    seconds: float
    note: str


def main() -> None:
    """Fit, score, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--variants", default=",".join(VARIANTS), help="names; linear_late:lda names a solver")
    parser.add_argument("--loss", default="logit_adjusted", help="see heads.losses; UAR asks for equal classes")
    parser.add_argument("--seeds", type=int, default=3, help="models of trained variants, averaged")
    parser.add_argument("--candidates", default=CANDIDATES, help="what auto chooses among; 'all': its own default")
    parser.add_argument("--features", type=Path, help="a .npz file that keeps the acoustic columns between runs")
    options = parser.parse_args()
    if not os.environ.get("DUALSTREAM_DATA"):
        sys.exit("set DUALSTREAM_DATA to the folder that holds ravdess/")
    corpus = read_corpus(Path(os.environ["DUALSTREAM_DATA"]) / "ravdess", options.features)
    print(f"{len(corpus)} utterances, {len(np.unique(corpus.speaker))} actors, loss {options.loss}\n")
    for normalised in (False, True):
        table = [evaluate(name, corpus, normalised, options) for name in options.variants.split(",")]
        print(f"### {LABEL if normalised else 'no speaker normalisation'}\n")
        report(table, corpus)


def read_corpus(root: Path, keep: Path | None) -> FeatureSet:
    """Read action units, and measure or reread the acoustic columns."""
    units = {}
    with (root / "action_units.csv").open(newline="") as lines:
        for line in csv.DictReader(lines):
            values = [float(value) for name, value in line.items() if name != "clip"]
            units[FIRST_WORDS + line["clip"][2:]] = values
    paths = [path for path in sorted(root.rglob("audio/**/*.flac")) if path.stem.split("-")[2] in EMOTIONS]
    names = list(EMOTIONS.values())
    emotion = np.array([names.index(EMOTIONS[path.stem.split("-")[2]]) for path in paths])
    there = np.array([path.stem in units for path in paths])
    video = np.array([units.get(path.stem, [0.0] * 35) for path in paths], dtype=np.float32)
    audio, heard = _acoustic(paths, keep)
    count = len(paths)
    return FeatureSet(
        streams={"video": StreamArrays(video, there), "audio": StreamArrays(audio, heard)},
        offsets=np.zeros(count + 1, np.int64),
        start_s=np.zeros(0),
        emotion=emotion,
        sentiment=np.array([SENTIMENT_OF.get(names[code], 2) for code in emotion]),
        emotion_names=tuple(names),
        sentiment_names=SENTIMENTS,
        dialogue=np.arange(count),
        turn=np.zeros(count, np.int64),
        speaker=np.array([int(path.stem.split("-")[6]) for path in paths]),
    )


def _acoustic(paths: list[Path], keep: Path | None) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    encoder = AcousticEncoder()
    recipe = json.dumps(encoder.spec.to_json(), sort_keys=True)
    if keep is not None and keep.exists():
        with np.load(keep) as kept:
            if str(kept["recipe"]) == recipe and kept["names"].tolist() == [path.stem for path in paths]:
                return kept["rows"], kept["present"]
    import soundfile

    rows, present = [], []
    for path in paths:
        sound, rate = soundfile.read(path, dtype="float32", always_2d=True)
        assert rate == encoder.sample_rate_hz, f"{path} has {rate} Hz"
        duration_s = len(sound) / rate
        found = encoder.encode_audio(sound.mean(1), np.zeros(1), duration_s, (0.0, duration_s))
        rows.append(found.utterance)
        present.append(found.present)
    answer = np.stack(rows).astype(np.float32), np.array(present)
    if keep is not None:
        np.savez(keep, recipe=recipe, names=[path.stem for path in paths], rows=answer[0], present=answer[1])
    return answer


def evaluate(name: str, corpus: FeatureSet, normalised: bool, options: argparse.Namespace) -> Row:
    """Answer for every actor by models that never met one of the fold's actors."""
    base, _, solver = name.partition(":")
    parameters = {"solver": solver} if solver else {}
    if base == "auto" and options.candidates != "all":
        parameters["candidates"] = options.candidates
    fit = FitOptions(
        seeds=tuple(range(options.seeds)),
        loss=options.loss,
        patience=0,
        parameters=parameters,
    )
    number = np.unique(corpus.speaker, return_inverse=True)[1]
    rows = np.empty((len(corpus), len(corpus.emotion_names)))
    chosen = []
    began = time.perf_counter()
    for fold in range(FOLDS):
        inside, held = np.flatnonzero(number % FOLDS != fold), np.flatnonzero(number % FOLDS == fold)
        train, test = corpus.take(inside), corpus.take(held)
        if normalised:
            train, test = normalise_speakers(train), normalise_speakers(test)
        models = variant.fit(base, train, None, options=fit)
        found = ensemble([model.predict(test) for model in models]).emotion
        assert found is not None
        rows[held] = found
        choice = getattr(models[0], "choice", None)
        if choice is not None:
            chosen.append(choice["name"])
    note = f"chose {', '.join(chosen)}" if chosen else ""
    return Row(name, rows, len(variant.get(base).streams) == 1, time.perf_counter() - began, note)


def report(table: list[Row], corpus: FeatureSet) -> None:
    """Print scores with intervals over actors, and each fusion against the better single stream."""
    scores = {
        row.name: metrics.score(
            row.rows, corpus.emotion, corpus.emotion_names, groups=corpus.speaker, train_labels=corpus.emotion
        )
        for row in table
    }
    singles = [row for row in table if row.single]
    best = max(singles, key=lambda row: scores[row.name].balanced_accuracy.mean) if singles else None
    fusions = [row for row in table if not row.single]
    gaps = {}
    if best is not None:
        for row in fusions:
            gaps[row.name] = metrics.compare_models(
                [row.rows], [best.rows], corpus.emotion, corpus.speaker, classes=len(corpus.emotion_names)
            )
    corrected = dict(zip(gaps, holm([gap.p_value for gap in gaps.values()]), strict=True))
    print("| variant | UAR | 95 % over actors | weighted F1 | log loss | over best single | corrected p | s | |")
    print("|---|---|---|---|---|---|---|---|---|")
    for row in table:
        found, gap = scores[row.name], gaps.get(row.name)
        uar = found.balanced_accuracy
        over = f"{gap.difference:+.3f} [{gap.low:+.3f}, {gap.high:+.3f}]" if gap else ""
        p = f"{corrected[row.name]:.4f}" if gap else ""
        assert found.log_loss is not None
        print(
            f"| {row.name} | {uar.mean:.3f} | {uar.low:.3f} to {uar.high:.3f} | {found.weighted_f1.mean:.3f} "
            f"| {found.log_loss.mean:.3f} | {over} | {p} | {row.seconds:.1f} | {row.note} |"
        )
    line = scores[table[0].name].majority
    assert line is not None
    print(f"| always {line.name} | {line.balanced_accuracy:.3f} | | {line.weighted_f1:.3f} | | | | | |\n")


if __name__ == "__main__":
    main()
