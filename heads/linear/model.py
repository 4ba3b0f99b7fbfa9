"""The linear variants: fitted on one stream, on both joined, or on each with their answers mixed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from dualstream.heads.data.batch import UNLABELLED, FeatureSet
from dualstream.heads.evaluation.calibration import fit_weights, log_softmax
from dualstream.heads.evaluation.folds import GROUP_BY, fold_codes, groups_of
from dualstream.heads.evaluation.majority import log_shares
from dualstream.heads.linear.design import Design
from dualstream.heads.linear.head import SOLVERS, Fitted, LinearHead, fit_heads
from dualstream.heads.variants.contract import (
    FitOptions,
    History,
    Prediction,
    Progress,
    SeedModule,
    Task,
    Trained,
)
from numpy.typing import NDArray

from dualstream.cores import one_blas_thread

FOLDS = 5
FOLDS_OF_MANY = 3  # from MANY utterances on: penalties a factor of four apart are told apart all the same
MANY = 5_000
MIXINGS = ("mean", "learned")
SOLVED: dict[str, Callable[[FitOptions], float | None]] = {
    "cross_entropy": lambda options: None,
    "logit_adjusted": lambda options: options.adjustment,
    "balanced_softmax": lambda options: 1.0,
}
"""The losses that a linear head can be solved for, and how much of the classes' log shares each adds to logits."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, repr=False)
class Part:
    """Heads over one design matrix."""

    design: Design
    heads: dict[Task, LinearHead]


@dataclass(repr=False)
class LinearModel:
    """A fitted linear variant. It is solved, so all seeds are the same model."""

    variant: str
    seed: int
    history: History
    parts: tuple[Part, ...]
    prior: dict[Task, Floats]
    """Log shares of the classes in training, shape (C,): the answer where every stream is missing."""
    mixing: dict[Task, Floats]
    """Weight of each part's log-probabilities, shape (parts,)."""
    alone: dict[Task, Floats]
    """Weight of each part where the others' streams are missing, shape (parts,)."""
    shift: dict[Task, Floats]
    """Added to the log-probabilities, shape (C,): the correction for unequal class counts, or zeros."""
    facts: dict[str, Any]
    """Solver, folds, penalties and their losses, for whoever wants to know."""
    out_of_fold: Prediction | None = None
    """Of the training rows, by heads that didn't see their group; None without folds, and in a model that was
    restored."""

    @one_blas_thread()
    def predict(self, features: FeatureSet) -> Prediction:
        """Return log-probabilities for every utterance, whatever streams it lacks."""
        features.require_finite({stream for part in self.parts for stream in part.design.streams})
        rows = [part.design.rows(features) for part in self.parts]
        there = np.stack([part.design.available(features) for part in self.parts])  # (parts, N)
        answer = {
            task: self.mixed(
                task, np.stack([p.heads[task](r) for p, r in zip(self.parts, rows, strict=True)]), there
            )
            for task in self.prior
        }
        return Prediction(answer.get("emotion"), answer.get("sentiment"))

    def mixed(self, task: Task, experts: Floats, there: NDArray[np.bool_]) -> Floats:
        """Return log-probabilities (N, C) of the parts' (parts, N, C); `there`: who has the streams."""
        weights = np.where(there.all(0), self.mixing[task][:, None], 0.0)
        some = there & ~there.all(0)
        weights += np.where(some, self.alone[task][:, None], 0.0) / np.maximum(some.sum(0), 1)
        mixed = log_softmax(np.einsum("pn,pnc->nc", weights, experts))
        answer = log_softmax(mixed + self.shift[task])
        answer[~there.any(0)] = self.prior[task]
        return answer

    def to_module(self) -> SeedModule:
        """Return the model as a torch module that takes unscaled features."""
        from dualstream.heads.linear.graph import LinearModule

        weights = {name: getattr(self, name) for name in self._by_task}
        return LinearModule([(part.design, part.heads) for part in self.parts], weights)

    def state(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """Return (arrays, JSON values) from which `restore` makes the same model again."""
        arrays: dict[str, NDArray[Any]] = {}
        for number, part in enumerate(self.parts):
            arrays[f"part{number}.mean"] = part.design.mean
            arrays[f"part{number}.spread"] = part.design.spread
            for task, head in part.heads.items():
                arrays[f"part{number}.{task}.weights"] = head.weights
                arrays[f"part{number}.{task}.intercepts"] = head.intercepts
                arrays[f"part{number}.{task}.seen"] = head.seen
        for task in self.prior:
            for name in self._by_task:
                arrays[f"{task}.{name}"] = getattr(self, name)[task]
        values = {
            "variant": self.variant,
            "seed": self.seed,
            "tasks": list(self.prior),
            "parts": [
                {
                    "streams": list(part.design.streams),
                    "widths": list(part.design.widths),
                    "indicators": list(part.design.indicators),
                    "unseen": {task: head.unseen for task, head in part.heads.items()},
                }
                for part in self.parts
            ],
            "facts": self.facts,
        }
        return arrays, values

    _by_task: ClassVar[tuple[str, ...]] = ("prior", "mixing", "alone", "shift")

    def __repr__(self) -> str:
        return f"LinearModel({self.variant!r}, {self.facts.get('solver')}, tasks={list(self.prior)})"


def restore(arrays: dict[str, NDArray[Any]], values: dict[str, Any]) -> Trained:
    """Make a fitted model from what its `state()` gave."""
    tasks: list[Task] = values["tasks"]
    by_task = {name: {task: arrays[f"{task}.{name}"] for task in tasks} for name in LinearModel._by_task}
    parts = []
    for number, entry in enumerate(values["parts"]):
        design = Design(
            tuple(entry["streams"]),
            arrays[f"part{number}.mean"],
            arrays[f"part{number}.spread"],
            tuple(entry["widths"]),
            tuple(entry["indicators"]),
        )
        heads = {
            task: LinearHead(
                arrays[f"part{number}.{task}.weights"],
                arrays[f"part{number}.{task}.intercepts"],
                arrays[f"part{number}.{task}.seen"],
                len(by_task["prior"][task]),
                entry["unseen"][task],
            )
            for task in tasks
        }
        parts.append(Part(design, heads))
    history = History(stopped="converged")
    return LinearModel(
        values["variant"],
        values["seed"],
        history,
        tuple(parts),
        facts=values["facts"],
        out_of_fold=None,
        **by_task,
    )


def fit(
    name: str,
    train: FeatureSet,
    dev: FeatureSet | None,
    options: FitOptions,
    progress: Progress | None,
    *,
    layout: tuple[tuple[str, ...], ...],
    defaults: dict[str, Any],
) -> Sequence[Trained]:
    """Fit a linear variant on `train`. Of `dev` only its speakers are looked at, to choose the folds.

    Parameters
    ----------
    layout
        Streams of each part: ``(("video", "audio"),)`` joined, ``(("video",), ("audio",))`` late.
    defaults
        The variant's parameters.

    Raises
    ------
    ValueError
        Where an option is of no use to a linear variant, or no utterance is labelled.
    """
    settings = settings_of(name, defaults, options)
    tasks = [task for task in options.tasks if (getattr(train, task) != UNLABELLED).any()]
    if not tasks:
        raise ValueError(f"no training utterance has a label for {' or '.join(options.tasks)}")
    names: dict[Task, tuple[str, ...]] = {"emotion": train.emotion_names, "sentiment": train.sentiment_names}
    classes: dict[Task, int] = {task: len(names[task]) for task in tasks}
    labels: dict[Task, NDArray[np.int64]] = {task: getattr(train, task) for task in tasks}
    prior = {task: _log_shares(labels[task], classes[task]) for task in tasks}
    fold, grouped = _folds(train, dev, settings, labels[tasks[0]])
    held_out = len(layout) > 1 or (len(tasks) > 1 and options.decoding == "joint")
    fitted = [
        _fit_part(train, streams, labels, classes, prior, fold, settings, options, held_out=held_out)
        for streams in layout
    ]
    there = np.stack([design.available(train) for design, _ in fitted])
    mixing, alone = _mix(fitted, labels, there, settings["mixing"])
    facts = {
        "solver": settings["solver"],
        "folds": grouped,
        "penalty": {t: [f.penalty for _, heads in fitted for f in (heads[t],)] for t in tasks},
        "losses": {t: [{str(p): v for p, v in heads[t].losses.items()} for _, heads in fitted] for t in tasks},
    }
    tau = SOLVED[options.loss](options)
    converged = all(f.converged for _, heads in fitted for f in heads.values())
    if progress is not None:
        progress({"variant": name, "epoch": 1, "epochs": 1, "train_loss": None, "dev_score": None})
    model = LinearModel(
        variant=name,
        seed=options.seeds[0],
        history=History(stopped="converged" if converged else "epochs"),
        parts=tuple(Part(design, {t: f.head for t, f in heads.items()}) for design, heads in fitted),
        prior=prior,
        mixing=mixing,
        alone=alone,
        shift={t: -tau * prior[t] if tau is not None else np.zeros(classes[t]) for t in tasks},
        facts=facts,
    )
    model.out_of_fold = _out_of_fold(model, [heads for _, heads in fitted], there)
    return [replace(model, seed=seed) for seed in options.seeds]


def _out_of_fold(
    model: LinearModel, fitted: Sequence[dict[Task, Fitted]], there: NDArray[np.bool_]
) -> Prediction | None:
    """Return what the model would say of the training rows had their heads not seen their group."""
    answer: dict[Task, Floats] = {}
    for task in model.prior:
        outs = [heads[task].out_of_fold for heads in fitted]
        if any(out is None for out in outs):
            return None
        answer[task] = model.mixed(task, np.stack([out for out in outs if out is not None]), there)
    return Prediction(answer.get("emotion"), answer.get("sentiment"))


def settings_of(name: str, defaults: dict[str, Any], options: FitOptions) -> dict[str, Any]:
    """Return a variant's settings.

    Raises
    ------
    ValueError
        Where a setting or an option is of no use to it.
    """
    settings = {**defaults, **options.parameters}
    allowed = {"solver": SOLVERS, "folds": GROUP_BY, "mixing": MIXINGS}
    for key, values in allowed.items():
        if key in settings and settings[key] not in values:
            raise ValueError(f"{name} knows no {key} {settings[key]!r}; there are: {', '.join(values)}")
    settings.setdefault("mixing", "mean")
    if options.loss not in SOLVED or options.resample:
        wanted = "resampling" if options.loss in SOLVED else f"the loss {options.loss}"
        raise ValueError(
            f"{name} is solved and has no use for {wanted}; for class imbalance it takes: "
            f"{', '.join([*SOLVED][1:])}"
        )
    if options.penalty is not None and settings["solver"] == "lda":
        raise ValueError("lda estimates its shrinkage from the rows; a penalty is for logistic and ridge")
    return settings


def _log_shares(labels: NDArray[np.int64], classes: int) -> Floats:
    return log_shares(np.bincount(labels[labels != UNLABELLED], minlength=classes))


def _folds(
    train: FeatureSet, dev: FeatureSet | None, settings: dict[str, Any], labels: NDArray[np.int64]
) -> tuple[NDArray[np.int64] | None, str]:
    groups, kind = groups_of(train, settings["folds"], dev)
    if len(np.unique(groups)) < 2:
        return None, "none"
    return fold_codes(groups, labels, FOLDS if len(train) < MANY else FOLDS_OF_MANY), kind


def _fit_part(
    train: FeatureSet,
    streams: tuple[str, ...],
    labels: dict[Task, NDArray[np.int64]],
    classes: dict[Task, int],
    prior: dict[Task, Floats],
    fold: NDArray[np.int64] | None,
    settings: dict[str, Any],
    options: FitOptions,
    *,
    held_out: bool,
) -> tuple[Design, dict[Task, Fitted]]:
    """Fit the heads of one part on the utterances that have one of its streams.

    `held_out`: answers out of fold are wanted even where no penalty is chosen by them.
    """
    design = Design.fit(train, streams)
    there = np.flatnonzero(design.available(train))
    short = [task for task in labels if not (labels[task][there] != UNLABELLED).any()]
    if short:
        raise ValueError(f"no utterance with {' or '.join(streams)} has a label for {', '.join(short)}")
    whole = len(there) == len(train)
    rows = design.rows(train)
    if not whole:
        rows = rows[there]
    inner = None if fold is None else fold[there]
    if inner is not None and len(np.unique(inner)) < 2:
        inner = None
    fitted = fit_heads(
        rows,
        {task: codes[there] for task, codes in labels.items()},
        classes,
        None if inner is None else np.unique(inner, return_inverse=True)[1],
        solver=settings["solver"],
        penalty=options.penalty,
        need_folds=held_out,
    )
    if whole:
        return design, fitted
    # utterances without the stream: what is known of them is the prior
    widened = {}
    for task, each in fitted.items():
        out = None
        if each.out_of_fold is not None:
            out = np.repeat(prior[task][None], len(train), 0)
            out[there] = each.out_of_fold
        widened[task] = replace(each, out_of_fold=out)
    return design, widened


def _mix(
    fitted: list[tuple[Design, dict[Task, Fitted]]],
    labels: dict[Task, NDArray[np.int64]],
    there: NDArray[np.bool_],
    mixing: str,
) -> tuple[dict[Task, Floats], dict[Task, Floats]]:
    """Return the parts' weights together, and each one's alone, from out-of-fold answers.

    `there` says which utterances have each part's streams, shape (parts, N).
    """
    together: dict[Task, Floats] = {}
    alone: dict[Task, Floats] = {}
    parts = len(fitted)
    for task, codes in labels.items():
        outs = [heads[task].out_of_fold for _, heads in fitted]
        if parts == 1 or any(out is None for out in outs):
            together[task], alone[task] = np.full(parts, 1 / parts), np.ones(parts)
            continue
        experts = np.stack([out for out in outs if out is not None])  # (parts, N, C)
        complete = np.where(there.all(0), codes, UNLABELLED)
        if mixing == "learned":
            together[task] = fit_weights(experts, complete, pull=0.01 * len(codes))
        else:
            together[task] = np.full(parts, fit_weights(experts.mean(0)[None], complete)[0] / parts)
        alone[task] = np.array(
            [
                fit_weights(expert[None], np.where(has, codes, UNLABELLED))[0]
                for expert, has in zip(experts, there, strict=True)
            ]
        )
    return together, alone
