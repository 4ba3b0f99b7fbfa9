"""TrainOptions: how an encoder is trained; plain values, which the command line shows without importing torch."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class TrainOptions:
    """How an encoder is trained; every field shapes the weights. Each default exists here and nowhere else."""

    epochs: int = 12
    patience: int = 4
    """Epochs without a better score or a lower loss of dev; 0: all epochs are run, and dev decides nothing."""
    batch_size: int = 32
    learning_rate: float = 1e-3
    weight_decay: float = 1e-2
    loss: str = "cross_entropy"
    """One of `heads.variants.options.LOSSES`."""
    resample: bool = False
    """Draw classes equally often."""
    task_balance: str = "fixed"
    """One of `heads.variants.options.BALANCES`."""
    sentiment_weight: float = 1.0
    sample_weight: float = 0.5
    """Share of the loss that samples bear one by one, 0 to below 1; utterances, each by the mean of its samples,
    bear the rest (`pipeline.encoder_training.objective`)."""
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
        for name in ("patience", "weight_decay", "sentiment_weight", "seed"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"{name} is {getattr(self, name)}; expected 0 or more")
        if not 0 < self.learning_rate < math.inf:
            raise ValueError(f"learning_rate is {self.learning_rate}; expected a number above 0")
        if not 0 <= self.sample_weight < 1:
            raise ValueError(f"sample_weight is {self.sample_weight}; expected 0 to below 1")
        if not 0 < self.depth_rate <= 1:
            raise ValueError(f"depth_rate is {self.depth_rate}; expected above 0, at most 1")
