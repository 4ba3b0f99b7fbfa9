"""The five-layer network: its size counted by hand, its shapes, its seeds."""

from __future__ import annotations

import pytest
import torch
from dualstream.features.networks.cnn5 import CHANNELS, LEAK, SIZE_PX, Cnn5
from dualstream.features.networks.embedded import Embedded
from torch import nn


def test_the_parameters_by_hand() -> None:
    counts = {name: array.numel() for name, array in Cnn5().named_parameters()}
    convolutions = [3 * 32 * 9, 32 * 64 * 9, 64 * 128 * 9, 128 * 256 * 9, 256 * 256 * 9]
    assert [counts[f"blocks.{4 * block}.weight"] for block in range(5)] == convolutions
    norms = [count for channels in CHANNELS for count in (channels, channels)]
    assert sum(counts.values()) == sum(convolutions) + sum(norms) + (256 * 3 * 3 * 100 + 100)


@pytest.mark.parametrize("width", [1, 100, 256])
def test_a_frame_becomes_so_many_columns(width: int) -> None:
    net = Cnn5(width).reset(0).eval()
    assert net(torch.zeros(2, 3, SIZE_PX, SIZE_PX)).shape == (2, width)


def test_each_block_halves_the_side() -> None:
    x = torch.zeros(1, 3, SIZE_PX, SIZE_PX)
    net = Cnn5().reset(0).eval()
    sides = []
    for block in range(5):
        x = net.blocks[4 * block : 4 * block + 4](x)
        sides.append(tuple(x.shape[1:]))
    assert sides == [(32, 48, 48), (64, 24, 24), (128, 12, 12), (256, 6, 6), (256, 3, 3)]


def test_a_seed_is_a_network() -> None:
    one, again, other = Cnn5().reset(1).state_dict(), Cnn5().reset(1).state_dict(), Cnn5().reset(2).state_dict()
    assert all(torch.equal(one[name], again[name]) for name in one)
    assert not torch.equal(one["blocks.0.weight"], other["blocks.0.weight"])


def test_a_reset_forgets_what_was_learnt() -> None:
    net = Cnn5().reset(1)
    before = {name: array.clone() for name, array in net.state_dict().items()}
    net(torch.randn(4, 3, SIZE_PX, SIZE_PX, generator=torch.Generator().manual_seed(0)))  # moves running means
    with torch.no_grad():
        net.embed.bias += 1
    assert not torch.equal(net.blocks[1].running_mean, before["blocks.1.running_mean"])
    assert all(torch.equal(array, before[name]) for name, array in net.reset(1).state_dict().items())


def test_weights_begin_with_hes_variance() -> None:
    """He et al. 2015, eq. 15: variance 2 / ((1 + a²) fan_out) for a LeakyReLU of slope a."""
    net = Cnn5().reset(3)
    for block, channels in enumerate(CHANNELS):
        weight = net.blocks[4 * block].weight
        assert weight.std().item() == pytest.approx((2 / ((1 + LEAK**2) * channels * 9)) ** 0.5, rel=0.05)
    assert not net.embed.bias.any()


def test_a_backbone_gets_a_layer_of_so_many_columns() -> None:
    class Mean(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.mean((2, 3))

    net = Embedded(Mean(), raw_width=3, width=2)
    with torch.no_grad():
        net.embed.weight.copy_(torch.tensor([[1.0, 0, 0], [0, 1, 1]]))
        net.embed.bias.copy_(torch.tensor([0.0, 10]))
    frames = torch.tensor([1.0, 2, 3]).reshape(1, 3, 1, 1).expand(1, 3, 4, 4)
    torch.testing.assert_close(net(frames), torch.tensor([[1.0, 15.0]]))
