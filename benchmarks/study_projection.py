"""What a projection costs: raw columns, principal components, and the same turned, under the heads that read them.

    DUALSTREAM_DATA=FOLDER DUALSTREAM_WEIGHTS=FOLDER python benchmarks/study_projection.py --out rows

writes the tables of docs/projection.md to standard output. Whisper's rows take minutes the first time and are kept
in `--out`; it needs `transformers` (the extra `bench`). One thread.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import checkout  # noqa: F401
import numpy as np
from dualstream.features.projection import PcaFit, Projection, turned
from dualstream.heads.data.batch import FeatureSet, StreamArrays
from dualstream.heads.evaluation import metrics
from dualstream.heads.evaluation.folds import fold_codes
from dualstream.heads.evaluation.statistics import Estimate, PairedDifference
from dualstream.heads.variants import registry
from dualstream.heads.variants.options import FitOptions
from frozen_rows import CorpusRows, folder_of, picture_rows, whisper_rows
from numpy.typing import NDArray

from dualstream.cores import one_core

WIDTHS = (32, 100, 192)
FOLDS = {"EMO-DB": 10, "RAVDESS": 4, "MOSI's pictures": 5}
HEADS = {"linear_audio": "linear", "audio": "one hidden layer"}
STOPPING = 8  # one part in this many of a fold's training groups decides when to stop
RAW, PLAIN, TURNED, SCALED = "raw", "principal components", "the same, turned", "of standardised columns, turned"

Answers = list[NDArray[np.float64]]  # out-of-fold log-probabilities, a seed each, shape (N, C)


@dataclass(frozen=True, repr=False)
class Road:
    """How raw rows become a head's columns: fitted on a fold's training utterances."""

    kind: str
    width: int
    by_windows: bool = True
    """Fitted on windows, as `extract` does; False: on utterance rows, as it does where there are no windows."""
    seed: int = 0

    def fit(self, windows: NDArray[np.float32]) -> Projection | None:
        """Return the projection; None for raw columns."""
        if self.kind == RAW:
            return None
        scale = np.ones(windows.shape[1], np.float32)
        if self.kind == SCALED:
            spread = windows.std(axis=0, dtype=np.float64)
            scale = np.divide(1, spread, out=np.zeros_like(spread), where=spread > 0).astype(np.float32)
        found = PcaFit(windows.shape[1], self.width).partial_fit(windows * scale).fit()
        if self.kind != PLAIN:
            found = turned(found, seed=self.seed)
        unscaled = np.divide(found.mean, scale, out=np.zeros_like(scale), where=scale > 0)
        return Projection(found.kind, unscaled, found.components * scale, found.facts)


@one_core()
def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder that keeps the encoders' rows")
    parser.add_argument("--corpora", default="emodb,ravdess,mosi")
    parser.add_argument("--fitted-on", default="windows,utterances", help="what projections are fitted on")
    parser.add_argument("--seeds", type=int, default=3, help="models with a hidden layer, for each fold")
    parser.add_argument("--rotations", type=int, default=0, help="so many other rotations of 192 columns, too")
    words = parser.parse_args()
    for name in words.corpora.split(","):
        started = time.process_time()
        rows = read(name, words.out)
        for fitted_on in words.fitted_on.split(","):
            if fitted_on == "windows" or len(rows.windows) > len(rows.utterance):
                study(rows, words.seeds, words.rotations, by_windows=fitted_on == "windows")
        print(f"\n({time.process_time() - started:.0f} s of processor time)\n", flush=True)


def read(name: str, folder: Path) -> CorpusRows:
    """Return the rows of a corpus that the command line names."""
    data, weights = folder_of("DUALSTREAM_DATA"), folder_of("DUALSTREAM_WEIGHTS")
    if name == "mosi":
        return picture_rows(folder, weights / "mobilenet_v2-b0353104.pth", data / "mosi")
    return whisper_rows(folder, weights / "whisper-tiny.en", name, data)


def study(rows: CorpusRows, seeds: int, rotations: int, *, by_windows: bool) -> None:
    """Print the table of one corpus, and what turning gains."""
    truth = np.unique(rows.label, return_inverse=True)[1]
    names = np.unique(rows.label)
    chance = 100 / len(names)
    fitted_on = "windows" if by_windows else "utterance rows"
    print(f"\n### {rows.name}, fitted on {fitted_on}\n")
    print(
        f"{len(truth)} rows of {rows.utterance.shape[1]} columns, {len(names)} classes (chance {chance:.1f}), "
        f"{FOLDS[rows.name]} folds by {rows.grouped_by} over {len(np.unique(rows.group))}\n"
    )
    print(f"| columns | | {' | '.join(HEADS.values())} | turned against as they are |\n|---|---|---|---|---|")
    roads = [Road(RAW, rows.utterance.shape[1])]
    roads += [Road(kind, width, by_windows) for width in WIDTHS for kind in (PLAIN, TURNED, SCALED)]
    roads += [Road(TURNED, WIDTHS[-1], by_windows, seed) for seed in range(1, rotations + 1)]
    before: dict[str, Answers] = {}
    for road in roads:
        answers = out_of_fold(rows, road, seeds)
        cells = [_cell(score(rows, one)) for one in answers.values()]
        gains = ""
        if road.kind == PLAIN:
            before = answers
        elif road.kind == TURNED:
            gains = "; ".join(_gain(against(rows, answers[head], before[head])) for head in HEADS)
        kind = road.kind + (f" (rotation {road.seed})" if road.seed else "")
        print(f"| {road.width} | {kind} | {' | '.join(cells)} | {gains} |", flush=True)


def out_of_fold(rows: CorpusRows, road: Road, seeds: int) -> dict[str, Answers]:
    """Return each head's answers; projection and heads of a fold see its training rows alone."""
    names, truth = np.unique(rows.label, return_inverse=True)
    group = np.unique(rows.group, return_inverse=True)[1].astype(np.int64)
    fold = fold_codes(group, truth, FOLDS[rows.name], seed=0)
    owner = np.repeat(np.arange(len(truth)), np.diff(rows.offsets))
    found: dict[str, Answers] = {
        head: [np.zeros((len(truth), len(names))) for _ in range(count)]
        for head, count in zip(HEADS, (1, seeds), strict=True)
    }
    for number in range(int(fold.max()) + 1):
        train, held = np.flatnonzero(fold != number), np.flatnonzero(fold == number)
        raw = rows.windows[np.isin(owner, train)] if road.by_windows else rows.utterance[train]
        projection = road.fit(raw)
        columns = rows.utterance if projection is None else projection.transform(rows.utterance)
        corpus = features(columns, truth, group, names)
        inner = fold_codes(group[train], truth[train], STOPPING, seed=0)
        for head, answers in found.items():
            for seed, model in enumerate(fitted(head, corpus, train, inner, len(answers))):
                said = model.predict(corpus.take(held)).emotion
                assert said is not None
                answers[seed][held] = said
    return found


def fitted(
    head: str, corpus: FeatureSet, train: NDArray[np.int64], inner: NDArray[np.int64], seeds: int
) -> Sequence[registry.Trained]:
    """Fit a head: penalties are chosen, and training is stopped, inside the training rows."""
    options = FitOptions(seeds=tuple(range(seeds)), tasks=("emotion",), loss="cross_entropy", threads=1)
    if registry.is_closed_form(head):
        return registry.fit(head, corpus.take(train), None, options=options)[:1]
    stop = corpus.take(train[inner == 0])
    return registry.fit(head, corpus.take(train[inner != 0]), stop, options=options)


def features(
    columns: NDArray[np.float32], truth: NDArray[np.int64], group: NDArray[np.int64], names: NDArray[np.str_]
) -> FeatureSet:
    """Return rows as a corpus of one stream, whose groups are its dialogues and speakers."""
    count = len(truth)
    return FeatureSet(
        streams={"audio": StreamArrays(columns, np.ones(count, dtype=bool))},
        offsets=np.zeros(count + 1, np.int64),
        start_s=np.zeros(0),
        emotion=truth.astype(np.int64),
        sentiment=np.full(count, -1),
        emotion_names=tuple(names),
        sentiment_names=(),
        dialogue=group,
        turn=np.zeros(count, np.int64),
        speaker=group,
    )


def score(rows: CorpusRows, answers: Answers) -> Estimate:
    """Return the balanced accuracy with an interval over the groups."""
    names, truth = np.unique(rows.label, return_inverse=True)
    group = np.unique(rows.group, return_inverse=True)[1]
    return metrics.score(answers, truth, names, groups=group).balanced_accuracy


def against(rows: CorpusRows, answers: Answers, others: Answers) -> PairedDifference:
    """Return what one way gains over another, paired."""
    names, truth = np.unique(rows.label, return_inverse=True)
    group = np.unique(rows.group, return_inverse=True)[1]
    return metrics.compare_models(answers, others, truth, group, classes=len(names))


def _cell(found: Estimate) -> str:
    return f"{100 * found.mean:.1f} ({100 * (found.low or 0):.1f}–{100 * (found.high or 0):.1f})"


def _gain(found: PairedDifference) -> str:
    low, high = 100 * (found.low or 0), 100 * (found.high or 0)
    return f"{100 * found.difference:+.1f} ({low:+.1f} to {high:+.1f})"


if __name__ == "__main__":
    main()
