"""Corpora that leave a measure little to measure: every number is finite, and what can't be told is said."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from dualstream.heads.data.batch import FeatureSet, StreamArrays
from dualstream.heads.diagnosis.measures import Measures, measure
from dualstream.heads.diagnosis.refit import Trial, pool, refit
from dualstream.heads.diagnosis.subsets import between, subset_trial
from dualstream.heads.diagnosis.trials import single_stream
from dualstream.heads.variants.options import Task
from dualstream.heads.variants.registry import FitOptions
from dualstream.pipeline.reporting import measures

from tests.heads.diagnosis.three_streams import plant

Change = Callable[[FeatureSet], FeatureSet]


def with_stream(features: FeatureSet, name: str, rows: np.ndarray, there: np.ndarray) -> FeatureSet:
    stream = StreamArrays(np.where(there[:, None], rows, 0).astype(np.float32), there)
    return replace(features, streams={**features.streams, name: stream})


def of(*names: str) -> Change:
    return lambda features: replace(features, streams={name: features.streams[name] for name in names})


def lacking(name: str, share: float) -> Change:
    def change(features: FeatureSet) -> FeatureSet:
        stream, there = features.streams[name], np.random.default_rng(1).random(len(features)) >= share
        return with_stream(features, name, stream.utterance, stream.present & there)

    return change


def constant(name: str) -> Change:
    def change(features: FeatureSet) -> FeatureSet:
        stream = features.streams[name]
        return with_stream(features, name, np.ones_like(stream.utterance), stream.present)

    return change


def fourth(features: FeatureSet) -> FeatureSet:
    pose = features.streams["pose"]
    noise = np.random.default_rng(len(features)).normal(size=pose.utterance.shape)
    return with_stream(features, "hands", pose.utterance + noise, pose.present)


def in_three_classes(features: FeatureSet) -> FeatureSet:
    nobody = np.full(len(features), -1)
    return replace(
        features, emotion=nobody, emotion_names=(), sentiment=features.emotion % 3, sentiment_names=tuple("xyz")
    )


def few_groups(features: FeatureSet) -> FeatureSet:
    return replace(features, dialogue=np.arange(len(features)) % 3)


def measured(*changes: Change, fusion: str = "linear", task: Task = "emotion", keep: Any = None) -> Measures:
    parts = plant(count=120)
    if keep is not None:
        parts = tuple(part.take(np.flatnonzero(keep(part, at == 0))) for at, part in enumerate(parts))
    for change in changes:
        parts = tuple(change(part) for part in parts)
    pooled = pool(*parts, folds=3, task=task, by="dialogue", sample=4_000, seed=0)
    names = tuple(pooled.features.streams)
    fit = FitOptions(seeds=(0,), tasks=(task,), epochs=3, hidden=8, threads=1)
    base = Trial("as it is", fusion, fit)
    refits = {"fused": refit(base, pooled)} | {
        name: refit(single_stream(base, name, names), pooled) for name in names
    }
    some = between(names) if len(names) > 2 else ()
    return measure(pooled, refits, {known: refit(subset_trial(base, known, names), pooled) for known in some})


def numbers(found: Any) -> Iterator[float]:
    if isinstance(found, dict):
        found = list(found.values())
    if isinstance(found, list):
        for one in found:
            yield from numbers(one)
    elif isinstance(found, float):
        yield found


def no_last_class(part: FeatureSet, train: bool) -> np.ndarray:
    return np.full(len(part), train) | (part.emotion != 3)


def two_of_the_last(part: FeatureSet, train: bool) -> np.ndarray:
    return (part.emotion != 3) | (np.cumsum(part.emotion == 3) <= (2 if train else 0))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("changes", "options"),
    [
        ((of("voice", "face"),), {"keep": no_last_class}),
        ((of("voice", "face"),), {"keep": two_of_the_last}),
        ((lacking("face", 0.9),), {}),
        ((of("voice", "face"), lacking("face", 1.0)), {"fusion": "concat_norm"}),
        ((of("voice", "face"), constant("face")), {"fusion": "concat_norm"}),
        ((of("voice", "face"), constant("face"), constant("voice")), {}),
        ((of("voice", "face"), in_three_classes), {"task": "sentiment"}),
        ((fourth,), {}),
        ((few_groups,), {}),
    ],
    ids=[
        "a class absent in dev", "two rows of a class", "a stream of three absent in nine of ten", "a stream absent",
        "a stream constant", "all streams constant", "sentiment only, three classes", "four streams", "few groups",
    ],
)  # fmt: skip
def test_every_number_is_finite(changes, options) -> None:
    found = measured(*changes, **options)
    document = found.to_json()
    assert all(map(math.isfinite, numbers(document)))
    json.dumps(document, allow_nan=False)
    said = measures.facts(found, "linear")
    assert not any("nan" in words.split() for words in said.values())
    assert all(picture.drawing is not None for picture in measures.pictures(found))
    assert found.utterances is not None and all(
        np.isfinite(rows).all() for rows in found.utterances.by_stream.values()
    )
    names = found.streams
    assert found.information is not None
    assert set(found.information.against_rest) == (set(names) if len(names) > 2 else set())
    assert len(found.information.pairs) == (len(names) * (len(names) - 1) // 2 if len(names) > 2 else 0)


def test_a_constant_stream_is_said_to_have_nothing_to_learn() -> None:
    found = measured(of("voice", "face"), constant("face"), fusion="concat_norm")
    said = measures.facts(found, "concat_norm")
    assert said["face inside the head"].startswith("nothing to learn: a probe of the head on face alone reads ")
    assert not said["voice inside the head"].startswith("nothing to learn")
    assert found.information is not None and found.interaction is not None
    assert found.information.unique["face"].low == 0 and not found.interaction.says_nothing


def test_a_head_that_says_nothing_is_said_to() -> None:
    found = measured(of("voice", "face"), constant("face"), constant("voice"))
    assert found.interaction is not None and found.interaction.says_nothing
    assert measures.facts(found, "linear")["interaction"].startswith("none: the head says the same of every")


def test_few_groups_are_said_to_be_too_few_for_bits() -> None:
    few = measures.facts(measured(of("voice", "face"), few_groups), "linear")["bits of the label"]
    enough = measures.facts(measured(of("voice", "face")), "linear")["bits of the label"]
    assert "6 groups are too few for bits" in few and "too few" not in enough
