"""Fit a variant again under a changed condition, and predict every utterance by a model that hasn't seen it.

Train and dev are pooled and assigned into folds by dialogue (by speaker where dev has new ones), so that
a few hundred utterances still say something: four dev speakers don't rank models. Test is never touched.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from dualstream.heads.data.batch import UNLABELLED, FeatureSet, join
from dualstream.heads.diagnosis.changes import Change, Prepare
from dualstream.heads.evaluation import confusion, metrics
from dualstream.heads.evaluation.folds import GroupBy, group_codes, groups_of, holds_apart
from dualstream.heads.evaluation.statistics import PairedDifference
from dualstream.heads.variants import registry
from dualstream.heads.variants.registry import FitOptions, Task, Trained
from numpy.typing import NDArray

METRIC = "balanced_accuracy"  # of every score in a diagnosis: it can't be had by answering the majority


@dataclass(frozen=True)
class Trial:
    """One condition under which a variant is fitted."""

    name: str
    fusion: str
    options: FitOptions
    prepare: Prepare | None = None


@dataclass(frozen=True, repr=False)
class Pool:
    """Train and dev together, assigned into folds."""

    features: FeatureSet
    was_dev: NDArray[np.bool_]
    """Shape (N,): rows of the dev split."""
    fold: NDArray[np.int64]
    """Shape (N,)."""
    group: NDArray[np.int64]
    """Dialogues, or speakers with all who share their dialogues, renumbered over both splits, shape (N,)."""
    by: GroupBy
    task: Task
    row: NDArray[np.int64]
    """Where each utterance stands in train with dev behind it, shape (N,)."""

    @property
    def folds(self) -> int:
        """How many folds there are."""
        return int(self.fold.max()) + 1

    @property
    def truth(self) -> NDArray[np.int64]:
        """Codes of the task, shape (N,)."""
        return getattr(self.features, self.task)

    @property
    def classes(self) -> int:
        """Number of classes of the task."""
        return len(getattr(self.features, f"{self.task}_names"))

    def rows(self, folds: Sequence[int]) -> NDArray[np.int64]:
        """Return the utterances of some folds."""
        return np.flatnonzero(np.isin(self.fold, folds))


@dataclass(frozen=True, repr=False)
class Refit:
    """What became of a trial."""

    trial: Trial
    log_probabilities: tuple[NDArray[np.float64], ...]
    """One array a seed, shape (N, C), every row by a model that hasn't seen its group."""
    score: float
    """Balanced accuracy of those, mean over seeds."""
    train_score: float
    """Balanced accuracy on the rows that were fitted, mean over folds and seeds."""
    models: tuple[tuple[tuple[Trained, ...], Change], ...]
    """For each fold its models (one per seed) and the change that their inputs need."""


def grouping(train: FeatureSet, dev: FeatureSet | None, folds: int) -> tuple[GroupBy, tuple[str, ...]]:
    """Return what folds keep whole, and what must be said of it.

    Speakers where dev has new ones, with all who share their dialogues; dialogues where these are too few groups.
    """
    by = groups_of(train, other=dev)[1]
    features = train if dev is None else join(train, dev)
    if dev is None or not len(dev) or not (features.speaker >= 0).all():
        return by, ()
    groups = group_codes(features, "speaker")
    enough = len(np.unique(groups)) >= folds and holds_apart(groups, features.speaker)
    if by == "speaker" and enough:
        return by, ()
    if np.isin(dev.speaker, train.speaker).any():
        return "dialogue", ()
    note = (
        "dev has speakers of its own, but speakers who share dialogues can't be held apart in so many folds: "
        "folds keep dialogues whole, and speakers are on both sides"
    )
    return "dialogue", (note,)


def pool(
    train: FeatureSet, dev: FeatureSet | None, *, folds: int, task: Task, by: GroupBy, sample: int, seed: int
) -> Pool:
    """Join train and dev, drop what is unlabelled, and deal whole dialogues or speakers into folds.

    Of more than `sample` utterances, groups are drawn until there are so many.
    """
    features = train if dev is None else join(train, dev)
    was_dev = np.arange(len(features)) >= len(train)
    keep = np.flatnonzero(getattr(features, task) != UNLABELLED)
    features, was_dev = features.take(keep), was_dev[keep]
    drawn = _drawn(group_codes(features, by), sample, seed)
    features, was_dev = features.take(drawn), was_dev[drawn]
    names, group = np.unique(group_codes(features, by), return_inverse=True)
    # connected groups are few and large (five sessions): one per fold will do, and one says when to stop
    wanted = folds if by == "speaker" and len(names) < len(np.unique(features.speaker)) else 2 * folds
    if len(names) < wanted:
        raise ValueError(
            f"train and dev have {len(names)} {by}s with labels of {task}; {folds} folds need {wanted} or "
            "more: take fewer folds (3 at least) or the other task, or name more of them in the manifest"
        )
    truth = getattr(features, task)
    if (truth == truth[0]).all():
        only = getattr(features, f"{task}_names")[truth[0]]
        raise ValueError(
            f"all {len(truth)} labelled utterances are {only!r}; a diagnosis needs two classes or more"
        )
    fold = (np.random.default_rng(seed).permutation(len(names)) % folds)[group]
    return Pool(features, was_dev, fold.astype(np.int64), group.astype(np.int64), by, task, keep[drawn])


def _drawn(groups: NDArray[np.int64], sample: int, seed: int) -> NDArray[np.int64]:
    """Return the rows of groups drawn at random until `sample` rows are there."""
    names, code = np.unique(groups, return_inverse=True)
    order = np.random.default_rng([seed, 1]).permutation(len(names))
    enough = int(np.searchsorted(np.cumsum(np.bincount(code)[order]), sample)) + 1
    return np.flatnonzero(np.isin(code, order[:enough]))


@dataclass(frozen=True, repr=False)
class FoldFit:
    """What heads that have not seen a fold say of it."""

    rows: NDArray[np.int64]
    """The utterances of the fold, shape (F,)."""
    log_probabilities: NDArray[np.float64]
    """Of them, shape (seeds, F, C)."""
    train_scores: tuple[float, ...]
    """Balanced accuracy of each seed on the rows that were fitted."""
    models: tuple[Trained, ...]
    change: Change


def refit(trial: Trial, pooled: Pool) -> Refit:
    """Fit `trial` once a fold and predict the fold."""
    return put_together(trial, pooled, [fit_fold(trial, pooled, held) for held in range(pooled.folds)])


def fit_fold(trial: Trial, pooled: Pool, held: int) -> FoldFit:
    """Fit `trial` without the fold `held`, and predict it."""
    # The fold after the held one decides when to stop: a fold is one part in `folds`, so half of it
    stop_rows = pooled.rows([(held + 1) % pooled.folds])
    stop_groups = np.unique(pooled.group[stop_rows])
    stopping = np.isin(pooled.group, stop_groups[: max(1, len(stop_groups) // 2)])
    fit_rows = np.flatnonzero((pooled.fold != held) & ~stopping)
    held_rows = pooled.rows([held])
    models, change, part = fit_on(trial, pooled, fit_rows, np.flatnonzero(stopping))
    changed = change(pooled.features.take(held_rows))
    return FoldFit(
        rows=held_rows,
        log_probabilities=np.stack([predict(model, changed, pooled.task) for model in models]),
        train_scores=tuple(uar(predict(model, part, pooled.task), pooled.truth[fit_rows]) for model in models),
        models=models,
        change=change,
    )


def fold_answers(trial: Trial, pooled: Pool, held: int) -> FoldFit:
    """Do as `fit_fold`, and drop the models."""
    return replace(fit_fold(trial, pooled, held), models=(), change=_as_is)


def put_together(trial: Trial, pooled: Pool, folds: Sequence[FoldFit]) -> Refit:
    """Return what became of a trial whose folds were fitted."""
    log_probabilities = np.full((len(trial.options.seeds), len(pooled.features), pooled.classes), np.nan)
    for one in folds:
        log_probabilities[:, one.rows] = one.log_probabilities
    rows = tuple(log_probabilities)
    return Refit(
        trial=trial,
        log_probabilities=rows,
        score=float(np.mean([uar(row, pooled.truth) for row in rows])),
        train_score=float(np.mean([score for one in folds for score in one.train_scores])),
        models=tuple((one.models, one.change) for one in folds),
    )


def fit_on(
    trial: Trial, pooled: Pool, fit_rows: NDArray[np.int64], stop_rows: NDArray[np.int64]
) -> tuple[tuple[Trained, ...], Change, FeatureSet]:
    """Fit on some rows; return the models, the change that inputs need, and the changed training rows."""
    part = pooled.features.take(fit_rows)
    change = trial.prepare(part) if trial.prepare else _as_is
    part = change(part)
    stop = change(pooled.features.take(stop_rows)) if len(stop_rows) else None
    return tuple(registry.fit(trial.fusion, part, stop, options=trial.options)), change, part


def predict(model: Trained, features: FeatureSet, task: Task) -> NDArray[np.float64]:
    """Return the log-probabilities of one task, shape (N, C)."""
    rows = model.predict(features).task(task)
    assert rows is not None, "the trial was fitted for this task"
    return rows


def uar(log_probabilities: NDArray[np.float64], truth: NDArray[np.int64]) -> float:
    """Return the balanced accuracy of the likeliest classes."""
    answers = log_probabilities.argmax(axis=1)[None]
    counts = confusion.group_confusions(truth, answers, log_probabilities.shape[1], np.zeros_like(truth))
    return float(confusion.headline_statistic(METRIC)(counts)[0, 0])


def compare(
    first: Sequence[NDArray[np.float64]], second: Sequence[NDArray[np.float64]], pooled: Pool
) -> PairedDifference:
    """Return by how much `first` beats `second` on the same utterances, with an interval over the groups."""
    return metrics.compare_models(first, second, pooled.truth, pooled.group, classes=pooled.classes, metric=METRIC)


def _as_is(features: FeatureSet) -> FeatureSet:
    return features
