"""What a diagnosis is told: plain values, which the command line shows without importing NumPy."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from annotated_types import Ge
from dualstream.heads.variants.options import REFIT_SEEDS, FitOptions, Task

from dualstream.cores import available_cores
from dualstream.validation import validate

SUBSAMPLE = "thin to one frame each 3 s"
SHIFT = "shift by the best offset"
TURN = "turn components"
BALANCES = {
    "auxiliary losses": "auxiliary",
    "gradient blending": "blending",
    "gradient modulation": "ogm_ge",
    "unimodal distillation": "umt",
    "adaptive modulation": "agm",
    "Pareto gradients": "mmpareto",
}
"""Interventions that keep a stream from starving the others: what each is called, and its balance."""
INTERVENTIONS = (
    "standardise",
    TURN,
    "equalise widths",
    "modality dropout",
    *BALANCES,
    "rebalance classes",
    "regularise",
    "align windows",
    SHIFT,
    SUBSAMPLE,
)

WORTH_PROCESSES = 1_000  # utterances
MOST_PROCESSES = 8  # each holds torch, some hundred megabytes


@dataclass(frozen=True)
class DiagnosisOptions:
    """What is diagnosed, and how thoroughly."""

    fusion: str = "concat"
    """The variant that fails."""
    task: Task = "emotion"
    """emotion or sentiment."""
    folds: int = 4
    """Folds over dialogues of train and dev, 3 or more.

    Over speakers, where dev has new ones."""
    fit: FitOptions = field(default_factory=lambda: FitOptions(seeds=REFIT_SEEDS))
    """How every head is fitted; its `tasks` are replaced by `task`."""
    hop_s: float = 0.5
    """Distance between the cache's windows, seconds."""
    max_shift_s: Annotated[float, Ge(0)] = 2.0
    """Largest shift between the streams, seconds."""
    interventions: tuple[str, ...] = INTERVENTIONS
    """Changes that are refitted; of INTERVENTIONS.

    Causes whose remedy is left out are named with less confidence."""
    measures: bool = True
    """Measure how the streams work together: EMAP, information, interaction, probes, robustness, and errors.html.

    A tenth of the time of a diagnosis. heads/diagnosis/measures/."""
    limits: bool = True
    """Where no cause is found, plant mistakes in the corpus, to say which would have been found and from which
    strength on.

    10 s of processor time at 1,000 utterances, 33 s at 10,000."""
    sample: int = 4_000
    """Of larger corpora whole groups are drawn until there are so many utterances, and heads refitted on those:
    enough to detect a difference of two points."""
    seed: int = 0
    """Of the folds, the shuffles and the bootstrap."""

    def processes(self, utterances: int) -> int:
        """Return in how many processes heads are fitted and mistakes planted.

        As many as `fit.threads` or as there are cores, where there are utterances enough to be worth the seconds
        that processes take to begin.
        """
        if utterances < WORTH_PROCESSES:
            return 1
        return min(self.fit.threads or available_cores(), MOST_PROCESSES)

    def __post_init__(self) -> None:
        validate(self)
        if self.folds < 3:
            raise ValueError(f"{self.folds} folds; expected 3 or more: one is held out, one stops the training")
        unknown = sorted(set(self.interventions) - set(INTERVENTIONS))
        if unknown:
            raise ValueError(f"no intervention is called {unknown}; there are: {', '.join(INTERVENTIONS)}")
