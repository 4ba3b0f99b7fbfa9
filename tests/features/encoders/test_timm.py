"""timm: by name, with weights from a file, against timm's own forward."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from dualstream.features.encoder import EncoderOptions, build
from dualstream.features.encoders.frozen import FrozenFrameEncoder
from safetensors.torch import save_file

timm = pytest.importorskip("timm")
NAME = "mobilenetv3_small_050"


def make(name: str, weights: Any) -> FrozenFrameEncoder:
    made = build("video", f"timm:{name}", EncoderOptions(weights=str(weights) if weights else None))
    assert isinstance(made, FrozenFrameEncoder)
    return made


def planted(seed: int = 3, classes: int = 7) -> Any:
    torch.manual_seed(seed)
    return timm.create_model(NAME, pretrained=False, num_classes=classes).eval()


@pytest.mark.parametrize("ending", [".safetensors", ".pth"])
@pytest.mark.parametrize("prefix", ["", "model."])
def test_rows_are_timms_own_before_the_classes(tmp_path: Path, ending: str, prefix: str) -> None:
    net, place = planted(), tmp_path / f"mine{ending}"
    state = {f"{prefix}{name}": one for name, one in net.state_dict().items()}
    save_file(state, place) if ending == ".safetensors" else torch.save(state, place)
    encoder = make(NAME, place)
    frames = np.random.default_rng(0).integers(0, 256, (2, 224, 224, 3), dtype=np.uint8)
    takes = timm.data.resolve_model_data_config(net)
    mean, std = (np.array(takes[key]) for key in ("mean", "std"))
    x = torch.from_numpy(((frames / 255 - mean) / std).astype(np.float32)).permute(0, 3, 1, 2)
    with torch.no_grad():
        expected = net.forward_head(net.forward_features(x), pre_logits=True).numpy()
    np.testing.assert_allclose(encoder.encode_frames(frames), expected, atol=1e-5)
    assert encoder.spec.weights is not None and encoder.spec.weights["source"] == "file"
    assert encoder.spec.name == f"timm:{NAME}"


def test_weights_of_another_network_fail(tmp_path: Path) -> None:
    other = timm.create_model("mobilenetv3_small_075", pretrained=False)
    save_file(other.state_dict(), tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match=r"other\.safetensors is not of this network"):
        make(NAME, tmp_path / "other.safetensors")
    save_file({"a": torch.zeros(1)}, tmp_path / "alien.safetensors")
    with pytest.raises(ValueError, match=r"alien\.safetensors is not of this network: it lacks conv_stem"):
        make(NAME, tmp_path / "alien.safetensors")


@pytest.mark.parametrize("weights", [None, "imagenet"])
def test_nothing_is_fetched(weights: str | None) -> None:
    with pytest.raises(
        ValueError, match=r"needs a file of weights, and fetches none: --video-weights FILE .*https://"
    ):
        make(NAME, weights)


@pytest.mark.parametrize("name", ["no_such_net", "hf-hub:timm/resnet18", "local-dir:x", "timm/resnet18", ""])
def test_a_network_that_timm_does_not_have_fails(name: str) -> None:
    with pytest.raises(ValueError, match="timm has no network"):
        make(name, "random:0")
