"""What uneven classes do to heads that mix their streams' answers: joins against single streams, on real corpora.

    DUALSTREAM_DATA=FOLDER DUALSTREAM_WEIGHTS=FOLDER python benchmarks/study_priors.py --rows ROWS --out after.npz
    python benchmarks/study_priors.py --rows ROWS --out after.npz --against before.npz    # what moved
    python benchmarks/study_priors.py --planted 200                                       # made-up corpora

The first writes every answer to `--out`, so that the same file run under another version of the code, and then
named by `--against`, gives paired differences. Frozen encoders' rows are made once and kept in `--rows`.

MELD: train fits, dev is scored; its action units are one stream, 100 components of the transcripts' words,
fitted on train, the other (there is no sound at hand). RAVDESS: action units and Whisper's rows, actors 1 to 12
against 13 to 16, four folds by actor, and the same of corpora thinned to MELD's shares. EMO-DB: acoustic columns
and Whisper's rows, ten folds by speaker. CREMA-D: shares of the votes of people who heard or saw the clip, train
against dev. One thread.
"""

from __future__ import annotations

import argparse
import csv
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import checkout  # noqa: F401
import numpy as np
import soundfile
from dualstream.features.acoustic import AcousticConfig, acoustic_features
from dualstream.heads.data.batch import FeatureSet, StreamArrays
from dualstream.heads.evaluation import metrics
from dualstream.heads.evaluation.folds import fold_codes
from dualstream.heads.variants import registry
from dualstream.heads.variants.options import FitOptions, Task
from dualstream.pipeline.corpus.importers.ravdess import EMOTIONS as RAVDESS
from dualstream.pipeline.corpus.labels import EMOTIONS, SENTIMENTS, sentiment_of, vocabulary
from frozen_rows import whisper_rows
from numpy.typing import NDArray
from study_losses import uneven

from dualstream.cores import one_core

HEADS: dict[str, tuple[str, dict[str, Any]]] = {
    "linear_video": ("linear_video", {}),
    "linear_audio": ("linear_audio", {}),
    "linear": ("linear", {}),
    "linear_late": ("linear_late", {}),
    "linear_late, learned": ("linear_late", {"mixing": "learned"}),
    "video": ("video", {}),
    "audio": ("audio", {}),
    "concat_norm": ("concat_norm", {}),
    "late": ("late", {}),
}
LOSSES = ("logit_adjusted", "cross_entropy")
STOPPING = 8  # one part in this many of the training groups says when a network stops
DRAWS = 5  # of thinned corpora

Answers = list[NDArray[np.float64]]


@dataclass(frozen=True, repr=False)
class PriorsCase:
    """One corpus and the rows that are scored by what was fitted on others."""

    name: str
    corpus: FeatureSet
    parts: list[tuple[NDArray[np.int64], NDArray[np.int64]]]
    """(training rows, scored rows) of each fit."""
    group: NDArray[np.int64]
    """What is kept whole, and what intervals resample."""

    @property
    def scored(self) -> NDArray[np.int64]:
        """The rows that are scored."""
        return np.concatenate([held for _, held in self.parts])


@one_core()
def main() -> None:
    """Fit, score, print tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=Path, help="folder that keeps the encoders' rows")
    parser.add_argument("--out", type=Path, help="keep all answers here (.npz)")
    parser.add_argument("--against", type=Path, help="answers of another version: differences to them are shown")
    parser.add_argument("--corpora", default="meld,ravdess,emodb,cremad,thinned")
    parser.add_argument("--heads", default="", help="some of them, separated by ';'; default: all")
    parser.add_argument("--seeds", type=int, default=2, help="of networks")
    parser.add_argument("--planted", type=int, default=0, help="so many made-up corpora instead")
    words = parser.parse_args()
    heads = words.heads.split(";") if words.heads else list(HEADS)
    if words.planted:
        planted_study(words.planted, heads)
        return
    before = dict(np.load(words.against)) if words.against else {}
    kept: dict[str, NDArray[np.float64]] = {}
    for corpus in words.corpora.split(","):
        for case in cases(corpus, words.rows):
            for loss in LOSSES:
                said = {head: answers(case, head, loss, words.seeds) for head in heads}
                for head, tasks in said.items():
                    for task, models in tasks.items():
                        kept[f"{case.name}/{loss}/{head}/{task}"] = np.stack(models)
                report(case, loss, said, before)
    if words.out:
        np.savez(words.out, **kept)


# ---- fitting


def answers(case: PriorsCase, head: str, loss: str, seeds: int) -> dict[Task, Answers]:
    """Return log-probabilities of the scored rows by task, a model each."""
    name, parameters = HEADS[head]
    solved = registry.is_closed_form(name)
    options = FitOptions(seeds=tuple(range(1 if solved else seeds)), loss=loss, threads=1, parameters=parameters)
    rows: dict[Task, list[list[NDArray[np.float64]]]] = {}
    for train, held in case.parts:
        inner = fold_codes(case.group[train], case.corpus.emotion[train], STOPPING)
        fit, stop = (train, None) if solved else (train[inner != 0], case.corpus.take(train[inner == 0]))
        models = registry.fit(name, case.corpus.take(fit), stop, options=options)
        predictions = [model.predict(case.corpus.take(held)) for model in models]
        for task in options.tasks:
            if predictions[0].task(task) is not None:
                rows.setdefault(task, []).append([one.task(task) for one in predictions])  # type: ignore[misc]
    return {task: [np.concatenate(one) for one in zip(*parts, strict=True)] for task, parts in rows.items()}


# ---- scoring


def report(
    case: PriorsCase, loss: str, said: dict[str, dict[Task, Answers]], before: dict[str, NDArray[np.float64]]
) -> None:
    """Print the table of one case, and differences to an earlier version's answers where those are at hand."""
    group = case.group[case.scored]
    for task in ("emotion", "sentiment"):
        truth = getattr(case.corpus, task)[case.scored]
        names = getattr(case.corpus, f"{task}_names")
        if len(names) < 2:
            continue
        shares = np.bincount(truth[truth >= 0], minlength=len(names))
        largest = shares.max() / shares.sum()
        print(f"\n### {case.name}, {task}, {loss}: {shares.sum()} rows, largest share {largest:.2f}")
        print("| head | UAR | log loss | UAR, moved | log loss, moved |\n|---|---|---|---|---|")
        for head, tasks in said.items():
            models = tasks[task]
            scores = metrics.score(models, truth, names, groups=group)
            assert scores.log_loss is not None
            cells = [f"{scores.balanced_accuracy.mean:.3f}", f"{scores.log_loss.mean:.3f}", "", ""]
            old = before.get(f"{case.name}/{loss}/{head}/{task}")
            if old is not None:
                moved = metrics.compare_models(models, list(old), truth, group, classes=len(names))
                cells[2] = f"{moved.difference:+.3f} ({moved.low:+.3f} to {moved.high:+.3f})"
                cells[3] = "{:+.3f} ({:+.3f} to {:+.3f})".format(*loss_moved(models, list(old), truth, group))
            print(f"| {head} | " + " | ".join(cells) + " |", flush=True)


def loss_moved(
    one: Answers, other: Answers, truth: NDArray[np.int64], group: NDArray[np.int64]
) -> tuple[float, float, float]:
    """Return the difference in log loss and its 95 % interval, groups resampled."""
    keep = np.flatnonzero(truth >= 0)
    losses = [np.mean([-m[keep, truth[keep]] for m in models], axis=0) for models in (one, other)]
    code = np.unique(group[keep], return_inverse=True)[1]
    sums, sizes = np.bincount(code, weights=losses[0] - losses[1]), np.bincount(code)
    drawn = np.random.default_rng(0).integers(0, len(sizes), (2_000, len(sizes)))
    means = sums[drawn].sum(1) / sizes[drawn].sum(1)
    return float(sums.sum() / sizes.sum()), float(np.quantile(means, 0.025)), float(np.quantile(means, 0.975))


# ---- corpora


def cases(name: str, rows: Path) -> Iterator[PriorsCase]:
    """Yield the cases of one corpus."""
    data, weights = (Path(os.environ[variable]) for variable in ("DUALSTREAM_DATA", "DUALSTREAM_WEIGHTS"))
    if name == "meld":
        yield meld(data / "meld")
    elif name == "cremad":
        yield cremad(data / "cremad_votes")
    elif name == "emodb":
        yield emodb(rows, weights, data)
    else:
        corpus = ravdess(rows, weights, data)
        actor = corpus.speaker + 1
        if name == "ravdess":
            yield PriorsCase(
                "RAVDESS, new actors", corpus, [(np.flatnonzero(actor <= 12), np.flatnonzero(actor > 12))], actor
            )
            yield PriorsCase("RAVDESS, folds", corpus, folds(actor, corpus.emotion, 4), actor)
        for draw in range(DRAWS if name == "thinned" else 0):
            some = corpus.take(uneven(corpus.emotion, draw))
            yield PriorsCase(f"RAVDESS, thinned {draw}", some, folds(some.speaker, some.emotion, 4), some.speaker)


def folds(
    group: NDArray[np.int64], labels: NDArray[np.int64], count: int
) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Return (training rows, held-out rows) of each fold."""
    fold = fold_codes(group, labels, count)
    return [
        (np.flatnonzero(fold != number), np.flatnonzero(fold == number)) for number in range(int(fold.max()) + 1)
    ]


def corpus_of(
    video: NDArray[np.float32],
    audio: NDArray[np.float32],
    emotion: NDArray[np.str_],
    sentiment: NDArray[np.str_] | None,
    dialogue: NDArray[np.str_],
    speaker: NDArray[np.str_],
    seen: NDArray[np.bool_] | None = None,
) -> FeatureSet:
    """Return two streams of one row per utterance as a corpus; `seen` says where there is video."""
    count = len(emotion)
    said = sentiment if sentiment is not None else np.array([sentiment_of(word) for word in emotion])
    names = [vocabulary(words, order) for words, order in ((emotion, EMOTIONS), (said, SENTIMENTS))]
    codes = [
        np.array([own.index(word) if word else -1 for word in words])
        for own, words in zip(names, (emotion, said), strict=True)
    ]
    there = np.ones(count, dtype=bool)
    return FeatureSet(
        streams={
            "video": StreamArrays(video.astype(np.float32), there if seen is None else seen),
            "audio": StreamArrays(audio.astype(np.float32), there),
        },
        offsets=np.zeros(count + 1, np.int64),
        start_s=np.zeros(0),
        emotion=codes[0],
        sentiment=codes[1],
        emotion_names=names[0],
        sentiment_names=names[1],
        dialogue=np.unique(dialogue, return_inverse=True)[1],
        turn=np.arange(count),
        speaker=np.unique(speaker, return_inverse=True)[1],
    )


def meld(folder: Path) -> PriorsCase:
    """Return MELD's train and dev: action units, and the words of the transcript."""
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer

    table: list[dict[str, str]] = []
    for split in ("train", "dev"):
        with (folder / f"{split}_sent_emo.csv").open(newline="", encoding="utf-8") as lines:
            table += [{"split": split, **row} for row in csv.DictReader(lines)]
    names = [f"{row['split']}_dia{row['Dialogue_ID']}_utt{row['Utterance_ID']}" for row in table]
    with np.load(folder / "openface_au17_train_dev.npz") as file:
        at = {name: place for place, name in enumerate(file["id"])}
        kept = [place for place, name in enumerate(names) if name in at]
        units = file["features"][[at[names[place]] for place in kept]]
    table = [table[place] for place in kept]
    train = np.array([row["split"] == "train" for row in table])
    text = [row["Utterance"] for row in table]
    vectors = TfidfVectorizer(sublinear_tf=True, min_df=2, ngram_range=(1, 2), token_pattern=r"\w+|[!?.]+")
    vectors.fit([one for one, own in zip(text, train, strict=True) if own])
    rows = vectors.transform(text)
    spaces = TruncatedSVD(100, random_state=0).fit(rows[train])
    corpus = corpus_of(
        units,
        spaces.transform(rows),
        np.array([row["Emotion"] for row in table]),
        np.array([row["Sentiment"] for row in table]),
        np.array([f"{row['split']}{row['Dialogue_ID']}" for row in table]),
        np.array([row["Speaker"] for row in table]),
        (units != 0).any(1),
    )
    corpus = replace(corpus, speaker=np.full(len(corpus), -1))  # six friends are in all dialogues
    return PriorsCase("MELD, dev", corpus, [(np.flatnonzero(train), np.flatnonzero(~train))], corpus.dialogue)


def ravdess(rows: Path, weights: Path, data: Path) -> FeatureSet:
    """Return RAVDESS without calm: action units and Whisper's rows."""
    found = whisper_rows(rows, weights / "whisper-tiny.en", "ravdess", data)
    files = [path.stem for path in sorted((data / "ravdess" / "audio").glob("*.flac"))]
    files = [name for name in files if name.split("-")[2] != "02"]
    with (data / "ravdess" / "action_units.csv").open(newline="") as lines:
        table = {"03" + row.pop("clip")[2:]: row for row in csv.DictReader(lines)}
    units = {name: [float(value) for value in row.values()] for name, row in table.items()}
    seen = np.array([name in units for name in files])
    video = np.array([units.get(name, [0.0] * 35) for name in files], np.float32)
    emotion = np.array([RAVDESS[code] for code in found.label])
    return corpus_of(video, found.utterance, emotion, None, np.array(files), found.group, seen)


def emodb(rows: Path, weights: Path, data: Path) -> PriorsCase:
    """Return EMO-DB: acoustic columns and Whisper's rows, ten folds by speaker."""
    found = whisper_rows(rows, weights / "whisper-tiny.en", "emodb", data)
    kept = rows / "acoustic-emodb.npy"
    if not kept.exists():
        np.save(kept, acoustic_rows(sorted((data / "emodb").glob("*.flac"))))
    words = {"W": "anger", "L": "boredom", "E": "disgust", "A": "fear", "F": "joy", "T": "sadness", "N": "neutral"}
    emotion = np.array([words[code] for code in found.label])
    each = np.arange(len(emotion)).astype(str)
    corpus = corpus_of(np.load(kept), found.utterance, emotion, None, each, found.group)
    return PriorsCase("EMO-DB", corpus, folds(corpus.speaker, corpus.emotion, 10), corpus.speaker)


def acoustic_rows(files: list[Path]) -> NDArray[np.float32]:
    """Return one row of acoustic columns for each file, by the list that was not chosen on EMO-DB."""
    found = []
    for path in files:
        sound, rate = soundfile.read(path, dtype="float32")
        whole = acoustic_features(sound, np.zeros(1), 1.0, (0.0, len(sound) / rate), AcousticConfig())
        found.append(whole.utterance)
    return np.stack(found)


def cremad(folder: Path) -> PriorsCase:
    """Return CREMA-D's votes by ear and by eye, train against dev."""
    with (folder / "manifest.csv").open(newline="") as lines:
        table = list(csv.DictReader(lines))
    streams = []
    for kind in ("video", "audio"):
        with np.load(folder / f"{kind}_votes.npz") as file:
            at = {name: place for place, name in enumerate(file["id"])}
            streams.append(file["features"][[at[row["id"]] for row in table]])
    corpus = corpus_of(
        *streams,
        np.array([row["emotion"] for row in table]),
        np.array([row["sentiment"] for row in table]),
        np.array([row["id"] for row in table]),
        np.array([row["speaker"] for row in table]),
    )
    train = np.array([row["split"] == "train" for row in table])
    return PriorsCase("CREMA-D, votes", corpus, [(np.flatnonzero(train), np.flatnonzero(~train))], corpus.speaker)


# ---- made-up corpora


def planted(seed: int) -> PriorsCase:
    """Return a corpus of uneven classes: means in each stream, noise, sometimes shared, sometimes rows missing."""
    rng = np.random.default_rng([seed, 41])
    classes, count = int(rng.integers(2, 8)), int(rng.integers(300, 1_500))
    shares = np.sort(rng.dirichlet(np.full(classes, 0.7)))[::-1] * 0.9 + 0.1 / classes
    truth = rng.choice(classes, count + 1_500, p=shares)
    shared = rng.normal(size=(len(truth), 4)) * rng.choice([0.0, 0.7])  # noise that both streams hear
    streams = []
    for _ in range(2):
        means = rng.normal(size=(classes, 12)) * rng.uniform(0.1, 0.7)
        noise = rng.normal(size=(len(truth), 12))
        noise[:, :4] += shared
        streams.append((means[truth] + noise).astype(np.float32))
    seen = rng.random(len(truth)) >= rng.choice([0.0, 0.0, 0.3])
    words = np.array([f"class {code}" for code in truth])
    each = np.arange(len(truth)).astype(str)
    corpus = corpus_of(streams[0] * seen[:, None], streams[1], words, None, each, each, seen)
    return PriorsCase(
        f"planted {seed}", corpus, [(np.arange(count), np.arange(count, len(truth)))], corpus.dialogue
    )


def planted_study(count: int, heads: list[str]) -> None:
    """Print how far joins of both streams are from the better single stream, over many made-up corpora."""
    alone = {"linear": ("linear_video", "linear_audio"), "network": ("video", "audio")}
    joins = {
        head: alone["network" if head in ("late", "concat_norm") else "linear"]
        for head in heads
        if head not in (*alone["linear"], *alone["network"])
    }
    needed = list(dict.fromkeys([*joins, *(one for pair in joins.values() for one in pair)]))
    for loss in LOSSES:
        gaps: dict[str, list[tuple[float, float]]] = {head: [] for head in joins}
        for seed in range(count):
            case = planted(seed)
            truth = case.corpus.emotion[case.scored]
            values = {}
            for head in needed:
                scores = metrics.score(answers(case, head, loss, 2)["emotion"], truth, case.corpus.emotion_names)
                assert scores.log_loss is not None
                values[head] = scores.balanced_accuracy.mean, scores.log_loss.mean
            for head, pair in joins.items():
                gaps[head].append((
                    values[head][0] - max(values[one][0] for one in pair),
                    values[head][1] - min(values[one][1] for one in pair),
                ))  # fmt: skip
        print(f"\n### {count} made-up corpora, {loss}: the join less the better single stream")
        print("| head | UAR, mean | lowest | below by over a point | log loss, mean | highest |")
        print("|---|---|---|---|---|---|")
        for head, pairs in gaps.items():
            score, cost = np.array(pairs).T
            print(
                f"| {head} | {score.mean():+.3f} | {score.min():+.3f} | {(score < -0.01).sum()} of {count} | "
                f"{cost.mean():+.3f} | {cost.max():+.3f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
