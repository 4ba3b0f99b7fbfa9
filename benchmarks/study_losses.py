"""Which loss, and which balance of the two tasks, where classes are as uneven as MELD's?

    python benchmarks/study_losses.py CACHE.h5 [--fusion concat_norm] [--draws 10] [--folds 4]

Each draw deals MELD's class shares out to the corpus's classes anew and keeps as many utterances of each as
that leaves; models are fitted and scored by folds of speakers on what is left. Every setting sees the same
draws, folds and seeds, and its figures stand as differences to cross-entropy, with an interval by resampling
the draws. Nothing is stopped or chosen by what is scored: epochs are fixed. One thread.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path

import checkout  # noqa: F401
import numpy as np
from dualstream.heads.data.batch import FeatureSet
from dualstream.heads.evaluation.folds import group_folds
from dualstream.heads.variants import registry
from dualstream.heads.variants.registry import FitOptions
from dualstream.pipeline.experiments.training_data import read_corpus
from numpy.typing import NDArray
from sklearn import metrics as sklearn_metrics

from dualstream.cores import one_core

MELD_SHARES = np.array([0.472, 0.174, 0.121, 0.111, 0.068, 0.027, 0.027])  # neutral, joy, surprise, anger, ...
PLAIN: dict[str, object] = {"loss": "cross_entropy"}
SETTINGS: dict[str, dict[str, object]] = {
    "cross_entropy": PLAIN,
    "weighted": {"loss": "weighted"},
    "focal": {"loss": "focal"},
    "logit_adjusted, tau 0.5": {"loss": "logit_adjusted", "adjustment": 0.5},
    "logit_adjusted, tau 1 (balanced_softmax)": {"loss": "balanced_softmax"},
    "cross_entropy, resampled": PLAIN | {"resample": True},
    "cross_entropy, uncertainty weights": PLAIN | {"task_balance": "uncertainty"},
    "cross_entropy, gradient surgery": PLAIN | {"task_balance": "surgery"},
    "cross_entropy, emotion alone": PLAIN | {"tasks": ("emotion",)},
}
SCORES = ("balanced accuracy", "macro F1", "weighted F1", "accuracy", "log loss")


@one_core()
def main() -> None:
    """Draw, fit, print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cache", type=Path)
    parser.add_argument("--fusion", default="concat_norm")
    parser.add_argument("--draws", type=int, default=10)
    parser.add_argument("--folds", type=int, default=4)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=25)
    parser.add_argument("--even", action="store_true", help="keep every utterance: classes as the corpus has them")
    options = parser.parse_args()
    started = time.perf_counter()
    corpus = read_corpus(options.cache).features
    fit = FitOptions(seeds=tuple(range(options.seeds)), epochs=options.epochs, patience=0, threads=1)
    found = {name: [] for name in SETTINGS}
    kept = []
    for draw in range(options.draws):
        rows = np.arange(len(corpus)) if options.even else uneven(corpus.emotion, draw)
        kept.append(np.bincount(corpus.emotion[rows], minlength=len(corpus.emotion_names)))
        some = corpus.take(rows)
        for name, setting in SETTINGS.items():
            found[name].append(scores(some, options.fusion, replace(fit, **setting), options.folds, draw))
    sizes = np.array(kept)
    majority = (sizes.max(1) / sizes.sum(1)).mean()
    print(
        f"{options.fusion}, {options.draws} draws of {sizes.sum(1).min()} to {sizes.sum(1).max()} utterances, "
        f"{options.folds} folds by speaker, {options.seeds} seeds, {options.epochs} epochs; the commonest class "
        f"has {majority:.1%}: its line is {1 / sizes.shape[1]:.3f} balanced accuracy, {majority:.3f} accuracy\n"
    )
    print("| setting | " + " | ".join(SCORES) + " |\n|---|" + "---|" * len(SCORES))
    base = np.array(found["cross_entropy"])
    print("| cross_entropy | " + " | ".join(f"{value:.3f}" for value in base.mean(0)) + " |")
    for name in list(SETTINGS)[1:]:
        cells = []
        for column in (np.array(found[name]) - base).T:
            low, high = interval(column)
            cells.append(f"{column.mean():+.3f} ({low:+.3f} to {high:+.3f})")
        print(f"| {name} | " + " | ".join(cells) + " |")
    print(f"\n({time.perf_counter() - started:.0f} s)")


def uneven(labels: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """Return the rows that are left when MELD's shares are assigned to the classes in an order of `seed`."""
    rng = np.random.default_rng(seed)
    counts = np.bincount(labels[labels >= 0])
    shares = rng.permutation(MELD_SHARES[: len(counts)] / MELD_SHARES[: len(counts)].sum())
    whole = (counts / shares).min()
    chosen = [
        rng.permutation(np.flatnonzero(labels == code))[: max(8, round(share * whole))]
        for code, share in enumerate(shares)
    ]
    return np.sort(np.concatenate(chosen))


def scores(corpus: FeatureSet, fusion: str, fit: FitOptions, folds: int, seed: int) -> list[float]:
    """Return `SCORES` of the emotions, out of fold by speaker, means over the seeds."""
    answers = np.zeros((len(fit.seeds), len(corpus), len(corpus.emotion_names)))
    for train, held in group_folds(corpus.speaker, corpus.emotion, folds, seed):
        for row, model in zip(answers, registry.fit(fusion, corpus.take(train), None, options=fit), strict=True):
            said = model.predict(corpus.take(held)).emotion
            assert said is not None
            row[held] = said
    truth = corpus.emotion
    values = []
    for row in answers:
        said = row.argmax(1)
        values.append([
            sklearn_metrics.balanced_accuracy_score(truth, said),
            sklearn_metrics.f1_score(truth, said, average="macro"),
            sklearn_metrics.f1_score(truth, said, average="weighted"),
            sklearn_metrics.accuracy_score(truth, said),
            float(-row[np.arange(len(truth)), truth].mean()),
        ])  # fmt: skip
    means: list[float] = np.mean(values, axis=0).tolist()
    return means


def interval(differences: NDArray[np.float64]) -> tuple[float, float]:
    """Return the 95 % interval of a mean by resampling what it is the mean of."""
    rng = np.random.default_rng(0)
    drawn = rng.choice(differences, (2_000, len(differences))).mean(1)
    low, high = np.quantile(drawn, [0.025, 0.975])
    return float(low), float(high)


if __name__ == "__main__":
    main()
