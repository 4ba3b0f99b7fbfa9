"""vgg16 and any torchvision classification network by name, frozen: a frame becomes its penultimate features.

The penultimate features are what enters the network's last layer (the one that gives 1,000 ImageNet classes).
For VGG-16 that is fc7 after its ReLU, 4,096 columns (Simonyan and Zisserman 2015, https://arxiv.org/abs/1409.1556).
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dualstream.features.encoder import VIDEO_WIDTH, EncoderOptions, register, weights_from_file
from dualstream.features.encoders.frozen import FrozenFrameEncoder, frame_encoder
from dualstream.features.packages import require
from dualstream.features.published import IMAGENET_LICENCE
from dualstream.features.trainable import (
    ParameterBlock,
    TrainableEncoder,
    cut_frames,
    prepare_frames,
    register_trainable,
)
from dualstream.features.weights import (
    DIGEST_IN_NAME,
    HEAD_PREFIX,
    UNKNOWN_LICENCE,
    WeightsChoice,
    WeightsRecord,
    load_file,
    random_record,
)

if TYPE_CHECKING:
    from dualstream.features.networks.embedded import Embedded
    from torch import Tensor, nn

IMAGENET_CLASSES = 1000
TRAINED_OVER = "trained over"  # stands in the spec's layer where train-encoder put a layer over it
# The name holds the first 8 digits of the digest; this is all of it, for the one that most people need.
FULL_SHA256 = {"vgg16-397923af.pth": "397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0"}

NOT_BACKBONES = {  # families that list_models names besides, by where torchvision keeps them
    "detection": "finds objects and gives boxes",
    "segmentation": "gives a class for every pixel",
    "video": "takes 16 frames and more at once, not single ones",
    "optical_flow": "takes pairs of frames and gives motion",
    "quantization": "computes in int8, with other numbers on other processors (its float twin has the plain name)",
}
VGG_BLOCKS = (
    ParameterBlock("embed", ("embed.",)),
    ParameterBlock("fc7", ("net.classifier.3.",)),
    ParameterBlock("fc6", ("net.classifier.0.",)),
    ParameterBlock("block5", ("net.features.24.", "net.features.26.", "net.features.28.")),
    ParameterBlock("block4", ("net.features.17.", "net.features.19.", "net.features.21.")),
    ParameterBlock("block3", ("net.features.10.", "net.features.12.", "net.features.14.")),
    ParameterBlock("block2", ("net.features.5.", "net.features.7.")),
    ParameterBlock("block1", ("net.features.0.", "net.features.2.")),
)

DENSENET_OLD_KEY = re.compile(r"(denselayer\d+\.(?:norm|conv))\.([12])\.")  # files from before torch 0.4.1


def trained_over(spec: Mapping[str, Any]) -> bool:
    """Tell by a spec whether train-encoder put a layer of its own over the network: see `_start`."""
    layer = str((spec.get("parameters") or {}).get("layer", ""))
    return weights_from_file(spec) and TRAINED_OVER in layer


@register("video", "vgg16", weights=True, network=True, learned_from_labels=trained_over)
def build_vgg16(argument: str, options: EncoderOptions) -> FrozenFrameEncoder:
    """Build VGG-16 up to fc7 after its ReLU: 4,096 columns. Weights: ``imagenet`` unless the options say else.

    A file that train-encoder wrote gives the 100 columns of the layer that it trained over fc7.
    """
    if argument:
        raise ValueError(f"video encoder vgg16:{argument} is unknown; expected vgg16, or torchvision:{argument}")
    return _build("vgg16", "vgg16", options)


@register("video", "torchvision", weights=True, network=True, learned_from_labels=trained_over)
def build_torchvision(argument: str, options: EncoderOptions) -> FrozenFrameEncoder:
    """Build any of torchvision's classification networks up to its last layer; ``imagenet`` weights by default."""
    return _build(f"torchvision:{argument}", _checked_name(argument), options)


def start_vgg16(weights: str, width: int = VIDEO_WIDTH) -> tuple[Embedded, WeightsRecord, InputSpec]:
    """Return VGG-16 up to fc7 with a layer of `width` columns over it, to be trained; its record; what it takes.

    The layer comes from the file where that holds one (train-encoder wrote it), else from a fixed seed.
    """
    import torch
    from dualstream.features.networks.embedded import Embedded

    found = _start("vgg16", "vgg16", weights)
    if isinstance(found.net, Embedded):
        return found.net, found.record, found.input_spec
    net = Embedded(found.net, found.raw_width, width)
    torch.nn.init.kaiming_normal_(
        net.embed.weight, nonlinearity="linear", generator=torch.Generator().manual_seed(0)
    )
    torch.nn.init.zeros_(net.embed.bias)
    return net, found.record, found.input_spec


@register_trainable("vgg16")
def trainable_vgg16(weights: str | None, augment: bool) -> TrainableEncoder:
    """Train a layer of 100 columns over fc7, and what unfreezes below; it begins with ImageNet weights."""
    from dualstream.features.augment import FaceAugmentation

    net, start, input_spec = start_vgg16(weights or "imagenet")
    augmentation = FaceAugmentation() if augment else None
    return TrainableEncoder(
        name="vgg16",
        stream="video",
        net=net,
        width=net.embed.out_features,
        start=start,
        blocks=VGG_BLOCKS,
        decode={"frame_size_px": input_spec.size_px, "sample_rate_hz": None},
        cut=cut_frames,
        cut_parameters={"frames": True},
        prepare=prepare_frames(input_spec.size_px, input_spec.mean, input_spec.std, augmentation),
        augmentation=asdict(augmentation) if augmentation else None,
        file_name=lambda name: name.removeprefix("net."),
    )


def _build(spec_name: str, model_name: str, options: EncoderOptions) -> FrozenFrameEncoder:
    found = _start(spec_name, model_name, options.weights or "imagenet")
    input_spec = found.input_spec
    return frame_encoder(
        found.net,
        spec_name,
        found.record,
        parameters={"network": f"torchvision {model_name}", "layer": found.layer},
        raw_width=found.raw_width,
        width=min(VIDEO_WIDTH, found.raw_width),
        size_px=input_spec.size_px,
        mean=input_spec.mean,
        std=input_spec.std,
        options=options,
    )


@dataclass(frozen=True)
class InputSpec:
    """How a network wants its frames: as its published weights were trained."""

    size_px: int
    mean: tuple[float, ...]
    std: tuple[float, ...]


@dataclass(frozen=True, repr=False)
class _Started:
    """A network with its weights, its last layer cut off."""

    net: nn.Module
    record: WeightsRecord
    input_spec: InputSpec
    layer: str
    raw_width: int


def _start(spec_name: str, model_name: str, weights: str) -> _Started:
    """Build a network up to its last layer, or up to the layer that train-encoder put in that one's place."""
    from dualstream.features.networks.embedded import Embedded

    models = require("torchvision.models", "the video encoders")
    choice = WeightsChoice.parse(weights)
    published = models.get_model_weights(model_name)
    entry = published.DEFAULT
    embed: dict[str, Tensor] = {}
    if choice.kind == "random":
        net = _random_network(model_name, choice.seed)
        record = random_record(choice.seed, net.state_dict())
        head, raw_width = _cut_head(net)
    else:
        source = "file" if choice.path else f"imagenet:{entry.name}"
        path = choice.path or _cached_file(entry, spec_name)
        state, sha256, licence = load_file(path)
        published_as = next((one for one in published if Path(one.url).name == path.name), None)
        if published_as is not None:
            entry, licence = published_as, _licence(published_as)
        record = WeightsRecord(source, sha256, licence or UNKNOWN_LICENCE)
        net = _empty_network(model_name)
        head, raw_width = _cut_head(net)
        for name in [name for name in state if name.startswith(HEAD_PREFIX)]:  # the heads it was trained under
            del state[name]
        embed = {name: state.pop(name) for name in ("embed.weight", "embed.bias") if name in state}
        _fill(net, head, state, path.name)
    expects = entry.transforms()  # how the published weights were trained: size, mean and spread
    input_spec = InputSpec(int(expects.crop_size[0]), tuple(expects.mean), tuple(expects.std))
    layer = "fc7 after its ReLU" if model_name == "vgg16" else f"input of {head}"
    if not embed:
        return _Started(net, record, input_spec, layer, raw_width)
    width = len(embed.get("embed.bias", ()))
    if set(embed) != {"embed.weight", "embed.bias"} or embed["embed.weight"].shape != (width, raw_width):
        raise ValueError(
            f"weights file has an embed layer of { ({name: tuple(one.shape) for name, one in embed.items()}) }; "
            f"expected embed.weight (N, {raw_width}) and embed.bias (N,)"
        )
    whole = Embedded(net, raw_width, width)
    whole.embed.load_state_dict({name.removeprefix("embed."): one for name, one in embed.items()})
    return _Started(whole, record, input_spec, f"{width} columns {TRAINED_OVER} {layer}", width)


def _checked_name(name: str) -> str:
    """Return `name` if it is one of torchvision's classification networks; raise ValueError otherwise."""
    models = require("torchvision.models", "the video encoders")
    valid = models.list_models(module=models)
    if name in valid:
        return name
    for family, does in NOT_BACKBONES.items():
        if name in models.list_models(module=getattr(models, family)):
            raise ValueError(
                f"torchvision:{name} is no encoder of frames: it {does}; "
                f"expected a classification network: {', '.join(valid)}"
            )
    found = f"torchvision:{name} is no network that torchvision knows" if name else "torchvision: lacks a name"
    raise ValueError(f"{found}; expected torchvision:NAME with one of: {', '.join(valid)}")


def _cached_file(entry: Any, spec_name: str) -> Path:
    """Return the file of published weights in torch's hub folder; raise FileNotFoundError if it is not there."""
    import torch

    name = Path(entry.url).name
    path = Path(torch.hub.get_dir()) / "checkpoints" / name
    if path.is_file():
        return path
    stated = DIGEST_IN_NAME.search(name)
    digest = FULL_SHA256.get(name) or (f"begins with {stated.group(1)}" if stated else "not stated")
    raise FileNotFoundError(
        f"{spec_name} needs the ImageNet weights {entry.name}, which are not on this machine and are not fetched "
        f"unasked ({entry.meta['_file_size']:.0f} MB).\n"
        f"  fetch   {entry.url}\n"
        f"  sha256  {digest}\n"
        f"  licence {_licence(entry)}\n"
        f"  put it  at {path}, or name it: --video-weights {name} (train-encoder: --weights {name})\n"
        f"`dualstream weights get {spec_name}` does that. "
        "For a dry run without them: --video-weights random:0"
    )


def _licence(entry: Any) -> str:
    return str(entry.meta.get("license", IMAGENET_LICENCE))


def _empty_network(name: str) -> nn.Module:
    """Return the network with weights that are to be overwritten; torch's own random numbers stay untouched."""
    import torch
    from torchvision import models

    if name.startswith("vgg"):  # without memory: filling 138 million weights for nothing takes seconds
        with torch.device("meta"):
            return models.get_model(name, init_weights=False)
    return _seeded_network(name, 0)


def _random_network(name: str, seed: int) -> nn.Module:
    """Return the network as torchvision would initialise it, but from `seed` alone."""
    import torch
    from torch import nn

    if not name.startswith("vgg"):
        return _seeded_network(name, seed)
    net = _empty_network(name).to_empty(device="cpu")
    generator = torch.Generator().manual_seed(seed)
    for module in net.modules():  # He et al. 2015, https://arxiv.org/abs/1502.01852; a fifth of torchvision's time
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu", generator=generator)
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, 0.0, 0.01, generator=generator)
        elif isinstance(module, nn.BatchNorm2d):
            module.reset_parameters()  # weight 1, bias 0, statistics of a unit normal
        bias = getattr(module, "bias", None)
        if bias is not None:
            nn.init.zeros_(bias)
    return net


def _seeded_network(name: str, seed: int) -> nn.Module:
    import torch
    from torchvision import models

    arguments: dict[str, Any] = {}
    if name in ("googlenet", "inception_v3"):  # as their published weights were trained; no side exits
        arguments = {"aux_logits": False, "transform_input": True, "init_weights": True}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return models.get_model(name, **arguments)


def _cut_head(net: nn.Module) -> tuple[str, int]:
    """Replace the last layer by nothing; return its name and the width of what enters it."""
    from torch import nn

    heads = {
        name: module
        for name, module in net.named_modules()
        if isinstance(module, (nn.Linear, nn.Conv2d)) and len(module.weight) == IMAGENET_CLASSES
    }
    assert len(heads) == 1, f"expected one layer of {IMAGENET_CLASSES} outputs, found {list(heads)}"
    ((name, head),) = heads.items()
    net.set_submodule(name, nn.Identity())
    return name, head.in_features if isinstance(head, nn.Linear) else head.in_channels


def _fill(net: nn.Module, head: str, state: dict[str, Tensor], file_name: str) -> None:
    """Load a state dict, whatever its last layer was; raise ValueError where anything else does not fit."""
    kept: OrderedDict[str, Tensor] = OrderedDict()
    for key, tensor in state.items():
        if not key.startswith((f"{head}.", "aux1.", "aux2.", "AuxLogits.")):
            kept[DENSENET_OLD_KEY.sub(r"\1\2.", key)] = tensor
    wanted = net.state_dict()
    kept._metadata = getattr(state, "_metadata", wanted._metadata)  # type: ignore[attr-defined]
    missing = [key for key in wanted if key not in kept and not key.endswith("num_batches_tracked")]
    extra = [key for key in kept if key not in wanted]
    other = [key for key in wanted if key in kept and kept[key].shape != wanted[key].shape]
    if missing or extra or other:
        words = [
            f"{word} {', '.join(keys[:3])}{' ...' if len(keys) > 3 else ''} ({len(keys)})"
            for word, keys in (("lacks", missing), ("has besides", extra), ("has another shape for", other))
            if keys
        ]
        raise ValueError(
            f"weights file {file_name} is not of this network ({len(wanted)} tensors without its last layer): it "
            + "; it ".join(words)
        )
    net.load_state_dict(kept, strict=False, assign=True)
