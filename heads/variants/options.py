"""FitOptions: how a variant is fitted; plain values, which the command line shows without importing NumPy."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, get_args

from annotated_types import Ge, Gt, Interval
from dualstream.heads import balances, losses
from dualstream.heads.variants.layer_option import parse_layers

from dualstream.validation import validate

Task = Literal["emotion", "sentiment"]
Balance = Literal["fixed", "uncertainty", "surgery"]
Watch = Literal["score", "loss"]
Decoding = Literal["joint", "separate", "pairs"]
TASKS: tuple[Task, ...] = get_args(Task)
BALANCES: tuple[Balance, ...] = get_args(Balance)
REFIT_SEEDS = (0, 1)  # where a variant is fitted again and again, as a diagnosis does


Parameters = dict[str, Any]
"""Settings of a variant by name: numbers, words, true or false; which type each has, its variant knows."""


@dataclass(frozen=True)
class FitOptions:
    """How a variant is fitted. Each default exists here and nowhere else."""

    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    """Models per variant, one per seed."""
    tasks: tuple[Task, ...] = TASKS
    """Both tasks, or one of them."""
    epochs: Annotated[int, Ge(1)] = 40
    """Epochs at most."""
    batch_size: Annotated[int, Ge(1)] = 256
    """Utterances per step; fewer where train is small."""
    learning_rate: Annotated[float, Ge(0)] = 1e-3
    """Of AdamW."""
    weight_decay: Annotated[float, Ge(0)] = 1e-2
    """Of AdamW, decoupled."""
    hidden: Annotated[int, Ge(1)] = 128
    """Width of the shared representation."""
    dropout: Annotated[float, Interval(ge=0, lt=1)] = 0.3
    """Chance that a hidden value is dropped."""
    modality_dropout: Annotated[float, Interval(ge=0, le=1)] = 0.1
    """Chance that a stream is masked in training.

    Only of an utterance that has both."""
    patience: Annotated[int, Ge(0)] = 8
    """Epochs without a better dev score; 0: dev is not looked at."""
    loss: str = "logit_adjusted"
    """cross_entropy, weighted, focal, logit_adjusted, balanced_softmax, or an installed package's.

    heads/losses/. docs/heads.md argues the default; where classes are even it is cross-entropy."""
    resample: bool = False
    """Draw classes equally often in training."""
    task_balance: Balance = "fixed"
    """fixed, uncertainty or surgery.

    heads/training/task_balance.py."""
    balance: str = "none"
    """Keeps streams from starving each other: none, auxiliary, blending, ogm_ge, umt, agm, mmpareto, or others.

    heads/balances/, or an installed package's. Of variants that are trained on two streams or more, jointly."""
    balance_strength: Annotated[float, Ge(0)] = 1.0
    """Of the balance: a weight of its losses, OGM-GE's alpha, or AGM's in units of 2.5."""
    watch: Watch = "score"
    """What patience watches on dev: score (macro F1) or loss.

    The mean over the tasks."""
    focal_gamma: Annotated[float, Ge(0)] = 2.0
    """Discount of what is classified well, where focal."""
    adjustment: Annotated[float, Ge(0)] = 0.5
    """Strength of logit_adjusted: 0 cross-entropy, 1 even classes."""
    sentiment_weight: Annotated[float, Ge(0)] = 1.0
    """Weight of the sentiment loss where fixed.

    The emotion loss has 1."""
    penalty: Annotated[float, Gt(0)] | None = None
    """L2 penalty of linear variants; default: chosen in train.

    By group-wise cross-validation."""
    decoding: Decoding = "joint"
    """How both tasks are answered: joint (one answer, a pair that training showed), separate or pairs.

    heads/variants/joint.py. pairs adds both heads' log-probabilities over the pairs that training showed."""
    layers: str | None = None
    """How a stream of hf:FOLDER@all is read: learned, mean, a layer's number, or all (side by side, the default).

    For every such stream, or for each by its name: audio=learned,video=3. docs/encoders.md compares them."""
    max_windows: Annotated[int, Ge(1)] = 64
    """Windows of an utterance that sequence variants see.

    Longer utterances are subsampled evenly."""
    threads: Annotated[int, Ge(1)] | None = None
    """Cores to use; default: all. Predictions do not depend on it.

    Threads share the seeds (in `auto`, the folds) among them, one core each; a diagnosis of 1,000 utterances or
    more is fitted in processes, eight at most."""
    parameters: Parameters = field(default_factory=dict)
    """A setting of the variant: key=value, repeatable.

    By the variant's own names; an unknown one is an error."""

    def __post_init__(self) -> None:
        validate(self)
        if self.loss != FitOptions.loss:  # the default needs no look at what is installed
            require_loss(self.loss)
        parse_layers(self.layers)
        if self.balance != FitOptions.balance:
            require_balance(self.balance)
        if not self.seeds or not self.tasks or set(self.tasks) - set(TASKS):
            raise ValueError(
                f"{len(self.seeds)} seeds for the tasks {self.tasks}; expected one seed or more, of {TASKS}"
            )


def require_balance(name: str) -> None:
    """Raise ValueError where no balance of streams has that name; the message lists those that there are."""
    if name not in balances.names():
        raise ValueError(f"balance is {name!r}; expected one of: {', '.join(balances.names())}")


def require_loss(name: str) -> None:
    """Raise ValueError where no loss has that name; the message lists those that there are."""
    if name not in losses.names():
        raise ValueError(f"loss is {name!r}; expected one of: {', '.join(losses.names())}")
