"""A stream that the joined head never saw while it was trained is the lazy one, of two streams and of three."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from dualstream.heads.data.batch import FeatureSet, StreamArrays
from dualstream.heads.diagnosis.measures import measure
from dualstream.heads.diagnosis.refit import Pool, Trial, pool, predict, refit
from dualstream.heads.diagnosis.trials import single_stream
from dualstream.heads.variants.registry import FitOptions
from dualstream.pipeline.reporting.measures import facts

from tests.heads.lazy import lazy

QUICK = FitOptions(
    seeds=(0,), tasks=("emotion",), epochs=12, hidden=16, patience=12, threads=1, modality_dropout=0.0
)


def with_pose(features: FeatureSet, seed: int) -> FeatureSet:
    """Return the utterances with a third stream, which shows the class well enough."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(len(features), 6))
    rows[:, 0] += 2.0 * features.emotion - 1
    pose = StreamArrays(rows.astype(np.float32), np.ones(len(features), dtype=bool))
    return replace(features, streams={**features.streams, "pose": pose})


def without_what_it_says(pooled: Pool, name: str) -> Pool:
    """Return the pool with one stream's rows of other utterances: nothing can be learned of it."""
    stream, order = pooled.features.streams[name], np.random.default_rng(3).permutation(len(pooled.features))
    other = StreamArrays(stream.utterance[order], stream.present)
    return replace(pooled, features=replace(pooled.features, streams={**pooled.features.streams, name: other}))


@pytest.mark.slow
@pytest.mark.parametrize("names", [("video", "audio"), ("video", "audio", "pose")])
def test_the_stream_that_was_never_learned_is_the_lazy_one(names: tuple[str, ...]) -> None:
    split = lazy(0, train=500, dev=160, test=4)
    train, dev = split.train, split.dev
    if "pose" in names:
        train, dev = with_pose(train, 1), with_pose(dev, 2)
    pooled = pool(train, dev, folds=3, task="emotion", by="dialogue", sample=4_000, seed=0)
    base = Trial("as it is", "concat_norm", QUICK)
    refits = {"fused": refit(base, without_what_it_says(pooled, "audio"))}
    refits |= {name: refit(single_stream(base, name, names), pooled) for name in names}
    found = measure(pooled, refits)
    assert found.probes is not None and found.utterances is not None
    lazier = {name: one.difference for name, one in found.probes.laziness.items()}
    assert max(lazier, key=lambda name: lazier[name]) == "audio"
    assert (found.probes.laziness["audio"].low or 0) > 0
    said = facts(found, "concat_norm")
    assert said["audio inside the head"].startswith("lazy") and "not surely" in said["video inside the head"]
    assert found.to_json()["probes"]["laziness"]["audio"]["interval"][0] > 0
    assert {curve.stream for curve in found.robustness} == set(names)
    # efficiency: what the streams say adds up to what all say beyond nothing
    rows, values = found.utterances.rows, found.utterances
    whole = np.empty((len(pooled.features), pooled.classes))
    for held, (models, _) in enumerate(refits["fused"].models):
        whole[pooled.rows([held])] = predict(models[0], pooled.features.take(pooled.rows([held])), pooled.task)
    of_label = whole[rows, pooled.truth[rows]] - whole[rows].mean(axis=1)
    np.testing.assert_allclose(values.base + sum(values.by_stream.values()), of_label, atol=1e-4)
