"""A frozen network over frames, with a network whose rows can be worked out."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from dualstream.features.encoder import EncoderOptions, EncoderSpec
from dualstream.features.encoders.frozen import CPU_BATCH, FrozenFrameEncoder, preprocess, usable_device
from torch import nn

SIZE_PX = 8


class Mean(nn.Module):
    """Mean of each channel, through a layer that dropout and a batch norm would spoil in training."""

    def __init__(self):
        super().__init__()
        self.norm, self.dropout, self.linear = nn.BatchNorm2d(3), nn.Dropout(0.9), nn.Linear(3, 3)
        with torch.no_grad():
            self.linear.weight.copy_(torch.eye(3))
            self.linear.bias.zero_()
        self.batches = []

    def forward(self, x):
        self.batches.append(len(x))
        return self.linear(self.dropout(self.norm(x).mean((2, 3))))


def encoder(precision="fp32", mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0)):
    return FrozenFrameEncoder(
        Mean(), spec=EncoderSpec("mean", "video", 3, 3), frame_size_px=SIZE_PX, mean=mean, std=std,
        options=EncoderOptions(device="cpu", precision=precision),
    )  # fmt: skip


def frames(count=5, side=SIZE_PX, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, side, side, 3), dtype=np.uint8)


def test_rows_are_of_the_network_in_evaluation():
    shown = frames()
    expected = shown.mean(axis=(1, 2)) / 255 / np.sqrt(1 + 1e-5)  # batch norm's epsilon
    np.testing.assert_allclose(encoder().encode_frames(shown), expected, rtol=1e-5)


def test_channels_are_normalised_in_the_order_of_the_frames():
    shown = np.zeros((1, SIZE_PX, SIZE_PX, 3), np.uint8)
    shown[..., 0], shown[..., 2] = 255, 51
    found = encoder(mean=(0.5, 0.25, 0.2), std=(0.5, 0.25, 0.1)).encode_frames(shown)
    np.testing.assert_allclose(found[0] * np.sqrt(1 + 1e-5), [1, -1, 0], atol=1e-6)


@pytest.mark.parametrize("count", [0, 1, CPU_BATCH, CPU_BATCH + 3])
def test_many_frames_go_in_batches(count):
    made = encoder()
    found = made.encode_frames(frames(count))
    assert found.shape == (count, 3) and found.dtype == np.float32
    full, rest = divmod(count, CPU_BATCH)
    assert made.network.batches == [CPU_BATCH] * full + ([rest] if rest else [])


def test_a_row_depends_on_its_own_frame_alone():
    shown = frames(6)
    together = encoder().encode_frames(shown)
    for at in range(6):
        np.testing.assert_allclose(encoder().encode_frames(shown[at : at + 1])[0], together[at], rtol=1e-5)


def test_frames_of_another_side_are_resized():
    shown = np.repeat(np.repeat(frames(2), 3, axis=1), 3, axis=2)  # each pixel nine times: its mean stays
    expected = encoder().encode_frames(frames(2))
    np.testing.assert_allclose(encoder().encode_frames(shown), expected, rtol=0.02)


@pytest.mark.parametrize(
    "wrong",
    [
        frames().astype(np.float32),
        frames()[0],
        frames()[..., :2],
        frames()[:, :, :4],
        np.zeros((2, 0, 0, 3), np.uint8),
    ],
    ids=["float", "one frame", "two channels", "not square", "nothing"],
)
def test_what_are_no_frames(wrong):
    with pytest.raises(ValueError, match=r"expected uint8 of shape \(B, S, S, 3\)"):
        encoder().encode_frames(wrong)


def test_frames_may_be_a_view_and_stay_as_they_are():
    whole = frames(10)
    before = whole.copy()
    view = whole[::2, ::-1]
    view.flags.writeable = False
    np.testing.assert_allclose(encoder().encode_frames(view), encoder().encode_frames(view.copy()))
    np.testing.assert_array_equal(whole, before)


def test_a_network_is_frozen():
    made = encoder()
    before = {name: array.clone() for name, array in made.network.state_dict().items()}
    made.encode_frames(frames())
    assert not made.network.training and not any(one.requires_grad for one in made.network.parameters())
    assert all(torch.equal(array, before[name]) for name, array in made.network.state_dict().items())


def test_bf16_keeps_norms_in_float32():
    made = encoder("bf16")
    assert made.network.linear.weight.dtype == torch.bfloat16 and made.network.norm.weight.dtype == torch.float32
    np.testing.assert_allclose(made.encode_frames(frames()), encoder().encode_frames(frames()), rtol=0.01)
    assert "bf16 on cpu" in repr(made)


def test_preprocessed_frames_are_stored_channels_last():
    x = preprocess(torch.from_numpy(frames()), SIZE_PX, (0, 0, 0), (1, 1, 1))
    assert x.shape == (5, 3, SIZE_PX, SIZE_PX) and x.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("text", ["gpu", "cuda:x", "meta", ""])
def test_devices_that_are_none(text):
    with pytest.raises(ValueError, match="expected cpu, cuda or cuda:N"):
        usable_device(text)


def test_a_device_that_this_machine_lacks():
    count = torch.cuda.device_count()
    with pytest.raises(ValueError, match=f"sees {count} CUDA devices; use --device cpu"):
        usable_device(f"cuda:{count}")
    assert usable_device("cpu").type == "cpu"
