"""What speaker normalisation hangs on: how many utterances a batch of a new speaker has, and of how many emotions.

    DUALSTREAM_DATA=FOLDER DUALSTREAM_WEIGHTS=FOLDER python benchmarks/study_speaker_norm.py --out rows

writes the tables of docs/heads.md to standard output. Heads are fitted on whole speakers; the others come in
batches of one kind, a row of the table each, and every utterance is scored in one batch of each kind (of 52, the
last batch of 10 holds 2). Under rule 1, which knew nothing outside of what was scored, a batch holds as many
utterances of each held-out speaker; under rule 2 the other speakers make no difference. Nothing is chosen on
what is scored: the prior's weight and the penalties are chosen by folds inside the training speakers. Whisper's
rows take minutes the first time and are kept in `--out`; it needs `transformers` (the extra `bench`). One
thread.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import checkout  # noqa: F401
import numpy as np
from dualstream.heads.data.batch import FeatureSet, StreamArrays
from dualstream.heads.data.normalisation import normalise_speakers
from dualstream.heads.data.speaker_prior import SpeakerPrior
from dualstream.heads.evaluation import metrics
from dualstream.heads.evaluation.folds import group_folds
from dualstream.heads.evaluation.statistics import Estimate
from dualstream.heads.search.speaker_weight import WEIGHTS, fit_speaker_prior
from dualstream.heads.variants import registry
from dualstream.heads.variants.options import FitOptions
from frozen_rows import action_units, folder_of, whisper_rows
from numpy.typing import NDArray

from dualstream.cores import one_core

FOLDS = {"ravdess": 4, "emodb": 10}
HEADS = {"ravdess": "linear_late", "emodb": "linear_audio"}
SIZES = (20, 10, 5, 3, 2, 1)
EMOTIONS = (1, 2, 3, 5)
ALL = "all"

Codes = NDArray[np.int64]
Floats = NDArray[np.float64]
Apply = Callable[[FeatureSet, Codes], FeatureSet]


@dataclass(frozen=True)
class Kind:
    """One kind of batch: which utterances of a speaker come together."""

    name: str
    size: int | None = None
    emotions: int | None = None

    def rounds(self, features: FeatureSet, seed: int) -> list[tuple[Codes, Codes]]:
        """Return (utterances, those of them that are scored) of one batch of every speaker, a round each."""
        rng = np.random.default_rng(seed)
        speaker, label = features.speaker, features.emotion
        if self.emotions is None:
            place = np.zeros(len(features), np.int64)
            for code in np.unique(speaker):
                own = np.flatnonzero(speaker == code)
                place[own] = rng.permutation(len(own)) // (self.size or len(own))
            batches = [np.flatnonzero(place == number) for number in range(int(place.max()) + 1)]
            return [(rows, rows) for rows in batches]
        found = []
        classes = len(features.emotion_names)
        for target in range(classes):  # beside others, drawn: each class is scored in as mixed a company
            others = rng.permutation(np.delete(np.arange(classes), target))[: self.emotions - 1]
            rows = np.flatnonzero(np.isin(label, [target, *others]))
            found.append((rows, rows[label[rows] == target]))
        return found


KINDS = (
    Kind(ALL),
    *(Kind(f"{size}", size=size) for size in SIZES),
    *(Kind(f"{count} emotion{'s' if count > 1 else ''}", emotions=count) for count in EMOTIONS),
)


@dataclass(frozen=True)
class Way:
    """A way to normalise: what training rows become, and how a batch is brought to them."""

    name: str
    fit: Callable[[FeatureSet], tuple[FeatureSet, Apply]]


def _raw(train: FeatureSet) -> tuple[FeatureSet, Apply]:
    return train, lambda features, rows: features.take(rows)


def _rule_1(train: FeatureSet) -> tuple[FeatureSet, Apply]:
    return normalise_speakers(train), lambda features, rows: normalise_speakers(features.take(rows))


def _by(prior: SpeakerPrior, train: FeatureSet) -> tuple[FeatureSet, Apply]:
    return prior.normalise_training(train), lambda features, rows: prior.normalise(features.take(rows))


def ways(every_weight: bool) -> list[Way]:
    """Return the columns of the table."""
    found = [
        Way("raw", _raw),
        Way("before (rule 1)", _rule_1),
        Way("rule 2", lambda train: _by(fit_speaker_prior(train), train)),
    ]
    if every_weight:
        found += [
            Way(f"weight {weight:g}", lambda train, w=weight: _by(SpeakerPrior.fit(train, weight=w), train))  # type: ignore[misc]
            for weight in WEIGHTS
        ]
    return found


@one_core()
def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder that keeps the encoders' rows")
    parser.add_argument("--corpora", default="ravdess,emodb")
    parser.add_argument("--draws", type=int, default=3, help="how often batches are drawn")
    parser.add_argument("--weights", action="store_true", help="each weight of the grid too")
    options = parser.parse_args()
    for corpus in options.corpora.split(","):
        started = time.process_time()
        study(corpus, read(corpus, options.out), ways(options.weights), options.draws)
        print(f"\n({time.process_time() - started:.0f} s of processor time)\n", flush=True)


def read(corpus: str, folder: Path) -> FeatureSet:
    """Return the utterance rows of a corpus that the command line names: sound, and RAVDESS's action units."""
    data, weights = folder_of("DUALSTREAM_DATA"), folder_of("DUALSTREAM_WEIGHTS")
    rows = whisper_rows(folder, weights / "whisper-tiny.en", corpus, data)
    streams = {"audio": rows.utterance}
    if corpus == "ravdess":
        streams["video"] = action_units(data, rows.id.tolist())
    return corpus_of(streams, rows.label, rows.group)


def corpus_of(
    streams: dict[str, NDArray[np.float32]], label: NDArray[np.str_], speaker: NDArray[np.str_]
) -> FeatureSet:
    """Return rows as a corpus; each utterance is a dialogue of its own."""
    count = len(label)
    names, codes = np.unique(label, return_inverse=True)
    return FeatureSet(
        streams={name: StreamArrays(rows, np.ones(count, dtype=bool)) for name, rows in streams.items()},
        offsets=np.zeros(count + 1, np.int64),
        start_s=np.zeros(0),
        emotion=codes.astype(np.int64),
        sentiment=np.full(count, -1),
        emotion_names=tuple(names),
        sentiment_names=(),
        dialogue=np.arange(count),
        turn=np.zeros(count, np.int64),
        speaker=np.unique(speaker, return_inverse=True)[1].astype(np.int64),
    )


def study(corpus: str, features: FeatureSet, columns: list[Way], draws: int) -> None:
    """Print the table of one corpus."""
    each = np.bincount(features.speaker)
    print(
        f"\n### {corpus}: {HEADS[corpus]}, {len(features)} utterances of {len(each)} speakers ({each.min()} to "
        f"{each.max()} each), {len(features.emotion_names)} emotions, {FOLDS[corpus]} folds by speaker\n"
    )
    print(f"| a speaker's batch | {' | '.join(way.name for way in columns)} |\n|---|{'---|' * len(columns)}")
    found = {way.name: answers(corpus, features, way, draws) for way in columns}
    for kind in KINDS:
        cells = []
        for way in columns:
            rows = found[way.name][kind.name]
            score = scored(features, rows)
            loss = -np.mean([one[np.arange(len(features)), features.emotion] for one in rows])
            cells.append(f"{score.mean:.3f} [{score.low or 0:.3f}, {score.high or 0:.3f}] / {loss:.2f}")
        print(f"| {kind.name} | {' | '.join(cells)} |", flush=True)


def answers(corpus: str, features: FeatureSet, way: Way, draws: int) -> dict[str, list[Floats]]:
    """Return out-of-fold log-probabilities (N, C) by kind of batch, a draw of batches each."""
    shape = (len(features), len(features.emotion_names))
    found = {kind.name: [np.zeros(shape) for _ in range(draws)] for kind in KINDS}
    options = FitOptions(seeds=(0,), tasks=("emotion",), loss="cross_entropy", threads=1)
    for train, held in group_folds(features.speaker, features.emotion, FOLDS[corpus], 0):
        rows, apply = way.fit(features.take(train))
        model = registry.fit(HEADS[corpus], rows, None, options=options)[0]
        others = features.take(held)
        for kind in KINDS:
            for draw, store in enumerate(found[kind.name]):
                for batch, wanted in kind.rounds(others, draw):
                    said = model.predict(apply(others, batch)).emotion
                    assert said is not None
                    store[held[wanted]] = said[np.searchsorted(batch, wanted)]
    return found


def scored(features: FeatureSet, rows: list[Floats]) -> Estimate:
    """Return the balanced accuracy, the mean over draws, with an interval over the speakers."""
    return metrics.score(rows, features.emotion, features.emotion_names, groups=features.speaker).balanced_accuracy


if __name__ == "__main__":
    main()
