"""FitOptions: how a variant is fitted; plain values, which the command line shows without importing NumPy."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

Task = Literal["emotion", "sentiment"]
TASKS: tuple[Task, ...] = ("emotion", "sentiment")
REFIT_SEEDS = (0, 1)  # where a variant is fitted again and again, as a diagnosis does


@dataclass(frozen=True)
class FitOptions:
    """How a variant is fitted. Each default exists here and nowhere else."""

    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    """One model a seed."""
    tasks: tuple[Task, ...] = TASKS
    """Tasks with a head; one alone works too."""
    epochs: int = 40
    batch_size: int = 256
    learning_rate: float = 1e-3
    weight_decay: float = 1e-2
    hidden: int = 128
    """Width of the shared representation."""
    dropout: float = 0.3
    modality_dropout: float = 0.1
    """Chance that a stream is hidden from an utterance in training, where both are there."""
    patience: int = 8
    """Epochs without a better dev score before training stops; 0: no early stopping, dev is not looked at."""
    loss: str = "logit_adjusted"
    """A name of heads.training.losses: cross_entropy, weighted, focal, logit_adjusted, balanced_softmax.
    docs/heads.md argues the default; where classes are even it is cross-entropy."""
    resample: bool = False
    """Draw training utterances so that classes come equally often."""
    task_balance: str = "fixed"
    """A name of heads.training.balance: fixed, uncertainty, surgery."""
    watch: Literal["score", "loss"] = "score"
    """What patience watches on dev: the mean over the tasks of macro F1, or of the loss."""
    focal_gamma: float = 2.0
    """How much the focal loss discounts utterances that are classified well."""
    adjustment: float = 0.5
    """Strength of the logit adjustment, tau; 1 evens the classes out, 0 is cross-entropy."""
    sentiment_weight: float = 1.0
    """Weight of the sentiment loss where the balance is fixed; the emotion loss has 1."""
    penalty: float | None = None
    """L2 penalty of the linear variants; None: chosen by group-wise cross-validation in train."""
    max_windows: int = 64
    """Windows of an utterance that sequence variants look at: longer ones are thinned evenly."""
    threads: int | None = None
    """Threads that share the seeds (in `auto`, the folds) among them, one core each; None: as many as there are
    cores. What is fitted does not depend on it."""
    parameters: dict[str, Any] = field(default_factory=dict)
    """Settings of a single variant, by its own names; an unknown one is an error."""
