"""How an encoder is trained: plain values, which the command line shows without importing torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from annotated_types import Ge, Gt, Interval
from dualstream.features.options import Precision, ReadingOptions
from dualstream.heads.variants.options import Balance, require_loss

from dualstream.validation import validate

SPLITS = ("train", "dev")  # test is never looked at


@dataclass(frozen=True)
class TrainOptions:
    """How an encoder is trained; every field shapes the weights. Each default exists here and nowhere else."""

    epochs: Annotated[int, Ge(1)] = 12
    """Epochs at most."""
    patience: Annotated[int, Ge(0)] = 4
    """Epochs that may bring neither a better score of dev nor a lower loss; 0: all are run."""
    batch_size: Annotated[int, Ge(1)] = 32
    """Frames or windows in a step."""
    learning_rate: Annotated[float, Gt(0)] = 1e-3
    """At the heads, at its highest."""
    weight_decay: Annotated[float, Ge(0)] = 1e-2
    """Of AdamW, decoupled."""
    loss: str = "cross_entropy"
    """cross_entropy, weighted, focal, logit_adjusted, balanced_softmax, or an installed package's."""
    resample: bool = False
    """Draw classes equally often."""
    task_balance: Balance = "fixed"
    """fixed, uncertainty or surgery."""
    sentiment_weight: Annotated[float, Ge(0)] = 1.0
    """Weight of the sentiment loss where fixed."""
    sample_weight: Annotated[float, Interval(ge=0, lt=1)] = 0.5
    """Share of the loss that samples bear one by one, not by utterance.

    Utterances, each by the mean of its samples, bear the rest (`pipeline.encoder_training.objective`)."""
    unfreeze: tuple[str, ...] = ()
    """Blocks of vgg16 to unfreeze, in order, such as fc7,fc6,block5; its 100-D layer always trains."""
    unfreeze_every: Annotated[int, Ge(1)] = 1
    """Epochs from one unfreezing to the next."""
    depth_rate: Annotated[float, Interval(gt=0, le=1)] = 0.3
    """Factor on the learning rate for each block further down.

    Howard and Ruder 2018, https://arxiv.org/abs/1801.06146."""
    precision: Precision = "fp32"
    """fp32, or bf16: mixed precision."""
    seed: Annotated[int, Ge(0)] = 0
    """Of all that is drawn in training."""

    def __post_init__(self) -> None:
        validate(self)
        if self.loss != TrainOptions.loss:
            require_loss(self.loss)


@dataclass(frozen=True)
class SampleOptions(ReadingOptions):
    """Which samples of which shape, and what is done with them."""

    encoder: str
    """cnn5, vgg16 or bilstm."""
    weights: str | None = None
    """What to begin with: random:SEED, imagenet (vgg16) or a file. Default: random:0, or imagenet."""
    augment: bool = True
    """Flip, crop and recolour faces; mask audio."""


@dataclass(frozen=True)
class TrainingRunOptions:
    """What does not shape the weights."""

    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""
    threads: Annotated[int, Ge(1)] | None = None
    """Threads of torch inside an operation; default: one less than there are cores.

    Each operation waits for the slowest of its threads, so that a core taken by another process would hold all of
    them up; and the next samples are read meanwhile. Another number may change last digits, and is recorded in the
    file."""
    workers: Annotated[int, Ge(0)] = 0
    """Clips decoded in parallel; 0: one for each core."""
    samples: Path | None = None
    """Directory of the decoded samples; default: OUT.samples."""
    licence: str = ""
    """Of the weights; recorded in the file."""
    ffmpeg: Path | None = None
    """The ffmpeg binary to use."""
    replace: bool = False
    """Train again, in the place of what exists and of its checkpoint."""
    keep_going: bool = False
    """Record clips that disappear while they are read as missing, even more than a fifth of a shard."""
    dry_run: bool = False
    """Say what would be trained; write nothing."""
    checkpoint_s: float = 120.0
    """Seconds from one checkpoint to the next."""

    def __post_init__(self) -> None:
        validate(self)
