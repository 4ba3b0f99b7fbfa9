"""hf: for pictures, against transformers' own forward of tiny random networks."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from dualstream.features.encoder import EncoderOptions, build
from dualstream.features.encoders.frozen import FrozenFrameEncoder
from numpy.typing import NDArray

from tests.features.encoders.hf_models import PICTURES, change_json, save_pictures, save_sound, transformers

SIDE = 32


def frames(count: int = 3, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (count, SIDE, SIDE, 3), dtype=np.uint8)


def make(folder: Path, layers: str = "", **options: Any) -> FrozenFrameEncoder:
    made = build("video", f"hf:{folder}{layers}", EncoderOptions(**options))
    assert isinstance(made, FrozenFrameEncoder)
    return made


def pixels(folder: Path, pictures: NDArray[np.uint8]) -> torch.Tensor:
    """Return what transformers' own processor makes of pictures that have the right size."""
    processor = transformers.AutoImageProcessor.from_pretrained(folder)
    found: torch.Tensor = processor(
        list(pictures),
        do_resize=False,
        do_center_crop=False,
        return_tensors="pt",
        input_data_format="channels_last",
    )["pixel_values"]
    return found


def own(
    folder: Path, family: str, pictures: NDArray[np.uint8]
) -> tuple[NDArray[np.float32], list[NDArray[np.float32]]]:
    """Return transformers' own embedding of pictures, and its hidden states averaged over places."""
    net = transformers.AutoModel.from_pretrained(folder).eval()
    x = pixels(folder, pictures)
    with torch.no_grad():
        if family in ("clip", "siglip"):
            embedded = net.get_image_features(pixel_values=x)
            embedded = getattr(embedded, "pooler_output", embedded)
            answer = net.vision_model(pixel_values=x, output_hidden_states=True)
        else:
            answer = net(pixel_values=x, output_hidden_states=True)
            embedded = {
                "vit": lambda: answer.last_hidden_state[:, 0],
                "dinov2": lambda: answer.pooler_output,
            }.get(family, lambda: answer.pooler_output.flatten(1))()
    states = [*answer.hidden_states[:-1], answer.last_hidden_state]
    return embedded.numpy(), [(one.mean((2, 3)) if one.ndim == 4 else one.mean(1)).numpy() for one in states]


@pytest.fixture(scope="module", params=list(PICTURES))
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    path = tmp_path_factory.mktemp(request.param)
    save_pictures(path, request.param)
    return request.param, path


@pytest.fixture(scope="module")
def vit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("vit")
    save_pictures(path)
    return path


def test_the_row_is_transformers_own_embedding(case: tuple[str, Path]) -> None:
    family, folder = case
    encoder = make(folder)
    expected, _ = own(folder, family, frames())
    assert encoder.frame_size_px == SIDE and encoder.spec.raw_width == expected.shape[1]
    np.testing.assert_allclose(encoder.encode_frames(frames()), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("layers", ["@1", "@2", "@all"])
def test_layers_are_transformers_own_states(case: tuple[str, Path], layers: str) -> None:
    family, folder = case
    _, states = own(folder, family, frames())
    expected = np.concatenate(states, axis=1) if layers == "@all" else states[int(layers[1:])]
    encoder = make(folder, layers)
    assert encoder.spec.raw_width == expected.shape[1]
    widths = {one.shape[1] for one in states}  # by which heads can tell the layers apart, where there is one
    stated = widths.pop() if layers == "@all" and len(widths) == 1 else None
    assert encoder.spec.parameters.get("layer_width") == stated
    np.testing.assert_allclose(encoder.encode_frames(frames()), expected, atol=2e-5, rtol=2e-5)


def test_a_mean_of_layers(vit: Path) -> None:
    _, states = own(vit, "vit", frames())
    found = make(vit, "@1-3").encode_frames(frames())
    np.testing.assert_allclose(found, np.mean(states[1:4], axis=0), atol=1e-5)


def test_a_mean_of_layers_of_unlike_widths_fails(tmp_path: Path) -> None:
    save_pictures(tmp_path, "convnext")
    with pytest.raises(ValueError, match=r"layers 1 to 3 have 8, 16, 24 columns, and no mean"):
        make(tmp_path, "@1-3")


@pytest.mark.parametrize(
    ("family", "head"), [("vit", "ForImageClassification"), ("convnext", "ForImageClassification")]
)
def test_a_network_that_was_saved_with_classes(tmp_path: Path, family: str, head: str) -> None:
    """Its pooler was never saved, and is random wherever it is loaded: no row may rest on it."""
    save_pictures(tmp_path, family, head=head)
    rows = [make(tmp_path).encode_frames(frames()) for _ in range(2)]
    assert np.array_equal(*rows)
    if family == "vit":
        expected, _ = own(tmp_path, family, frames())
        np.testing.assert_allclose(rows[0], expected, atol=1e-5)


def test_a_tower_alone(tmp_path: Path) -> None:
    whole, alone = tmp_path / "whole", tmp_path / "alone"
    net = save_pictures(whole, "siglip")
    shutil.copytree(whole, alone)
    config = net.config.vision_config
    tower = transformers.SiglipVisionModel(config)
    tower.vision_model.load_state_dict(net.vision_model.state_dict()) if hasattr(tower, "vision_model") else (
        tower.load_state_dict(net.vision_model.state_dict())
    )
    tower.save_pretrained(alone)
    np.testing.assert_allclose(make(alone).encode_frames(frames()), make(whole).encode_frames(frames()), atol=1e-6)


def test_threads_change_no_bit(case: tuple[str, Path]) -> None:
    encoder = make(case[1], "@all")
    pictures = [frames(4, seed) for seed in range(6)]
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        wanted = [encoder.encode_frames(one).tobytes() for one in pictures]
        with ThreadPoolExecutor(4) as pool:
            assert [one.tobytes() for one in pool.map(encoder.encode_frames, pictures)] == wanted
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("change", "mean", "std"),
    [
        ({"do_normalize": False}, (0.0,) * 3, (1.0,) * 3),
        ({"do_rescale": False}, tuple(m / 255 for m in (0.4, 0.5, 0.6)), tuple(s / 255 for s in (0.2, 0.25, 0.3))),
        ({"rescale_factor": 1 / 127.5}, (0.2, 0.25, 0.3), (0.1, 0.125, 0.15)),
    ],
)
def test_preprocessing_is_the_folders(
    vit: Path, tmp_path: Path, change: dict[str, Any], mean: Any, std: Any
) -> None:
    other = shutil.copytree(vit, tmp_path / "other")
    change_json(other / "preprocessor_config.json", **change)
    spec = make(other).spec
    np.testing.assert_allclose(spec.parameters["mean"], mean)
    np.testing.assert_allclose(spec.parameters["std"], std)
    expected, _ = own(other, "vit", frames())
    np.testing.assert_allclose(make(other).encode_frames(frames()), expected, atol=1e-5, rtol=1e-4)


def test_the_networks_side_goes_where_it_takes_no_other(vit: Path, tmp_path: Path) -> None:
    other = shutil.copytree(vit, tmp_path / "other")
    change_json(other / "preprocessor_config.json", size={"height": 48, "width": 48})
    assert make(other).frame_size_px == SIDE
    dino = tmp_path / "dino"
    save_pictures(dino, "dinov2")
    change_json(dino / "preprocessor_config.json", size={"height": 48, "width": 48})
    assert make(dino).frame_size_px == 48  # whose positions are interpolated


def test_a_speech_network_fails(tmp_path: Path) -> None:
    save_sound(tmp_path, "wavlm")
    with pytest.raises(ValueError, match=r"can't be loaded"):
        make(tmp_path)
