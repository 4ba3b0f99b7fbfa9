"""One joint answer to emotion and sentiment against two heads that answer each for itself, paired.

    DUALSTREAM_DATA=FOLDER DUALSTREAM_WEIGHTS=FOLDER python benchmarks/study_joint.py --out rows

writes the tables of docs/heads.md to standard output. Whisper's rows take minutes the first time and are kept in
`--out`; it needs `transformers` (the extra `bench`). With `--cache ravdess.h5` RAVDESS is read from a cache.
One thread.
"""

from __future__ import annotations

import argparse
import csv
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import checkout  # noqa: F401
import numpy as np
from dualstream.heads.data.batch import FeatureSet, StreamArrays
from dualstream.heads.data.normalisation import normalise_speakers
from dualstream.heads.evaluation import metrics
from dualstream.heads.evaluation.folds import connected, fold_codes
from dualstream.heads.variants import joint_fit, registry
from dualstream.heads.variants.decode import decode
from dualstream.heads.variants.joint import pair_counts
from dualstream.heads.variants.options import TASKS, FitOptions
from dualstream.pipeline.corpus.labels import EMOTIONS, SENTIMENTS, canonical_emotion, sentiment_of, vocabulary
from dualstream.pipeline.experiments.training_data import read_corpus
from frozen_rows import folder_of, whisper_rows
from numpy.typing import NDArray

from dualstream.cores import one_core

EMODB = dict(zip("WLEAFTN", ("anger", "boredom", "disgust", "fear", "joy", "sadness", "neutral"), strict=True))
RAVDESS = dict(zip("1345678", ("neutral", "joy", "sadness", "anger", "fear", "disgust", "surprise"), strict=True))
FUSIONS = ("linear_late", "linear", "concat_norm")
SCALE_END = 5.0  # of action units: 67 rows of MELD's lie far beyond it
MELD_SHARES = (0.47, 0.12, 0.03, 0.07, 0.17, 0.03, 0.11)
PLANTED_ROWS, PLANTED_COLUMNS, NEW_ROWS = 1_500, 24, 3_000

Codes = NDArray[np.int64]
Parts = list[tuple[Codes, Codes]]


@dataclass(frozen=True, repr=False)
class HeldOutAnswers:
    """What one way answers, of held-out rows."""

    codes: dict[str, list[Codes]]
    """By task, a seed each."""
    loss: dict[str, list[NDArray[np.float64]]]
    """Log loss of each row, by task, a seed each."""
    contradictions: list[float]


@one_core()
def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder that keeps the encoders' rows")
    parser.add_argument("--corpora", default="ravdess,emodb,meld,planted")
    parser.add_argument("--cache", type=Path, help="of RAVDESS with both streams, in the place of whisper's rows")
    parser.add_argument("--seeds", type=int, default=3, help="models of each variant that is trained")
    parser.add_argument("--draws", type=int, default=10, help="planted corpora of each kind")
    words = parser.parse_args()
    started = time.process_time()
    parts = {"ravdess": lambda: ravdess(words), "emodb": lambda: emodb(words), "meld": lambda: meld(words)}
    for name in words.corpora.split(","):
        if name == "planted":
            planted(words.draws, words.seeds)
        else:
            parts[name]()
    print(f"\n({time.process_time() - started:.0f} s of processor time)")


def ravdess(words: argparse.Namespace) -> None:
    """RAVDESS, four folds by actor, raw and speaker-normalised."""
    if words.cache is not None:
        features, what = read_corpus(words.cache).features, words.cache.name
    else:
        data, weights = folder_of("DUALSTREAM_DATA"), folder_of("DUALSTREAM_WEIGHTS")
        rows = whisper_rows(words.out, weights / "whisper-tiny.en", "ravdess", data)
        features, what = _ravdess(rows.utterance, data / "ravdess"), "whisper-tiny.en and action units"
    for normalised in (False, True):
        corpus = normalise_speakers(features, np.zeros(len(features), np.int64)) if normalised else features
        title = f"RAVDESS, {what}" + (", speaker-normalised (transductive)" if normalised else "")
        study(title, corpus, _folds(corpus, 4), FUSIONS, words.seeds, "cross_entropy")


def emodb(words: argparse.Namespace) -> None:
    """EMO-DB, one speaker out."""
    rows = whisper_rows(
        words.out, folder_of("DUALSTREAM_WEIGHTS") / "whisper-tiny.en", "emodb", folder_of("DUALSTREAM_DATA")
    )
    emotion = [EMODB[letter] for letter in rows.label.tolist()]
    corpus = _corpus(
        {"audio": rows.utterance}, emotion, [sentiment_of(one) for one in emotion], rows.group.tolist()
    )
    study(
        "EMO-DB, whisper-tiny.en",
        corpus,
        _folds(corpus, 10),
        ("linear_audio", "audio"),
        words.seeds,
        "cross_entropy",
    )


def meld(words: argparse.Namespace) -> None:
    """MELD's face stream, fitted on train, scored on dev; nothing is stopped by dev."""
    corpus, train, dev = meld_face(folder_of("DUALSTREAM_DATA") / "meld")
    for loss in ("logit_adjusted", "cross_entropy"):
        study(f"MELD, action units, {loss}", corpus, [(train, dev)], ("linear_video", "video"), words.seeds, loss)


def planted(draws: int, seeds: int) -> None:
    """Corpora of MELD's shares whose sentiment is determined by emotion, independent of it, or both in parts."""
    print(f"\n### Planted, {draws} draws of {PLANTED_ROWS} rows, scored on {NEW_ROWS} others\n")
    print("| sentiment | variant | emotion UAR, less | sentiment UAR, less | log loss, less | contradictions |")
    print("|---|---|---|---|---|---|")
    for kind in ("determined", "noisy", "mixed", "independent"):
        for name in ("linear", "concat_norm"):
            gains = []
            for draw in range(draws):
                corpus = planted_corpus(kind, draw)
                train, new = np.arange(PLANTED_ROWS), np.arange(PLANTED_ROWS, len(corpus))
                pair = both_ways(corpus, [(train, new)], name, min(seeds, 1), "logit_adjusted")
                gains.append(_differences(corpus, new, pair))
            means, spread = np.mean(gains, 0), np.std(gains, 0, ddof=1) / np.sqrt(draws)
            cells = [f"{m:+.4f} (se {s:.4f})" for m, s in zip(means[:3], spread[:3], strict=True)]
            print(f"| {kind} | `{name}` | {' | '.join(cells)} | {means[3]:.3f} |", flush=True)


def study(title: str, corpus: FeatureSet, parts: Parts, names: tuple[str, ...], seeds: int, loss: str) -> None:
    """Print the table of one corpus: separate answers, the joint answer, and the paired difference."""
    held = np.concatenate([new for _, new in parts])
    groups = connected(corpus.speaker, corpus.dialogue)[held]
    unit = "speakers"
    if len(np.unique(groups)) < 4:
        groups, unit = corpus.dialogue[held], "dialogues"
    print(f"\n### {title}\n")
    print(
        f"{len(held)} rows, intervals over {len(np.unique(groups))} {unit}. Separate → joint, difference [95 %].\n"
    )
    columns = ("variant", *(f"{task} UAR" for task in TASKS), *(f"{task} wF1" for task in TASKS))
    print(f"| {' | '.join(columns)} | log loss, sentiment | contradictions |")
    print("|---|---|---|---|---|---|---|")
    for name in names:
        one, two = both_ways(corpus, parts, name, 1 if registry.is_closed_form(name) else seeds, loss)
        cells = []
        for metric in ("balanced_accuracy", "weighted_f1"):
            for task in TASKS:
                truth, count = getattr(corpus, task)[held], len(getattr(corpus, f"{task}_names"))
                gap = metrics.compare_models(  # seeds as more rows of the same groups: each is held against itself
                    *([np.concatenate(way.codes[task])] for way in (two, one)),
                    np.tile(truth, len(one.contradictions)),
                    np.tile(groups, len(one.contradictions)),
                    classes=count,
                    metric=metric,
                )
                scores = [_mean_score(way.codes[task], truth, count, metric) for way in (one, two)]
                interval = f"[{gap.low or 0:+.3f}, {gap.high or 0:+.3f}]"
                cells.append(f"{scores[0]:.3f} → {scores[1]:.3f}, {gap.difference:+.3f} {interval}")
        losses = [np.mean(way.loss["sentiment"]) for way in (one, two)]
        shares = [np.mean(way.contradictions) for way in (one, two)]
        cells += [f"{losses[0]:.3f} → {losses[1]:.3f}", f"{shares[0]:.3f} → {shares[1]:.3f}"]
        print(f"| `{name}` | {' | '.join(cells)} |", flush=True)


def both_ways(
    corpus: FeatureSet, parts: Parts, name: str, seeds: int, loss: str
) -> tuple[HeldOutAnswers, HeldOutAnswers]:
    """Fit a variant in each part and answer for what it holds out: each head for itself, and jointly."""
    options = FitOptions(seeds=tuple(range(seeds)), loss=loss, patience=0, threads=1)
    ways = [HeldOutAnswers({t: [] for t in TASKS}, {t: [] for t in TASKS}, []) for _ in range(2)]
    gathered: list[list[list[tuple[registry.Prediction, Codes, FeatureSet]]]] = [
        [[] for _ in range(seeds)] for _ in ways
    ]
    for fit, new in parts:
        train, held = corpus.take(fit), corpus.take(new)
        plain = registry.fit(name, train, None, options=options)
        for way, models in enumerate((plain, joint_fit.joined(plain, train, options))):
            for seed, model in enumerate(models):
                gathered[way][seed].append((model.predict(held), pair_counts(train), held))
    for way, answers in zip(gathered, ways, strict=True):
        for folds in way:
            _add(answers, folds)
    return ways[0], ways[1]


def _add(answers: HeldOutAnswers, folds: list[tuple[registry.Prediction, Codes, FeatureSet]]) -> None:
    codes = [decode(said) for said, _, _ in folds]
    for at, task in enumerate(TASKS):
        answers.codes[task].append(np.concatenate([one[at] for one in codes]))  # type: ignore[misc]
        each = [
            -np.maximum(said.task(task)[np.arange(len(held)), getattr(held, task)], np.log(1e-12))  # type: ignore[index]
            for said, _, held in folds
        ]
        answers.loss[task].append(np.concatenate(each))
    lost = [counts[one[0], one[1]] == 0 for one, (_, counts, _) in zip(codes, folds, strict=True)]
    answers.contradictions.append(float(np.concatenate(lost).mean()))


def _differences(
    corpus: FeatureSet, new: Codes, pair: tuple[HeldOutAnswers, HeldOutAnswers]
) -> tuple[float, float, float, float]:
    gaps = []
    for task in TASKS:
        truth, count = getattr(corpus, task)[new], len(getattr(corpus, f"{task}_names"))
        scores = [_mean_score(way.codes[task], truth, count, "balanced_accuracy") for way in pair]
        gaps.append(scores[1] - scores[0])
    losses = [float(np.mean(way.loss["sentiment"])) for way in pair]
    return gaps[0], gaps[1], losses[1] - losses[0], float(np.mean(pair[1].contradictions))


def _mean_score(codes: list[Codes], truth: Codes, classes: int, metric: str) -> float:
    names = [str(one) for one in range(classes)]
    return float(getattr(metrics.score(codes, truth, names, groups=np.arange(len(truth))), metric).mean)


def planted_corpus(kind: str, draw: int, strength: float = 0.25) -> FeatureSet:
    """Draw rows of two streams; each emotion and each sentiment moves the columns its own way.

    ``determined``: one sentiment for each emotion. ``noisy``: the same but for one label in fifty, drawn anew.
    ``mixed``: two emotions leave it open. ``independent``: drawn without a look at the emotion.
    """
    rng = np.random.default_rng((draw, 7))
    count = PLANTED_ROWS + NEW_ROWS
    shares = np.array(MELD_SHARES) / sum(MELD_SHARES)
    emotion = rng.choice(7, count, p=shares)
    drawn = rng.choice(3, count, p=(0.47, 0.22, 0.31))
    follows = np.array([0, 0, 2, 2, 1, 2, 2])[emotion]
    free = {
        "determined": np.zeros(count, bool),
        "noisy": rng.random(count) < 0.02,
        "mixed": np.isin(emotion, (1, 6)),
        "independent": np.ones(count, bool),
    }[kind]
    sentiment = np.where(free, drawn, follows)
    streams = {}
    for name in ("video", "audio"):
        ways = (rng.normal(size=(7, PLANTED_COLUMNS)), rng.normal(size=(3, PLANTED_COLUMNS)))
        noise = rng.normal(size=(count, PLANTED_COLUMNS))
        streams[name] = (strength * (ways[0][emotion] + ways[1][sentiment]) + noise).astype(np.float32)
    names = [EMOTIONS[code] for code in emotion], [SENTIMENTS[code] for code in sentiment]
    return _corpus(streams, *names, [str(k // 10) for k in range(count)])


def meld_face(folder: Path) -> tuple[FeatureSet, Codes, Codes]:
    """Return MELD's stream of action units, and which rows are of train and of dev."""
    with np.load(folder / "openface_au17_train_dev.npz", allow_pickle=False) as file:
        place = {name: row for row, name in enumerate(file["id"].tolist())}
        columns = np.clip(file["features"], 0, SCALE_END)
    rows = [(split, row) for split in ("train", "dev") for row in _table(folder / f"{split}_sent_emo.csv")]
    named = [(split, f"{split}_dia{row['Dialogue_ID']}_utt{row['Utterance_ID']}", row) for split, row in rows]
    kept = [(split, place[name], row) for split, name, row in named if name in place]
    corpus = _corpus(
        {"video": columns[[at for _, at, _ in kept]]},
        [canonical_emotion(row["Emotion"]) for _, _, row in kept],
        [row["Sentiment"] for _, _, row in kept],
        [row["Speaker"] for _, _, row in kept],
        [f"{split} {row['Dialogue_ID']}" for split, _, row in kept],
    )
    train = np.array([split == "train" for split, _, _ in kept])
    return corpus, np.flatnonzero(train), np.flatnonzero(~train)


def _ravdess(audio: NDArray[np.float32], folder: Path) -> FeatureSet:
    names = [path.stem for path in sorted((folder / "audio").glob("*.flac")) if path.stem.split("-")[2] != "02"]
    units = {"03" + row["clip"][2:]: row for row in _table(folder / "action_units.csv")}
    video = np.array([[float(v) for k, v in units[name].items() if k != "clip"] for name in names], np.float32)
    emotion = [RAVDESS[name[7]] for name in names]
    streams = {"video": video, "audio": audio}
    return _corpus(streams, emotion, [sentiment_of(one) for one in emotion], [name[18:20] for name in names])


def _corpus(
    streams: dict[str, NDArray[np.float32]],
    emotion: list[str],
    sentiment: list[str],
    speaker: list[str],
    dialogue: list[str] | None = None,
) -> FeatureSet:
    count = len(emotion)
    names = vocabulary(emotion, EMOTIONS), vocabulary(sentiment, SENTIMENTS)
    return FeatureSet(
        streams={name: StreamArrays(rows, np.ones(count, bool)) for name, rows in streams.items()},
        offsets=np.zeros(count + 1, np.int64),
        start_s=np.zeros(0),
        emotion=np.array([names[0].index(one) for one in emotion]),
        sentiment=np.array([names[1].index(one) for one in sentiment]),
        emotion_names=names[0],
        sentiment_names=names[1],
        dialogue=np.arange(count) if dialogue is None else _codes(dialogue),
        turn=np.zeros(count, np.int64),
        speaker=_codes(speaker),
    )


def _codes(words: list[str]) -> Codes:
    return np.unique(words, return_inverse=True)[1].astype(np.int64)


def _folds(corpus: FeatureSet, count: int) -> Parts:
    fold = fold_codes(corpus.speaker, corpus.emotion, count)
    return [(np.flatnonzero(fold != number), np.flatnonzero(fold == number)) for number in range(fold.max() + 1)]


def _table(path: Path) -> Iterator[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as lines:
        yield from csv.DictReader(lines)


if __name__ == "__main__":
    main()
