"""All that a diagnosis measures before it concludes anything."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heads import metrics
from heads.batch import UNLABELLED, FeatureSet, StreamArrays
from heads.diagnosis import changes, spaces
from heads.diagnosis.alignment import OffsetCurve, offset_curve
from heads.diagnosis.coverage import Coverage, coverage
from heads.diagnosis.refit import METRIC, Pool, Refit, Trial, compare, fit_on, pool, predict, refit
from heads.diagnosis.spaces import Space
from heads.diagnosis.strength import STREAMS, Complement, Strength, complement, late_sum, strength
from heads.folds import GroupBy, groups_of
from heads.statistics import Comparison, Estimate
from heads.variant import FitOptions, Task

Rows = tuple[NDArray[np.float64], ...]  # log-probabilities, one array a seed, shape (N, C)
ALONE = "better stream by windows"  # what windows give without any joining
OTHER = "other features"  # the intervention that a second cache stands for
INTERVENTIONS = (
    "standardise",
    "equalise widths",
    "modality dropout",
    "rebalance classes",
    "regularise",
    "align windows",
    "shift by the best offset",
    "thin to one frame each 3 s",
)
PATIENCE = 5  # epochs, at most: a diagnosis compares heads, it doesn't publish them
THIN_EVERY_S = 3.0  # one frame each 3 s: the setting in which fusion failed


@dataclass(frozen=True)
class DiagnosisOptions:
    """What is diagnosed, and how thoroughly."""

    fusion: str = "concat"
    """The variant whose failure is to be explained."""
    task: Task = "emotion"
    folds: int = 4
    """Folds over dialogues (speakers, where dev has new ones) of train and dev together, 3 or more."""
    fit: FitOptions = field(default_factory=lambda: FitOptions(seeds=(0, 1)))
    """How every head is fitted; its `tasks` are replaced by `task`."""
    hop_s: float = 0.5
    """Distance between the cache's windows, seconds."""
    max_shift_s: float = 2.0
    interventions: tuple[str, ...] = INTERVENTIONS
    """Changes that are refitted; of INTERVENTIONS. Causes whose remedy is left out are named less surely."""
    sample: int = 4_000
    """Of larger corpora whole groups are drawn until there are so many utterances, and heads refitted on those:
    enough to be sure of a difference of two points."""
    seed: int = 0
    """Of the folds, the shuffles and the bootstrap."""

    def __post_init__(self) -> None:
        if self.folds < 3:
            raise ValueError(f"{self.folds} folds; expected 3 or more: one is held out, one stops the training")
        unknown = sorted(set(self.interventions) - set(INTERVENTIONS))
        if unknown:
            raise ValueError(f"no intervention is called {unknown}; there are: {', '.join(INTERVENTIONS)}")


@dataclass(frozen=True, repr=False)
class Intervention:
    """One change, refitted, against the head as it is."""

    name: str
    remedy: str
    """What a user does to have it."""
    score: Estimate
    """Balanced accuracy with its interval."""
    gain: Comparison
    """Over the head as it is, on the same utterances."""
    over_best: Comparison
    """Over the better single stream, on the same utterances. Where a change that works on windows surely beats its
    utterance rows, over the same stream by windows: what windows give by themselves is no gain of joining."""

    def to_json(self) -> dict[str, Any]:
        """Return the values."""
        return {
            "name": self.name,
            "remedy": self.remedy,
            "score": self.score.to_json(),
            "gain": self.gain.to_json(),
            "over_best": self.over_best.to_json(),
        }


@dataclass(frozen=True, repr=False)
class Evidence:
    """Everything measured, on train and dev only."""

    fusion: str
    task: Task
    utterances: int
    groups: int
    grouped_by: GroupBy
    """What folds and bootstrap keep whole: dialogues, or speakers where dev has none of train's."""
    classes: int
    majority_share: float
    """Share of the commonest class among the labelled utterances."""
    answered_share: float
    """Share of the head's answers that go to its commonest answer."""
    coverage: dict[str, Coverage]
    spaces: dict[str, Space]
    redundancy: float
    """Linear CKA of the streams."""
    copies: int
    """Dev utterances with the very features of a train utterance."""
    dev_utterances: int
    curve: OffsetCurve | None
    """None where a stream has no windows."""
    strength: Strength
    complement: Complement
    scores: dict[str, Estimate]
    """Balanced accuracy of ``fused``, ``video``, ``audio`` and ``late_sum``, with intervals."""
    train_score: float
    """Balanced accuracy of the fused head on the rows it was fitted on."""
    fused_over_best: Comparison
    """The fused head against the better single stream."""
    best_single: str
    drop_to_dev: Comparison | None
    """On dev rows: models that saw other dev groups against models that saw train alone."""
    interventions: dict[str, Intervention]
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the values as JSON."""
        return {
            "fusion": self.fusion,
            "task": self.task,
            "metric": METRIC,
            "utterances": self.utterances,
            "groups": self.groups,
            "grouped_by": self.grouped_by,
            "classes": self.classes,
            "majority_share": self.majority_share,
            "answered_share": self.answered_share,
            "coverage": {k: v.to_json() for k, v in self.coverage.items()},
            "spaces": {k: v.to_json() for k, v in self.spaces.items()},
            "redundancy": None if np.isnan(self.redundancy) else self.redundancy,
            "copies": self.copies,
            "dev_utterances": self.dev_utterances,
            "offset_curve": self.curve.to_json() if self.curve else None,
            "strength": self.strength.to_json(),
            "complement": self.complement.to_json(),
            "scores": {k: v.to_json() for k, v in self.scores.items()},
            "train_score": self.train_score,
            "fused_over_best": self.fused_over_best.to_json(),
            "best_single": self.best_single,
            "drop_to_dev": self.drop_to_dev.to_json() if self.drop_to_dev else None,
            "interventions": {k: v.to_json() for k, v in self.interventions.items()},
            "notes": list(self.notes),
        }


def gather(
    train: FeatureSet,
    dev: FeatureSet | None,
    options: DiagnosisOptions,
    *,
    other: tuple[FeatureSet, FeatureSet | None] | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> Evidence:
    """Measure everything; `say` is told what is being fitted.

    `other` holds the same utterances in the same order with features made in another way (extracted
    densely, say): what the head gains by them is measured too.

    Raises
    ------
    ValueError
        Where a stream is missing, or there are too few labelled dialogues or speakers to hold any out.
    """
    for name in STREAMS:
        if name not in train.streams:
            raise ValueError(f"a diagnosis needs both streams; this corpus has {sorted(train.streams)}")
    by = groups_of(train, other=dev)[1]
    of_spaces = {name: spaces.space(train, dev, name, by=by, seed=options.seed) for name in STREAMS}
    copies = spaces.copied_rows(train, dev) if dev is not None else 0
    train, dev, notes = _cleaned(train, dev)
    has_windows = all(train.streams[name].windows is not None for name in STREAMS)
    curve = None
    if has_windows:
        say("offset curve")
        curve = offset_curve(train, hop_s=options.hop_s, max_shift_s=options.max_shift_s, seed=options.seed)

    pooled = pool(
        train, dev, folds=options.folds, task=options.task, by=by, sample=options.sample, seed=options.seed
    )
    labelled = sum(
        int((getattr(part, options.task) != UNLABELLED).sum()) for part in (train, dev) if part is not None
    )
    if len(pooled.features) < labelled:
        notes = (
            *notes,
            f"heads were refitted on {len(pooled.features)} of {labelled} utterances, drawn by whole {by}s",
        )
    fit = replace(options.fit, tasks=(options.task,), patience=min(options.fit.patience, PATIENCE))
    base = Trial("as it is", options.fusion, fit)
    refits: dict[str, Refit] = {}
    for name, trial in (
        ("fused", base),
        ("video", Trial("video", "video", fit)),
        ("audio", Trial("audio", "audio", fit)),
    ):
        say(f"fitting {trial.fusion}")
        refits[name] = refit(trial, pooled)
    best = max(STREAMS, key=lambda name: refits[name].score)
    rows = {name: one.log_probabilities for name, one in refits.items()}
    rows["late_sum"] = late_sum(refits["video"], refits["audio"])

    interventions: dict[str, Intervention] = {}

    def outcome(name: str, remedy: str, of: Rows, against: Rows, single: str) -> Intervention:
        gain, over_best = compare(of, against, pooled), compare(of, rows[single], pooled)
        return Intervention(name, remedy, _estimate(of, pooled), gain, over_best)

    interventions["drop a stream"] = outcome("drop a stream", f"--fusion {best}", rows[best], rows["fused"], best)
    interventions["join late"] = outcome("join late", "--fusion late", rows["late_sum"], rows["fused"], best)
    by_windows = []
    for trial, against, remedy in _trials(base, curve, has_windows, options, train):
        say(f"refitting: {trial.name}")
        done = refit(trial, pooled)
        reference = rows["fused"] if against is None else rows[against]
        rows[trial.name] = done.log_probabilities
        interventions[trial.name] = outcome(trial.name, remedy, done.log_probabilities, reference, best)
        if trial.fusion == "aligned":
            by_windows.append(trial.name)
    if any((interventions[name].over_best.low or 0.0) > 0 for name in by_windows):
        say(f"refitting: {ALONE}")
        alone = Trial(ALONE, "aligned", _one_seed(fit), changes.hidden("audio" if best == "video" else "video"))
        rows[ALONE] = refit(alone, pooled).log_probabilities
        remedy = "(what windows give without joining)"
        interventions[ALONE] = outcome(ALONE, remedy, rows[ALONE], rows["fused"], best)
        for name in by_windows:
            over_best = compare(rows[name], rows[ALONE], pooled)
            interventions[name] = replace(interventions[name], over_best=over_best)

    if other is not None:
        say("fitting on the other cache")
        clean = _cleaned(*other)
        strange = pool(
            clean[0],
            clean[1],
            folds=options.folds,
            task=options.task,
            by=by,
            sample=options.sample,
            seed=options.seed,
        )
        if not (np.array_equal(strange.truth, pooled.truth) and np.array_equal(strange.fold, pooled.fold)):
            raise ValueError("the other features are not of the same utterances in the same order")
        rows[OTHER] = refit(replace(base, name=OTHER), strange).log_probabilities
        interventions[OTHER] = outcome(OTHER, "use the other cache", rows[OTHER], rows["fused"], best)
    answers = np.concatenate([row.argmax(axis=1) for row in rows["fused"]])
    return Evidence(
        fusion=options.fusion,
        task=options.task,
        utterances=len(pooled.features),
        groups=len(np.unique(pooled.group)),
        grouped_by=by,
        classes=pooled.classes,
        majority_share=float(np.bincount(pooled.truth).max() / len(pooled.truth)),
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
        fused_over_best=compare(rows["fused"], rows[best], pooled),
        best_single=best,
        drop_to_dev=_drop_to_dev(base, pooled, rows["fused"]) if dev is not None else None,
        interventions=interventions,
        notes=notes,
    )


def _trials(
    base: Trial, curve: OffsetCurve | None, has_windows: bool, options: DiagnosisOptions, train: FeatureSet
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
            Trial("regularise", "linear", fit),
            None,
            "--fusion linear: a penalty chosen in train instead of a hidden layer",
        ),
    ]
    if has_windows:
        found.append((Trial("align windows", "aligned", _one_seed(fit)), None, "--fusion aligned"))
        found.append(
            (
                Trial("thin to one frame each 3 s", base.fusion, fit, changes.thinned(THIN_EVERY_S)),
                None,
                "(what sampling one frame each 3 s would cost)",
            )
        )
        if curve is not None and curve.verdict == "shifted" and "align windows" in options.interventions:
            hops = round(curve.peak_s / options.hop_s)
            found.append(
                (
                    Trial("shift by the best offset", "aligned", _one_seed(fit), changes.shifted(hops)),
                    "align windows",
                    f"move audio by {-curve.peak_s:+.1f} s, and look for the cause in the clips",
                )
            )
    return [entry for entry in found if entry[0].name in options.interventions]


def _one_seed(fit: FitOptions) -> FitOptions:
    """Return the options for heads over windows: a fit costs as much as five over utterance rows."""
    return replace(fit, seeds=fit.seeds[:1])


def _estimate(rows: Rows, pooled: Pool) -> Estimate:
    names = getattr(pooled.features, f"{pooled.task}_names")
    return metrics.score(list(rows), pooled.truth, names, groups=pooled.group).balanced_accuracy


def _drop_to_dev(base: Trial, pooled: Pool, rows: Rows) -> Comparison | None:
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
