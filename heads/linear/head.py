"""One linear head for each task over one design matrix: solver, penalty by folds, and how sure it may be."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Literal

import numpy as np
from dualstream.heads.data.batch import UNLABELLED
from dualstream.heads.evaluation.calibration import fit_weights, log_softmax
from dualstream.heads.linear import closed_form, logistic
from dualstream.heads.variants.contract import Task
from numpy.typing import NDArray

log = logging.getLogger(__name__)

Solver = Literal["logistic", "ridge", "lda"]
SOLVERS: tuple[Solver, ...] = ("logistic", "ridge", "lda")
PENALTIES = (
    1.0,
    4.0,
    16.0,
    64.0,
    256.0,
    1024.0,
    4096.0,
)  # of standardised columns; C of scikit-learn is 1 over it
SEARCH_TOLERANCE = 2e-4  # of regressions that are solved to choose a penalty alone
SINGLE_FROM = 1_000_000  # numbers in the design matrix from which float32 is used

Codes = NDArray[np.int64]
Floats = NDArray[np.floating]


@dataclass(frozen=True, repr=False)
class LinearHead:
    """Rows to log-probabilities of C classes."""

    weights: Floats
    """Shape (K, D), for the classes that training saw."""
    intercepts: Floats
    """Shape (K,)."""
    seen: Codes
    """Codes of those K classes."""
    classes: int
    """C, of the vocabulary."""
    unseen: float
    """Log-probability of each class that training did not see."""

    def __call__(self, rows: Floats) -> NDArray[np.float64]:
        """Return log-probabilities (N, C) of rows (N, D)."""
        logits = (rows @ self.weights.T.astype(rows.dtype)).astype(np.float64) + self.intercepts
        return spread_out(log_softmax(logits), self.seen, self.classes, self.unseen)


@dataclass(frozen=True, repr=False)
class Fitted:
    """A head, and what was learned on the way."""

    head: LinearHead
    out_of_fold: NDArray[np.float64] | None
    """Log-probabilities (N, C) of the training rows by heads that didn't see their group; None
    where no folds were needed."""
    penalty: float | None
    losses: dict[float, float]
    """Out-of-fold loss in nats by penalty; empty where none was chosen."""
    converged: bool


def spread_out(log_p: NDArray[np.float64], seen: Codes, classes: int, unseen: float) -> NDArray[np.float64]:
    """Give the classes that training did not see their small share, so that rows of exp() sum to 1."""
    if len(seen) == classes:
        return log_p
    answer = np.full((len(log_p), classes), unseen)
    answer[:, seen] = log_p + np.log1p(-(classes - len(seen)) * np.exp(unseen))
    return answer


def fit_heads(
    rows: Floats,
    labels: dict[Task, Codes],
    classes: dict[Task, int],
    fold: Codes | None,
    *,
    solver: Solver,
    penalty: float | None,
    need_folds: bool = False,
) -> dict[Task, Fitted]:
    """Fit one head per task.

    Parameters
    ----------
    rows
        Standardised, shape (N, D).
    labels
        By task, codes of shape (N,), -1 where unlabelled.
    fold
        Number of the fold that holds each row out, shape (N,); None where there is only one group: then
        the middle of PENALTIES is taken, and scores are taken at their word.
    penalty
        None: chosen by the folds' loss. LDA estimates its shrinkage and takes none.
    need_folds
        Out-of-fold predictions are wanted even where no choice depends on them.
    """
    rows = np.ascontiguousarray(rows, np.float32 if rows.size >= SINGLE_FROM else np.float64)
    tasks = {task: _Task.of(codes, classes[task]) for task, codes in labels.items()}
    if solver == "logistic":
        return _fit_logistic(rows, tasks, fold, penalty, need_folds)
    return {task: _fit_closed(rows, each, fold, solver, penalty) for task, each in tasks.items()}


@dataclass(frozen=True, repr=False)
class _Task:
    codes: Codes
    """Codes among the K classes seen, -1 unlabelled."""
    seen: Codes
    classes: int
    unseen: float

    @classmethod
    def of(cls, labels: Codes, classes: int) -> _Task:
        labelled = labels != UNLABELLED
        seen = np.unique(labels[labelled])
        if not len(seen):
            raise ValueError("no training row of a linear head is labelled")
        codes = np.where(labelled, np.searchsorted(seen, labels), UNLABELLED)
        # as if every unseen class had been seen once among one more row each
        return cls(codes, seen, classes, -float(np.log(labelled.sum() + classes)))

    def head(self, weights: Floats, intercepts: Floats) -> LinearHead:
        return LinearHead(
            weights.astype(np.float64), intercepts.astype(np.float64), self.seen, self.classes, self.unseen
        )

    def loss(self, log_p: NDArray[np.float64]) -> float:
        keep = np.flatnonzero(self.codes != UNLABELLED)
        return float(-np.maximum(log_p[keep, self.codes[keep]], np.log(1e-12)).mean())


def _fit_logistic(
    rows: Floats, tasks: dict[Task, _Task], fold: Codes | None, penalty: float | None, need_folds: bool
) -> dict[Task, Fitted]:
    spectrum = logistic.Spectrum.of(rows)
    candidates = PENALTIES if penalty is None else (penalty,)
    search = fold is not None and (penalty is None or need_folds)
    held_out: dict[Task, dict[float, NDArray[np.float64]]] = {}
    if search and fold is not None:
        held_out = _search(rows, tasks, fold, candidates, spectrum)
    answer = {}
    chosen: dict[Task, float] = {}
    losses: dict[Task, dict[float, float]] = {}
    for task, each in tasks.items():
        losses[task] = {p: each.loss(log_p) for p, log_p in held_out.get(task, {}).items()}
        best = min(losses[task], key=losses[task].__getitem__) if losses[task] else PENALTIES[len(PENALTIES) // 2]
        chosen[task] = best if penalty is None else penalty
    problems = [logistic.Problem(t.codes, len(t.seen), chosen[task]) for task, t in tasks.items()]
    for (task, each), solution in zip(
        tasks.items(), logistic.solve(rows, problems, spectrum=spectrum), strict=True
    ):
        if not solution.converged:
            log.warning("the %s regression stopped at a gradient of %.1e", task, solution.gradient)
        out = held_out[task][chosen[task]] if search else None
        answer[task] = Fitted(
            each.head(solution.weights, solution.intercepts),
            None if out is None else spread_out(out, each.seen, each.classes, each.unseen),
            chosen[task],
            losses[task] if penalty is None else {},
            solution.converged,
        )
    return answer


def _search(
    rows: Floats,
    tasks: dict[Task, _Task],
    fold: Codes,
    penalties: tuple[float, ...],
    spectrum: logistic.Spectrum,
) -> dict[Task, dict[float, NDArray[np.float64]]]:
    """Solve all folds and tasks side by side, for one penalty after the other, from the largest down.

    Each starts where the one before ended, and a task is done when its loss has risen: the loss is a
    valley in the penalty. Returns log-probabilities (N, K) of held-out rows by task and penalty.
    """
    answer: dict[Task, dict[float, NDArray[np.float64]]] = {task: {} for task in tasks}
    ended: dict[tuple[Task, int], logistic.Solution] = {}
    searched = dict(tasks)
    for penalty in sorted(penalties, reverse=True):
        problems, keys = [], []
        for task, each in searched.items():
            for number in range(int(fold.max()) + 1):
                codes = np.where(fold == number, UNLABELLED, each.codes)
                if (codes != UNLABELLED).any():  # else all labels of the task are in this fold
                    problems.append(logistic.Problem(codes, len(each.seen), penalty, ended.get((task, number))))
                    keys.append((task, number))
        solutions = logistic.solve(rows, problems, spectrum=spectrum, tolerance=SEARCH_TOLERANCE)
        ended.update(zip(keys, solutions, strict=True))
        for task, each in list(searched.items()):
            log_p = np.full((len(rows), len(each.seen)), -np.log(len(each.seen)))
            for number in range(int(fold.max()) + 1):
                if (task, number) in ended:
                    held = np.flatnonzero(fold == number)
                    solution = ended[task, number]
                    logits = rows[held] @ solution.weights.T + solution.intercepts
                    log_p[held] = log_softmax(logits.astype(np.float64))
            before = min((each.loss(other) for other in answer[task].values()), default=np.inf)
            answer[task][penalty] = log_p
            if each.loss(log_p) > before:
                del searched[task]
        if not searched:
            break
    return answer


def _fit_closed(rows: Floats, task: _Task, fold: Codes | None, solver: Solver, penalty: float | None) -> Fitted:
    candidates = [penalty] if penalty is not None else list(PENALTIES) if solver == "ridge" else [0.0]
    labelled = np.flatnonzero(task.codes != UNLABELLED)
    count = len(task.seen)
    out = np.zeros((len(candidates), len(rows), count))
    if fold is not None:
        for number in np.unique(fold):
            fit = labelled[fold[labelled] != number]
            held = np.flatnonzero(fold == number)
            for at, logits in enumerate(_held_out_scores(rows, task.codes, fit, held, count, solver, candidates)):
                out[at, held] = logits
    # scores are no log-probabilities yet: a temperature makes them so, fitted where they are honest
    temperatures = [fit_weights(scores[None], task.codes)[0] if fold is not None else 1.0 for scores in out]
    log_ps = [log_softmax(t * scores) for t, scores in zip(temperatures, out, strict=True)]
    losses = {p: task.loss(log_p) for p, log_p in zip(candidates, log_ps, strict=True)} if fold is not None else {}
    at = int(np.argmin(list(losses.values()))) if losses else len(candidates) // 2
    ((weights, intercepts),) = _scores_of(solver, rows[labelled], task.codes[labelled], count, [candidates[at]])
    return Fitted(
        task.head(temperatures[at] * weights, temperatures[at] * intercepts),
        spread_out(log_ps[at], task.seen, task.classes, task.unseen) if fold is not None else None,
        candidates[at] if solver == "ridge" else None,
        losses if len(candidates) > 1 else {},
        True,
    )


def _held_out_scores(
    rows: Floats, codes: Codes, fit: Codes, held: Codes, count: int, solver: Solver, candidates: list[float]
) -> list[NDArray[np.float64]]:
    seen = np.unique(codes[fit])
    if not len(seen):
        return [np.zeros((len(held), count)) for _ in candidates]
    answer = []
    for weights, intercepts in _scores_of(
        solver, rows[fit], np.searchsorted(seen, codes[fit]), len(seen), candidates
    ):
        scores = rows[held] @ weights.T + intercepts
        full = np.repeat(
            scores.min(1, keepdims=True), count, 1
        )  # a class that this fold lacks: no better than the worst
        full[:, seen] = scores
        answer.append(full)
    return answer


def _scores_of(
    solver: Solver, rows: Floats, codes: Codes, classes: int, candidates: list[float]
) -> list[tuple[Floats, Floats]]:
    if solver == "ridge":
        return closed_form.ridge(rows, codes, classes, candidates)
    weights, intercepts, _ = closed_form.lda(rows, codes, classes)
    return [(weights, intercepts)]
