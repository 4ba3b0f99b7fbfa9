"""What a temperature changes: log loss as it is, by a network's own stopping rows, and from other scored groups.

    DUALSTREAM_DATA=FOLDER DUALSTREAM_WEIGHTS=FOLDER python benchmarks/study_calibration.py --rows ROWS

prints, for the corpora of study_priors.py, why tables show two log losses: a model can be calibrated on held-out
rows only where it has some, and calibrating each seed changes what the seeds answer together. One thread.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import checkout  # noqa: F401
import numpy as np
from dualstream.heads.evaluation import metrics
from dualstream.heads.evaluation.calibration import fit_weights, log_softmax
from dualstream.heads.evaluation.folds import fold_codes
from dualstream.heads.variants import registry
from dualstream.heads.variants.ensemble import ensemble
from dualstream.heads.variants.options import FitOptions
from dualstream.heads.variants.registry import Prediction
from numpy.typing import NDArray
from study_priors import HEADS, LOSSES, STOPPING, Answers, PriorsCase, cases

from dualstream.cores import one_core


@one_core()
def main() -> None:
    """Fit and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=Path, help="folder that keeps the encoders' rows")
    parser.add_argument("--corpora", default="emodb,meld")
    parser.add_argument("--heads", default=";".join(HEADS), help="separated by ';'")
    parser.add_argument("--losses", default=",".join(LOSSES))
    parser.add_argument("--seeds", type=int, default=3, help="of networks")
    words = parser.parse_args()
    for corpus in words.corpora.split(","):
        for case in cases(corpus, words.rows):
            for loss in words.losses.split(","):
                print(f"\n### {case.name}, emotion, {loss}")
                print("| head | log loss | own temperature | calibrated | seeds' joint answers changed |")
                print("|---|---|---|---|---|")
                for head in words.heads.split(";"):
                    print(f"| {head} | {' | '.join(row(case, head, loss, words.seeds))} |", flush=True)


def row(case: PriorsCase, head: str, loss: str, seeds: int) -> list[str]:
    """Return the cells of one head."""
    plain, own = answers(case, head, loss, seeds)
    truth, group = case.corpus.emotion[case.scored], case.group[case.scored]
    before = metrics.score(plain, truth, case.corpus.emotion_names, groups=group)
    assert before.log_loss is not None and before.calibrated_log_loss is not None
    cells = [f"{before.log_loss.mean:.3f}", "no held-out rows", f"{before.calibrated_log_loss.mean:.3f}", ""]
    if own is not None:
        after = metrics.score(own, truth, case.corpus.emotion_names, groups=group).log_loss
        assert after is not None
        cells[1] = f"{after.mean:.3f}"
        cells[3] = f"{(joint(plain) != joint(own)).sum()} of {len(truth)}"
    return cells


def joint(models: Answers) -> NDArray[np.int64]:
    """Return what the mean of the models' probabilities answers."""
    mean = ensemble([Prediction(one, None) for one in models]).emotion
    assert mean is not None
    return mean.argmax(1)


def answers(case: PriorsCase, head: str, loss: str, seeds: int) -> tuple[Answers, Answers | None]:
    """Return each model's answers as they are, and at a temperature of the rows that stopped it."""
    name, parameters = HEADS[head]
    solved = registry.is_closed_form(name)
    options = FitOptions(
        seeds=tuple(range(1 if solved else seeds)), tasks=("emotion",), loss=loss, threads=1, parameters=parameters
    )
    plain: list[list[NDArray[np.float64]]] = [[] for _ in options.seeds]
    own: list[list[NDArray[np.float64]]] = [[] for _ in options.seeds]
    for train, held in case.parts:
        inner = fold_codes(case.group[train], case.corpus.emotion[train], STOPPING)
        fit, stop = (train, None) if solved else (train[inner != 0], case.corpus.take(train[inner == 0]))
        models = registry.fit(name, case.corpus.take(fit), stop, options=options)
        for number, model in enumerate(models):
            said = model.predict(case.corpus.take(held)).emotion
            assert said is not None
            plain[number].append(said)
            if stop is not None:
                stopped = model.predict(stop).emotion
                assert stopped is not None
                (weight,) = fit_weights(stopped[None], stop.emotion)
                own[number].append(log_softmax(max(weight, 0.01) * said))
    joined = [np.concatenate(one) for one in plain]
    return joined, None if solved else [np.concatenate(one) for one in own]


if __name__ == "__main__":
    main()
