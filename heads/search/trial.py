"""How a candidate answers utterances that its models didn't see: by folds of whole groups over train and dev."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from dualstream.heads.data.batch import UNLABELLED, FeatureSet
from dualstream.heads.evaluation import confusion
from dualstream.heads.evaluation.folds import fold_codes, group_codes, holds_apart
from dualstream.heads.search.ranking import Record
from dualstream.heads.variants import registry
from dualstream.heads.variants.registry import FitOptions, Prediction, Progress, Task
from numpy.typing import NDArray

from dualstream.cores import available_cores, one_core, threads

PATIENCE = 5  # epochs, at most: a search compares candidates, it doesn't publish them
STOPPING = 8  # one part in this many of a fold's training groups decides when to stop
FLOOR = 1e-12  # of a probability, in a log loss
AHEAD = 1.0  # standard errors by which a network must lead on its first fold to be given the others

Codes = NDArray[np.int64]
Floats = NDArray[np.float64]
LogProbs = dict[Task, Floats]
"""Log-probabilities (N, C) of each task; NaN where nothing was held out yet."""


@dataclass(frozen=True, repr=False)
class CandidateTrial:
    """Train and dev together, and how candidates are tried on them."""

    pooled: FeatureSet
    groups: Codes
    grouped_by: str
    labels: dict[Task, Codes]
    classes: dict[Task, int]
    options: FitOptions
    metric: str
    works: dict[int, dict[Any, Any]] = field(default_factory=dict)
    """What solved variants share, by repeat."""

    @classmethod
    def of(cls, pooled: FeatureSet, grouped_by: str, options: FitOptions, metric: str) -> CandidateTrial:
        """Make one of what is labelled.

        Raises
        ------
        ValueError
            Where nothing is.
        """
        tasks = tuple(task for task in options.tasks if (getattr(pooled, task) != UNLABELLED).any())
        if not tasks:
            raise ValueError(f"no training utterance has a label for {' or '.join(options.tasks)}")
        groups = group_codes(pooled, grouped_by)
        return cls(
            pooled=pooled,
            groups=np.unique(groups, return_inverse=True)[1].astype(np.int64),
            grouped_by=grouped_by,
            labels={task: getattr(pooled, task) for task in tasks},
            classes={task: len(getattr(pooled, f"{task}_names")) for task in tasks},
            options=options,
            metric=metric,
        )

    def folds(self, folds: int, seed: int) -> Codes:
        """Return the fold that holds each utterance out."""
        return fold_codes(self.groups, next(iter(self.labels.values())), folds, seed)

    def predict(self, name: str, fold: Codes, repeat: int, news: Progress) -> LogProbs:
        """Answer all utterances by models that saw nothing of their fold."""
        own = replace(self.options, seeds=(repeat,), parameters={})
        work = self.works.setdefault(repeat, {})
        found = registry.held_out(name, self.pooled, fold, options=own, progress=news, work=work)
        if found is not None:
            return self._checked(found)
        return self.by_fits(name, fold, range(int(fold.max()) + 1), repeat, news)

    def by_fits(self, name: str, fold: Codes, numbers: Sequence[int], repeat: int, news: Progress) -> LogProbs:
        """Fit a candidate once for each of these folds and answer what they hold out.

        An interrupt that `news` raises ends all of it: a candidate that was stopped early says nothing.
        """
        answer: LogProbs = {t: np.full((len(self.pooled), c), np.nan) for t, c in self.classes.items()}

        def fit(number: int) -> None:
            held = np.flatnonzero(fold == number)
            found = self._fit(name, np.flatnonzero(fold != number), repeat, news).predict(self.pooled.take(held))
            for task, rows in self._checked(found).items():
                answer[task][held] = rows

        _side_by_side(fit, numbers, self.options.threads)
        return answer

    def record(self, record: Record, answers: LogProbs) -> None:
        """Count the predictions of one repeat."""
        cells, losses = [], []
        for task, rows in answers.items():
            keep = self.labels[task] != UNLABELLED
            truth = self.labels[task][keep]
            counts = confusion.group_confusions(
                truth, rows[keep].argmax(1)[None], self.classes[task], self.groups[keep]
            )[0]
            full = np.zeros((int(self.groups.max()) + 1, self.classes[task] ** 2))
            full[: len(counts)] = counts.reshape(len(counts), -1)
            cells.append(full)
            lost = -np.maximum(rows[keep, truth], np.log(FLOOR)) / len(truth)
            losses.append(np.bincount(self.groups[keep], weights=lost, minlength=len(full)))
        record.counts.append(np.concatenate(cells, axis=1))
        record.losses.append(np.mean(losses, axis=0))

    def statistic(self, counts: Floats) -> Floats:
        """Score counts (..., cells): the metric's mean over the tasks."""
        score = confusion.headline_statistic(self.metric)
        scores, at = [], 0
        for task in self.labels:
            size = self.classes[task]
            scores.append(score(counts[..., at : at + size**2].reshape(*counts.shape[:-1], size, size)))
            at += size**2
        return np.mean(scores, axis=0)

    def ahead(self, first: LogProbs, second: LogProbs) -> bool:
        """Say whether `first` leads on the utterances that it answers, by more than `AHEAD` standard errors.

        Each utterance that one of them alone gets right counts one over its class's utterances, as in balanced
        accuracy; without a true difference the sum's variance is that of coins of these values (McNemar).
        """
        lead = variance = 0.0
        for task, truth in self.labels.items():
            rows = np.flatnonzero((truth != UNLABELLED) & ~np.isnan(first[task][:, 0]))
            right = [answers[task][rows].argmax(1) == truth[rows] for answers in (first, second)]
            weight = 1 / np.bincount(truth[rows], minlength=self.classes[task])[truth[rows]]
            gain = weight * (right[0].astype(float) - right[1])
            lead += gain.sum()
            variance += (gain**2).sum()
        return lead > AHEAD * variance**0.5

    def _checked(self, found: Prediction) -> LogProbs:
        rows = {task: found.task(task) for task in self.labels}
        lacking = [task for task, one in rows.items() if one is None]
        if lacking:
            raise ValueError(f"a fold has no label for {lacking[0]}")
        return {task: one for task, one in rows.items() if one is not None}

    def _fit(self, name: str, rows: Codes, repeat: int, news: Progress) -> registry.Trained:
        """Fit one seed on these utterances, a part of whose groups decides when to stop."""
        closed_form = registry.is_closed_form(name)  # needs no utterances to stop by
        patience = min(self.options.patience, PATIENCE)
        options = replace(self.options, seeds=(repeat,), patience=patience, parameters={})
        stop: FeatureSet | None = None
        if not closed_form and patience > 0 and len(np.unique(self.groups[rows])) > 1:
            inner = fold_codes(self.groups[rows], next(iter(self.labels.values()))[rows], STOPPING, seed=repeat)
            stop, rows = self.pooled.take(rows[inner == 0]), rows[inner != 0]
        part = self.pooled.take(rows)
        if closed_form and "folds" in registry.get(name).parameters:
            options = replace(options, parameters={"folds": self._grouped_in(part)})
        (model,) = registry.fit(name, part, stop, options=options, progress=news)
        if model.history.stopped == "interrupted":
            raise KeyboardInterrupt
        return model

    def _grouped_in(self, part: FeatureSet) -> str:
        """Return what a solved variant keeps whole when it chooses a penalty inside a part."""
        apart = holds_apart(group_codes(part, self.grouped_by), part.speaker)
        return self.grouped_by if self.grouped_by == "dialogue" or apart else "dialogue"


def _side_by_side(fit: Callable[[int], None], numbers: Sequence[int], cores: int | None) -> None:
    """Run fits on a core each; what they answer does not depend on how many there are."""
    with one_core(), threads(max(1, min(cores or available_cores(), len(numbers)))) as pool:
        running = [pool.submit(fit, number) for number in numbers]
        try:
            for one in running:
                one.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
