"""Whether a stream knows the labels of its own training rows: the sign of an encoder that was fitted on them.

A network that has memorised labels puts its training rows into tight clusters, one per class, and all other rows
somewhere between. A linear probe is then certain of training rows even where it was not fitted on them (their
encoder was), and less certain of the rows of another split:

    training rows   A A·A              B·B B        probe fitted without these groups: certain
    other rows         A   B  A B   A   B           less certain, and more often wrong

Honest features lie alike in all splits, and a probe that answers for groups that it has not seen is as certain of
the one as of the other. What must not be taken for the sign: rows of another gain or offset (so the other rows are
read both as training was scaled and scaled by themselves, and the smaller difference counts), and other shares of
the classes (so certainty is held against that of training rows with the same answer).

Where the other split is labelled, its accuracy must fall too, and small differences tell. No label of a test split
is needed: without labels the difference must be larger.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
from dualstream.heads.data.batch import UNLABELLED, FeatureSet
from dualstream.heads.evaluation.calibration import fit_weights, log_softmax
from dualstream.heads.evaluation.folds import connected, fold_codes, group_codes, holds_apart
from dualstream.heads.linear.closed_form import ridge
from dualstream.heads.variants.options import Task
from numpy.typing import NDArray

from dualstream.documents import JsonObject

FOLDS = 4
PENALTIES = [3.0, 30.0, 300.0, 3000.0]  # of standardised columns
COLUMNS = 128  # wider streams are brought to so many by random directions, which keep clusters apart
ROWS = 2_000  # of a split; of more, whole groups are drawn
LEAST_ROWS = 30  # of training and of the other split
FLOOR = 0.02  # added to a row's entropy (of 1) before its logarithm: how certain is certain enough
LARGEST_SHIFT = 0.25  # of class shares between the splits (total variation), but for what chance makes of it

Codes = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class MemorisationRule:
    """What a difference must come to."""

    t: float
    """Student's t over groups of rows."""
    ratio: float
    """Of the entropies' logarithms."""
    drop: float
    """Of certainty."""
    accuracy: float
    """Of answers that are right, how much less."""

    def met(self, one: Certainty) -> bool:
        """Say whether a comparison comes to all of it."""
        if one.t < self.t or one.ratio < self.ratio or one.drop < self.drop:
            return False
        lost = one.train_accuracy - (one.other_accuracy or 0.0)
        return one.other_accuracy is None or lost >= self.accuracy


LABELLED = (
    MemorisationRule(t=2.5, ratio=0.1, drop=0.0, accuracy=0.12),
    MemorisationRule(t=1.5, ratio=0.05, drop=0.0, accuracy=0.3),
)
WITHOUT_LABELS = (MemorisationRule(t=4.5, ratio=0.3, drop=0.05, accuracy=0.0),)


@dataclass(frozen=True)
class Certainty:
    """How certain a linear probe is of training rows that it was not fitted on, and of another split's rows."""

    stream: str
    task: Task
    train: float
    """Mean certainty of training rows outside the fold: 1 less the entropy's share of its largest, 0 to 1."""
    other: float
    """The same of the other split's rows, read as training was scaled."""
    drop: float
    """How much less certain the other rows are than training rows of the same answers."""
    ratio: float
    """Difference of the logarithms of the entropies."""
    t: float
    """Student's t of that difference over groups of rows."""
    train_accuracy: float
    """Share of right answers outside the fold, at the other split's class shares where that is labelled."""
    other_accuracy: float | None
    """Share of right answers on the other split, the better of both ways to scale it; None where no label of it
    is read."""

    @property
    def memorised(self) -> bool:
        """Whether the stream knows the labels of its training rows."""
        return any(rule.met(self) for rule in (WITHOUT_LABELS if self.other_accuracy is None else LABELLED))

    def describe(self, split: str) -> str:
        """Return what was seen, in one sentence without its end."""
        right = ""
        if self.other_accuracy is not None:
            right = f", and right in {self.train_accuracy:.0%} against {self.other_accuracy:.0%}"
        return (
            f"{self.stream} knows the {self.task} labels of train: a linear probe is {self.train:.2f} certain of "
            f"train rows that it was not fitted on, {self.other:.2f} of {split}{right}"
        )

    def to_json(self) -> JsonObject:
        """Return the values, and what follows."""
        return {**asdict(self), "memorised": self.memorised}


@dataclass(frozen=True, repr=False)
class LinearProbe:
    """A linear probe of one stream, fitted on training rows, a model for each fold of whole groups."""

    stream: str
    task: Task
    middle: Floats
    spread: Floats
    sketch: Floats | None
    weights: list[tuple[Floats, Floats]]
    """Of each fold's model, (C, D) and (C,), with its temperature."""
    answers: Codes
    """Of training rows, outside the fold, shape (N,)."""
    truth: Codes
    entropy: Floats
    """Log of the entropy of the same, shape (N,)."""
    groups: Codes
    by: str

    @classmethod
    def of(cls, train: FeatureSet, stream: str, task: Task, by: str) -> LinearProbe | None:
        """Fit the probe; `by` says which groups are kept whole. None where there is too little to fit on."""
        index = _drawn(train, _usable(train, stream, task), by)
        truth, groups = getattr(train, task)[index], group_codes(train, by)[index]
        counts = np.bincount(truth) if len(truth) else np.zeros(0)
        if len(index) < LEAST_ROWS or (counts > 0).sum() < 2 or len(np.unique(groups)) < 2:
            return None
        rows = train.streams[stream].utterance[index].astype(np.float64)
        middle, spread = _moments(rows)
        wide = rows.shape[1] > COLUMNS
        sketch = np.random.default_rng(0).normal(size=(rows.shape[1], COLUMNS)) if wide else None
        rows = _read(rows, middle, spread, sketch)
        seen, codes = np.unique(truth, return_inverse=True)
        fold = fold_codes(groups, codes, FOLDS)
        scores, fitted = _out_of_fold(rows, codes, fold, len(seen))
        temperatures = [fit_weights(one[None], codes)[0] for one in scores]
        log_p = [log_softmax(t * one) for t, one in zip(temperatures, scores, strict=True)]
        best = int(np.argmin([-one[np.arange(len(codes)), codes].mean() for one in log_p]))
        weights = [(temperatures[best] * w, temperatures[best] * b) for w, b in (each[best] for each in fitted)]
        answers = seen[log_p[best].argmax(1)]
        full = [(_spread_out(w, seen, 0.0), _spread_out(b, seen, -np.inf)) for w, b in weights]
        return cls(
            stream, task, middle, spread, sketch, full, answers, truth, _log_entropy(log_p[best]), groups, by
        )

    def against(self, other: FeatureSet, *, labelled: bool) -> Certainty | None:
        """Ask about another split's rows; None where there are too few or their classes are others."""
        index = _drawn(other, _usable(other, self.stream, self.task if labelled else None), self.by)
        if len(index) < LEAST_ROWS:
            return None
        rows = other.streams[self.stream].utterance[index].astype(np.float64)
        truth = getattr(other, self.task)[index] if labelled else None
        own = _moments(rows)
        views = [
            self._compare(_read(rows, middle, spread, self.sketch), group_codes(other, self.by)[index], truth)
            for middle, spread in ((self.middle, self.spread), own)
        ]
        first, second = views
        if first is None or second is None:
            return None
        return Certainty(
            self.stream, self.task, first.train, first.other, min(first.drop, second.drop),
            min(first.ratio, second.ratio), min(first.t, second.t), first.train_accuracy,
            None if truth is None else max(first.other_accuracy or 0.0, second.other_accuracy or 0.0),
        )  # fmt: skip

    def _compare(self, rows: Floats, groups: Codes, truth: Codes | None) -> Certainty | None:
        log_p = np.stack([log_softmax(rows @ w.T + b) for w, b in self.weights])  # (K, N, C)
        answers, entropy = log_p.argmax(-1), _log_entropy(log_p)
        known = truth if truth is not None else answers.ravel()
        usual_shares = self.truth if truth is not None else self.answers
        by_chance = 0.5 * np.sqrt(len(self.weights[0][1]) / len(rows))
        if _shift(known, usual_shares) > LARGEST_SHIFT + by_chance:
            return None
        usual, sure = (self._by_answer(values) for values in (self.entropy, self._certain(self.entropy)))
        difference, t = _difference(
            self.entropy - usual[self.answers], self.groups, (entropy - usual[answers]).mean(0), groups
        )
        return Certainty(
            stream=self.stream,
            task=self.task,
            train=float(self._certain(self.entropy).mean()),
            other=float(self._certain(entropy).mean()),
            drop=float(sure[answers].mean() - self._certain(entropy).mean()),
            ratio=difference,
            t=t,
            train_accuracy=self._accuracy(truth),
            other_accuracy=None if truth is None else float((answers == truth).mean()),
        )

    def _by_answer(self, values: Floats) -> Floats:
        """Return the mean of training rows' values by their answer; of a class never answered, that of all."""
        counts = np.bincount(self.answers, minlength=len(self.weights[0][1]))
        sums = np.bincount(self.answers, values, minlength=len(counts))
        return np.where(counts > 0, sums / np.maximum(counts, 1), values.mean())

    def _certain(self, log_entropy: Floats) -> Floats:
        return 1 + FLOOR - np.exp(log_entropy)

    def _accuracy(self, truth: Codes | None) -> float:
        right = self.answers == self.truth
        if truth is None:
            return float(right.mean())
        classes = int(max(self.truth.max(), truth.max())) + 1
        counts = np.bincount(self.truth, minlength=classes)
        recall = np.bincount(self.truth, right, minlength=classes) / np.maximum(counts, 1)
        shown = truth[counts[truth] > 0]
        return float(recall[shown].mean()) if len(shown) else 0.0


def certainty(
    train: FeatureSet, others: dict[str, FeatureSet], stream: str, task: Task, *, unlabelled: tuple[str, ...] = ()
) -> dict[str, Certainty]:
    """Compare a probe's certainty of training rows with that of other splits' rows.

    Parameters
    ----------
    train
        Rows with labels.
    others
        Other splits by name.
    unlabelled
        Those of which no label is read, such as test.

    Returns
    -------
    By split; those that can't be told are left out: few rows, one class, no groups to hold out.
    """
    found: dict[str, Certainty] = {}
    probes: dict[str, LinearProbe | None] = {}
    for name, other in others.items():
        by = _grouping(train, other)
        if by is None or not len(other):
            continue
        if by not in probes:
            probes[by] = LinearProbe.of(train, stream, task, by)
        probe = probes[by]
        labelled = name not in unlabelled and bool((getattr(other, task) != UNLABELLED).sum() >= LEAST_ROWS)
        one = None if probe is None else probe.against(other, labelled=labelled)
        if one is not None:
            found[name] = one
    return found


def _grouping(train: FeatureSet, other: FeatureSet) -> str | None:
    """Return what must be new to the probe as it is in the other split; None where that can't be had."""
    known = bool(len(train)) and bool((train.speaker >= 0).all()) and bool((other.speaker >= 0).all())
    if not known or np.isin(other.speaker, train.speaker).any():
        return "dialogue"
    return "speaker" if holds_apart(connected(train.speaker, train.dialogue), train.speaker) else None


def _usable(features: FeatureSet, stream: str, task: Task | None) -> Codes:
    rows = features.streams[stream]
    use = rows.present & np.isfinite(rows.utterance).all(axis=1)
    if task is not None:
        use &= getattr(features, task) != UNLABELLED
    return np.flatnonzero(use)


def _drawn(features: FeatureSet, index: Codes, by: str) -> Codes:
    """Return those of `index` that are asked: all, or whole groups until ROWS are there."""
    if len(index) <= ROWS:
        return index
    members, code = np.unique(group_codes(features, by)[index], return_inverse=True)
    order = np.random.default_rng(0).permutation(len(members))
    enough = int(np.searchsorted(np.cumsum(np.bincount(code)[order]), ROWS)) + 1
    return index[np.isin(code, order[:enough])]


def _moments(rows: Floats) -> tuple[Floats, Floats]:
    middle, spread = rows.mean(axis=0), rows.std(axis=0)
    return middle, np.where(spread > 1e-9 * np.maximum(np.abs(middle), 1e-30), spread, np.inf)


def _read(rows: Floats, middle: Floats, spread: Floats, sketch: Floats | None) -> Floats:
    scaled = np.clip((rows - middle) / spread, -10, 10)
    return scaled if sketch is None else scaled @ sketch / np.sqrt(len(sketch))


def _out_of_fold(
    rows: Floats, codes: Codes, fold: Codes, classes: int
) -> tuple[Floats, list[list[tuple[Floats, Floats]]]]:
    """Return scores (P, N, C) of rows by models that didn't see their group, and each fold's models by penalty."""
    scores = np.zeros((len(PENALTIES), len(rows), classes))
    fitted: list[list[tuple[Floats, Floats]]] = []
    for number in range(int(fold.max()) + 1):
        fit, held = fold != number, fold == number
        fitted.append([])
        for at, (weights, intercepts) in enumerate(ridge(rows[fit], codes[fit], classes, PENALTIES)):
            scores[at, held] = rows[held] @ weights.T + intercepts
            fitted[-1].append((weights.astype(np.float64), intercepts.astype(np.float64)))
    return scores, fitted


def _spread_out(values: Floats, seen: Codes, unseen: float) -> Floats:
    """Put the rows of classes that training showed at their codes."""
    full = np.full((int(seen.max()) + 1, *values.shape[1:]), unseen)
    full[seen] = values
    return full


def _log_entropy(log_p: Floats) -> Floats:
    """Return the logarithm of FLOOR and the entropy as a share of its largest, shape (...,)."""
    classes = max(2, int(np.isfinite(log_p).all(axis=tuple(range(log_p.ndim - 1))).sum()))
    terms = np.where(np.isfinite(log_p), np.exp(log_p) * np.where(np.isfinite(log_p), log_p, 0), 0)
    return np.log(FLOOR - terms.sum(-1) / np.log(classes))


def _shift(one: Codes, other: Codes) -> float:
    size = int(max(one.max(), other.max())) + 1
    shares = [np.bincount(codes, minlength=size) / len(codes) for codes in (one, other)]
    return float(np.abs(shares[0] - shares[1]).sum() / 2)


def _difference(first: Floats, first_groups: Codes, second: Floats, second_groups: Codes) -> tuple[float, float]:
    """Return by how much `second` is larger on average, and Student's t of it with groups as units."""
    means, squares, counts = [], 0.0, []
    for values, groups in ((first, first_groups), (second, second_groups)):
        code = np.unique(groups, return_inverse=True)[1]
        sizes = np.bincount(code)
        mean = float(values.mean())
        squares += float(((np.bincount(code, values) - mean * sizes) ** 2).sum() / sizes.mean() ** 2)
        means.append(mean)
        counts.append(len(sizes))
    freedom = sum(counts) - 2
    if freedom < 1 or squares <= 0:
        return means[1] - means[0], 0.0
    error = np.sqrt(squares / freedom * (1 / counts[0] + 1 / counts[1]))
    return means[1] - means[0], float((means[1] - means[0]) / error)
