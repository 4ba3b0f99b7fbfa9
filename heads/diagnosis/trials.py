"""The heads of a diagnosis, refitted on the same folds: the one that fails, its single streams, every change."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice

import numpy as np
from dualstream.heads.balances import NONE
from dualstream.heads.data.batch import PAIR, FeatureSet, stream_order
from dualstream.heads.diagnosis import changes
from dualstream.heads.diagnosis.evidence import (
    BETTER_BY_WINDOWS,
    DROP,
    OTHER,
    SHIFT,
    SUBSAMPLE,
    TURN,
    DiagnosisOptions,
    Intervention,
    leave_out,
    turn_one,
)
from dualstream.heads.diagnosis.options import BALANCES
from dualstream.heads.diagnosis.refit import (
    METRIC,
    FoldFit,
    Pool,
    Refit,
    Trial,
    compare,
    fit_fold,
    fit_on,
    fold_answers,
    predict,
    put_together,
)
from dualstream.heads.diagnosis.strength import late_sum
from dualstream.heads.diagnosis.subsets import between, options_for, subset_trial
from dualstream.heads.evaluation import metrics
from dualstream.heads.evaluation.shapley import Coalition
from dualstream.heads.evaluation.statistics import Estimate, PairedDifference
from dualstream.heads.variants import registry
from dualstream.heads.variants.registry import FitOptions
from dualstream.heads.variants.streams import network_of
from numpy.typing import NDArray

from dualstream.processes import in_processes

Rows = tuple[NDArray[np.float64], ...]  # log-probabilities, one array a seed, shape (N, C)
Progress = Callable[[str], None]
FitFold = Callable[[Trial, Pool, int], FoldFit]
PATIENCE = 5  # epochs, at most: a diagnosis compares heads, it doesn't publish them
THIN_EVERY_S = 3.0  # one frame each 3 s: the setting in which fusion failed


@dataclass(frozen=True, repr=False)
class PlannedChange:
    """A change of the head, whose gain is asked for."""

    trial: Trial
    remedy: str
    """What to do, in words."""
    against: str | None = None
    """What it is held against: a stream, or another change; None: the head as it is."""
    pooled: Pool | None = None
    """The rows, where they are others."""


@dataclass(repr=False)
class DiagnosedHeads:
    """The head that is diagnosed, the single streams, and every change of it, on the same folds."""

    pooled: Pool
    options: DiagnosisOptions
    progress: Progress
    base: Trial
    """The head as it is."""
    refits: dict[str, Refit] = field(default_factory=dict)
    """Of ``fused``, and of each stream by its name."""
    some: dict[Coalition, Refit] = field(default_factory=dict)
    """Of heads on several streams but not all; none where there are two."""
    rows: dict[str, Rows] = field(default_factory=dict)
    """Out-of-fold answers of everything that was fitted."""
    interventions: dict[str, Intervention] = field(default_factory=dict)

    @classmethod
    def of(cls, pooled: Pool, options: DiagnosisOptions, progress: Progress) -> DiagnosedHeads:
        """Return the head that is diagnosed; nothing is fitted yet."""
        fit = replace(options.fit, tasks=(options.task,), patience=min(options.fit.patience, PATIENCE))
        return cls(pooled, options, progress, Trial("as it is", options.fusion, fit))

    @property
    def streams(self) -> tuple[str, ...]:
        """The streams, in the order in which heads join them."""
        return stream_order(self.pooled.features.streams)

    @property
    def best(self) -> str:
        """The best single stream."""
        return max(self.streams, key=lambda name: self.refits[name].score)

    @contextmanager
    def fitting(self, planned: Sequence[PlannedChange]) -> Iterator[Callable[[], None]]:
        """Fit the head as it is, each stream alone, of three streams or more each subset, and what is planned.

        Gives what waits for all of it, and notes what each change gains: to be called in the block. Where there
        are several processes, all that is done in the block before is done beside them.
        """
        whole = {"fused": self.base}
        whole |= {name: single_stream(self.base, name, self.streams) for name in self.streams}
        some = {known: subset_trial(self.base, known, self.streams) for known in between(self.streams)}
        trials: list[tuple[Trial, Pool, FitFold]] = [
            (trial, self.pooled, fit_fold) for trial in (*whole.values(), *some.values())
        ]
        trials += [(one.trial, one.pooled or self.pooled, fold_answers) for one in planned]
        with self._fits(trials) as fits:

            def collect() -> None:
                for name, trial in whole.items():
                    self.progress(f"fitting {trial.fusion if name == 'fused' else trial.name}")
                    self.refits[name] = next(fits)
                    self.rows[name] = self.refits[name].log_probabilities
                for known, trial in some.items():
                    self.progress(f"fitting {trial.name}")
                    self.some[known] = next(fits)
                self._join_late()
                self._note(planned, fits)

            yield collect

    @contextmanager
    def _fits(self, trials: Sequence[tuple[Trial, Pool, FitFold]]) -> Iterator[Iterator[Refit]]:
        """Fit trials, each on the folds of its pool."""
        folds, processes = self.pooled.folds, self.options.processes(len(self.pooled.features))
        if not all(registry.is_found_anew(trial.fusion, trial.options) for trial, _, _ in trials):
            processes = 1

        def here(fit: FitOptions) -> FitOptions:
            return fit if processes == 1 else replace(fit, threads=1)

        jobs = [
            partial(fit, replace(trial, options=here(trial.options)), pooled, held)
            for trial, pooled, fit in trials
            for held in range(folds)
        ]
        with in_processes(jobs, processes) as done:
            yield (put_together(trial, self.pooled, list(islice(done, folds))) for trial, _, _ in trials)

    def _join_late(self) -> None:
        """Note what the best stream alone and the sum of all streams' answers gain, and of three streams or more
        what leaving each out does; nothing is fitted.
        """
        self.rows["late_sum"] = late_sum(*(self.refits[name] for name in self.streams))
        self._add(DROP, f"--fusion {network_of(self.best)}", self.rows[self.best])
        self._add("join late", "--fusion late", self.rows["late_sum"])
        for left in self.streams if self.some else ():
            kept = [name for name in self.streams if name != left]
            rows = self.some[frozenset(kept)].log_probabilities
            self._add(leave_out(left), f"--streams {','.join(kept)}", rows)

    def _note(self, planned: Sequence[PlannedChange], fits: Iterator[Refit]) -> None:
        """Note what each change gains; of those by windows also over the better stream's windows alone."""
        by_windows = []
        for one in planned:
            name = one.trial.name
            self.progress("fitting on the other cache" if name == OTHER else f"refitting: {name}")
            self.rows[name] = next(fits).log_probabilities
            self._add(name, one.remedy, self.rows[name], one.against)
            if one.trial.fusion == "aligned":
                by_windows.append(name)
        if not any((self.interventions[name].over_best.low or 0.0) > 0 for name in by_windows):
            return
        self.progress(f"refitting: {BETTER_BY_WINDOWS}")
        hide = changes.masked(*(name for name in self.streams if name != self.best))
        better_by_windows = Trial(BETTER_BY_WINDOWS, "aligned", _one_seed(options_for(self.base, "aligned")), hide)
        with self._fits([(better_by_windows, self.pooled, fold_answers)]) as alone:
            self.rows[BETTER_BY_WINDOWS] = next(alone).log_probabilities
        self._add(BETTER_BY_WINDOWS, "(what windows give without joining)", self.rows[BETTER_BY_WINDOWS])
        for name in by_windows:
            over_best = compare(self.rows[name], self.rows[BETTER_BY_WINDOWS], self.pooled)
            self.interventions[name] = replace(self.interventions[name], over_best=over_best)

    def _add(self, name: str, remedy: str, rows: Rows, against: str | None = None) -> None:
        """Note what a change gains over the head as it is, or over another change."""
        gain = compare(rows, self.rows[against or "fused"], self.pooled)
        over_best = compare(rows, self.rows[self.best], self.pooled)
        self.interventions[name] = Intervention(name, remedy, estimate(rows, self.pooled), gain, over_best)


def turnings(base: Trial, turned: Sequence[str], streams: Sequence[str]) -> Iterator[PlannedChange]:
    """Yield the streams that look like principal components turned, joined and each alone."""
    if not turned:
        return
    remedy = "multiply the columns by one random rotation"
    yield PlannedChange(replace(base, name=TURN, prepare=changes.turned(turned)), remedy)
    for name in turned:
        one = single_stream(base, name, streams)
        steps = [changes.turned((name,)), *([one.prepare] if one.prepare else [])]
        yield PlannedChange(replace(one, name=turn_one(name), prepare=changes.in_turn(*steps)), remedy, name)


def other_features(base: Trial, pooled: Pool, other: Pool) -> PlannedChange:
    """Return the head as it is on other features of the same utterances.

    Raises
    ------
    ValueError
        Where the utterances are others, or in another order.
    """
    if not (np.array_equal(other.truth, pooled.truth) and np.array_equal(other.fold, pooled.fold)):
        raise ValueError("the other features are not of the same utterances in the same order")
    return PlannedChange(replace(base, name=OTHER), "use the other cache", pooled=other)


def single_stream(base: Trial, name: str, streams: Sequence[str] = PAIR) -> Trial:
    """Return one stream of `streams` by itself, in a head of the kind that joins (`subsets.subset_trial`)."""
    return subset_trial(base, frozenset({name}), streams)


def changes_of(
    base: Trial, late_s: Mapping[str, float], options: DiagnosisOptions, train: FeatureSet
) -> list[PlannedChange]:
    """Return the changes that options ask for; `late_s` says by how much a stream runs late, where one does."""
    fit = base.options
    streams = stream_order(train.streams)
    every = "both" if len(streams) == 2 else "all"
    width = min(32, *(train.streams[name].width for name in streams))
    found = [
        PlannedChange(
            Trial("standardise", base.fusion, fit, changes.standardise),
            "--fusion concat_norm: each stream is standardised before they are joined",
        ),
        PlannedChange(
            Trial("equalise widths", base.fusion, fit, changes.equalise(width)),
            f"project {every} streams to {width} columns of the same total variance",
        ),
        PlannedChange(
            Trial("modality dropout", base.fusion, replace(fit, modality_dropout=0.5)), "--modality-dropout 0.5"
        ),
        *_balances(base),
        PlannedChange(
            Trial("rebalance classes", base.fusion, replace(fit, loss="balanced_softmax")),
            "--loss balanced_softmax",
        ),
        PlannedChange(
            Trial("regularise", "linear", options_for(base, "linear")),
            "--fusion linear: a penalty chosen in train instead of a hidden layer",
        ),
    ]
    if has_windows(train):
        of_windows = _one_seed(options_for(base, "aligned"))
        found.append(PlannedChange(Trial("align windows", "aligned", of_windows), "--fusion aligned"))
        if "video" in streams:  # of streams of other names it is not known which has frames
            thinned = changes.subsampled(THIN_EVERY_S, options.hop_s)
            words = "(what sampling one frame each 3 s would cost)"
            found.append(PlannedChange(Trial(SUBSAMPLE, base.fusion, fit, thinned), words))
        if late_s and "align windows" in options.interventions:
            moves = [changes.shifted(round(late / options.hop_s), name) for name, late in late_s.items()]
            words = " and ".join(f"{name} by {-late:+.1f} s" for name, late in late_s.items())
            moved = Trial(SHIFT, "aligned", of_windows, changes.in_turn(*moves))
            found.append(
                PlannedChange(moved, f"move {words}, and look for the cause in the clips", "align windows")
            )
    return [one for one in found if one.trial.name in options.interventions]


def _balances(base: Trial) -> list[PlannedChange]:
    """Return the balances of the streams, of one seed: each costs two to four plain fits. None where it is
    refused."""
    variant = registry.get(base.fusion)
    own = base.options.balance
    if own != NONE or not registry.takes_balance(variant):
        return []
    fit = _one_seed(base.options)
    return [
        PlannedChange(Trial(name, base.fusion, replace(fit, balance=balance)), f"--balance {balance}")
        for name, balance in BALANCES.items()
    ]


def has_windows(features: FeatureSet) -> bool:
    """Tell whether all streams have windows."""
    return all(features.streams[name].windows is not None for name in features.streams)


def _one_seed(fit: FitOptions) -> FitOptions:
    """Return the options for heads over windows: a fit costs as much as five over utterance rows."""
    return replace(fit, seeds=fit.seeds[:1])


def estimate(rows: Rows, pooled: Pool) -> Estimate:
    """Return the balanced accuracy of out-of-fold log-probabilities (N, C), one array a seed."""
    names = getattr(pooled.features, f"{pooled.task}_names")
    return metrics.score(list(rows), pooled.truth, names, groups=pooled.group).balanced_accuracy


def drop_to_dev(base: Trial, pooled: Pool, rows: Rows) -> PairedDifference | None:
    """Compare, on dev rows, out-of-fold predictions with those of models fitted on train alone."""
    dev = np.flatnonzero(pooled.was_dev)
    train = np.flatnonzero(~pooled.was_dev)
    if len(np.unique(pooled.group[dev])) < 2 or not len(train):
        return None
    groups = np.unique(pooled.group[train])
    stopping = np.isin(pooled.group[train], groups[:: 2 * (pooled.folds)])
    models, change, _ = fit_on(base, pooled, train[~stopping], train[stopping])
    held = change(pooled.features.take(dev))
    far = [predict(model, held, pooled.task) for model in models]
    near = [row[dev] for row in rows]
    return metrics.compare_models(
        near, far, pooled.truth[dev], pooled.group[dev], classes=pooled.classes, metric=METRIC
    )
