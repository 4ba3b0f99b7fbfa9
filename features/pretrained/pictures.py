"""Picture networks of transformers: loaded from a folder, and read at their embedding or at a layer.

A frame becomes one row: the network's own embedding of the picture (CLIP's and SigLIP's image features, the class
token of ViT and DINOv2, the mean over places of ConvNeXt, Swin and ResNet), or the mean over a layer's places.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from dualstream.features.packages import require
from dualstream.features.pretrained.folder import ModelFolder, Named
from dualstream.features.pretrained.layers import Layers, Tap, UnequalLayersError, find_blocks
from dualstream.features.pretrained.loading import EXTRA, LOCAL, WHO, load_config, load_model, quiet
from torch import nn

from dualstream.documents import JsonObject

if TYPE_CHECKING:
    from torch import Tensor

UNUSED = ("pooler.dense", "decoder", "text_model", "text_projection")  # tensors that no row is made of
ONE_EIGHTH_BIT = 1 / 255


@dataclass(frozen=True)
class ImageSpec:
    """What a network takes, and what comes of it."""

    size_px: int
    mean: tuple[float, ...]
    """Of the red, green and blue channel on the scale 0 to 1."""
    std: tuple[float, ...]
    width: int
    """Columns of the rows that it gives of such frames."""


class PictureModel(nn.Module):
    """A network with its reading: frames, (B, 3, S, S), become rows, (B, width).

    Parameters
    ----------
    net
        The network, without its towers of text.
    tap
        Takes layers; None: the network's own embedding is the row.
    """

    def __init__(self, net: Any, tap: Tap | None) -> None:
        super().__init__()
        self.net = net
        self._tap = tap
        self._has_class_token = any(name.endswith("cls_token") for name in net.state_dict())

    def forward(self, x: Tensor) -> Tensor:
        """Turn frames, shape (B, 3, S, S), into rows."""
        if self._tap is None:
            return self._embedding(x)
        return self._tap.layers.join(self._layers(x))

    def layer_width(self, size_px: int) -> int | None:
        """Return the columns of each layer, where layers stand side by side and are of one width."""
        if self._tap is None or self._tap.layers.joined != "each":
            return None
        with torch.inference_mode():
            widths = {one.shape[1] for one in self._layers(_noise(size_px))}
        return widths.pop() if len(widths) == 1 else None

    def _layers(self, x: Tensor) -> list[Tensor]:
        """Return the mean over the places of each layer, shape (B, D) each."""
        tower = getattr(self.net, "vision_model", self.net)
        assert self._tap is not None, "a network without a tap gives its embedding"
        return [_over_places(one) for one in self._tap.run(tower, pixel_values=x)]

    def _embedding(self, x: Tensor) -> Tensor:
        if hasattr(self.net, "get_image_features"):
            found = self.net.get_image_features(pixel_values=x)  # a tensor before transformers 5, then an object
            rows: Tensor = found if hasattr(found, "shape") else found.pooler_output
            return rows
        answer = self.net(pixel_values=x)
        pooled = getattr(answer, "pooler_output", None)
        if pooled is not None and not hasattr(getattr(self.net, "pooler", None), "dense"):
            return pooled.flatten(1)
        last: Tensor = answer.last_hidden_state  # that pooler was trained for something else, or not at all
        return last[:, 0] if self._has_class_token else _over_places(last)


def load_pictures(named: Named, folder: ModelFolder) -> tuple[PictureModel, ImageSpec, JsonObject]:
    """Load the network of a folder; return it, what it takes, and its kind and layers as JSON values.

    Raises
    ------
    MissingPackageError
        Where transformers is not installed.
    ValueError
        Where the folder's network takes no pictures, lacks tensors, or has no such layers.
    """
    transformers = require("transformers", WHO, EXTRA)
    config = load_config(transformers, folder)
    with quiet(transformers, f"the preprocessor of hf:{folder.path}"):
        processor = transformers.AutoImageProcessor.from_pretrained(str(folder.path), **LOCAL)
    net: Any = load_model(transformers, config, folder, unused=UNUSED)
    for tower in ("text_model", "text_projection"):
        if hasattr(net, tower):
            setattr(net, tower, None)
    net = net.float().eval()
    vision = getattr(config, "vision_config", config)
    tap: Tap | None = None
    reading: JsonObject = {"layers": "embedding"}
    if named.layers:
        blocks = find_blocks(net, getattr(vision, "num_hidden_layers", None))
        if blocks is None:
            raise ValueError(
                f"hf:{folder.path}: a network of kind {config.model_type} has no blocks to take layers from"
            )
        layers = Layers.parse(named.layers, len(blocks))
        tap, reading = Tap(blocks, layers, cut=not hasattr(vision, "depths")), layers.to_json()
    model = PictureModel(net, tap)
    takes = _fitting(model, processor.to_dict(), getattr(vision, "image_size", None), f"hf:{folder.path}")
    width = model.layer_width(takes.size_px)
    reading |= {} if width is None else {"layer_width": width}
    return model, takes, {"network": str(config.model_type), **reading}


def _fitting(model: nn.Module, stated: Mapping[str, Any], image_size: Any, what: str) -> ImageSpec:
    """Return what the network takes: the preprocessor's side, or the configuration's where it refuses that."""
    sides = [one for one in (_side(stated), _square(image_size)) if one is not None]
    factor = float(stated.get("rescale_factor") or ONE_EIGHTH_BIT) if stated.get("do_rescale", True) else 1.0
    scale = ONE_EIGHTH_BIT / factor  # of numbers that are not 0 to 1
    normal = bool(stated.get("do_normalize"))
    mean = tuple(scale * float(one) for one in (stated.get("image_mean") if normal else None) or (0.0,) * 3)
    std = tuple(scale * float(one) for one in (stated.get("image_std") if normal else None) or (1.0,) * 3)
    if not sides or len(mean) != 3 or len(std) != 3:
        raise ValueError(
            f"{what}: its preprocessor states no square size with a mean and a spread of three channels"
        )
    refused: Exception | None = None
    for side in sides:
        try:
            return ImageSpec(side, mean, std, _width(model, side))
        except UnequalLayersError:
            raise
        except (ValueError, RuntimeError, TypeError, AttributeError) as error:
            refused = error
    raise ValueError(f"{what} takes no frames of {' or '.join(map(str, sides))} px: {refused}") from refused


def _width(model: nn.Module, size_px: int) -> int:
    """Return the columns of the network's rows, by a frame of noise."""
    with torch.inference_mode():
        return int(model(_noise(size_px)).shape[1])


def _noise(size_px: int) -> Tensor:
    """Return one frame of noise."""
    return torch.randn(1, 3, size_px, size_px, generator=torch.Generator().manual_seed(0))


def _side(stated: Mapping[str, Any]) -> int | None:
    cropped = stated.get("do_center_crop") and stated.get("crop_size")
    return _square(stated.get("crop_size") if cropped else stated.get("size"))


def _square(size: Any) -> int | None:
    """Return the side of a size as preprocessors and configurations state it; None where it is no square."""
    if isinstance(size, Mapping):
        given = [size.get(key) for key in ("height", "width", "shortest_edge")]
    else:
        given = list(size) if isinstance(size, list | tuple) else [size]
    sides = {int(one) for one in given if one}
    return sides.pop() if len(sides) == 1 else None


def _over_places(state: Tensor) -> Tensor:
    """Mean over the places of a picture: (B, T, D) or (B, D, H, W) into (B, D)."""
    return state.mean((2, 3)) if state.ndim == 4 else state.mean(1)
