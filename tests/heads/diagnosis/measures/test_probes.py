"""Probes and curves, on heads that were fitted: a head that a stream never reached, and one that lacks it."""

from __future__ import annotations

import numpy as np
import pytest
from dualstream.heads.diagnosis.measures import measure
from dualstream.heads.diagnosis.measures.probes import probe_answers
from dualstream.heads.diagnosis.measures.robustness import lost, noisy
from dualstream.heads.diagnosis.refit import Trial, pool, refit
from dualstream.heads.diagnosis.trials import single_stream
from dualstream.heads.variants.registry import FitOptions

from tests.heads.planted import Split, plant

QUICK = FitOptions(seeds=(0,), tasks=("emotion",), epochs=15, hidden=16, patience=4, threads=1)
NAMES = ("video", "audio")


def measured(split: Split, fusion: str):
    pooled = pool(split.train, split.dev, folds=3, task="emotion", by="dialogue", sample=4_000, seed=0)
    base = Trial("as it is", fusion, QUICK)
    refits = {"fused": refit(base, pooled)} | {name: refit(single_stream(base, name), pooled) for name in NAMES}
    return measure(pooled, refits)


def test_of_an_exclusive_or_only_both_streams_tell() -> None:
    found = measured(plant("exclusive_or", 0, train=300, dev=150), "tensor")
    assert found.additive is not None and found.additive.gain.difference > 0.3
    assert found.interaction is not None and found.interaction.share.mean > 0.4
    assert found.information is not None and found.information.synergy.low > 0.5
    assert found.information.redundant.high < 0.05
    assert found.probes is not None and max(found.probes.branch.values()) < 0.6
    assert set(found.probes.utilisation) == set(NAMES)
    assert found.probes.utilisation["video"] == pytest.approx(
        1 - found.probes.branch["audio"] / found.probes.all_streams
    )
    assert all(curve.score_missing[-1] < 0.6 and curve.score_missing[0] > 0.8 for curve in found.robustness)


def test_of_a_stream_of_noise_nothing_depends_on_it() -> None:
    found = measured(plant("noise_stream", 0, train=300, dev=150), "concat_norm")
    assert found.interaction is not None and found.interaction.share.mean < 0.2
    by_name = {curve.stream: curve for curve in found.robustness}
    assert by_name["audio"].score_missing[-1] > 0.9 > 0.6 > by_name["video"].score_missing[-1]
    assert not by_name["audio"].falls_below
    assert list(by_name["video"].score_noise) == sorted(by_name["video"].score_noise, reverse=True)
    assert found.information is not None and found.information.unique["video"].low > 0.6
    assert found.probes is not None
    assert found.probes.utilisation["video"] > 0.3 > 0.1 > abs(found.probes.utilisation["audio"])


def test_what_cannot_be_measured_is_said() -> None:
    found = measured(plant("noise_stream", 0, train=200, dev=100), "linear")
    assert found.probes is None and found.additive is not None
    assert found.left_out == ("probes: linear has no representation that its heads read",)
    context = measured(plant("noise_stream", 0, train=120, dev=60), "dialogue:concat_norm")
    assert context.additive is None and context.utterances is None
    assert any("reads whole dialogues" in words for words in context.left_out)


def test_a_probe_answers_as_scikit_learn_does() -> None:
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
    from sklearn.preprocessing import StandardScaler

    rng = np.random.default_rng(0)
    labels = rng.choice(3, 600, p=(0.6, 0.3, 0.1)) * 2  # codes with gaps
    rows = rng.normal(size=(600, 8)) + rng.normal(size=(5, 8))[labels]
    rows = np.hstack((rows, np.ones((600, 1))))  # and a dead unit
    scaled = StandardScaler().fit_transform(rows[:300, :8])
    theirs = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto", priors=[1 / 3] * 3).fit(
        scaled, labels[:300]
    )
    held = StandardScaler().fit(rows[:300, :8]).transform(rows[300:, :8])
    assert np.mean(probe_answers(rows[:300], labels[:300], rows[300:]) == theirs.predict(held)) > 0.99


def test_a_lost_stream_is_masked_and_noise_keeps_what_is_missing() -> None:
    features = plant("noise_stream", 0, train=20, dev=4, test=4).train
    gone = np.arange(20) % 2 == 0
    found = lost(features, "audio", gone).streams["audio"]
    np.testing.assert_array_equal(found.present, ~gone)
    assert not found.utterance[gone].any() and found.window_present is not None
    np.testing.assert_array_equal(found.window_present, np.repeat(~gone, np.diff(features.offsets)))
    worse = noisy(lost(features, "audio", gone), "audio", 1.0, np.random.default_rng(0)).streams["audio"]
    assert not worse.utterance[gone].any() and not np.array_equal(worse.utterance, found.utterance)
