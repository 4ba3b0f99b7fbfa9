"""Fits of a variant as a plan says, and the predictions for what the plan holds out.

The test split takes no part in anything here.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from dualstream.heads.linear.shared import reused_s
from dualstream.heads.search.choice import Choice
from dualstream.heads.variants import joint_fit, registry
from dualstream.heads.variants.joint import joined_rows
from dualstream.heads.variants.registry import TASKS, FitOptions, Prediction, Progress, Task, Trained
from dualstream.pipeline.errors import UsageError
from dualstream.pipeline.experiments.corpus_folds import Fold
from dualstream.pipeline.experiments.history import ModelHistory
from dualstream.pipeline.experiments.predictions import Predictions
from dualstream.pipeline.experiments.protocol import Plan, looks_at_dev, trained_encoders, truth
from dualstream.pipeline.experiments.training_data import Corpus


@dataclass(frozen=True, repr=False)
class FitOutcome:
    """What a variant gave."""

    models: tuple[Trained, ...]
    """One per seed, for new utterances: fitted on train, or on everything outside test where folds were made."""
    predictions: Predictions
    history: tuple[ModelHistory, ...]
    fit_s: float
    """Seconds spent in fits, wall clock."""
    interrupted: bool = False
    chosen: tuple[str, ...] = ()
    """What `auto` chose for what is scored, one name a fold; empty for the others."""

    @property
    def choice(self) -> Choice | None:
        """Which variant `auto` chose and why; None for the others."""
        return _choice(self.models)

    def caveats(self, plan: Plan, fit: FitOptions) -> list[str]:
        """Return what must be said of the scores: where dev, or an encoder's training, had a part in them."""
        words = [
            f"no utterance that was fitted on has a label for {task}: it is neither fitted nor scored"
            for task in fit.tasks
            if task not in self.predictions.true and plan.corpus.vocabulary[task]
        ]
        reads = self.models[0].variant if self.models else None
        if reads is not None and registry.get(reads).needs_dialogues and not np.any(plan.corpus.dialogues != ""):
            words.append(f"no dialogues are known: {reads} reads each utterance as a dialogue of its own")
        if self.interrupted:
            whole = "; the scores are of the folds' models, which were fitted to the end" if plan.by else ""
            words.append(f"interrupted: the models that the run keeps were not fitted to the end{whole}")
        by_epochs = any(one.columns for one in self.history)
        if plan.by is not None and len(plan.parts) == 2 and by_epochs and fit.patience > 0:
            words.append("two folds leave no groups to stop by: models were trained for all epochs")
        if self.choice is not None and plan.by is None and fit.patience > 0:
            words.append(
                f"auto chose {self.choice.name} with dev's labels among others: its dev scores are too "
                "good; --folds scores the choice itself, and evaluate scores test"
            )
        if self.choice is not None and len(plan.corpus.streams) == 1:
            (alone,) = plan.corpus.streams
            words.append(
                f"the corpus has {alone} alone, no fusion to choose: auto took the best variant of that stream, "
                f"{self.choice.name}"
            )
        trained = trained_encoders(plan.corpus)
        if trained and (plan.by is not None or self.choice is not None):
            what = "the folds hold out" if plan.by is not None else "auto chose by folds that hold out"
            words.append(
                f"{' and '.join(trained)} learned from labels: where these were of this corpus, {what} utterances "
                "that it knows already, and whatever reads its features does too well on them"
            )
        return words


def fit_and_predict(
    plan: Plan, name: str, options: FitOptions, progress: Progress | None = None, *, refit: bool = True
) -> FitOutcome:
    """Fit a variant as the plan says, and predict what it holds out.

    With folds, `refit` fits the seeds once more on everything outside test, for as many epochs as
    the folds found best (their median) and without early stopping; those are the outcome's models.
    """
    corpus = plan.corpus
    scored = plan.scored
    corpus.require_finite(np.union1d(plan.fitted_on(), scored), corpus.read_by(name))
    history: list[ModelHistory] = []
    said: list[list[Prediction]] = [[] for _ in options.seeds]
    models: Sequence[Trained] = ()
    interrupted = False
    chosen: list[str] = []
    fit_s = 0.0
    for k, part in enumerate(plan.parts):
        started = _clock_s()
        corpus = plan.corpus_for(part)
        models = _fit(plan, corpus, part, name, options, _in_fold(progress, k, len(plan.parts)))
        fit_s += _clock_s() - started
        chosen += [choice.name for choice in [_choice(models)] if choice is not None]
        fold = part.name if plan.by is not None else ""
        history += [ModelHistory.of(model, fold) for model in models]
        interrupted |= any(model.history.stopped == "interrupted" for model in models)
        if interrupted and plan.by is not None:
            raise KeyboardInterrupt  # folds that are not all there score nothing
        for store, model in zip(said, models, strict=True):
            store.append(model.predict(corpus.take(part.held_out)))
            if _tasks(store[-1]) != _tasks(store[0]):
                raise UsageError(
                    f"{part.name} leaves no label of a task that another fold leaves some of: its labels are all "
                    "of one group; name the other task: --tasks"
                )
    if plan.by is not None and refit:
        started = _clock_s()
        everything = np.sort(np.concatenate([part.held_out for part in plan.parts]))
        whole = Fold("all", everything, everything[:0], everything[:0])
        models = _fit(plan, plan.corpus, whole, name, refit_options(options, history), progress)
        interrupted |= any(model.history.stopped == "interrupted" for model in models)
        fit_s += _clock_s() - started
        history += [ModelHistory.of(model, "all") for model in models]
    order = np.argsort(np.concatenate([part.held_out for part in plan.parts]), kind="stable")
    predictions = Predictions(
        ids=tuple(corpus.ids[i] for i in scored),
        split=plan.split,
        true=truth(corpus, scored, [task for task in options.tasks if task in _tasks(said[0][0])]),
        models=tuple(joined_rows(store, order) for store in said),
        names=tuple(f"seed {seed}" for seed in options.seeds),
    )
    return FitOutcome(tuple(models), predictions, tuple(history), fit_s, interrupted, tuple(chosen))


def _clock_s() -> float:
    """Return seconds as a variant that is fitted for itself would take them: what was shared counts for each."""
    return time.perf_counter() + reused_s()


def refit_options(options: FitOptions, history: Sequence[ModelHistory]) -> FitOptions:
    """Return the options of a fit on everything: the folds' median of best epochs, no early stopping."""
    best = [one.best_epoch for one in history if one.best_epoch is not None]
    epochs = max(1, round(float(np.median(best))) + 1) if best else options.epochs
    return replace(options, patience=0, epochs=min(epochs, options.epochs))


def _tasks(prediction: Prediction) -> set[Task]:
    return {task for task in TASKS if prediction.task(task) is not None}


def _fit(
    plan: Plan, corpus: Corpus, part: Fold, name: str, options: FitOptions, progress: Progress | None
) -> Sequence[Trained]:
    fit, stop = part.fit, part.stop
    if plan.by is not None and not looks_at_dev(name, options):
        fit, stop = np.sort(np.concatenate([fit, stop])), stop[:0]  # what nobody watches can be learned from
    fitted_on = corpus.train(fit)
    if not len(fitted_on):
        raise UsageError(f"no utterance to fit on has a stream ({len(fit)} utterances, all of them failed)")
    dev = corpus.take(stop) if len(stop) else None
    train = corpus.take(fitted_on)
    models = registry.fit(name, train, dev, options=options, progress=progress)
    if plan.by is not None and dev is not None and registry.is_search(name):
        from dualstream.heads.search import auto

        everything = corpus.take(corpus.train(np.sort(np.concatenate([fit, stop]))))
        again = auto.fit_more(models, everything, options)
        if again is not models:
            models, train, dev = again, everything, None
    # what stopped a fold's training is not scored; without folds it is dev, which is
    return joint_fit.joined(
        models, train, options, held_out=dev if plan.by is not None else None, progress=progress
    )


def _choice(models: Sequence[Trained]) -> Choice | None:
    return getattr(models[0], "choice", None) if models else None


def _in_fold(progress: Progress | None, k: int, count: int) -> Progress | None:
    if progress is None or count == 1:
        return progress
    outer: Progress = progress
    return lambda event: outer({**event, "fold": k + 1, "folds": count})
