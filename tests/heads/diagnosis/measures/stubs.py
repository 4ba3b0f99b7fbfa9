"""Heads that answer by a formula, on a corpus of one column a stream: what is known of them is known by hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from dualstream.heads.data.batch import FeatureSet, StreamArrays
from dualstream.heads.diagnosis.refit import Pool, Refit, Trial
from dualstream.heads.variants.contract import Prediction
from dualstream.heads.variants.registry import FitOptions
from numpy.typing import NDArray

Formula = Callable[..., NDArray[np.float64]]  # of the streams' columns, shape (N,) each, to logits (N, C)


@dataclass(frozen=True)
class Head:
    """A head that was never fitted."""

    formula: Formula
    names: tuple[str, ...]

    def predict(self, features: FeatureSet) -> Prediction:
        columns = [features.streams[name].utterance[:, 0].astype(np.float64) for name in self.names]
        logits = self.formula(*columns)
        return Prediction(emotion=logits - np.log(np.exp(logits).sum(axis=1, keepdims=True)), sentiment=None)


def corpus(columns: Mapping[str, NDArray[np.float64]], truth: NDArray[np.int64]) -> FeatureSet:
    count, classes = len(truth), int(truth.max()) + 1
    streams = {
        name: StreamArrays(values[:, None].astype(np.float32), np.ones(count, dtype=bool))
        for name, values in columns.items()
    }
    return FeatureSet(
        streams=streams, offsets=np.zeros(count + 1, np.int64), start_s=np.zeros(0), emotion=truth,
        sentiment=np.full(count, -1), emotion_names=tuple(f"class {i}" for i in range(classes)),
        sentiment_names=(), dialogue=np.arange(count), turn=np.zeros(count, np.int64),
        speaker=np.full(count, -1),
    )  # fmt: skip


def pool_of(features: FeatureSet, folds: int = 1) -> Pool:
    count = len(features)
    rows = np.arange(count)
    return Pool(features, np.zeros(count, bool), rows % folds, rows, "dialogue", "emotion", rows)


def fitted(pooled: Pool, formula: Formula, names: tuple[str, ...], folds: int = 1) -> Refit:
    """Return what `refit` would, of a head that answers by a formula."""
    head: Any = Head(formula, names)
    rows = head.predict(pooled.features).emotion
    same: Any = lambda features: features  # noqa: E731
    trial = Trial("as it is", "concat", FitOptions(seeds=(0,)))
    return Refit(trial, (rows,), 0.5, 0.5, tuple(((head,), same) for _ in range(folds)))
