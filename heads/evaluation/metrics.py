"""Scores of predictions, next to the score of always answering the majority class.

Conventions
-----------
- Utterances without a label are left out of everything.
- Predictions are log-probabilities; the answer is the largest, the first of equal ones.
- Confusion counts have truth in rows and answers in columns, in the vocabulary's order.
- A quotient whose denominator is zero is 0: precision of a class never answered, recall of one that
  doesn't occur, F1 of one that is neither.
- Balanced accuracy, called unweighted average recall (UAR) in speech, averages recall over the classes
  that occur in the truth; macro F1 averages over those that occur in the truth or among the answers;
  weighted F1 weighs by the truth's counts. All as in scikit-learn's defaults.
- Log loss is in nats, log-probabilities cut off at log(2.2e-16), as scikit-learn does. It is of the answers as the
  model gives them; some variants are calibrated on held-out utterances, others are as sure as training left them.
- Calibrated log loss compares them: that of the same answers, each at the one temperature that fits the other
  scored groups best. It changes no answer, and no utterance has a say in its own.
- Calibration error is the expected calibration error of the answered class's probability in 15 bins of
  equal width, (k/15, (k+1)/15] (Guo et al. 2017, https://arxiv.org/abs/1706.04599).
- The majority line is that of `majority.py`: the commonest class of what is scored, and beside it train's.
- Several seeds: scores are of each model, then averaged. Averaged probabilities are another model (see
  heads/variants/ensemble.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from dualstream.heads.data.batch import UNLABELLED
from dualstream.heads.evaluation import statistics
from dualstream.heads.evaluation.calibration import cross_calibrated
from dualstream.heads.evaluation.confusion import (
    HEADLINES,
    group_confusions,
    headline_statistic,
    margins,
    quotient,
)
from dualstream.heads.evaluation.majority import Majority, majority_lines
from dualstream.heads.evaluation.statistics import Estimate
from numpy.typing import NDArray

from dualstream.counting import counted
from dualstream.documents import JsonObject

CALIBRATION_BINS = 15
COLLAPSE_SHARE = 0.95  # of all answers
OF_PROBABILITIES = ("log_loss", "calibrated_log_loss", "calibration_error")
"""Scores that answers without probabilities have not."""
LOG_FLOOR = float(np.log(np.finfo(np.float64).eps))

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]


@dataclass(frozen=True)
class ClassScores:
    """One class; means over seeds."""

    name: str
    precision: float
    recall: float
    f1: float
    support: int
    """Utterances of this class."""
    answered: float
    """Utterances given this class."""


@dataclass(frozen=True, repr=False)
class Scores:
    """Scores of one task for one variant: one or several seeds."""

    names: tuple[str, ...]
    count: int
    """Labelled utterances."""
    groups: int | None
    """Dialogues or speakers that were resampled; None: no intervals."""
    accuracy: Estimate
    balanced_accuracy: Estimate
    weighted_f1: Estimate
    macro_f1: Estimate
    log_loss: Estimate | None
    """None where the answers came without probabilities."""
    calibrated_log_loss: Estimate | None
    """After one temperature, fitted on other groups of these utterances."""
    calibration_error: Estimate | None
    classes: tuple[ClassScores, ...]
    confusion: Floats
    """Shape (C, C), mean over seeds."""
    majority: Majority | None
    """Always answering the commonest class of these utterances."""
    train_majority: Majority | None
    """Always answering train's commonest class, where that is another one and train is known."""
    warnings: tuple[str, ...]

    def headline(self, name: str) -> Estimate:
        """Return one of HEADLINES."""
        if name not in HEADLINES:
            raise ValueError(f"no score is called {name!r}; there are: {', '.join(HEADLINES)}")
        return getattr(self, name)

    def to_json(self) -> JsonObject:
        """Return plain JSON values, without NaN."""
        return {
            "names": list(self.names),
            "count": self.count,
            "groups": self.groups,
            **{name: self.headline(name).to_json() for name in HEADLINES},
            **{
                name: None if (score := getattr(self, name)) is None else score.to_json()
                for name in OF_PROBABILITIES
            },
            "calibration_bins": CALIBRATION_BINS,
            "classes": [vars(entry) for entry in self.classes],
            "confusion": self.confusion.tolist(),
            "majority": None if self.majority is None else vars(self.majority),
            "train_majority": None if self.train_majority is None else vars(self.train_majority),
            "warnings": list(self.warnings),
        }

    def __repr__(self) -> str:
        line = ", ".join(f"{name}={self.headline(name).mean:.3f}" for name in HEADLINES)
        return f"Scores({self.count} utterances, {line})"


def score(
    predictions: Floats | Codes | Sequence[Floats] | Sequence[Codes],
    truth: Codes,
    names: Sequence[str],
    *,
    groups: Codes | None = None,
    train_counts: Codes | None = None,
    resamples: int = statistics.RESAMPLES,
    seed: int = 0,
) -> Scores:
    """Score the predictions of one task.

    Parameters
    ----------
    predictions
        Of one model or a list of one per seed: log-probabilities (N, C), or answered codes (N,).
    truth
        Codes, shape (N,), -1 where unlabelled.
    names
        The C class names.
    groups
        Codes of what the bootstrap draws, the dialogue or the speaker, shape (N,). None: no intervals.
        -1 (an unknown speaker) makes the utterance a group of its own.
    train_counts
        How many of the training utterances have each class, shape (C,), for the second majority line. None: no
        such line.

    Raises
    ------
    ValueError
        Where shapes don't fit together, nothing is labelled, or a code is outside the vocabulary.
    """
    models = [np.asarray(p) for p in ([predictions] if isinstance(predictions, np.ndarray) else predictions)]
    truth = np.asarray(truth, dtype=np.int64)
    keep = truth != UNLABELLED
    classes = len(names)
    _check(models, truth, keep, classes)
    truth = truth[keep]
    models = [model[keep] for model in models]
    answers = np.stack([m if m.ndim == 1 else m.argmax(1) for m in models]).astype(np.int64)  # (S, N)

    group = np.zeros(len(truth), np.int64) if groups is None else _group_codes(np.asarray(groups)[keep])
    counts = group_confusions(truth, answers, classes, group)  # (S, G, C, C)
    estimates = statistics.estimates(
        counts,
        {name: headline_statistic(name) for name in HEADLINES},
        resamples=resamples,
        seed=seed,
    )
    confusion = counts.sum(1).mean(0)
    log_loss = calibrated = calibration = None
    if all(model.ndim == 2 for model in models):
        log_loss, calibrated, calibration = _of_probabilities(models, truth, group, resamples, seed)
    majority, train_majority = majority_lines(np.bincount(truth, minlength=classes), names, train_counts)
    return Scores(
        names=tuple(names),
        count=len(truth),
        groups=None if groups is None else int(group.max()) + 1,
        **estimates,
        log_loss=log_loss,
        calibrated_log_loss=calibrated,
        calibration_error=calibration,
        classes=_class_scores(counts.sum(1), names),
        confusion=confusion,
        majority=majority,
        train_majority=train_majority,
        warnings=_collapse_warnings(counts.sum(1), names),
    )


def _of_probabilities(
    models: Sequence[NDArray[Any]], truth: Codes, group: Codes, resamples: int, seed: int
) -> tuple[Estimate, Estimate, Estimate]:
    """Return OF_PROBABILITIES of log-probabilities (N, C), one array a model."""
    rows = np.arange(len(truth))
    floored = [np.maximum(m.astype(np.float64), LOG_FLOOR) for m in models]
    log_loss = _estimate_mean([-m[rows, truth] for m in floored], group, resamples, seed)
    fitted = [np.maximum(cross_calibrated(m, truth, group), LOG_FLOOR) for m in floored]
    calibrated = _estimate_mean([-m[rows, truth] for m in fitted], group, resamples, seed)
    errors = tuple(calibration_error(m.astype(np.float64), truth) for m in models)
    return log_loss, calibrated, Estimate(float(np.mean(errors)), errors)


def compare_models(
    first: Sequence[Floats],
    second: Sequence[Floats],
    truth: Codes,
    groups: Codes,
    *,
    classes: int,
    metric: str = "balanced_accuracy",
    seed: int = 0,
) -> statistics.PairedDifference:
    """Compare two variants, each a list of log-probabilities or codes a seed, on the same utterances.

    See heads/evaluation/statistics.py for the interval and the test.
    """
    keep = np.asarray(truth) != UNLABELLED
    group = _group_codes(np.asarray(groups)[keep])
    counts = []
    for models in (first, second):
        _check([np.asarray(m) for m in models], np.asarray(truth), keep, classes)
        answers = np.stack([m if m.ndim == 1 else m.argmax(1) for m in models])[:, keep].astype(np.int64)
        counts.append(group_confusions(np.asarray(truth)[keep], answers, classes, group))
    return statistics.compare(counts[0], counts[1], headline_statistic(metric), seed=seed)


def calibration_error(log_probabilities: Floats, truth: Codes, bins: int = CALIBRATION_BINS) -> float:
    """Return the gap between confidence and accuracy, averaged over bins weighted by their utterances."""
    confidence = np.exp(log_probabilities.max(1))
    right = (log_probabilities.argmax(1) == truth).astype(np.float64)
    at = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    gaps = np.bincount(at, weights=right - confidence, minlength=bins)
    return float(np.abs(gaps).sum() / len(truth))


def contradiction_rate(emotion: Codes, sentiment: Codes, seen: NDArray[np.bool_]) -> float:
    """Return the share of utterances whose answered pair was never seen in training.

    Parameters
    ----------
    emotion, sentiment
        Answered codes, shape (N,).
    seen
        Shape (E, S): True for pairs that occur among the training labels (`seen_pairs`). Or (N, E, S), where
        utterances were answered by models of different trainings.
    """
    if not len(emotion):
        return 0.0
    known = seen[emotion, sentiment] if seen.ndim == 2 else seen[np.arange(len(emotion)), emotion, sentiment]
    return float((~known).mean())


def seen_pairs(emotion: Codes, sentiment: Codes, emotions: int, sentiments: int) -> NDArray[np.bool_]:
    """Return which (emotion, sentiment) pairs occur among the labels, shape (E, S)."""
    both = (emotion != UNLABELLED) & (sentiment != UNLABELLED)
    seen = np.zeros((emotions, sentiments), dtype=bool)
    seen[emotion[both], sentiment[both]] = True
    return seen


def _check(models: list[NDArray[Any]], truth: Codes, keep: NDArray[np.bool_], classes: int) -> None:
    if not models:
        raise ValueError("there are no predictions to score")
    if not keep.any():
        raise ValueError(f"none of the {len(truth)} utterances is labelled; there is nothing to score against")
    if truth[keep].min() < 0 or truth[keep].max() >= classes:
        raise ValueError(
            f"labels run from {truth[keep].min()} to {truth[keep].max()}; "
            f"expected 0 to {classes - 1}, and -1 where unlabelled"
        )
    for model in models:
        if model.shape not in ((len(truth),), (len(truth), classes)):
            raise ValueError(
                f"predictions have shape {model.shape}; expected ({len(truth)}, {classes}) log-probabilities "
                f"or ({len(truth)},) codes"
            )
        if model.ndim == 2 and np.isnan(model).any():
            bad = int(np.isnan(model).any(1).sum())
            raise ValueError(
                f"NaN among the log-probabilities of {counted(bad, 'utterance')}: the fit diverged; "
                "lower its learning rate"
            )
        if model.ndim == 1 and len(model) and (model.min() < 0 or model.max() >= classes):
            raise ValueError(f"answers run from {model.min()} to {model.max()}; expected 0 to {classes - 1}")


def _group_codes(groups: NDArray[Any]) -> Codes:
    groups = groups.astype(np.int64).copy()
    alone = np.flatnonzero(groups < 0)
    groups[alone] = (int(groups.max()) if len(groups) else 0) + 1 + np.arange(len(alone))
    return np.unique(groups, return_inverse=True)[1].astype(np.int64)


def _estimate_mean(losses: list[Floats], group: Codes, resamples: int, seed: int) -> Estimate:
    number = int(group.max()) + 1
    sizes = np.bincount(group, minlength=number)
    sums = np.stack([np.bincount(group, weights=loss, minlength=number) for loss in losses])  # (S, G)
    counts = np.stack([sums, np.broadcast_to(sizes, sums.shape)], -1).astype(np.float64)  # (S, G, 2)
    return statistics.estimate(counts, lambda c: c[..., 0] / c[..., 1], resamples=resamples, seed=seed)


def _class_scores(confusion: Floats, names: Sequence[str]) -> tuple[ClassScores, ...]:
    hits, support, answered = margins(confusion)  # (S, C)
    rows = zip(
        names,
        quotient(hits, answered).mean(0).tolist(),
        quotient(hits, support).mean(0).tolist(),
        quotient(2 * hits, support + answered).mean(0).tolist(),
        support[0].astype(int).tolist(),
        answered.mean(0).tolist(),
        strict=True,
    )
    return tuple(ClassScores(*row) for row in rows)


def _collapse_warnings(confusion: Floats, names: Sequence[str]) -> tuple[str, ...]:
    _, support, answered = margins(confusion)  # (S, C)
    shares = answered / answered.sum(1, keepdims=True)
    collapsed = shares.max(1) >= COLLAPSE_SHARE
    warnings = []
    if collapsed.any() and (support[0] > 0).sum() > 1:
        name = names[int(shares[collapsed][0].argmax())]
        share = shares[collapsed].max()
        which = "" if len(shares) == 1 else f" in {int(collapsed.sum())} of {len(shares)} seeds"
        warnings.append(f"predictions collapse to one class{which}: {share:.1%} of the answers are {name!r}")
    never = [n for n, s, a in zip(names, support[0], answered.sum(0), strict=True) if s and not a]
    if never:
        warnings.append(f"never answered: {', '.join(never)}")
    return tuple(warnings)
