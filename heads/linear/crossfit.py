"""Held-out answers of a linear variant for all utterances, at the price of fitting it once."""

from __future__ import annotations

from typing import Any

import numpy as np
from dualstream.heads.data.batch import UNLABELLED, FeatureSet
from dualstream.heads.linear.mixing import mix, mix_partial, mixed, weights_of
from dualstream.heads.linear.model import (
    Layout,
    Solvers,
    fit_part,
    settings_of,
    shift_of,
    targets,
)
from dualstream.heads.linear.partial import PartialPools
from dualstream.heads.variants.contract import FitOptions, Prediction, Progress
from dualstream.heads.variants.options import Parameters
from numpy.typing import NDArray


def held_out(
    name: str,
    features: FeatureSet,
    fold: NDArray[np.int64],
    options: FitOptions,
    progress: Progress | None,
    work: dict[Any, Any],
    *,
    layout: Layout,
    defaults: Parameters,
    solvers: Solvers = (),
) -> Prediction:
    """Answer each utterance by heads that saw nothing of its fold (`heads.variants.contract.HeldOut`).

    These are the predictions by which `fit` chooses penalties, so that they cost no more than it does. A fold's
    are mixed by weights that those of the other folds gave. What has seen the fold is the penalty, and the weights
    through the heads that predicted the other folds. Parts are kept in `work`: `linear_late` has those of the
    single streams.
    """
    settings = settings_of(name, defaults, options, solvers)
    labels, prior = targets(features, options)
    fitted = []
    for streams, solver in zip(layout, solvers or (settings["solver"],) * len(layout), strict=True):
        if (streams, solver) not in work:
            work[streams, solver] = fit_part(
                features, streams, labels, prior, fold, solver, options, need_folds=True
            )
        fitted.append(work[streams, solver])
    there = np.stack([design.available(features) for design, _ in fitted])
    answer = {task: np.empty((len(features), len(shares))) for task, shares in prior.items()}
    numbers = np.unique(fold)
    for at, number in enumerate(numbers):
        if progress is not None:
            progress({"variant": name, "epoch": at, "epochs": len(numbers), "train_loss": None, "dev_score": None})
        held = fold == number
        for task, shares in prior.items():
            outs = [heads[task].out_of_fold for _, heads in fitted]
            experts = np.stack([out[held] for out in outs if out is not None])
            if len(experts) < len(outs):
                raise ValueError(f"{name} can't be judged: a stream is there in one fold alone")
            others = np.where(held, UNLABELLED, labels[task])
            pools = mix(fitted, task, others, shares, there, settings["mixing"], need_alone=not there.all())
            partial = PartialPools.none(len(fitted), len(shares))
            if not there.all():
                partial = mix_partial(fitted, task, others, shares, there, settings["mixing"])
            shift = shift_of(shares, options)
            answer[task][held] = mixed(experts, there[:, held], *weights_of(pools), partial, shift, shares)
    return Prediction(answer.get("emotion"), answer.get("sentiment"))
