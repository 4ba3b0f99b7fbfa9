"""Learning rates, blocks and seeds of a training."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch
from dualstream.features.trainable import ParameterBlock
from dualstream.pipeline.encoder_training.options import TrainOptions
from dualstream.pipeline.encoder_training.schedule import (
    LOWEST_RATE,
    WARM_UP,
    block_depth,
    depths,
    make_optimiser,
    rate_share,
    seed_of,
)
from dualstream.pipeline.errors import UsageError
from torch import nn

OPTIONS = TrainOptions(epochs=10)
STEPS = 20


def shares():
    return [rate_share(OPTIONS, STEPS, epoch, step) for epoch in range(10) for step in range(STEPS)]


def test_the_rate_rises_and_then_falls_to_its_lowest():
    found = shares()
    top = found.index(max(found))
    assert top == round(WARM_UP * len(found)) - 1 and max(found) == pytest.approx(1)
    assert found[:top] == pytest.approx([(k + 1) / (WARM_UP * 200) for k in range(top)])
    assert all(a > b for a, b in zip(found[top:], found[top + 1 :], strict=False))
    assert found[-1] == pytest.approx(LOWEST_RATE)


def test_half_way_down_it_is_the_mean_of_both_ends():
    options = TrainOptions(epochs=1)
    middle = WARM_UP + (1 - WARM_UP) / 2
    steps = 4000
    assert rate_share(options, steps, 0, round(middle * steps) - 1) == pytest.approx(
        (1 + LOWEST_RATE) / 2, abs=1e-3
    )


def test_it_is_torchs_cosine():
    array = nn.Parameter(torch.zeros(1))
    optimiser = torch.optim.SGD([array], lr=1.0)
    falling = round((1 - WARM_UP) * 200)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, falling, eta_min=LOWEST_RATE)
    expected = []
    for _ in range(falling):
        expected.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        cosine.step()
    assert shares()[-falling - 1 : -1] == pytest.approx(expected)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.low, self.middle, self.top = nn.Linear(2, 2), nn.Linear(2, 2), nn.Linear(2, 2)


def encoder(*blocks, name="toy"):
    return SimpleNamespace(name=name, net=Net(), blocks=blocks, unfreezes=len(blocks) > 1)


TOP, MIDDLE, LOW = (
    ParameterBlock("top", ("top.",)),
    ParameterBlock("middle", ("middle.",)),
    ParameterBlock("low", ("low.",)),
)


def test_blocks_are_as_deep_as_they_are_unfrozen_late():
    found = depths(encoder(TOP, MIDDLE, LOW), TrainOptions(unfreeze=("middle", "low")))
    assert found == {
        "top.weight": 0,
        "top.bias": 0,
        "middle.weight": 1,
        "middle.bias": 1,
        "low.weight": 2,
        "low.bias": 2,
    }
    assert depths(encoder(TOP, MIDDLE, LOW), TrainOptions(unfreeze=("low",))) == {
        "top.weight": 0, "top.bias": 0, "low.weight": 1, "low.bias": 1,
    }  # fmt: skip
    assert set(depths(encoder(TOP, MIDDLE, LOW), TrainOptions())) == {"top.weight", "top.bias"}


def test_a_whole_network_trains_at_one_depth():
    assert set(depths(encoder(ParameterBlock("all", ("",))), TrainOptions()).values()) == {0}


@pytest.mark.parametrize(
    ("blocks", "asked", "said"),
    [
        ((ParameterBlock("all", ("",)),), ("fc7",), "toy has no blocks"),
        ((TOP, MIDDLE), ("fc7",), "expected blocks of toy, each once, from: middle"),
        ((TOP, MIDDLE), ("top",), "from: middle"),
        ((TOP, MIDDLE), ("middle", "middle"), "each once"),
    ],
)
def test_blocks_that_are_not_there(blocks, asked, said):
    with pytest.raises(UsageError, match=said):
        depths(encoder(*blocks), TrainOptions(unfreeze=asked))


def test_heads_stand_at_depth_0():
    assert block_depth("emotion.weight", {}) == 0
    assert block_depth("encoder.low.weight", {"low.weight": 2}) == 2


def test_an_optimiser_s_groups_share_depth_and_decay():
    arrays = {
        "encoder.low.weight": torch.zeros(1, 2, 2), "encoder.low.bias": torch.zeros(1, 2),
        "encoder.norm.weight": torch.zeros(1, 2), "head.weight": torch.zeros(1, 2, 3),
    }  # fmt: skip
    depth = {"low.weight": 2, "low.bias": 2, "norm.weight": 1}
    options = TrainOptions(learning_rate=0.01, weight_decay=0.1, depth_rate=0.5)
    found = make_optimiser(SimpleNamespace(tensors=arrays), depth, options)
    groups = {(group["share"], group["weight_decay"]): len(group["params"]) for group in found.param_groups}
    assert groups == {(0.25, 0.1): 1, (0.25, 0.0): 1, (0.5, 0.0): 1, (1.0, 0.1): 1}  # vectors do not decay
    assert {group["lr"] for group in found.param_groups} == {0.01}


def test_a_seed_belongs_to_one_place():
    places = [
        (seed, what, epoch, step)
        for seed in (0, 1)
        for what in ("order", "noise")
        for epoch in (0, 1)
        for step in (0, 11)
    ]
    found = [seed_of(*place) for place in places]
    assert len(set(found)) == len(places) and all(0 <= one < 2**63 for one in found)
    assert seed_of(0, "order", 1, 11) != seed_of(0, "order", 11, 1)
    assert [seed_of(*place) for place in places] == found
    torch.Generator().manual_seed(max(found))
    assert math.log2(max(found)) > 58  # all bits are used
