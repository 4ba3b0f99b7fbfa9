from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from dualstream.features.encoder import EncoderOptions
from dualstream.features.encoders.cnn import build_cnn5
from dualstream.features.encoders.frozen import preprocess
from dualstream.features.networks.cnn5 import CHANNELS, MEAN, SIZE_PX, STD, Cnn5
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional


def test_it_is_the_custom_five_layer_cnn() -> None:
    net = Cnn5()
    kinds = [type(layer) for layer in net.blocks]
    assert kinds == [nn.Conv2d, nn.BatchNorm2d, nn.LeakyReLU, nn.MaxPool2d] * 5
    convolutions = sum(3 * 3 * a * b for a, b in zip((3, *CHANNELS), CHANNELS, strict=False))
    norms = 2 * sum(CHANNELS)
    linear = CHANNELS[-1] * 3 * 3 * 100 + 100
    assert sum(p.numel() for p in net.parameters()) == convolutions + norms + linear


def test_rows_are_the_blocks_written_out(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = Cnn5().reset(4)
    for layer in net.blocks:
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.uniform_(layer.running_mean, -1, 1)
            nn.init.uniform_(layer.running_var, 0.5, 2)
    path = tmp_path / "cnn5.safetensors"
    save_file(net.state_dict(), path, metadata={"licence": "MIT"})
    frames = np.random.default_rng(0).integers(0, 256, (2, SIZE_PX, SIZE_PX, 3), dtype=np.uint8)
    x = torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 127.5 - 1
    state = net.state_dict()
    for block in range(5):
        conv, norm = f"blocks.{4 * block}", f"blocks.{4 * block + 1}"
        x = functional.conv2d(x, state[f"{conv}.weight"], padding=1)
        mean, var = state[f"{norm}.running_mean"], state[f"{norm}.running_var"]
        x = (x - mean.view(1, -1, 1, 1)) / (var.view(1, -1, 1, 1) + 1e-5).sqrt()
        x = functional.max_pool2d(torch.where(x > 0, x, 0.1 * x), 2)
    expected = x.flatten(1) @ state["embed.weight"].T + state["embed.bias"]
    encoder = build_cnn5("", EncoderOptions(weights=str(path)))
    rows = encoder.encode_frames(frames)
    assert rows.shape == (2, 100) and encoder.spec.width == encoder.spec.raw_width == 100
    np.testing.assert_allclose(rows, expected.detach().numpy(), rtol=1e-3, atol=1e-4)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert encoder.spec.weights == {"source": "file", "sha256": digest, "licence": "MIT"}


def test_it_can_be_trained() -> None:
    torch.manual_seed(0)
    net, head = Cnn5().reset(0).train(), nn.Linear(100, 2)
    frames = torch.randint(0, 256, (16, SIZE_PX, SIZE_PX, 3), dtype=torch.uint8)
    frames[8:, :, :, 0] //= 4  # half of them lack red
    classes = torch.arange(16) // 8
    optimiser = torch.optim.Adam([*net.parameters(), *head.parameters()], lr=1e-3)
    x = preprocess(frames, SIZE_PX, MEAN, STD)
    losses = []
    for _ in range(8):
        loss = functional.cross_entropy(head(net(x)), classes)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.2 * losses[0]


def test_weights_are_named_or_it_fails() -> None:
    for weights in (None, "imagenet"):
        with pytest.raises(ValueError, match=r"expected --video-weights FILE .* or --video-weights random:0"):
            build_cnn5("", EncoderOptions(weights=weights))
    with pytest.raises(ValueError, match=r"expected only cnn5"):
        build_cnn5("x", EncoderOptions(weights="random:0"))


def test_weights_of_another_network_fail(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    save_file(Cnn5(width=50).state_dict(), path)
    with pytest.raises(ValueError, match=r"(?s)not one of cnn5 with 100 columns.*size mismatch for embed.weight"):
        build_cnn5("", EncoderOptions(weights=str(path)))
