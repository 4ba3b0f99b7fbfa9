"""No option of a fit is parsed and ignored: with it the models differ, or `registry.unused` says why they do not."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from dualstream.heads.data.batch import FeatureSet
from dualstream.heads.variants import joint_fit, registry
from dualstream.heads.variants.contract import Trained
from dualstream.heads.variants.options import FitOptions
from dualstream.pipeline.experiments.training_data import corpus_of

from tests.pipeline.planted_corpus import planted_cache

BASE = FitOptions(seeds=(0, 1), epochs=5, hidden=8, batch_size=32, patience=1, learning_rate=0.02, threads=1)
CHANGES: dict[str, Any] = {
    "seeds": (3, 4), "tasks": ("emotion",), "epochs": 1, "batch_size": 4, "learning_rate": 0.1, "weight_decay": 0.5,
    "hidden": 4, "dropout": 0.6, "modality_dropout": 0.5, "patience": 0, "loss": "weighted", "resample": True,
    "task_balance": "uncertainty", "balance": "auxiliary", "balance_strength": 3.0, "watch": "loss",
    "focal_gamma": 1.0, "adjustment": 1.0, "sentiment_weight": 3.0, "penalty": 3.0, "decoding": "separate",
    "max_windows": 1,
}  # fmt: skip
NOT_HERE = {"layers", "parameters", "threads"}
"""Refused where no stream has layers, or no setting has that name; and what no prediction depends on."""
VARIANTS = ("linear_late", "concat_norm", "video", "aligned")


@pytest.fixture(scope="module")
def splits() -> tuple[FeatureSet, FeatureSet]:
    corpus = corpus_of(planted_cache(sizes={"train": 100, "dev": 40, "test": 20}))
    return corpus.take(corpus.train(corpus.split("train"))), corpus.take(corpus.split("dev"))


def answers(models: Sequence[Trained], dev: FeatureSet) -> list[Any]:
    """Return what models of one fit answer for dev, and their weights."""
    found: list[Any] = []
    for model in models:
        told = model.predict(dev)
        found += [told.emotion, told.sentiment, told.pairs]
        found += [array for _, array in sorted(model.state()[0].items())]
    return found


def same(one: list[Any], other: list[Any]) -> bool:
    """Tell whether two fits gave the same models."""
    return len(one) == len(other) and all(
        (a is None) == (b is None) and (a is None or np.array_equal(a, b)) for a, b in zip(one, other, strict=True)
    )


def test_each_option_is_looked_at() -> None:
    assert {one.name for one in dataclasses.fields(FitOptions)} == CHANGES.keys() | NOT_HERE


@pytest.mark.parametrize("name", VARIANTS)
def test_an_option_acts_or_is_told_of(name: str, splits: tuple[FeatureSet, FeatureSet]) -> None:
    train, dev = splits
    plain = answers(joint_fit.fit(name, train, dev, options=BASE), dev)
    ignored, denied, refused = [], [], dict[str, str]()
    for key, value in CHANGES.items():
        options = dataclasses.replace(BASE, **{key: value})
        try:
            changed = answers(joint_fit.fit(name, train, dev, options=options), dev)
        except ValueError as error:
            refused[key] = str(error)
            continue
        told = key in registry.unused(name, options)
        if same(plain, changed) and not told:
            ignored.append(key)
        elif told and not same(plain, changed):
            denied.append(key)
    assert (ignored, denied) == ([], [])
    assert all(key.partition("_")[0][:7] in words for key, words in refused.items())  # resample, or resampling
