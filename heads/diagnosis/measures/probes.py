"""How much of each stream has come into the joined head: linear probes of its representation, and laziness.

A joined network stops learning from a stream once the other explains the loss (Wang et al. 2020,
https://arxiv.org/abs/1905.12681; Peng et al. 2022, OGM-GE, https://arxiv.org/abs/2203.15332). A probe of the
representation that the joined head makes of one stream, the others hidden, says what it has learned of it; the
same probe of the network that was trained on that stream alone says what it could have learned. What is missing
is the stream's laziness (Du et al. 2023, UMT, https://arxiv.org/abs/2305.01233).

    conditional utilisation rate  u(m | others) = (A(all) - A(all but m)) / A(all)    of probes of one joined head

is what a stream adds inside it (Wu et al. 2022, https://arxiv.org/abs/2202.05306). Scores are balanced
accuracies out of fold. Probes are linear discriminants with shrinkage under even class priors: they have no
penalty to choose, and so favour neither network.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from dualstream.heads.data.batch import FeatureSet
from dualstream.heads.diagnosis.changes import without
from dualstream.heads.diagnosis.refit import METRIC, Pool, Refit
from dualstream.heads.evaluation import metrics
from dualstream.heads.evaluation.statistics import PairedDifference
from dualstream.heads.linear.closed_form import lda
from dualstream.heads.variants.contract import Trained
from numpy.typing import NDArray

from dualstream.documents import JsonObject

CONSTANT = 1e-6  # spread of a unit, relative to the typical one: below it the unit is dead
ROWS = 1_024  # utterances that are represented at once


@dataclass(frozen=True)
class Probes:
    """Linear probes of the joined head's representation, by the streams that it was shown."""

    chance: float
    """Balanced accuracy of one answer to everything."""
    all_streams: float
    """Balanced accuracy of the probe of all streams."""
    branch: Mapping[str, float]
    """Of the probe of each stream inside the joined head, the others hidden."""
    alone: Mapping[str, float]
    """Of the same probe of the network that was trained on that stream alone."""
    laziness: Mapping[str, PairedDifference]
    """``alone`` over ``branch``: what the joined head has not learned of it, above zero where it is lazy."""
    utilisation: Mapping[str, float]
    """Conditional utilisation rate of each stream: what it adds to the others inside the joined head, relative."""

    def to_json(self) -> JsonObject:
        """Return the values."""
        return {**vars(self), "laziness": {name: one.to_json() for name, one in self.laziness.items()}}


def measure_probes(pooled: Pool, refits: Mapping[str, Refit], names: Sequence[str]) -> Probes | None:
    """Probe the first seed's heads of each fold; None where they have no representation that both tasks read.

    `refits` holds the joined head as ``fused`` and the single streams by their names.
    """
    first = [models[0] for refit in refits.values() for models, _ in refit.models]
    if not all(has_representation(model) for model in first):
        return None
    views: dict[tuple[str, tuple[str, ...]], NDArray[Any]] = {("fused", ()): _answers(pooled, refits["fused"], ())}
    for name in names:
        others = tuple(other for other in names if other != name)
        for hidden in (others, (name,)):
            if ("fused", hidden) not in views:
                views["fused", hidden] = _answers(pooled, refits["fused"], hidden)
        views[name, ()] = _answers(pooled, refits[name], ())
    scores = {view: _score(answers, pooled.truth) for view, answers in views.items()}
    whole = scores["fused", ()]
    branches = {name: ("fused", tuple(other for other in names if other != name)) for name in names}
    return Probes(
        chance=1 / len(np.unique(pooled.truth)),
        all_streams=whole,
        branch={name: scores[branches[name]] for name in names},
        alone={name: scores[name, ()] for name in names},
        laziness={
            name: metrics.compare_models(
                [views[name, ()]],
                [views[branches[name]]],
                pooled.truth,
                pooled.group,
                classes=pooled.classes,
                metric=METRIC,
            )
            for name in names
        },
        utilisation={name: (whole - scores["fused", (name,)]) / whole if whole > 0 else 0.0 for name in names},
    )


def has_representation(model: Trained) -> bool:
    """Return whether a model is a network whose heads read one representation."""
    return bool(getattr(getattr(model, "network", None), "has_representation", False))


def representation(model: Trained, features: FeatureSet) -> NDArray[np.float64]:
    """Return what a network's heads read of every utterance, shape (N, width)."""
    import torch
    from dualstream.heads.training.fit import TorchModel
    from dualstream.heads.training.plan import Order
    from dualstream.heads.training.tensors import TensorSet
    from dualstream.heads.training.weights import EVAL

    assert isinstance(model, TorchModel)
    tensors = TensorSet(features, model.kind, model.settings, model.scalers)
    rows = None
    with torch.no_grad():
        for index in Order(tensors, ROWS).in_turn():
            found = model.network.represent(tensors.batch(index), EVAL)[0].double().numpy()
            rows = np.empty((len(features), found.shape[1])) if rows is None else rows
            rows[index] = found
    assert rows is not None, "a pool has utterances"
    return rows


def probe_answers(
    fitted: NDArray[np.float64], labels: NDArray[np.int64], held: NDArray[np.float64]
) -> NDArray[np.int64]:
    """Return the classes that a probe fitted on some rows answers for others, shape (N,)."""
    deviation = fitted.std(axis=0)
    alive = deviation > CONSTANT * max(float(np.median(deviation)), CONSTANT)
    names, code = np.unique(labels, return_inverse=True)
    if not alive.any():
        return np.full(len(held), names[np.bincount(code).argmax()], dtype=np.int64)
    mean = fitted[:, alive].mean(axis=0)
    scaled, other = ((rows[:, alive] - mean) / deviation[alive] for rows in (fitted, held))
    weights, intercepts, _ = lda(scaled, code, len(names))
    even = intercepts - np.log(np.bincount(code) / len(code))
    answers: NDArray[np.int64] = names[(other @ weights.T + even).argmax(axis=1)].astype(np.int64)
    return answers


def _answers(pooled: Pool, refit: Refit, hidden: Sequence[str]) -> NDArray[np.int64]:
    answers = np.zeros(len(pooled.features), dtype=np.int64)
    for held, (models, change) in enumerate(refit.models):
        sides = []
        for rows in (np.flatnonzero(pooled.fold != held), pooled.rows([held])):
            features = change(pooled.features.take(rows))
            for name in hidden:
                features = without(features, name)
            sides.append((rows, representation(models[0], features)))
        (seen, fitted), (rows, other) = sides
        answers[rows] = probe_answers(fitted, pooled.truth[seen], other)
    return answers


def _score(answers: NDArray[np.int64], truth: NDArray[np.int64]) -> float:
    return float(np.mean([np.mean(answers[truth == code] == code) for code in np.unique(truth)]))
