"""The bidirectional LSTM: against torch's own, piece by piece and padded."""

from __future__ import annotations

import pytest
import torch
from dualstream.features.log_mel import BANDS
from dualstream.features.networks.bilstm import UNITS, BiLstm


def drawn(count: int, frames: int) -> torch.Tensor:
    return torch.randn(count, frames, BANDS, generator=torch.Generator().manual_seed(0)) * 3 - 6


def test_the_parameters_by_hand() -> None:
    one_way = 4 * UNITS * (BANDS + UNITS) + 2 * 4 * UNITS  # four gates; torch has two biases
    assert UNITS == 96 and sum(array.numel() for array in BiLstm().parameters()) == 2 * one_way


def test_it_is_the_mean_of_torchs_states() -> None:
    net = BiLstm().reset(0).eval()
    frames = drawn(1, 30)
    with torch.no_grad():
        states, _ = net.lstm((frames - net.mean) / net.spread)
        torch.testing.assert_close(net(frames, torch.tensor([30])), states.mean(1))


def test_frames_behind_the_end_don_t_count() -> None:
    net = BiLstm().reset(0).eval()
    frames = drawn(3, 20)
    lengths = torch.tensor([20, 7, 1])
    loud = frames.clone()
    for row, length in enumerate(lengths):
        loud[row, length:] = 1e3
    with torch.no_grad():
        together = net(loud, lengths)
        for row, length in enumerate(lengths):
            alone = net(frames[row : row + 1, :length], length[None])
            torch.testing.assert_close(together[row : row + 1], alone, rtol=1e-5, atol=1e-6)


def test_the_order_of_a_batch_is_kept() -> None:
    net = BiLstm().reset(0).eval()
    frames, lengths = drawn(3, 12), torch.tensor([3, 12, 6])  # not by length
    turned = torch.tensor([2, 0, 1])
    with torch.no_grad():
        torch.testing.assert_close(net(frames, lengths)[turned], net(frames[turned], lengths[turned]))


def test_both_directions_are_read() -> None:
    net = BiLstm().reset(0).eval()
    frames = drawn(1, 10)
    other = frames.clone()
    other[0, 0] += 5  # the first frame: seen by the states of all frames forwards, of one backwards
    with torch.no_grad():
        moved = (net(frames, torch.tensor([10])) - net(other, torch.tensor([10]))).abs()[0]
    assert moved[:UNITS].max() > 1e-3 and moved[UNITS:].max() > 1e-3


def test_a_seed_is_a_network_with_open_forget_gates() -> None:
    one, again, other = (BiLstm().reset(seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(one[name], again[name]) for name in one)
    assert not torch.equal(one["lstm.weight_ih_l0"], other["lstm.weight_ih_l0"])
    for name in ("lstm.bias_ih_l0", "lstm.bias_ih_l0_reverse"):
        assert (one[name][UNITS : 2 * UNITS] == 1).all() and one[name][:UNITS].abs().max() <= UNITS**-0.5


@pytest.mark.parametrize("name", ["mean", "spread"])
def test_the_scale_of_the_bands_is_part_of_the_weights(name: str) -> None:
    assert name in BiLstm().state_dict() and BiLstm().state_dict()[name].shape == (BANDS,)
