"""Pick a variant by group-wise cross-validation over train and dev, and never do harm.

`heads.search.ranking` states the rule. Why not by dev's scores: four dev speakers don't rank models. On RAVDESS
the variants best on dev were among the worst on test.

Where the corpus has one stream there is no fusion to take, and the best variant of that stream is taken.

The budget: the choice and the fit of what is chosen take about three times as long as the most expensive
candidate still in the running takes when it is fitted for itself. Solved variants give their held-out answers for
the price of one fit (`heads.variants.contract.HeldOut`) and share what they have in common. Networks cost many
times that, and on the corpora in docs/heads.md none was worth it beside a fusion of solved heads; so they are
tried where no such fusion is significantly better than a single stream, on one fold first, and on the others where
they lead on that one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from dualstream.heads.data.batch import FeatureSet, join, stream_order
from dualstream.heads.evaluation.folds import group_codes, groups_of, holds_apart
from dualstream.heads.search.choice import Choice
from dualstream.heads.search.options import SelectionOptions, is_single
from dualstream.heads.search.ranking import Ranking, Record, rank, table
from dualstream.heads.search.trial import CandidateTrial, LogProbs
from dualstream.heads.variants import registry
from dualstream.heads.variants.contract import ProgressEvent
from dualstream.heads.variants.registry import FitOptions, Progress
from numpy.typing import NDArray

FOLDS = 3  # the test counts every utterance, however many folds there are, and more folds cost more

Codes = NDArray[np.int64]


def select(
    train: FeatureSet,
    dev: FeatureSet | None,
    *,
    options: FitOptions | None = None,
    selection: SelectionOptions | None = None,
    progress: Progress | None = None,
) -> Choice:
    """Choose among variants by cross-validation over train and dev together.

    Where ``options.patience`` is 0, dev is not to be looked at, and train alone is used.

    Raises
    ------
    ValueError
        Where no single stream can be fitted, nothing is labelled, or there is only one group.
    """
    options = options or FitOptions()
    selection = (selection or SelectionOptions()).over(stream_order(train.streams))
    pooled = train
    if dev is not None and len(dev) and options.patience > 0:
        pooled = join(train, dev)
    grouped_by = groups_of(train, selection.folds, dev)[1]  # type: ignore[arg-type]
    if grouped_by == "speaker" and not holds_apart(group_codes(pooled, "speaker"), pooled.speaker):
        grouped_by = "dialogue"  # dev's dialogues connect what train alone keeps apart
    pooled = _sample(pooled, group_codes(pooled, grouped_by), selection.sample)
    trial = CandidateTrial.of(pooled, grouped_by, options, selection.metric)
    asked = list(dict.fromkeys(selection.candidates))
    search = _Selection(trial, selection, progress, len(asked))
    search.closed_form([name for name in asked if registry.is_closed_form(name)])
    ranking = search.trained([name for name in asked if not registry.is_closed_form(name)])
    if ranking is None:
        raise ValueError(
            "auto could fit no single stream to fall back on: "
            + "; ".join(f"{name}: {reason}" for name, reason in search.reasons.items())
        )
    evidence = table(asked, search.records, ranking, search.reasons, trial.statistic, list(pooled.streams))
    return Choice(ranking.chosen, grouped_by, len(pooled), selection.metric, evidence)


@dataclass(repr=False)
class _Selection:
    """What is known so far."""

    trial: CandidateTrial
    selection: SelectionOptions
    progress: Progress | None
    count: int
    """Of candidates."""
    records: dict[str, Record] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    """Why a candidate has no record."""
    answers: dict[str, LogProbs] = field(default_factory=dict)
    """Of the first repeat."""
    done: int = 0

    def ranking(self) -> Ranking | None:
        """Return who would win now; None where no single stream has been counted."""
        if not any(is_single(name) for name in self.records):
            return None
        return rank(self.records, self.selection.candidates, self.trial.statistic, self.selection.alpha)

    def closed_form(self, names: Sequence[str]) -> None:
        """Try solved candidates on the folds of every repeat."""
        for name in names:
            news = self._news(name)
            record = Record()
            try:
                for repeat in range(self.selection.repeats):
                    answers = self.trial.predict(name, self.trial.folds(FOLDS, repeat), repeat, news)
                    self.trial.record(record, answers)
                    self.answers.setdefault(name, answers)
            except ValueError as error:
                self.reasons[name] = str(error)
            else:
                self.records[name] = record

    def trained(self, names: Sequence[str]) -> Ranking | None:
        """Try networks where they may be needed, drop those that do not lead on their first fold, and rank."""
        always = self.selection.every_network
        ranking = self.ranking()
        if not always and ranking is not None and ranking.significant:
            words = f"not tried: {ranking.chosen}, which is solved, is significantly better than any single stream"
            self.reasons |= dict.fromkeys(names, words)
            return ranking
        for name in names:
            news = self._news(name)
            leader = None if always or ranking is None else ranking.chosen
            try:
                found = self._network(name, leader, news)
            except ValueError as error:
                self.reasons[name] = str(error)
                continue
            if found is None:
                self.reasons[name] = f"not ahead of {leader} on the first fold"
                continue
            self.records[name], self.answers[name] = Record(), found
            self.trial.record(self.records[name], found)
            ranking = self.ranking()
        return ranking

    def _network(self, name: str, leader: str | None, news: Progress) -> LogProbs | None:
        """Return a network's answers, or None where it doesn't lead on its first fold."""
        fold = self.trial.folds(FOLDS, 0)
        if leader is None:
            return self.trial.predict(name, fold, 0, news)
        first = self.trial.by_fits(name, fold, [0], 0, news)
        if not self.trial.ahead(first, self.answers[leader]):
            return None
        others = self.trial.by_fits(name, fold, range(1, int(fold.max()) + 1), 0, news)
        held = (fold == 0)[:, None]
        return {task: np.where(held, first[task], rows) for task, rows in others.items()}

    def _news(self, name: str) -> Progress:
        news = _Told(self.progress, {"variant": f"auto: {name}", "epoch": self.done, "epochs": self.count})
        news({})
        self.done += 1
        return news


@dataclass(frozen=True)
class _Told:
    """Tells of a candidate the same in all its folds and epochs; whoever listens may interrupt at each."""

    progress: Progress | None
    event: ProgressEvent

    def __call__(self, event: ProgressEvent) -> None:
        if self.progress is not None:
            self.progress(self.event)


def _sample(features: FeatureSet, groups: Codes, wanted: int) -> FeatureSet:
    """Return whole groups, drawn until `wanted` utterances are there, in the order they stood in."""
    if len(features) <= wanted:
        return features
    members, code = np.unique(groups, return_inverse=True)
    order = np.random.default_rng(0).permutation(len(members))
    sizes = np.bincount(code)[order]
    drawn = order[: max(2, int(np.searchsorted(np.cumsum(sizes), wanted)) + 1)]
    return features.take(np.flatnonzero(np.isin(code, drawn)))
