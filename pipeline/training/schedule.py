"""When what trains, and how fast: the options of a training, learning rates, blocks that thaw, seeds."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch

from heads.fusion.weights import Weights
from pipeline.errors import UsageError
from pipeline.training.trainees import Trainee

ENCODER = "encoder."  # names of the encoder's arrays among the weights begin with this
WARM_UP = 0.05  # share of all steps over which the learning rate rises
LOWEST_RATE = 0.01  # share of the learning rate that the cosine ends at


@dataclass(frozen=True)
class TrainOptions:
    """How an encoder is trained; every field shapes the weights."""

    epochs: int = 12
    patience: int = 4
    """Epochs without a better score or a lower loss of dev; 0: all epochs are run, and dev decides nothing."""
    batch_size: int = 32
    learning_rate: float = 1e-3
    weight_decay: float = 1e-2
    loss: str = "cross_entropy"
    """One of `heads.training.losses.LOSSES`."""
    resample: bool = False
    """Draw classes equally often."""
    task_balance: str = "fixed"
    """One of `heads.training.balance.BALANCES`."""
    sentiment_weight: float = 1.0
    sample_weight: float = 0.5
    """Share of the loss that samples bear one by one, 0 to below 1; utterances, each by the mean of its samples,
    bear the rest (`pipeline.training.objective`)."""
    unfreeze: tuple[str, ...] = ()
    """Blocks that thaw one after the other, for encoders that have such."""
    unfreeze_every: int = 1
    """Epochs from one thaw to the next."""
    depth_rate: float = 0.3
    """Factor on the learning rate for each block further down (Howard and Ruder 2018, https://arxiv.org/abs/1801.06146)."""
    precision: Literal["fp32", "bf16"] = "fp32"
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "unfreeze_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; expected 1 or more")
        if not 0 < self.learning_rate < math.inf:
            raise ValueError(f"learning_rate is {self.learning_rate}; expected a number above 0")
        if not 0 <= self.sample_weight < 1:
            raise ValueError(f"sample_weight is {self.sample_weight}; expected 0 to below 1")
        if not 0 < self.depth_rate <= 1:
            raise ValueError(f"depth_rate is {self.depth_rate}; expected above 0, at most 1")


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


def depths(trainee: Trainee, options: TrainOptions) -> dict[str, int]:
    """Return how deep below the heads each parameter stands that ever trains: 0, 1 … in the order of thawing."""
    known = [block.name for block in trainee.blocks[1:]]
    odd = [name for name in options.unfreeze if name not in known]
    if odd and not trainee.thaws:
        raise UsageError(f"--unfreeze {','.join(odd)}: {trainee.name} has no blocks that thaw; it trains whole")
    if odd or len(set(options.unfreeze)) != len(options.unfreeze):
        raise UsageError(
            f"--unfreeze {','.join(options.unfreeze)}: expected blocks of {trainee.name}, each once, from: "
            f"{', '.join(known)}"
        )
    blocks = {block.name: block for block in trainee.blocks}
    depths = {}
    for depth, name in enumerate((trainee.blocks[0].name, *options.unfreeze)):
        for parameter, _ in trainee.net.named_parameters():
            if parameter.startswith(blocks[name].prefixes):
                depths[parameter] = depth
    return depths


def seed_of(seed: int, what: str, epoch: int, step: int) -> int:
    """Return a seed of 63 bits that belongs to one place of one training."""
    digest = hashlib.sha256(f"{seed} {what} {epoch} {step}".encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1
