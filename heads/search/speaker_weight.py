"""How many utterances the speakers' prior should count for: chosen by playing held-out training speakers.

Training speakers are dealt into folds. The speakers of a fold are new to the others: their utterances come in
batches such as a new speaker may bring, and a linear discriminant that was fitted on the others answers for them.

    whole        all utterances of the speaker                      counts a half
    10, 3, 1     batches of so many, by chance                      a quarter together
    one class    those of one class, each class in turn             a quarter together
    two classes  those of two classes, each utterance once

Mixed batches ask for a small weight and narrow ones for a large one; whole batches are what speaker normalisation
is asked for, and which others come is not known. Of the weights whose balanced accuracies, so averaged, lie within
`TIE` of the best, the one nearest to the default is taken: folds of few speakers tell weights apart no better.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
from dualstream.heads.data.batch import UNLABELLED, FeatureSet
from dualstream.heads.data.speaker_prior import DEFAULT_WEIGHT, SpeakerPrior, WeightChoice
from dualstream.heads.evaluation.folds import fold_codes
from dualstream.heads.linear import closed_form
from dualstream.heads.variants.contract import TASKS, Task
from numpy.typing import NDArray

from dualstream.cores import one_blas_thread

WEIGHTS = (7.5, 15.0, 30.0, 60.0, 120.0)
FOLDS = 4
BATCHES = {"whole": 1 / 2, "10": 1 / 12, "3": 1 / 12, "1": 1 / 12, "one class": 1 / 8, "two classes": 1 / 8}
"""Kinds of batches, and what each counts for."""
COLUMNS = 256  # of all streams, drawn where there are more: enough to tell weights a factor of two apart
TIE = 0.01
SEED = 0

Codes = NDArray[np.int64]
Floats = NDArray[np.float64]


@one_blas_thread()
def fit_speaker_prior(train: FeatureSet, *, tasks: Iterable[Task] = TASKS) -> SpeakerPrior:
    """Learn the prior of these training rows, and choose its weight inside them.

    Parameters
    ----------
    train
        Whoever is fitted on: nobody else's rows or labels are looked at.
    tasks
        The first that has labels of two classes says which weight is best.

    Returns
    -------
    The prior, with how its weight was chosen.
    """
    task, reason = _task_of(train, tasks)
    if task is None:
        return SpeakerPrior.fit(train, weight=DEFAULT_WEIGHT, choice=WeightChoice(f"not chosen: {reason}"))
    known = train.take(np.flatnonzero(train.speaker >= 0))
    scores = batch_scores(known, getattr(known, task))
    means = {weight: sum(BATCHES[kind] * one for kind, one in each.items()) for weight, each in scores.items()}
    good = [weight for weight, mean in means.items() if mean >= max(means.values()) - TIE]
    weight = min(good, key=lambda one: abs(np.log(one / DEFAULT_WEIGHT)))
    speakers = len(np.unique(known.speaker))
    choice = WeightChoice(
        f"{min(FOLDS, speakers)} folds of {speakers} training speakers, by the balanced accuracy of "
        f"{task} over batches: {', '.join(BATCHES)}",
        {f"{weight:g}": each for weight, each in scores.items()},
    )
    return SpeakerPrior.fit(train, weight=weight, choice=choice)


def batch_scores(
    train: FeatureSet, labels: Codes, weights: Iterable[float] = WEIGHTS
) -> dict[float, dict[str, float]]:
    """Return the balanced accuracy on held-out training speakers, by weight and kind of batch.

    Parameters
    ----------
    train
        Two speakers or more, all of them known.
    labels
        Shape (N,), -1 where unlabelled; two classes or more.
    """
    small = _few_columns(train)
    fold = fold_codes(small.speaker, labels, FOLDS, SEED)
    classes = np.unique(labels[labels != UNLABELLED])
    codes = np.where(labels == UNLABELLED, UNLABELLED, np.searchsorted(classes, labels))
    found: dict[float, dict[str, list[Codes]]] = {weight: {name: [] for name in BATCHES} for weight in weights}
    truth: list[Codes] = []
    for number in range(int(fold.max()) + 1):
        rows, held = np.flatnonzero(fold != number), np.flatnonzero(fold == number)
        held = held[codes[held] != UNLABELLED]
        fit, others = small.take(rows), small.take(held)
        truth.append(codes[held])
        batches = simulated_batches(others.speaker, codes[held], SEED)
        for weight, each in found.items():
            prior = SpeakerPrior.fit(fit, weight=weight)
            answer = _Discriminant.fit(_joined(prior.normalise_training(fit)), codes[rows])
            for name, batch in batches.items():
                each[name].append(answer(_joined(prior.normalise(others, batch))))
    right = np.concatenate(truth)
    return {
        weight: {name: _balanced_accuracy(right, np.concatenate(said)) for name, said in each.items()}
        for weight, each in found.items()
    }


def simulated_batches(speaker: Codes, labels: Codes, seed: int) -> dict[str, Codes]:
    """Return for each kind of batch the number of the batch that an utterance is in, shape (N,).

    A batch holds utterances of one speaker; every utterance is in one batch of each kind.
    """
    rng = np.random.default_rng(seed)
    place = np.zeros(len(speaker), np.int64)  # in a random order of the speaker's own
    partner = np.zeros(len(speaker), np.int64)
    classes = int(labels.max(initial=0)) + 1
    for code in np.unique(speaker):
        own = np.flatnonzero(speaker == code)
        place[own] = rng.permutation(len(own))
        partner[own] = (rng.permutation(classes) // 2)[labels[own]]
    kinds = {"whole": np.zeros(len(speaker), np.int64), "one class": labels, "two classes": partner}
    return {name: kinds[name] if name in kinds else place // int(name) for name in BATCHES}


@dataclass(frozen=True, repr=False)
class _Discriminant:
    """Shrinkage LDA over standardised rows, all classes taken as equally frequent."""

    mean: Floats
    spread: Floats
    weights: Floats
    intercepts: Floats
    seen: Codes

    @classmethod
    def fit(cls, rows: Floats, codes: Codes) -> _Discriminant:
        labelled = np.flatnonzero(codes != UNLABELLED)
        seen, own, counts = np.unique(codes[labelled], return_inverse=True, return_counts=True)
        mean, spread = rows.mean(0), rows.std(0)
        spread[spread == 0] = 1
        weights, intercepts, _ = closed_form.lda((rows[labelled] - mean) / spread, own, len(seen))
        return cls(mean, spread, np.asarray(weights, float), np.asarray(intercepts - np.log(counts), float), seen)

    def __call__(self, rows: Floats) -> Codes:
        scores = (rows - self.mean) / self.spread @ self.weights.T + self.intercepts
        return np.asarray(self.seen[scores.argmax(1)])


def _balanced_accuracy(truth: Codes, said: Codes) -> float:
    return float(np.mean([(said[truth == code] == code).mean() for code in np.unique(truth)]))


def _task_of(train: FeatureSet, tasks: Iterable[Task]) -> tuple[Task | None, str]:
    """Return the task that chooses, or None and why nothing can be chosen."""
    known = train.speaker >= 0
    if len(np.unique(train.speaker[known])) < 2:
        return None, "train has fewer than two known speakers"
    for task in tasks:
        labels = getattr(train, task)
        speakers = [np.unique(train.speaker[known & (labels == code)]) for code in np.unique(labels) if code >= 0]
        if sum(len(one) > 1 for one in speakers) > 1:
            return task, ""
    return None, "fewer than two classes are labelled for two training speakers"


def _few_columns(features: FeatureSet) -> FeatureSet:
    """Return utterance rows only, zeros for what is missing or not finite; of wide streams a draw of columns."""
    rng = np.random.default_rng(SEED)
    total = sum(stream.width for stream in features.streams.values())
    streams = {}
    for name, stream in features.streams.items():
        kept = np.arange(stream.width)
        if total > COLUMNS:
            kept = np.sort(rng.permutation(stream.width)[: max(1, stream.width * COLUMNS // total)])
        usable = stream.present & np.isfinite(stream.utterance).all(axis=1)
        rows = np.where(usable[:, None], stream.utterance[:, kept], 0).astype(np.float32)
        streams[name] = replace(stream, utterance=rows, present=usable, windows=None, window_present=None)
    return replace(features, streams=streams)


def _joined(features: FeatureSet) -> Floats:
    return np.concatenate([one.utterance for one in features.streams.values()], axis=1).astype(np.float64)
