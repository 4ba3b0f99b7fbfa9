"""What every trainable encoder keeps, whoever wrote it. A new one is tested here without a new test."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import typer
from dualstream.features.encoder import EncoderOptions, build, find, is_learned_from_labels
from dualstream.features.trainable import TRAINABLE, TrainableEncoder, build_trainable
from safetensors.torch import save_file

from dualstream import cli
from tests.pipeline.stubs import fake_clip

ROOT = Path(__file__).resolve().parents[2]
NAMES = TRAINABLE.names()
LARGE = 20_000_000  # parameters: a file of them takes seconds
STARTS_S = np.arange(3) * 0.5


@pytest.fixture(scope="module", params=NAMES)
def one(request: pytest.FixtureRequest) -> TrainableEncoder:
    return build_trainable(request.param, "random:0")


def samples(one: TrainableEncoder) -> tuple[torch.Tensor, torch.Tensor]:
    """Cut the samples of a clip of 2 s as it would be decoded for the encoder."""
    size_px, rate_hz = one.decode["frame_size_px"], one.decode["sample_rate_hz"]
    rng = np.random.default_rng(0)
    parts: dict[str, Any] = {"frames": None, "audio": None, "audio_covered_s": None}
    if size_px is not None:
        parts["frames"] = rng.integers(0, 256, (3, size_px, size_px, 3), dtype=np.uint8)
    if rate_hz is not None:
        parts |= {"audio": rng.normal(0, 0.1, 2 * rate_hz).astype(np.float32), "audio_covered_s": (0.0, 2.0)}
    x, lengths = one.cut(fake_clip(duration_s=2.0, starts_s=STARTS_S, **parts), 1.0)
    assert len(x) == len(lengths) == 3 and lengths.dtype == np.int64 and (lengths >= 1).all()
    return torch.from_numpy(x), torch.from_numpy(lengths)


def test_its_hook_is_beside_a_frozen_encoder_that_takes_its_weights(one: TrainableEncoder) -> None:
    entry = find(one.stream, one.name)
    assert entry is not None and entry.weights and entry.network
    assert TRAINABLE.get(one.name).__module__ == entry.build.__module__
    assert one.start.source == "random:0"
    assert {"frame_size_px", "sample_rate_hz"} == set(one.decode)
    document = [one.cut_parameters, one.augmentation, one.decode]
    assert json.loads(json.dumps(document, allow_nan=False)) == document


def test_its_network_turns_samples_into_columns(one: TrainableEncoder) -> None:
    x, lengths = samples(one)
    net = one.net.eval()
    with torch.no_grad():
        rows = net(*one.prepare(x, lengths, None))
        again = net(*one.prepare(x, lengths, None))
    assert rows.shape == (3, one.width) and torch.isfinite(rows).all() and torch.equal(rows, again)


def test_augmentation_is_drawn_from_the_generator_alone(one: TrainableEncoder) -> None:
    if one.augmentation is None:
        pytest.skip("is not augmented")
    x, lengths = samples(one)
    plain = build_trainable(one.name, "random:0", augment=False)
    assert plain.augmentation is None
    first, again, other = (one.prepare(x, lengths, torch.Generator().manual_seed(seed))[0] for seed in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other)
    left = plain.prepare(x, lengths, torch.Generator().manual_seed(1))[0]
    assert torch.equal(left, one.prepare(x, lengths, None)[0])


def test_its_blocks_are_parts_of_the_network(one: TrainableEncoder) -> None:
    parameters = [name for name, _ in one.net.named_parameters()]
    assert len({block.name for block in one.blocks}) == len(one.blocks) >= 1
    for block in one.blocks:
        for prefix in block.prefixes:
            assert any(name.startswith(prefix) for name in parameters), (block.name, prefix)


def test_extract_takes_its_file(one: TrainableEncoder, tmp_path: Path) -> None:
    state = one.net.state_dict()
    if sum(tensor.numel() for tensor in state.values()) > LARGE:
        pytest.skip("is large")
    path = tmp_path / "weights.safetensors"
    save_file({one.file_name(name): tensor.contiguous() for name, tensor in state.items()}, path)
    spec = build(one.stream, one.name, EncoderOptions(weights=str(path))).spec
    assert spec.raw_width == one.width and spec.weights is not None and spec.weights["source"] == "file"
    assert is_learned_from_labels(spec.to_json())


@pytest.mark.parametrize("name", NAMES)
def test_the_help_and_the_docs_name_it(name: str) -> None:
    if not TRAINABLE.module_of(name).startswith("dualstream."):
        pytest.skip("is of another package")
    command = typer.main.get_command(cli.app).commands["train-encoder"]  # type: ignore[attr-defined]
    (option,) = [one for one in command.params if "--encoder" in one.opts]
    assert name in option.help
    assert f"\n| `{name}` |" in (ROOT / "docs" / "training.md").read_text("utf-8")
