"""One experiment: a variant fitted by a plan, its answers decoded and scored, and what must be said of them.

plan ──fit──> models ──predict──> predictions ──decode──> answers ──score──> scores ──> warnings, row
"""

from __future__ import annotations

from dataclasses import dataclass

from dualstream.heads.search.choice import Choice
from dualstream.heads.variants import registry
from dualstream.heads.variants.registry import FitOptions, Progress, Trained
from dualstream.pipeline.experiments.comparison import VariantRow
from dualstream.pipeline.experiments.fitting import fit_and_predict
from dualstream.pipeline.experiments.history import ModelHistory
from dualstream.pipeline.experiments.options import agreed
from dualstream.pipeline.experiments.predictions import Predictions
from dualstream.pipeline.experiments.protocol import DecodingOptions, Plan
from dualstream.pipeline.experiments.scores import SplitScores
from dualstream.pipeline.experiments.scoring import EvaluationSet


@dataclass(frozen=True, repr=False)
class Experiment:
    """A variant, fitted and scored."""

    variant: str
    models: tuple[Trained, ...]
    """One per seed, for new utterances."""
    predictions: Predictions
    """Decoded: what is scored."""
    scores: SplitScores
    """With what must be said of how they came about."""
    history: tuple[ModelHistory, ...]
    fit_s: float
    """Seconds spent in fits, wall clock."""
    interrupted: bool
    choice: Choice | None
    """Which variant `auto` chose for new utterances and why; None for the others."""
    chosen: tuple[str, ...]
    """What `auto` chose for what is scored, one name a fold; empty for the others."""

    @property
    def row(self) -> VariantRow:
        """Its line in a comparison."""
        return VariantRow(
            variant=self.variant,
            single=reads_one(self.variant),
            scores=self.scores,
            fit_s=self.fit_s,
            choice=self.choice,
            chosen=self.chosen,
            history=self.history,
        )

    def __repr__(self) -> str:
        return f"Experiment({self.variant}, {len(self.models)} models, {self.scores!r})"


def run(
    variant: str,
    plan: Plan,
    fit: FitOptions,
    answering: DecodingOptions,
    *,
    progress: Progress | None = None,
    for_new: bool = True,
) -> Experiment:
    """Fit a variant by a plan and score what the plan holds out.

    Parameters
    ----------
    variant
        Its name.
    plan
        Who is fitted on and who is scored: `protocol.plan` of a corpus.
    fit
        How to fit.
    answering
        How log-probabilities become answers.
    for_new
        Whether the models are kept, for new utterances: with folds they are fitted once more, on everything
        outside test, and an interrupted fit keeps its best. Otherwise only the scores count.

    Raises
    ------
    UsageError, ValueError
        As `fitting.fit_and_predict` and `scoring.score_predictions`.
    KeyboardInterrupt
        Where a fit was interrupted and there is nothing to keep.
    """
    fit, answering = agreed(fit, answering)
    outcome = fit_and_predict(plan, variant, fit, progress, refit=for_new)
    if outcome.interrupted and not for_new:
        raise KeyboardInterrupt
    answered, scores = EvaluationSet.of(plan).score(
        outcome.predictions, answering, stopped_by=plan.stopped_by(variant, fit)
    )
    return Experiment(
        variant=variant,
        models=outcome.models,
        predictions=answered,
        scores=scores.warned(*outcome.caveats(plan, fit)),
        history=outcome.history,
        fit_s=outcome.fit_s,
        interrupted=outcome.interrupted,
        choice=outcome.choice,
        chosen=outcome.chosen,
    )


def reads_one(variant: str) -> bool:
    """Return whether a variant reads one stream."""
    return len(registry.get(variant).streams) == 1
