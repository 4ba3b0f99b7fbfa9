"""The heads of a diagnosis, refitted on the same folds: the one that fails, its single streams, every change."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

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
from dualstream.heads.diagnosis.refit import METRIC, Pool, Refit, Trial, compare, fit_on, predict, refit
from dualstream.heads.diagnosis.strength import late_sum
from dualstream.heads.diagnosis.subsets import between, options_for, subset_trial
from dualstream.heads.evaluation import metrics
from dualstream.heads.evaluation.shapley import Coalition
from dualstream.heads.evaluation.statistics import Estimate, PairedDifference
from dualstream.heads.variants import registry
from dualstream.heads.variants.registry import FitOptions
from dualstream.heads.variants.streams import network_of
from numpy.typing import NDArray

Rows = tuple[NDArray[np.float64], ...]  # log-probabilities, one array a seed, shape (N, C)
Progress = Callable[[str], None]
PATIENCE = 5  # epochs, at most: a diagnosis compares heads, it doesn't publish them
THIN_EVERY_S = 3.0  # one frame each 3 s: the setting in which fusion failed


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
        """Fit the head as it is, each stream alone, and of three streams or more each subset of them."""
        fit = replace(options.fit, tasks=(options.task,), patience=min(options.fit.patience, PATIENCE))
        made = cls(pooled, options, progress, Trial("as it is", options.fusion, fit))
        trials = {
            "fused": made.base,
            **{name: single_stream(made.base, name, made.streams) for name in made.streams},
        }
        for name, trial in trials.items():
            progress(f"fitting {trial.fusion if name == 'fused' else trial.name}")
            made.refits[name] = refit(trial, pooled)
            made.rows[name] = made.refits[name].log_probabilities
        for known in between(made.streams):
            trial = subset_trial(made.base, known, made.streams)
            progress(f"fitting {trial.name}")
            made.some[known] = refit(trial, pooled)
        return made

    @property
    def streams(self) -> tuple[str, ...]:
        """The streams, in the order in which heads join them."""
        return stream_order(self.pooled.features.streams)

    @property
    def best(self) -> str:
        """The best single stream."""
        return max(self.streams, key=lambda name: self.refits[name].score)

    def join_late(self) -> None:
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

    def try_changes(self, late_s: Mapping[str, float], train: FeatureSet) -> None:
        """Refit with one thing changed at a time; `late_s` says by how much a stream runs late, where one does."""
        by_windows = []
        for trial, against, remedy in _trials(self.base, late_s, self.options, train):
            self.progress(f"refitting: {trial.name}")
            self.rows[trial.name] = refit(trial, self.pooled).log_probabilities
            self._add(trial.name, remedy, self.rows[trial.name], against)
            if trial.fusion == "aligned":
                by_windows.append(trial.name)
        if not any((self.interventions[name].over_best.low or 0.0) > 0 for name in by_windows):
            return
        self.progress(f"refitting: {BETTER_BY_WINDOWS}")
        hide = changes.masked(*(name for name in self.streams if name != self.best))
        better_by_windows = Trial(BETTER_BY_WINDOWS, "aligned", _one_seed(options_for(self.base, "aligned")), hide)
        self.rows[BETTER_BY_WINDOWS] = refit(better_by_windows, self.pooled).log_probabilities
        self._add(BETTER_BY_WINDOWS, "(what windows give without joining)", self.rows[BETTER_BY_WINDOWS])
        for name in by_windows:
            over_best = compare(self.rows[name], self.rows[BETTER_BY_WINDOWS], self.pooled)
            self.interventions[name] = replace(self.interventions[name], over_best=over_best)

    def try_turning(self, streams: Sequence[str]) -> None:
        """Refit with the streams that look like principal components turned, joined and each alone."""
        if not streams:
            return
        turn = replace(self.base, name=TURN, prepare=changes.turned(streams))
        trials: list[tuple[Trial, str | None]] = [(turn, None)]
        for name in streams:
            one = single_stream(self.base, name, self.streams)
            steps = [changes.turned((name,)), *([one.prepare] if one.prepare else [])]
            trials.append((replace(one, name=turn_one(name), prepare=changes.in_turn(*steps)), name))
        for trial, against in trials:
            self.progress(f"refitting: {trial.name}")
            self.rows[trial.name] = refit(trial, self.pooled).log_probabilities
            self._add(trial.name, "multiply the columns by one random rotation", self.rows[trial.name], against)

    def try_other(self, other_pool: Pool) -> None:
        """Fit the head as it is on other features of the same utterances."""
        self.progress("fitting on the other cache")
        same = np.array_equal(other_pool.truth, self.pooled.truth) and np.array_equal(
            other_pool.fold, self.pooled.fold
        )
        if not same:
            raise ValueError("the other features are not of the same utterances in the same order")
        self.rows[OTHER] = refit(replace(self.base, name=OTHER), other_pool).log_probabilities
        self._add(OTHER, "use the other cache", self.rows[OTHER])

    def _add(self, name: str, remedy: str, rows: Rows, against: str | None = None) -> None:
        """Note what a change gains over the head as it is, or over another change."""
        gain = compare(rows, self.rows[against or "fused"], self.pooled)
        over_best = compare(rows, self.rows[self.best], self.pooled)
        self.interventions[name] = Intervention(name, remedy, estimate(rows, self.pooled), gain, over_best)


def single_stream(base: Trial, name: str, streams: Sequence[str] = PAIR) -> Trial:
    """Return one stream of `streams` by itself, in a head of the kind that joins (`subsets.subset_trial`)."""
    return subset_trial(base, frozenset({name}), streams)


def _trials(
    base: Trial, late_s: Mapping[str, float], options: DiagnosisOptions, train: FeatureSet
) -> list[tuple[Trial, str | None, str]]:
    """Return (trial, what it is held against: None for the head as it is, the remedy in words)."""
    fit = base.options
    streams = stream_order(train.streams)
    every = "both" if len(streams) == 2 else "all"
    width = min(32, *(train.streams[name].width for name in streams))
    found: list[tuple[Trial, str | None, str]] = [
        (
            Trial("standardise", base.fusion, fit, changes.standardise),
            None,
            "--fusion concat_norm: each stream is standardised before they are joined",
        ),
        (
            Trial("equalise widths", base.fusion, fit, changes.equalise(width)),
            None,
            f"project {every} streams to {width} columns of the same total variance",
        ),
        (
            Trial("modality dropout", base.fusion, replace(fit, modality_dropout=0.5)),
            None,
            "--modality-dropout 0.5",
        ),
        *_balances(base),
        (
            Trial("rebalance classes", base.fusion, replace(fit, loss="balanced_softmax")),
            None,
            "--loss balanced_softmax",
        ),
        (
            Trial("regularise", "linear", options_for(base, "linear")),
            None,
            "--fusion linear: a penalty chosen in train instead of a hidden layer",
        ),
    ]
    if has_windows(train):
        of_windows = _one_seed(options_for(base, "aligned"))
        found.append((Trial("align windows", "aligned", of_windows), None, "--fusion aligned"))
        if "video" in streams:  # of streams of other names it is not known which has frames
            found.append(
                (
                    Trial(SUBSAMPLE, base.fusion, fit, changes.subsampled(THIN_EVERY_S, options.hop_s)),
                    None,
                    "(what sampling one frame each 3 s would cost)",
                )
            )
        if late_s and "align windows" in options.interventions:
            moves = [changes.shifted(round(late / options.hop_s), name) for name, late in late_s.items()]
            words = " and ".join(f"{name} by {-late:+.1f} s" for name, late in late_s.items())
            found.append(
                (
                    Trial(SHIFT, "aligned", of_windows, changes.in_turn(*moves)),
                    "align windows",
                    f"move {words}, and look for the cause in the clips",
                )
            )
    return [entry for entry in found if entry[0].name in options.interventions]


def _balances(base: Trial) -> list[tuple[Trial, str | None, str]]:
    """Return the balances of the streams, of one seed: each costs two to four plain fits. None where it is
    refused."""
    variant = registry.get(base.fusion)
    own = base.options.balance
    if own != NONE or not registry.takes_balance(variant):
        return []
    fit = _one_seed(base.options)
    return [
        (Trial(name, base.fusion, replace(fit, balance=balance)), None, f"--balance {balance}")
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
    stopping = np.isin(pooled.group[train], groups[:: 2 * (int(pooled.fold.max()) + 1)])
    models, change, _ = fit_on(base, pooled, train[~stopping], train[stopping])
    held = change(pooled.features.take(dev))
    far = [predict(model, held, pooled.task) for model in models]
    near = [row[dev] for row in rows]
    return metrics.compare_models(
        near, far, pooled.truth[dev], pooled.group[dev], classes=pooled.classes, metric=METRIC
    )
