"""FitOptions: how a variant is fitted; plain values, which the command line shows without importing NumPy."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Literal

Task = Literal["emotion", "sentiment"]
TASKS: tuple[Task, ...] = ("emotion", "sentiment")
LOSSES = ("cross_entropy", "weighted", "focal", "logit_adjusted", "balanced_softmax")
BALANCES = ("fixed", "uncertainty", "surgery")
WATCHES = ("score", "loss")
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
    """One of LOSSES (heads/training/losses.py).
    docs/heads.md argues the default; where classes are even it is cross-entropy."""
    resample: bool = False
    """Draw training utterances so that classes come equally often."""
    task_balance: str = "fixed"
    """One of BALANCES (heads/training/task_balance.py)."""
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

    def __post_init__(self) -> None:
        words = {"loss": LOSSES, "task_balance": BALANCES, "watch": WATCHES}
        for name, valid in words.items():
            found = getattr(self, name)
            if found not in valid:
                raise ValueError(f"{name} is {found!r}; expected one of: {', '.join(valid)}")
        if not self.seeds or not self.tasks or set(self.tasks) - set(TASKS):
            raise ValueError(
                f"{len(self.seeds)} seeds for the tasks {self.tasks}; expected one seed or more, of {TASKS}"
            )
        for name in ("epochs", "batch_size", "hidden", "max_windows"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; expected 1 or more")
        for name in ("patience", "learning_rate", "weight_decay", "focal_gamma", "adjustment", "sentiment_weight"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"{name} is {getattr(self, name)}; expected 0 or more")
        if not 0 <= self.dropout < 1 or not 0 <= self.modality_dropout <= 1:
            raise ValueError(
                f"dropout is {self.dropout} and modality_dropout {self.modality_dropout}; "
                "expected 0 to below 1, and 0 to 1"
            )
        if self.penalty is not None and not 0 < self.penalty < math.inf:
            raise ValueError(f"the penalty is {self.penalty}; expected a number above 0")
