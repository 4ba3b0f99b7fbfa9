"""The weights of layers for variants that are solved: chosen inside training, by folds of whole groups.

Each layer is tried by itself, then mixtures along one path from their mean to the best of them,

    weight of layer l  ~  exp(-focus * loss of layer l),      focus 0: the mean; infinite: the best layer

and the likeliest of all these on training utterances that were held out is taken. The loss is that of a ridge
head with a temperature (`heads.linear.head`), which costs one eigendecomposition a fold. One number is searched,
not L: on corpora of a few hundred utterances, held-out losses of mixtures differ by less than their noise.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from dualstream.heads.data.batch import UNLABELLED, FeatureSet
from dualstream.heads.data.layers import LayerMix
from dualstream.heads.evaluation.folds import GroupBy, fold_codes, groups_of
from dualstream.heads.linear.head import fit_heads
from dualstream.heads.linear.shared import once
from dualstream.heads.variants.contract import FitOptions, Task
from numpy.typing import NDArray

FOCUS = (0.0, 4.0, 8.0, 16.0, 32.0)  # per nat of held-out loss
FOLDS = 5
FOLDS_OF_MANY, MANY = 3, 5_000  # as penalties are chosen (`heads.linear.model`)

Floats = NDArray[np.float64]


def choose_layers(train: FeatureSet, name: str, dev: FeatureSet | None, options: FitOptions) -> LayerMix:
    """Return the mix of a stream's layers that is likeliest on held-out training utterances.

    Of `dev` only its speakers are looked at, to choose the folds. Where no fold can be made, or nothing is
    labelled, it is the mean of the standardised layers. Variants that share fits share the choice.
    """
    stream, folds = train.streams[name], options.parameters.get("folds", "auto")
    classes = [len(getattr(train, f"{task}_names")) for task in options.tasks]
    return once(
        ("layers", stream.layers, options.tasks, classes, folds),
        [
            *(stream.utterance, stream.present, train.speaker, train.dialogue),
            *(getattr(train, task) for task in options.tasks),
            None if dev is None else dev.speaker,
        ],
        lambda: _chosen(train, name, dev, options.tasks, folds),
    )


def _chosen(
    train: FeatureSet, name: str, dev: FeatureSet | None, tasks: Sequence[Task], folds: GroupBy
) -> LayerMix:
    stream = train.streams[name]
    count = len(stream.layers)
    even = LayerMix.standardised(stream, np.full(count, 1 / count))
    here = train.take(np.flatnonzero(stream.present))
    labels: dict[Task, NDArray[np.int64]] = {
        task: codes for task in tasks for codes in [getattr(here, task)] if (codes != UNLABELLED).any()
    }
    if not labels:
        return even
    groups, _ = groups_of(here, folds, dev)
    if len(np.unique(groups)) < 2:
        return even
    fold = fold_codes(groups, next(iter(labels.values())), FOLDS if len(here) < MANY else FOLDS_OF_MANY)
    classes = {task: len(getattr(here, f"{task}_names")) for task in labels}
    rows = here.streams[name].utterance
    layers = [even.layer(rows, at) for at in range(count)]

    def loss(weights: Floats) -> float:
        mixed = sum((weight * layer for weight, layer in zip(weights, layers, strict=True) if weight), start=0.0)
        scaled = np.asarray(mixed, np.float64)
        spread = scaled.std(0)
        scaled = (scaled - scaled.mean(0)) / np.where(spread > 0, spread, 1)
        fitted = fit_heads(scaled, labels, classes, fold, solver="ridge", penalty=None)
        return float(np.mean([min(one.losses.values()) for one in fitted.values()]))

    single = np.array([loss(one) for one in np.eye(count)])
    tried = [(value, weights) for value, weights in zip(single, np.eye(count), strict=True)]
    for focus in FOCUS:
        weights = np.exp(-focus * (single - single.min()))
        weights /= weights.sum()
        tried.append((loss(weights), weights))
    best = min(tried, key=lambda one: one[0])[1]
    return LayerMix.standardised(stream, best)
