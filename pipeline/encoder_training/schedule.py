"""When what trains, and how fast: learning rates, blocks that unfreeze, seeds."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping

import torch
from dualstream.features.trainable import TrainableEncoder
from dualstream.heads.training.weights import Weights
from dualstream.pipeline.encoder_training.options import TrainOptions
from dualstream.pipeline.errors import UsageError

ENCODER = "encoder."  # names of the encoder's arrays among the weights begin with this
WARM_UP = 0.05  # share of all steps over which the learning rate rises
LOWEST_RATE = 0.01  # share of the learning rate that the cosine ends at


def rate_share(options: TrainOptions, steps: int, epoch: int, step: int) -> float:
    """Return the share of the learning rate at a step: a rise, then a cosine to LOWEST_RATE; `steps` an epoch."""
    at = (epoch * steps + step + 1) / (options.epochs * steps)
    if at < WARM_UP:
        return at / WARM_UP
    return LOWEST_RATE + (1 - LOWEST_RATE) * 0.5 * (1 + math.cos(math.pi * (at - WARM_UP) / (1 - WARM_UP)))


def block_depth(name: str, depth: Mapping[str, int]) -> int:
    """Return how deep an array of the weights stands: the heads and the first block at 0."""
    return depth[name.removeprefix(ENCODER)] if name.startswith(ENCODER) else 0


def make_optimiser(weights: Weights, depth: Mapping[str, int], options: TrainOptions) -> torch.optim.AdamW:
    """Return AdamW (Loshchilov and Hutter 2019, https://arxiv.org/abs/1711.05101); vectors do not decay.

    Each of its groups has a ``share``: the factor on the learning rate of its depth.
    """
    groups: dict[tuple[float, float], list[torch.Tensor]] = {}
    for name, array in weights.tensors.items():
        decay = options.weight_decay if name.endswith("weight") and array[0].ndim > 1 else 0.0
        groups.setdefault((options.depth_rate ** block_depth(name, depth), decay), []).append(array)
    return torch.optim.AdamW(
        [{"params": arrays, "share": share, "weight_decay": decay} for (share, decay), arrays in groups.items()],
        lr=options.learning_rate,
    )


def depths(encoder: TrainableEncoder, options: TrainOptions) -> dict[str, int]:
    """Return how deep below the heads each parameter stands that ever trains: 0, 1 … in the order of thawing."""
    known = [block.name for block in encoder.blocks[1:]]
    odd = [name for name in options.unfreeze if name not in known]
    if odd and not encoder.unfreezes:
        raise UsageError(
            f"--unfreeze {','.join(odd)}: {encoder.name} has no blocks that unfreeze; it trains whole"
        )
    if odd or len(set(options.unfreeze)) != len(options.unfreeze):
        raise UsageError(
            f"--unfreeze {','.join(options.unfreeze)}: expected blocks of {encoder.name}, each once, from: "
            f"{', '.join(known)}"
        )
    blocks = {block.name: block for block in encoder.blocks}
    depths = {}
    for depth, name in enumerate((encoder.blocks[0].name, *options.unfreeze)):
        for parameter, _ in encoder.net.named_parameters():
            if parameter.startswith(blocks[name].prefixes):
                depths[parameter] = depth
    return depths


def seed_of(seed: int, what: str, epoch: int, step: int) -> int:
    """Return a seed of 63 bits that belongs to one place of one training."""
    digest = hashlib.sha256(f"{seed} {what} {epoch} {step}".encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1
