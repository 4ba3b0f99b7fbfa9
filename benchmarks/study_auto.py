"""How should `auto` choose among candidates that can't be told apart, and what does the choice cost?

    DUALSTREAM_DATA=FOLDER DUALSTREAM_WEIGHTS=FOLDER python benchmarks/study_auto.py --rows build/rows
    ... --only real | networks | planted | cost

The choice is nested: candidates are ranked by folds inside the training speakers, what each rule takes is fitted
on those, and the held-out speakers are scored once. Rules, over the fusions that are significantly better than the
best single stream: the highest score; the lowest log loss of all, or of those that the paired test can't tell
apart from the highest score; the first of these in the list of candidates; the mean of their probabilities; and
`auto`: the first in the list of those that the test can't tell apart from the lowest log loss of them either.

`planted`: corpora in which the fusions' true scores are equal by construction as rows grow (Gaussian classes of
one covariance, streams independent given the class): how far the choice's score on 4,000 rows of new speakers is
from the best candidate's. `cost`: processor time of the choice with its final fit over that of the most expensive
candidate in the running. `networks`: whether a network was worth it beside the solved fusions.

The rows are made on the first run (minutes) and kept. One thread, one process; intervals by actor.
"""

from __future__ import annotations

import argparse
import csv
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import checkout  # noqa: F401
import numpy as np
from dualstream.heads.data.batch import FeatureSet, StreamArrays
from dualstream.heads.data.normalisation import normalise_speakers
from dualstream.heads.evaluation import confusion, statistics
from dualstream.heads.evaluation.folds import fold_codes
from dualstream.heads.search.options import CANDIDATES, SelectionOptions
from dualstream.heads.search.ranking import Record, rank
from dualstream.heads.search.selection import FOLDS
from dualstream.heads.search.trial import CandidateTrial
from dualstream.heads.variants import registry
from dualstream.heads.variants.ensemble import ensemble
from dualstream.heads.variants.options import FitOptions
from dualstream.heads.variants.registry import Prediction
from dualstream.pipeline.experiments.training_data import read_corpus
from frozen_rows import whisper_rows
from numpy.typing import NDArray
from results_parts import ResultsJob, ravdess_cache

from dualstream.cores import one_core

SOLVED = tuple(name for name in CANDIDATES if registry.is_closed_form(name))
NETWORKS = tuple(name for name in CANDIDATES if not registry.is_closed_form(name))
RULES = ("highest score", "lowest loss", "lowest loss of tied", "first of tied", "mean of tied", "auto")
OUTER = 4
FIT = FitOptions(seeds=(0,), loss="cross_entropy", patience=0, threads=1)
PLANTED_TEST = 4_000

Floats = NDArray[np.float64]
Taken = dict[str, tuple[str, ...]]  # by rule


@dataclass(frozen=True, repr=False)
class SettingRows:
    """Features of one setting."""

    name: str
    features: FeatureSet


# ---- corpora


def corpora(folder: Path) -> Iterator[SettingRows]:
    """Yield RAVDESS by three encoders of sound beside its action units, raw and normalised; CREMA-D's votes."""
    data = Path(os.environ["DUALSTREAM_DATA"]).resolve()
    ravdess = cached(folder, data)
    weights = os.environ.get("DUALSTREAM_WEIGHTS")
    if weights:
        ravdess["whisper-tiny.en"] = with_whisper(ravdess["acoustic:emodb"], folder, Path(weights), data)
    else:
        print("DUALSTREAM_WEIGHTS is not set: no rows of Whisper", file=sys.stderr)
    for name, features in ravdess.items():
        yield SettingRows(f"RAVDESS, {name}", features)
        yield SettingRows(f"RAVDESS, {name}, speaker-normalised", normalise_speakers(features))
    yield SettingRows("CREMA-D, votes", votes(data / "cremad_votes"))


def cached(folder: Path, data: Path) -> dict[str, FeatureSet]:
    """Return the caches that docs/results.md is made from, extracted where they aren't there yet."""
    folder.mkdir(parents=True, exist_ok=True)
    files = {"acoustic:emodb": folder / "ravdess.h5", "acoustic": folder / "ravdess-own.h5"}
    if not all(path.exists() for path in files.values()):
        ravdess_cache(ResultsJob(data, folder.resolve(), 1, False))
    return {name: read_corpus(path).features for name, path in files.items()}


def with_whisper(features: FeatureSet, folder: Path, weights: Path, data: Path) -> FeatureSet:
    """Return the features with Whisper's rows for sound."""
    rows = whisper_rows(folder, weights / "whisper-tiny.en", "ravdess", data)
    audio = StreamArrays(rows.utterance, np.ones(len(rows.utterance), bool))
    said = np.array(features.emotion_names)[features.emotion]
    codes = {one: set(rows.label[said == one]) for one in features.emotion_names}
    if len(rows.label) != len(features) or any(len(found) > 1 for found in codes.values()):
        sys.exit("the rows of Whisper are of other utterances than the cache; remove both and run again")
    return replace(features, streams={"video": features.streams["video"], "audio": audio})


def votes(folder: Path) -> FeatureSet:
    """Return the shares of votes of those who saw and of those who heard, as two streams."""
    with (folder / "manifest.csv").open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    streams = {}
    for stream in ("video", "audio"):
        with np.load(folder / f"{stream}_votes.npz", allow_pickle=False) as file:
            place = {name: at for at, name in enumerate(file["id"])}
            features = file["features"][[place[row["id"]] for row in rows]].astype(np.float32)
        streams[stream] = StreamArrays(features, np.ones(len(rows), bool))
    (emotion, emotions), (sentiment, sentiments) = (_codes(rows, key) for key in ("emotion", "sentiment"))
    return _without_windows(streams, emotion, sentiment, emotions, sentiments, _codes(rows, "speaker")[0])


def _codes(rows: list[dict[str, str]], key: str) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    names, codes = np.unique([row[key] for row in rows], return_inverse=True)
    return codes.astype(np.int64), tuple(str(name) for name in names)


def _without_windows(
    streams: dict[str, StreamArrays],
    emotion: NDArray[np.int64],
    sentiment: NDArray[np.int64],
    emotions: tuple[str, ...],
    sentiments: tuple[str, ...],
    speaker: NDArray[np.int64],
) -> FeatureSet:
    count = len(emotion)
    return FeatureSet(
        streams=streams,
        offsets=np.zeros(count + 1, np.int64),
        start_s=np.zeros(0),
        emotion=emotion,
        sentiment=sentiment,
        emotion_names=emotions,
        sentiment_names=sentiments,
        dialogue=np.arange(count),
        turn=np.zeros(count, np.int64),
        speaker=speaker,
    )


# ---- the choice


def records_of(trial: CandidateTrial, names: tuple[str, ...]) -> dict[str, Record]:
    """Try candidates on the folds that `auto` makes."""
    records: dict[str, Record] = {}
    for name in names:
        try:
            predicted = trial.predict(name, trial.folds(FOLDS, 0), 0, lambda event: None)
        except ValueError:  # needs windows, which this corpus lacks
            continue
        records[name] = Record()
        trial.record(records[name], predicted)
    return records


def taken(records: dict[str, Record], trial: CandidateTrial) -> Taken:
    """Return which candidates each rule takes; more than one are averaged."""
    ranking = rank(records, CANDIDATES, trial.statistic, SelectionOptions.alpha)
    if not ranking.significant:
        return dict.fromkeys(RULES, (ranking.chosen,))
    best = max(ranking.significant, key=ranking.scores.__getitem__)

    def lowest(names: tuple[str, ...]) -> str:
        return min(names, key=lambda name: records[name].log_loss)

    return {
        "highest score": (best,),
        "lowest loss": (lowest(ranking.significant),),
        "lowest loss of tied": (lowest(ranking.tied),),
        "first of tied": (next(name for name in CANDIDATES if name in ranking.tied),),
        "mean of tied": ranking.tied,
        "auto": (ranking.chosen,),
    }


def nested(features: FeatureSet, split: int, names: tuple[str, ...]) -> tuple[dict[str, Floats], list[Taken]]:
    """Return log-probabilities (N, C) of emotion by candidate and by rule for held-out speakers; the choices."""
    fold = fold_codes(features.speaker, features.emotion, OUTER, split)
    size = (len(features), len(features.emotion_names))
    answers = {name: np.full(size, np.nan) for name in (*names, *RULES)}
    choices = []
    for number in range(OUTER):
        train, held = np.flatnonzero(fold != number), np.flatnonzero(fold == number)
        part, test = features.take(train), features.take(held)
        trial = CandidateTrial.of(part, "speaker", FIT, SelectionOptions.metric)
        records = records_of(trial, names)
        predicted = {name: fitted(name, part, test) for name in records}
        for name, one in predicted.items():
            answers[name][held] = emotion_of(one)
        choices.append(taken(records, trial))
        for rule, chosen in choices[-1].items():
            answers[rule][held] = emotion_of(ensemble([predicted[name] for name in chosen]))
    return answers, choices


def fitted(name: str, train: FeatureSet, test: FeatureSet) -> Prediction:
    """Fit on train, by its default settings, and predict."""
    (model,) = registry.fit(name, train, options=FIT)
    return model.predict(test)


def emotion_of(prediction: Prediction) -> Floats:
    """Return the log-probabilities of emotion."""
    assert prediction.emotion is not None
    return prediction.emotion


# ---- what is printed


def uar(log_p: Floats, truth: NDArray[np.int64]) -> float:
    """Return the unweighted average recall."""
    right = log_p.argmax(1) == truth
    return float(np.mean([right[truth == code].mean() for code in np.unique(truth)]))


def log_loss(log_p: Floats, truth: NDArray[np.int64]) -> float:
    """Return the mean negative log-probability of the truth."""
    return float(-np.maximum(log_p[np.arange(len(truth)), truth], np.log(1e-12)).mean())


def real(folder: Path, splits: int, names: tuple[str, ...]) -> None:
    """Print, for each corpus, every candidate and every rule: means over splits, differences to linear_late."""
    for corpus in corpora(folder):
        features, truth = corpus.features, corpus.features.emotion
        found = [nested(features, split, names) for split in range(splits)]
        speaker = np.unique(features.speaker, return_inverse=True)[1]
        print(f"\n### {corpus.name}: {len(features)} utterances, {splits} splits into {OUTER} folds by speaker\n")
        print("| | UAR | log loss | UAR over `linear_late` [95 %] |\n|---|---|---|---|")
        classes = len(features.emotion_names)
        counts = {
            key: confusion.group_confusions(
                truth,
                np.stack([answers[key].argmax(1) for answers, _ in found]),
                classes,
                speaker,
            )
            for key in found[0][0]
            if not np.isnan(found[0][0][key]).any()
        }
        for key in counts:
            scores = [(uar(answers[key], truth), log_loss(answers[key], truth)) for answers, _ in found]
            score, loss = np.mean(scores, axis=0)
            gap = statistics.compare(
                counts[key], counts["linear_late"], confusion.headline_statistic("balanced_accuracy"), swaps=1
            )
            label = f"**{key}**" if key in RULES else f"`{key}`"
            interval = "" if gap.low is None else f"{gap.difference:+.3f} [{gap.low:+.3f}, {gap.high:+.3f}]"
            print(f"| {label} | {score:.3f} | {loss:.3f} | {interval} |", flush=True)
        chosen = [one["auto"][0] for _, choices in found for one in choices]
        print("\ntaken by `auto`:", ", ".join(f"{name} {chosen.count(name)}" for name in sorted(set(chosen))))


def planted(seed: int) -> tuple[FeatureSet, FeatureSet]:
    """Make a corpus of Gaussian classes: 8 to 16 speakers to train on, and 20 others."""
    rng = np.random.default_rng([seed, 14])
    classes, speakers = int(rng.choice([2, 3, 5, 7])), int(rng.integers(8, 17))
    widths = {"video": int(rng.integers(8, 60)), "audio": int(rng.integers(8, 60))}
    count = int(rng.integers(200, 1_000))
    emotion = rng.integers(0, classes, count + PLANTED_TEST)
    who = np.concatenate([rng.integers(0, speakers, count), speakers + rng.integers(0, 20, PLANTED_TEST)])
    streams = {}
    for stream, width in widths.items():
        centres = rng.standard_normal((classes, width))
        centres *= rng.uniform(1.2, 2.5) / np.linalg.norm(centres, axis=1, keepdims=True)
        offsets = rng.uniform(0, 0.4) * rng.standard_normal((speakers + 20, width))
        scales = np.exp(rng.normal(0, 1, width))
        rows = (centres[emotion] + offsets[who] + rng.standard_normal((len(who), width))) * scales
        streams[stream] = StreamArrays(rows.astype(np.float32), np.ones(len(who), bool))
    names = tuple(f"class {code}" for code in range(classes))
    whole = _without_windows(streams, emotion, np.full(len(who), -1), names, (), who)
    return whole.take(np.arange(count)), whole.take(np.arange(count, len(who)))


def ties(count: int) -> None:
    """Print how often each rule's choice is within a point of the best candidate, on rows of new speakers."""
    options = replace(FIT, tasks=("emotion",))
    behind: dict[str, list[float]] = {key: [] for key in (*SOLVED, *RULES)}
    losses: dict[str, list[float]] = {key: [] for key in (*SOLVED, *RULES)}
    for seed in range(count):
        train, test = planted(seed)
        trial = CandidateTrial.of(train, "speaker", options, SelectionOptions.metric)
        records = records_of(trial, SOLVED)
        predicted = {}
        for name in records:
            (model,) = registry.fit(name, train, options=options)
            predicted[name] = model.predict(test)
        for rule, chosen in taken(records, trial).items():
            predicted[rule] = ensemble([predicted[name] for name in chosen])
        scores = {key: uar(emotion_of(one), test.emotion) for key, one in predicted.items()}
        best = max(scores[name] for name in SOLVED)
        for key, one in predicted.items():
            behind[key].append(best - scores[key])
            losses[key].append(log_loss(emotion_of(one), test.emotion))
    print(f"\n### {count} planted corpora\n")
    print("| | within a point of the best candidate | mean points behind it | worst | log loss |")
    print("|---|---|---|---|---|")
    for key, gaps in behind.items():
        near = np.mean(np.array(gaps) <= 0.01)
        label = f"**{key}**" if key in RULES else f"`{key}`"
        worst = f"{100 * np.mean(gaps):.2f} | {100 * np.max(gaps):.1f}"
        print(f"| {label} | {near:.1%} | {worst} | {np.mean(losses[key]):.3f} |", flush=True)


def cost(folder: Path, repeat: int) -> None:
    """Print processor seconds of `auto`, of each solved candidate fitted for itself, and the ratio."""
    print("\n### Processor seconds, 5 seeds, 12 speakers of 16\n")
    print("| corpus | most expensive candidate | `auto` | ratio | it took |\n|---|---|---|---|---|")
    for corpus in corpora(folder):
        fold = fold_codes(corpus.features.speaker, corpus.features.emotion, OUTER)
        train = corpus.features.take(np.flatnonzero(fold != 0))
        options = replace(FIT, seeds=FitOptions.seeds)
        seconds: dict[str, list[float]] = {}
        chosen = ""
        for _ in range(repeat):
            for name in (*SOLVED, "auto"):
                started = time.process_time()
                models = registry.fit(name, train, options=options)
                seconds.setdefault(name, []).append(time.process_time() - started)
                chosen = getattr(getattr(models[0], "choice", None), "name", "")
        middle = {name: float(np.median(values)) for name, values in seconds.items()}
        most = max(SOLVED, key=middle.__getitem__)
        ratio = middle["auto"] / middle[most]
        print(
            f"| {corpus.name} | `{most}` {middle[most]:.2f} | {middle['auto']:.2f} | {ratio:.1f} | `{chosen}` |",
            flush=True,
        )


@one_core()
def main() -> None:
    """Print Markdown tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=Path, default=Path("build/rows"), help="where rows are kept")
    parser.add_argument("--only", default="real,planted,cost,networks", help="parts, between commas")
    parser.add_argument("--splits", type=int, default=5, help="different splits of the speakers into outer folds")
    parser.add_argument("--planted", type=int, default=200, help="planted corpora")
    parser.add_argument("--repeat", type=int, default=3, help="times that costs are measured")
    options = parser.parse_args()
    if not os.environ.get("DUALSTREAM_DATA"):
        sys.exit("DUALSTREAM_DATA is not set; expected the folder that holds ravdess/ and cremad_votes/")
    parts = options.only.split(",")
    started = time.process_time()
    if "real" in parts:
        real(options.rows, options.splits, SOLVED)
    if "networks" in parts:
        real(options.rows, 1, (*SOLVED, *NETWORKS))
    if "planted" in parts:
        ties(options.planted)
    if "cost" in parts:
        cost(options.rows, options.repeat)
    print(f"\n({time.process_time() - started:.0f} s of processor time)")


if __name__ == "__main__":
    main()
