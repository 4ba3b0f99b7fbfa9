"""Measuring: coverage, alignment and spaces of the features, and heads refitted with one thing changed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from dualstream.heads.data.batch import UNLABELLED, FeatureSet, StreamArrays
from dualstream.heads.data.normalisation import LABEL
from dualstream.heads.diagnosis import changes, spaces
from dualstream.heads.diagnosis.alignment import OffsetCurve, offset_curve
from dualstream.heads.diagnosis.coverage import coverage
from dualstream.heads.diagnosis.evidence import (
    BETTER_BY_WINDOWS,
    DROP,
    OTHER,
    SHIFT,
    SUBSAMPLE,
    TURN,
    TURN_ONE,
    DiagnosisOptions,
    Evidence,
    Intervention,
)
from dualstream.heads.diagnosis.outlying import outlying
from dualstream.heads.diagnosis.refit import (
    METRIC,
    Pool,
    Refit,
    Trial,
    compare,
    fit_on,
    grouping,
    pool,
    predict,
    refit,
)
from dualstream.heads.diagnosis.strength import STREAMS, complement, late_sum, strength
from dualstream.heads.evaluation import metrics
from dualstream.heads.evaluation.majority import majority_lines
from dualstream.heads.evaluation.memorised import certainty
from dualstream.heads.evaluation.statistics import Estimate, PairedDifference
from dualstream.heads.variants import registry
from dualstream.heads.variants.registry import FitOptions
from numpy.typing import NDArray

Rows = tuple[NDArray[np.float64], ...]  # log-probabilities, one array a seed, shape (N, C)
Progress = Callable[[str], None]
PATIENCE = 5  # epochs, at most: a diagnosis compares heads, it doesn't publish them
OTHER_STREAM = {"video": "audio", "audio": "video"}
THIN_EVERY_S = 3.0  # one frame each 3 s: the setting in which fusion failed


def gather(
    train: FeatureSet,
    dev: FeatureSet | None,
    options: DiagnosisOptions,
    *,
    other: tuple[FeatureSet, FeatureSet | None] | None = None,
    extracted: tuple[FeatureSet, FeatureSet | None] | None = None,
    unlabelled: FeatureSet | None = None,
    progress: Progress = lambda line: None,
) -> Evidence:
    """Measure everything; `progress` is told what is being fitted.

    `other` holds the same utterances in the same order with features made in another way (extracted
    densely, say): what the head gains by them is measured too. `extracted` holds the same utterances as they
    were before speakers were normalised, where they were: copies, drift and scales are looked for in those,
    for normalising each split by itself hides them. `unlabelled` holds rows of a further split, of which no label
    is read: they tell whether an encoder was fitted on the labels of train where there is no dev.

    Raises
    ------
    ValueError
        Where a stream is missing, or there are too few labelled dialogues or speakers to hold any out.
    """
    for name in STREAMS:
        if name not in train.streams:
            raise ValueError(
                f"a diagnosis needs a video and an audio stream; this corpus has {sorted(train.streams)} alone"
            )
    read = registry.get(options.fusion).streams
    if len(read) < len(STREAMS):
        raise ValueError(f"{options.fusion} reads the {read[0]} stream alone; name a variant that joins two")
    by, of_folds = grouping(train, dev, options.folds)
    plain, plain_dev = extracted or (train, dev)
    of_spaces = {name: spaces.space(plain, plain_dev, name, by=by, seed=options.seed) for name in STREAMS}
    copies = spaces.copied_rows(plain, plain_dev) if plain_dev is not None else 0
    odd = tuple(outlying(plain, plain_dev, name) for name in STREAMS)
    others = {"dev": plain_dev} if plain_dev is not None else {}
    others |= {"test": unlabelled} if unlabelled is not None else {}
    known = [certainty(plain, others, name, options.task, unlabelled=("test",)) for name in STREAMS]
    train, dev, notes = _cleaned(train, dev)
    notes = (*notes, *of_folds)
    curve = None
    if _has_windows(train):
        progress("offset curve")
        curve = offset_curve(train, hop_s=options.hop_s, max_shift_s=options.max_shift_s, seed=options.seed)

    def pooled_of(train: FeatureSet, dev: FeatureSet | None) -> Pool:
        return pool(
            train, dev, folds=options.folds, task=options.task, by=by, sample=options.sample, seed=options.seed
        )

    if extracted is not None:
        notes = (*notes, f"{LABEL}; copies, drift, scales and ranks are of the rows before that")
    pooled = pooled_of(train, dev)
    labelled = sum(
        int((getattr(part, options.task) != UNLABELLED).sum()) for part in (train, dev) if part is not None
    )
    if len(pooled.features) < labelled:
        drawn = f"heads were refitted on {len(pooled.features)} of {labelled} utterances, drawn by whole {by}s"
        notes = (*notes, drawn)
    heads = _Heads.of(pooled, options, progress)
    if single_stream(heads.base, "video").prepare is not None:
        notes = (*notes, f"a stream alone: {options.fusion} with the other stream hidden")
    heads.join_late()
    heads.try_changes(curve, train)
    if TURN in options.interventions:
        heads.try_turning([name for name in STREAMS if of_spaces[name].components])
    if other is not None:
        clean, clean_dev, _ = _cleaned(*other)
        heads.try_other(pooled_of(clean, clean_dev))
    refits, rows = heads.refits, heads.rows
    answers = np.concatenate([row.argmax(axis=1) for row in rows["fused"]])
    of_train = getattr(train, options.task)
    majority, train_majority = majority_lines(
        np.bincount(pooled.truth, minlength=pooled.classes),
        getattr(train, f"{options.task}_names"),
        np.bincount(of_train[of_train != UNLABELLED], minlength=pooled.classes),
    )
    assert majority is not None, "a pool without labels was refused"
    return Evidence(
        fusion=options.fusion,
        task=options.task,
        utterances=len(pooled.features),
        groups=len(np.unique(pooled.group)),
        grouped_by=by,
        classes=pooled.classes,
        majority_share=majority.accuracy,
        answered_share=float(np.bincount(answers).max() / len(answers)),
        coverage={name: coverage(pooled.features, name) for name in STREAMS},
        spaces=of_spaces,
        redundancy=spaces.linear_cka(train),
        copies=copies,
        dev_utterances=len(dev) if dev is not None else 0,
        curve=curve,
        strength=strength(pooled, refits["fused"], refits["video"], refits["audio"], seed=options.seed),
        complement=complement(pooled, refits["video"], refits["audio"]),
        scores={name: _estimate(rows[name], pooled) for name in ("fused", "video", "audio", "late_sum")},
        train_score=refits["fused"].train_score,
        fused_over_best=compare(rows["fused"], rows[heads.best], pooled),
        best_single=heads.best,
        drop_to_dev=_drop_to_dev(heads.base, pooled, rows["fused"]) if dev is not None else None,
        interventions=heads.interventions,
        notes=notes,
        speaker_norm=extracted is not None,
        certainty=tuple(one for each in known for one in each.values()),
        outlying=odd,
        majority=majority,
        train_majority=train_majority,
    )


@dataclass(repr=False)
class _Heads:
    """The head that is diagnosed, the single streams, and every change of it, on the same folds."""

    pooled: Pool
    options: DiagnosisOptions
    progress: Progress
    base: Trial
    """The head as it is."""
    refits: dict[str, Refit] = field(default_factory=dict)
    """Of ``fused``, ``video`` and ``audio``."""
    rows: dict[str, Rows] = field(default_factory=dict)
    """Out-of-fold answers of everything that was fitted."""
    interventions: dict[str, Intervention] = field(default_factory=dict)

    @classmethod
    def of(cls, pooled: Pool, options: DiagnosisOptions, progress: Progress) -> _Heads:
        """Fit the head as it is, and each stream alone."""
        fit = replace(options.fit, tasks=(options.task,), patience=min(options.fit.patience, PATIENCE))
        made = cls(pooled, options, progress, Trial("as it is", options.fusion, fit))
        trials = {"fused": made.base, **{name: single_stream(made.base, name) for name in STREAMS}}
        for name, trial in trials.items():
            progress(f"fitting {trial.fusion if name == 'fused' else trial.name}")
            made.refits[name] = refit(trial, pooled)
            made.rows[name] = made.refits[name].log_probabilities
        return made

    @property
    def best(self) -> str:
        """The better single stream."""
        return max(STREAMS, key=lambda name: self.refits[name].score)

    def join_late(self) -> None:
        """Say what the better stream alone and the sum of both streams' answers gain; nothing is fitted."""
        self.rows["late_sum"] = late_sum(self.refits["video"], self.refits["audio"])
        self._add(DROP, f"--fusion {self.best}", self.rows[self.best])
        self._add("join late", "--fusion late", self.rows["late_sum"])

    def try_changes(self, curve: OffsetCurve | None, train: FeatureSet) -> None:
        """Refit with one thing changed at a time."""
        by_windows = []
        for trial, against, remedy in _trials(self.base, curve, self.options, train):
            self.progress(f"refitting: {trial.name}")
            self.rows[trial.name] = refit(trial, self.pooled).log_probabilities
            self._add(trial.name, remedy, self.rows[trial.name], against)
            if trial.fusion == "aligned":
                by_windows.append(trial.name)
        if not any((self.interventions[name].over_best.low or 0.0) > 0 for name in by_windows):
            return
        self.progress(f"refitting: {BETTER_BY_WINDOWS}")
        hide = changes.masked(OTHER_STREAM[self.best])
        better_by_windows = Trial(
            BETTER_BY_WINDOWS, "aligned", _one_seed(_options_for(self.base, "aligned")), hide
        )
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
            one = single_stream(self.base, name)
            steps = [changes.turned((name,)), *([one.prepare] if one.prepare else [])]
            trials.append((replace(one, name=TURN_ONE[name], prepare=changes.in_turn(*steps)), name))
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
        self.interventions[name] = Intervention(name, remedy, _estimate(rows, self.pooled), gain, over_best)


def single_stream(base: Trial, name: str) -> Trial:
    """Return one stream by itself, in a head of the kind that joins: another kind's merit is no gain of joining.

    Heads over utterance rows have the variants ``video`` and ``audio``, linear ones theirs; of heads that read
    windows or dialogues, choose by themselves or are a plain torch module, the other stream is hidden.
    """
    joined = registry.get(base.fusion)
    if joined.kind == "solved":
        fusion = f"linear_{name}"
        return Trial(name, fusion, _options_for(base, fusion, shared=registry.get(fusion).parameters))
    of_its_own = joined.needs_windows or joined.needs_dialogues or joined.kind == "search"
    if of_its_own or not getattr(joined.network, "has_representation", True):
        return replace(base, name=name, prepare=changes.masked(OTHER_STREAM[name]))
    return Trial(name, name, _options_for(base, name))


def _trials(
    base: Trial, curve: OffsetCurve | None, options: DiagnosisOptions, train: FeatureSet
) -> list[tuple[Trial, str | None, str]]:
    """Return (trial, what it is held against: None for the head as it is, the remedy in words)."""
    fit = base.options
    width = min(32, *(train.streams[name].width for name in STREAMS))
    found: list[tuple[Trial, str | None, str]] = [
        (
            Trial("standardise", base.fusion, fit, changes.standardise),
            None,
            "--fusion concat_norm: each stream is standardised before they are joined",
        ),
        (
            Trial("equalise widths", base.fusion, fit, changes.equalise(width)),
            None,
            f"project both streams to {width} columns of the same total variance",
        ),
        (
            Trial("modality dropout", base.fusion, replace(fit, modality_dropout=0.5)),
            None,
            "--modality-dropout 0.5",
        ),
        (
            Trial("rebalance classes", base.fusion, replace(fit, loss="balanced_softmax")),
            None,
            "--loss balanced_softmax",
        ),
        (
            Trial("regularise", "linear", _options_for(base, "linear")),
            None,
            "--fusion linear: a penalty chosen in train instead of a hidden layer",
        ),
    ]
    if _has_windows(train):
        of_windows = _one_seed(_options_for(base, "aligned"))
        found.append((Trial("align windows", "aligned", of_windows), None, "--fusion aligned"))
        found.append(
            (
                Trial(SUBSAMPLE, base.fusion, fit, changes.subsampled(THIN_EVERY_S, options.hop_s)),
                None,
                "(what sampling one frame each 3 s would cost)",
            )
        )
        if curve is not None and curve.verdict == "shifted" and "align windows" in options.interventions:
            hops = round(curve.peak_s / options.hop_s)
            found.append(
                (
                    Trial(SHIFT, "aligned", of_windows, changes.shifted(hops)),
                    "align windows",
                    f"move audio by {-curve.peak_s:+.1f} s, and look for the cause in the clips",
                )
            )
    return [entry for entry in found if entry[0].name in options.interventions]


def _has_windows(features: FeatureSet) -> bool:
    return all(features.streams[name].windows is not None for name in STREAMS)


def _options_for(base: Trial, fusion: str, *, shared: Collection[str] = ()) -> FitOptions:
    """Return the options of `base` for another variant, which has settings of its own but for those `shared`."""
    if fusion == base.fusion:
        return base.options
    kept = {name: value for name, value in base.options.parameters.items() if name in shared}
    return replace(base.options, parameters=kept)


def _one_seed(fit: FitOptions) -> FitOptions:
    """Return the options for heads over windows: a fit costs as much as five over utterance rows."""
    return replace(fit, seeds=fit.seeds[:1])


def _estimate(rows: Rows, pooled: Pool) -> Estimate:
    names = getattr(pooled.features, f"{pooled.task}_names")
    return metrics.score(list(rows), pooled.truth, names, groups=pooled.group).balanced_accuracy


def _drop_to_dev(base: Trial, pooled: Pool, rows: Rows) -> PairedDifference | None:
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


def _cleaned(train: FeatureSet, dev: FeatureSet | None) -> tuple[FeatureSet, FeatureSet | None, tuple[str, ...]]:
    """Mask rows that are not finite: heads can't be fitted on them, and they are reported apart."""
    masked = 0
    parts: list[FeatureSet | None] = []
    for part in (train, dev):
        if part is None:
            parts.append(None)
            continue
        streams = {}
        for name, stream in part.streams.items():
            bad = stream.present & ~np.isfinite(stream.utterance).all(axis=1)
            masked += int(bad.sum())
            windows, seen = stream.windows, stream.window_present
            if windows is not None and seen is not None:
                seen = seen & np.isfinite(windows).all(axis=1)
                windows = np.where(seen[:, None], windows, 0).astype(np.float32)
            rows = np.where((stream.present & ~bad)[:, None], stream.utterance, 0).astype(np.float32)
            streams[name] = StreamArrays(rows, stream.present & ~bad, windows, seen)
        parts.append(replace(part, streams=streams))
    first = parts[0]
    assert first is not None
    notes = (f"{masked} rows that are not finite were masked before fitting",) if masked else ()
    return first, parts[1], notes
