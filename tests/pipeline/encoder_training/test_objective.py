"""What a step is trained for, on embeddings made by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from dualstream.heads.training.weights import Weights
from dualstream.pipeline.encoder_training.objective import Objective, SampleLabels
from dualstream.pipeline.encoder_training.options import TrainOptions
from dualstream.pipeline.encoder_training.samples import Samples
from dualstream.pipeline.errors import UsageError
from torch.nn import functional


def made(counts: list[int], emotion: list[int], *, width: int = 3, classes: int = 2, **options: Any) -> Objective:
    """Return the objective of utterances with so many samples each, the last one of dev."""
    owner = np.repeat(np.arange(len(counts)), counts)
    samples = Samples((np.zeros((len(owner), 1), np.float32),), np.ones(len(owner), np.int64), owner, (), ())
    train = np.arange(len(counts)) < len(counts) - 1
    sizes: Any = {"emotion": classes, "sentiment": 1}
    labels = SampleLabels(np.array(emotion), np.full(len(counts), -1), sizes, train, ~train)
    return Objective(Weights([0]), width, samples, labels, TrainOptions(**options))


def test_an_epoch_takes_each_utterance_once_and_whole() -> None:
    counts = [3, 5, 1, 8, 2, 7, 4, 6, 5]
    objective = made(counts, [0, 1] * 4 + [0], batch_size=16)
    steps = objective.steps(0)
    taken = np.concatenate([step.rows for step in steps])
    assert sorted(taken) == list(range(sum(counts[:-1])))  # never the last one: it is of dev
    assert sorted(np.concatenate([step.places for step in steps])) == list(range(8))
    owner = np.repeat(np.arange(9), counts)
    for step in steps:
        np.testing.assert_array_equal(objective.owners[step.places][step.turn], owner[step.rows])
    assert len(steps) == 3 and max(len(step.rows) for step in steps) < 16 + 8
    again, other = objective.steps(0), objective.steps(1)
    assert [step.rows.tolist() for step in again] == [step.rows.tolist() for step in steps]
    assert [step.rows.tolist() for step in other] != [step.rows.tolist() for step in steps]


def test_a_long_utterance_brings_half_a_step_and_others_each_time() -> None:
    objective = made([100, 2, 2], [0, 1, 0], batch_size=8)
    drawn = []
    for epoch in range(2):
        rows = np.concatenate([step.rows for step in objective.steps(epoch)])
        long = rows[rows < 100]
        assert len(long) == 4 and len(set(long)) == 4 and {100, 101} <= set(rows)
        drawn.append(sorted(long))
    assert drawn[0] != drawn[1]


def test_chances_decide_who_comes() -> None:
    objective = made([2, 2, 2, 1], [0, 1, 1, 0], batch_size=4)
    objective.chances = np.array([0.0, 1.0, 0.0])
    steps = objective.steps(0)
    assert {place for step in steps for place in step.places} == {1}
    assert np.concatenate([step.rows for step in steps]).tolist() == [2, 3] * 3


def test_resampled_classes_come_equally_often() -> None:
    emotion = [int(number % 5 == 0) for number in range(100)]
    objective = made([2] * 100 + [1], [*emotion, 0], batch_size=40, resample=True)
    places = np.concatenate([step.places for epoch in range(50) for step in objective.steps(epoch)])
    assert len(places) == 5000 and np.array(emotion)[places].mean() == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize("loss", ["weighted", "logit_adjusted", "balanced_softmax"])
def test_what_resampling_evens_out_is_not_corrected_again(loss: str) -> None:
    """Four utterances in five are of class 0; drawn evenly, each of these losses is cross-entropy."""
    emotion = [int(number % 5 == 0) for number in range(20)]
    embedding = torch.from_numpy(np.random.default_rng(0).normal(size=(60, 3)).astype(np.float32))

    def loss_of(name: str, *, resample: bool) -> float:
        objective = made([3] * 20 + [1], [*emotion, 0], batch_size=100, loss=name, resample=resample)
        objective.chances = None  # the same step for all
        (step,) = objective.steps(0)
        with torch.no_grad():
            return float(objective.losses(embedding, step)["emotion"])

    plain = loss_of("cross_entropy", resample=True)
    assert loss_of(loss, resample=True) == pytest.approx(plain, abs=1e-6)
    assert abs(loss_of(loss, resample=False) - plain) > 0.01


@pytest.mark.parametrize("share", [0.0, 0.25])
def test_the_loss_is_that_of_the_mean_and_of_each_sample(share: float) -> None:
    objective = made([2, 3, 1, 1], [1, 0, -1, 0], batch_size=64, sample_weight=share)
    (step,) = objective.steps(0)
    embedding = torch.from_numpy(np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32))
    truth = torch.tensor([1, 1, 0, 0, 0, -1])[torch.from_numpy(step.rows)]
    means, labels = [], []
    for turn, place in enumerate(step.places):
        if place != 2:  # unlabelled
            means.append(embedding[torch.from_numpy(step.turn == turn)].mean(0))
            labels.append([1, 0][place])
    with torch.no_grad():
        expected = functional.cross_entropy(
            objective.head(torch.stack(means)[None]).emotion[0], torch.tensor(labels)
        )
        if share:
            assert objective.sample_head is not None
            known = truth >= 0
            alone = functional.cross_entropy(
                objective.sample_head(embedding[None]).emotion[0][known], truth[known]
            )
            expected = (1 - share) * expected + share * alone
        found = objective.losses(embedding, step)
    assert list(found) == ["emotion"]  # no utterance has a sentiment
    assert float(found["emotion"]) == pytest.approx(float(expected), abs=1e-6)


def test_utterances_are_weighed_against_the_classes_shares_where_samples_lean_to_the_commonest() -> None:
    """One sample in five tells the class; four in five utterances are of class 0."""
    rng = np.random.default_rng(1)
    emotion = [int(number % 5 == 0) for number in range(200)]
    embedding = rng.normal(0, 0.5, (1000, 3)).astype(np.float32)
    embedding[::5, 0] += np.where(emotion, 4.0, -4.0)
    objective = made([5] * 200 + [1], [*emotion, 0], batch_size=5000)
    (step,) = objective.steps(0)
    rows = torch.from_numpy(embedding[step.rows])
    arrays = [array.requires_grad_() for array in objective.head.layer.weights.tensors.values()]
    optimiser = torch.optim.Adam(arrays, lr=0.1)
    for _ in range(150):
        optimiser.zero_grad()
        objective.losses(rows, step)["emotion"].sum().backward()
        optimiser.step()
    assert objective.sample_head is not None
    right = {}
    for name, head in (("utterance", objective.head), ("sample", objective.sample_head)):
        with torch.no_grad():
            log_p = head(torch.from_numpy(embedding)[None]).emotion[0].log_softmax(-1)
        said = log_p.reshape(200, 5, 2).mean(1).argmax(-1).numpy()
        right[name] = (said[np.array(emotion) == 1] == 1).mean()
    assert right["utterance"] > 0.95 and right["sample"] < 0.5


def test_nothing_to_learn_is_refused() -> None:
    with pytest.raises(UsageError, match="nothing can be learned"):
        made([2, 2], [-1, 0])
    with pytest.raises(ValueError, match="sample_weight is 1"):
        TrainOptions(sample_weight=1.0)
