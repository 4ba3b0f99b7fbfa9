"""The linear variants: fitted on one stream, on both joined, or on each with their answers mixed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial as partial_call
from typing import Any, ClassVar

import numpy as np
from dualstream.heads.data.batch import UNLABELLED, FeatureSet
from dualstream.heads.evaluation.folds import GROUP_BY, fold_codes, groups_of
from dualstream.heads.evaluation.majority import class_counts, log_shares
from dualstream.heads.linear import shared
from dualstream.heads.linear.design import Design
from dualstream.heads.linear.head import SOLVERS, Fitted, LinearHead, Solver, fit_heads
from dualstream.heads.linear.mixing import mix, mix_partial, mixed, weights_of
from dualstream.heads.linear.partial import PartialPools
from dualstream.heads.variants.contract import (
    Arrays,
    FitOptions,
    History,
    Prediction,
    Progress,
    SeedModule,
    Task,
    Trained,
)
from dualstream.heads.variants.options import Parameters
from numpy.typing import NDArray

from dualstream.cores import one_blas_thread
from dualstream.documents import JsonObject

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


Solvers = tuple[Solver, ...]
"""Of each part; empty: as the variant's setting says."""
Layout = tuple[tuple[str, ...], ...]
"""Streams of each part: ``(("video", "audio"),)`` joined, ``(("video",), ("audio",))`` late."""


@dataclass(frozen=True, repr=False)
class LinearPart:
    """Heads over one design matrix."""

    design: Design
    heads: dict[Task, LinearHead]


@dataclass(repr=False)
class LinearModel:
    """A fitted linear variant. It is solved, so all seeds are the same model."""

    variant: str
    seed: int
    history: History
    parts: tuple[LinearPart, ...]
    prior: dict[Task, Floats]
    """Log shares of the classes in training, shape (C,): the answer where every stream is missing."""
    mixing: dict[Task, Floats]
    """Weight of each part's log-probabilities, shape (parts,)."""
    alone: dict[Task, Floats]
    """Weight of each part where the others' streams are missing, shape (parts,)."""
    offset: dict[Task, Floats]
    """Added to the weighted log-probabilities, shape (1 + parts, C): first where all streams are there, then for
    each part where others' are missing. It holds the prior, so that it counts once however many parts answer."""
    shift: dict[Task, Floats]
    """Added to the log-probabilities, shape (C,): the correction for unequal class counts, or zeros."""
    partial: dict[Task, PartialPools]
    """Of utterances that have some of three streams or more."""
    facts: JsonObject
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
        weights = self.mixing[task], self.alone[task], self.offset[task], self.partial[task]
        return mixed(experts, there, *weights, self.shift[task], self.prior[task])

    def to_module(self) -> SeedModule:
        """Return the model as a torch module that takes unscaled features."""
        from dualstream.heads.linear.graph import LinearModule

        weights = {name: getattr(self, name) for name in self._by_task}
        return LinearModule([(part.design, part.heads) for part in self.parts], weights, self.partial)

    def state(self) -> tuple[Arrays, JsonObject]:
        """Return (arrays, JSON values) from which `restore` makes the same model again."""
        arrays: Arrays = {}
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
            arrays |= self.partial[task].state(task)
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

    _by_task: ClassVar[tuple[str, ...]] = ("prior", "mixing", "alone", "offset", "shift")

    def __repr__(self) -> str:
        return f"LinearModel({self.variant!r}, {self.facts.get('solver')}, tasks={list(self.prior)})"


def restore(arrays: Arrays, values: JsonObject) -> Trained:
    """Make a fitted model from what its `state()` gave."""
    tasks: list[Task] = values["tasks"]
    for task in tasks:  # models of versions that added no prior to a mixture
        none = np.zeros((1 + len(values["parts"]), len(arrays[f"{task}.prior"])))
        arrays = {f"{task}.offset": none} | arrays
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
        parts.append(LinearPart(design, heads))
    partial = {
        task: PartialPools.restore(arrays, task, len(parts), len(shares))
        for task, shares in by_task["prior"].items()
    }
    history = History(stopped="converged")
    return LinearModel(
        values["variant"],
        values["seed"],
        history,
        tuple(parts),
        partial=partial,
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
    layout: Layout,
    defaults: Parameters,
    solvers: Solvers = (),
) -> Sequence[Trained]:
    """Fit a linear variant on `train`. Of `dev` only its speakers are looked at, to choose the folds.

    Parameters
    ----------
    layout, solvers
        The parts, and what solves each.
    defaults
        The variant's parameters.

    Raises
    ------
    ValueError
        Where an option is of no use to a linear variant, or no utterance is labelled.
    """
    settings = settings_of(name, defaults, options, solvers)
    labels, prior = targets(train, options)
    tasks = list(labels)
    fold, grouped = _folds(train, dev, settings, labels[tasks[0]])
    held_out = len(layout) > 1 or (len(tasks) > 1 and options.decoding == "joint")
    solvers = solvers or (settings["solver"],) * len(layout)
    fitted = [
        shared.once(
            (streams, solver, options, held_out, list(labels)),
            [*_read(train, streams), *labels.values(), *prior.values(), fold],
            partial_call(fit_part, train, streams, labels, prior, fold, solver, options, need_folds=held_out),
        )
        for streams, solver in zip(layout, solvers, strict=True)
    ]
    there = np.stack([design.available(train) for design, _ in fitted])
    pools = {task: mix(fitted, task, labels[task], prior[task], there, settings["mixing"]) for task in tasks}
    facts = {
        "solver": " and ".join(dict.fromkeys(solvers)),
        "folds": grouped,
        "penalty": {t: [f.penalty for _, heads in fitted for f in (heads[t],)] for t in tasks},
        "losses": {t: [{str(p): v for p, v in heads[t].losses.items()} for _, heads in fitted] for t in tasks},
        "prior_weight": {t: [pool.prior_weight for pool in mixed] for t, mixed in pools.items()},
    }
    weights = {task: weights_of(each) for task, each in pools.items()}
    partial = {
        task: mix_partial(fitted, task, labels[task], prior[task], there, settings["mixing"]) for task in tasks
    }
    converged = all(f.converged for _, heads in fitted for f in heads.values())
    if progress is not None:
        progress({"variant": name, "epoch": 1, "epochs": 1, "train_loss": None, "dev_score": None})
    model = LinearModel(
        variant=name,
        seed=options.seeds[0],
        history=History(stopped="converged" if converged else "epochs"),
        parts=tuple(LinearPart(design, {t: f.head for t, f in heads.items()}) for design, heads in fitted),
        prior=prior,
        mixing={t: mixing for t, (mixing, _, _) in weights.items()},
        alone={t: alone for t, (_, alone, _) in weights.items()},
        offset={t: offset for t, (_, _, offset) in weights.items()},
        shift={t: shift_of(prior[t], options) for t in tasks},
        partial=partial,
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


def settings_of(name: str, defaults: Parameters, options: FitOptions, solvers: Solvers = ()) -> Parameters:
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
    if options.penalty is not None and set(solvers or [settings["solver"]]) == {"lda"}:
        raise ValueError("lda estimates its shrinkage from the rows; a penalty is for logistic and ridge")
    return settings


def targets(features: FeatureSet, options: FitOptions) -> tuple[dict[Task, NDArray[np.int64]], dict[Task, Floats]]:
    """Return the codes of each task that has labels, and the log shares of its classes."""
    tasks = [task for task in options.tasks if (getattr(features, task) != UNLABELLED).any()]
    if not tasks:
        raise ValueError(f"no training utterance has a label for {' or '.join(options.tasks)}")
    names: dict[Task, tuple[str, ...]] = {"emotion": features.emotion_names, "sentiment": features.sentiment_names}
    labels: dict[Task, NDArray[np.int64]] = {task: getattr(features, task) for task in tasks}
    return labels, {task: log_shares(class_counts(labels[task], len(names[task]))) for task in tasks}


def shift_of(prior: Floats, options: FitOptions) -> Floats:
    """Return what the loss adds to the log-probabilities of the classes."""
    tau = SOLVED[options.loss](options)
    return np.zeros(len(prior)) if tau is None else -tau * prior


def _folds(
    train: FeatureSet, dev: FeatureSet | None, settings: Parameters, labels: NDArray[np.int64]
) -> tuple[NDArray[np.int64] | None, str]:
    groups, kind = groups_of(train, settings["folds"], dev)
    if len(np.unique(groups)) < 2:
        return None, "none"
    return fold_codes(groups, labels, FOLDS if len(train) < MANY else FOLDS_OF_MANY), kind


def _read(train: FeatureSet, streams: tuple[str, ...]) -> list[NDArray[Any]]:
    """Return the arrays of the corpus that a part is fitted on."""
    return [array for name in streams for array in (train.streams[name].utterance, train.streams[name].present)]


def fit_part(
    train: FeatureSet,
    streams: tuple[str, ...],
    labels: dict[Task, NDArray[np.int64]],
    prior: dict[Task, Floats],
    fold: NDArray[np.int64] | None,
    solver: Solver,
    options: FitOptions,
    *,
    need_folds: bool,
) -> tuple[Design, dict[Task, Fitted]]:
    """Fit the heads of one part on the utterances that have one of its streams.

    `need_folds`: answers out of fold are wanted even where no penalty is chosen by them.
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
        {task: len(shares) for task, shares in prior.items()},
        None if inner is None else np.unique(inner, return_inverse=True)[1],
        solver=solver,
        penalty=None if solver == "lda" else options.penalty,
        need_folds=need_folds,
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
