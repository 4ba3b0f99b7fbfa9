"""timm: picture networks of timm by name, with weights from a file; see docs/encoders.md."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dualstream.features.encoder import VIDEO_WIDTH, EncoderOptions, register
from dualstream.features.encoders.frozen import FrozenFrameEncoder, frame_encoder
from dualstream.features.memory import raise_shortage
from dualstream.features.packages import require
from dualstream.features.weights import (
    UNKNOWN_LICENCE,
    WeightsChoice,
    WeightsRecord,
    load_file,
    random_record,
    without_heads,
)

if TYPE_CHECKING:
    from torch import Tensor, nn

SHOWN = 3


@register("video", "timm", weights=True, network=True, packages=("timm",))
def build_timm(argument: str, options: EncoderOptions) -> FrozenFrameEncoder:
    """Build a network of timm up to its classes (``timm:resnet18``), with weights from a file.

    Raises
    ------
    MissingPackageError
        Where timm is not installed.
    ValueError
        Where timm has no such network, no weights are named, or they are not those of the network.
    """
    timm = require("timm", "networks of timm", "hf")
    base = argument.partition(".")[0]
    if ":" in argument or "/" in argument or not timm.is_model(base):
        near = timm.list_models(f"*{base[:6]}*")[:5] if base else []
        raise ValueError(
            f"timm has no network {argument!r}"
            + (f"; near it are {', '.join(near)}" if near else "; `timm.list_models()` names them")
            + ". Networks on a hub are not fetched: name the network, and its weights as --video-weights FILE"
        )
    choice = WeightsChoice.parse(options.weights) if options.weights else None
    if choice is None or choice.kind == "imagenet":
        raise ValueError(
            f"timm:{argument} needs a file of weights, and fetches none: --video-weights FILE (.safetensors or "
            f".pth; timm's own are at {_source(timm, argument)}), or --video-weights random:0 for a dry run"
        )
    net = _network(timm, argument, choice.seed)
    if choice.kind == "random":
        record = random_record(choice.seed, net.state_dict())
    else:
        assert choice.path is not None
        state, sha256, licence = load_file(choice.path)
        _fill(net, without_heads(state), choice.path.name)
        record = WeightsRecord("file", sha256, licence or UNKNOWN_LICENCE)
    return _encoder(timm, argument, net, record, options)


def _encoder(
    timm: Any, argument: str, net: Any, record: WeightsRecord, options: EncoderOptions
) -> FrozenFrameEncoder:
    takes = timm.data.resolve_model_data_config(net)
    size_px, mean, std = int(takes["input_size"][-1]), tuple(takes["mean"]), tuple(takes["std"])
    width = _width(net, size_px)
    return frame_encoder(
        net,
        f"timm:{argument}",
        record,
        parameters={"network": f"timm {argument}", "layer": "before the classes"},
        raw_width=width,
        width=min(VIDEO_WIDTH, width),
        size_px=size_px,
        mean=mean,
        std=std,
        options=options,
    )


def _network(timm: Any, argument: str, seed: int) -> nn.Module:
    """Return the network without its classes, drawn from a seed; torch's own random numbers stay untouched."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net: nn.Module = timm.create_model(argument, pretrained=False, num_classes=0)
    return net.eval()


def _fill(net: nn.Module, state: dict[str, Tensor], file_name: str) -> None:
    """Load a state dict, whatever its classes were; raise ValueError where anything else does not fit.

    Files of training runs put ``model.`` or ``module.`` before every name.
    """
    wanted = net.state_dict()
    for prefix in ("module.", "model."):
        if state and all(name.startswith(prefix) for name in state):
            state = {name.removeprefix(prefix): one for name, one in state.items()}
    missing = [name for name in wanted if name not in state and not name.endswith("num_batches_tracked")]
    if missing:
        raise ValueError(
            f"weights file {file_name} is not of this network: it lacks {', '.join(missing[:SHOWN])} "
            f"({len(missing)} of {len(wanted)} tensors)"
        )
    try:
        net.load_state_dict({name: state[name] for name in wanted if name in state}, strict=False)
    except RuntimeError as error:
        raise_shortage(error)
        raise ValueError(f"weights file {file_name} is not of this network: {error}") from error


def _width(net: nn.Module, size_px: int) -> int:
    import torch

    with torch.inference_mode():
        return int(net(torch.zeros(1, 3, size_px, size_px)).shape[1])


def _source(timm: Any, argument: str) -> str:
    """Return where timm's own weights of a network are published."""
    stated = timm.get_pretrained_cfg(argument, allow_unregistered=True)
    hub = getattr(stated, "hf_hub_id", None) if stated is not None else None
    return f"https://huggingface.co/{hub}" if hub else "https://huggingface.co/timm"
