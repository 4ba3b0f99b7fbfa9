"""cnn5: the custom 5-layer CNN of features/networks/cnn5.py over frames, 100 columns."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from dualstream.features.encoder import VIDEO_WIDTH, EncoderOptions, register
from dualstream.features.encoders.frozen import FrozenFrameEncoder, frame_encoder
from dualstream.features.trainable import TrainableEncoder, cut_frames, prepare_frames, register_trainable
from dualstream.features.weights import WeightsRecord, fill

if TYPE_CHECKING:
    from dualstream.features.networks.cnn5 import Cnn5


@register("video", "cnn5", weights=True, network=True)
def build_cnn5(argument: str, options: EncoderOptions) -> FrozenFrameEncoder:
    """Build cnn5 with weights from a file or a seed; it has none of its own.

    Raises
    ------
    ValueError
        Where no weights are named, or the file's tensors are not those of cnn5.
    """
    if argument:
        raise ValueError(f"video encoder cnn5:{argument} is unknown; expected only cnn5")
    from dualstream.features.networks.cnn5 import CHANNELS, LEAK, MEAN, SIZE_PX, STD

    net, record = start_cnn5(options.weights)
    return frame_encoder(
        net,
        "cnn5",
        record,
        parameters={"channels": list(CHANNELS), "leak": LEAK},
        raw_width=VIDEO_WIDTH,
        width=VIDEO_WIDTH,
        size_px=SIZE_PX,
        mean=MEAN,
        std=STD,
        options=options,
    )


def start_cnn5(weights: str | None) -> tuple[Cnn5, WeightsRecord]:
    """Return the network with the weights that `weights` names, and their record; see `build_cnn5`."""
    from dualstream.features.networks.cnn5 import Cnn5

    net = Cnn5()
    return net, fill(net, weights, name="cnn5", stream="video", columns=VIDEO_WIDTH)


@register_trainable("cnn5")
def trainable_cnn5(weights: str | None, augment: bool) -> TrainableEncoder:
    """Train all of it on frames; it begins with random numbers."""
    from dualstream.features.augment import FaceAugmentation
    from dualstream.features.networks.cnn5 import MEAN, SIZE_PX, STD

    net, start = start_cnn5(weights or "random:0")
    augmentation = FaceAugmentation() if augment else None
    return TrainableEncoder(
        name="cnn5",
        stream="video",
        net=net,
        width=net.embed.out_features,
        start=start,
        decode={"frame_size_px": SIZE_PX, "sample_rate_hz": None},
        cut=cut_frames,
        cut_parameters={"frames": True},
        prepare=prepare_frames(SIZE_PX, MEAN, STD, augmentation),
        augmentation=asdict(augmentation) if augmentation else None,
    )
