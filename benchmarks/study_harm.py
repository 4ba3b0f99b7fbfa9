"""What does a mistake do to the scores that a user sees? Those of study_damages.py, and a linear head's scores.

    python benchmarks/study_harm.py --set unseen --seeds 3
    DUALSTREAM_DATA=FOLDER DUALSTREAM_WEIGHTS=FOLDER python benchmarks/study_harm.py --set unseen --corpus ravdess

prints by how many points of balanced accuracy each mistake moves the dev score of a head that is fitted on train,
and the score out of folds by named speaker, over train and dev.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import checkout  # noqa: F401
import numpy as np
from damages import Damage
from dualstream.heads.evaluation.folds import fold_codes
from dualstream.heads.linear.design import Design
from dualstream.heads.linear.head import fit_heads
from numpy.typing import NDArray
from shapes import conversations
from study_damages import CORPORA, SETS, corpus_of
from whole_corpora import Codes, Whole

from dualstream.cores import one_core

FOLDS, SOLVER = 3, "ridge"


def balanced(truth: Codes, said: Codes) -> float:
    """Return the mean over classes of the share of them that is right, in per cent."""
    return 100 * float(np.mean([(said[truth == code] == code).mean() for code in np.unique(truth)]))


def scores(whole: Whole) -> tuple[float, float]:
    """Return the dev score of a linear head, and that out of folds by named speaker."""
    label, classes, group = whole.features.emotion, len(whole.features.emotion_names), whole.features.speaker
    if (group < 0).any():
        group = np.arange(len(group))
    train, dev = whole.split()
    streams = tuple(whole.features.streams)
    design = Design.fit(train, streams)
    folds = fold_codes(group[~whole.dev], label[~whole.dev], FOLDS)
    fitted = fit_heads(
        design.rows(train),
        {"emotion": label[~whole.dev]},
        {"emotion": classes},
        folds,
        solver=SOLVER,
        penalty=None,
    )["emotion"]
    seen = balanced(label[whole.dev], fitted.head(design.rows(dev)).argmax(axis=1))
    every = fit_heads(
        Design.fit(whole.features, streams).rows(whole.features),
        {"emotion": label},
        {"emotion": classes},
        fold_codes(group, label, FOLDS),
        solver=SOLVER,
        penalty=None,
        need_folds=True,
    )["emotion"]
    assert every.out_of_fold is not None
    return seen, balanced(label, every.out_of_fold.argmax(axis=1))


@one_core()
def main() -> None:
    """Score each mistake's corpus, and the corpus without it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--corpus", choices=CORPORA, default="planted")
    parser.add_argument("--rows", type=Path, default=Path("build/rows"), help="where encoded rows are kept")
    parser.add_argument("--set", choices=tuple(SETS), default="unseen", help="the file of damages")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--strength", type=float, default=1.0)
    arguments = parser.parse_args()
    clean = [corpus_of(arguments.corpus, arguments.rows, seed) for seed in range(arguments.seeds)]
    before = np.array([scores(whole) for whole in clean])
    print("| mistake | dev | out of folds |\n|---|---|---|")
    print(f"| none | {before[:, 0].mean():.1f} | {before[:, 1].mean():.1f} |", flush=True)
    for name, (damage, _) in SETS[arguments.set].items():
        less = np.mean(
            [_change(whole, seed, damage, arguments.strength) for seed, whole in enumerate(clean)], axis=0
        )
        print(f"| {name} | {less[0]:+.1f} | {less[1]:+.1f} |", flush=True)


def _change(whole: Whole, seed: int, damage: Damage, strength: float) -> NDArray[np.float64]:
    """Return by how much a damage moves both scores; one of conversations, those of the same conversations."""
    damaged = damage(whole, np.random.default_rng([seed, 1]), strength)
    if len(np.unique(damaged.features.dialogue)) < len(damaged.ids):
        whole = conversations(whole, np.random.default_rng([seed, 1]))
    return np.subtract(scores(damaged), scores(whole))


if __name__ == "__main__":
    main()
