"""expression: face-api's network of facial expressions, 256 features of a face; see docs/encoders.md."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from dualstream.features.encoder import VIDEO_WIDTH, EncoderOptions, register
from dualstream.features.encoders.frozen import FrozenFrameEncoder, frame_encoder
from dualstream.features.published import PUBLISHED, licence_of
from dualstream.features.raw_weights import RawWeights
from dualstream.features.single_read import digest_of_file
from dualstream.features.weights import UNKNOWN_LICENCE, WeightsChoice, WeightsRecord, random_record
from numpy.typing import NDArray

NAME = "face_expression_model"


def files_of(argument: str, weights: str | None) -> list[Path]:
    """Return manifest and numbers of the weights that are named, or of those that `weights get` fetched.

    Raises
    ------
    FileNotFoundError, ValueError
        Where they are not there.
    """
    found = _find(weights)
    return [] if found is None else [found.manifest, *found.parts]


def digest_of(path: Path) -> str:
    """Return the digest of raw weights by their folder, manifest or numbers; of any other file, its own."""
    if path.is_dir() or path.suffix in (".json", ".bin"):
        return RawWeights.find(path, NAME).digest()
    return digest_of_file(path)


@register("video", "expression", weights=True, network=True, files=files_of, digest=digest_of)
def build_expression(argument: str, options: EncoderOptions) -> FrozenFrameEncoder:
    """Build face-api's network up to the features before its seven expressions; frames should be faces.

    Raises
    ------
    FileNotFoundError
        Where its weights are not on this machine.
    ValueError
        Where the weights are not its own, or damaged.
    """
    if argument:
        raise ValueError(f"video encoder expression:{argument} is unknown; expected only expression")
    from dualstream.features.networks.expression import FEATURES, MEAN, SIZE_PX, STD, ExpressionNet

    net = ExpressionNet()
    found = _find(options.weights)
    if found is None:
        assert options.weights is not None
        seed = WeightsChoice.parse(options.weights).seed
        record = random_record(seed, net.reset(seed).state_dict())
    else:
        record = _fill(net, found)
    return frame_encoder(
        net,
        "expression",
        record,
        parameters={"network": "face-api's face expression model", "layer": "before the expressions"},
        raw_width=FEATURES,
        width=VIDEO_WIDTH,
        size_px=SIZE_PX,
        mean=MEAN,
        std=STD,
        options=options,
    )


def _find(weights: str | None) -> RawWeights | None:
    """Return the weights that are named, or the fetched ones; None for random ones."""
    published = PUBLISHED["expression"]
    if weights is None:
        try:
            return RawWeights.find(published.folder(), NAME)
        except FileNotFoundError as error:
            raise FileNotFoundError(
                f"expression needs its weights, which are not on this machine and are not fetched unasked: "
                f"`dualstream weights get expression` fetches them ({published.licence}), or name them: "
                f"--video-weights FOLDER. For a dry run without them: --video-weights random:0"
            ) from error
    choice = WeightsChoice.parse(weights)
    if choice.kind == "random":
        return None
    if choice.path is None:
        raise ValueError(f"weights are {weights!r}; expected the folder of {NAME}, or random:SEED")
    return RawWeights.find(choice.path, NAME)


def _fill(net: object, found: RawWeights) -> WeightsRecord:
    """Fill the network, and return the weights' record.

    Raises
    ------
    ValueError
        Where a published file has another digest than was published, or the tensors are not the network's.
    """
    import torch
    from torch import nn

    assert isinstance(net, nn.Module)
    state, sha256 = found.read()
    for one in PUBLISHED["expression"].files:
        if [part.name for part in found.parts] == [one.name] and sha256 != one.sha256:
            raise ValueError(
                f"weights file {one.name}: its sha256 is {sha256}, what was published has {one.sha256}; the "
                "file is damaged or was changed: fetch it again, or rename it if it is your own"
            )
    wanted = net.state_dict()
    given = {
        _own_name(name): _own_order(name, values) for name, values in state.items() if not name.startswith("fc/")
    }
    wrong = [name for name in wanted if name not in given or given[name].shape != tuple(wanted[name].shape)] + [
        name for name in given if name not in wanted
    ]
    if wrong:
        raise ValueError(
            f"{found.manifest.name} is not of the expression network: {', '.join(wrong[:3])} ({len(wrong)}) "
            "are absent, additional or of another shape"
        )
    net.load_state_dict({name: torch.from_numpy(values.copy()) for name, values in given.items()})
    return WeightsRecord("file", sha256, licence_of(sha256) or UNKNOWN_LICENCE)


def _own_name(name: str) -> str:
    """Return a tensor's name here; that of ``dense1/conv2/bias`` is ``blocks.1.convolutions.2.pointwise.bias``."""
    block, _, rest = name.partition("/")
    convolution, _, kind = rest.partition("/")
    place = f"blocks.{block.removeprefix('dense')}.convolutions.{convolution.removeprefix('conv')}"
    plain = name.startswith("dense0/conv0/")
    ends = {
        "filters": "weight",
        "depthwise_filter": "depthwise.weight",
        "pointwise_filter": "pointwise.weight",
        "bias": "bias" if plain else "pointwise.bias",
    }
    return f"{place}.{ends.get(kind, kind)}"


def _own_order(name: str, values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return a filter, (height, width, in, out), as (out, in, height, width); of a depthwise one `out` is 1."""
    if values.ndim != 4:
        return values
    return values.transpose(2, 3, 0, 1) if name.endswith("depthwise_filter") else values.transpose(3, 2, 0, 1)
