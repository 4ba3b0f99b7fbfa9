"""What can be answered without features: one class always, the majority line of every table, and the prior.

Conventions
-----------
- The line answers the class that is commonest among the scored, labelled utterances: no constant answer has a
  better accuracy, so that what does not beat it has learned nothing that shows.
- Beside it stands the line of the class that is commonest in train, where that is another class: what a head
  could have answered without knowing who is scored.
- Of equally common classes train's commonest is taken where it is among them, else the first in the
  vocabulary's order.
- Train's labels count whether or not their utterances have features, so that `check`, which knows the table
  alone, and `compare`, which knows the features, name the same class.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from dualstream.heads.data.batch import UNLABELLED
from dualstream.heads.evaluation.confusion import headlines
from numpy.typing import NDArray

Counts = NDArray[np.int64]


@dataclass(frozen=True)
class Majority:
    """What always answering one class scores."""

    name: str
    accuracy: float
    balanced_accuracy: float
    weighted_f1: float
    macro_f1: float


def majority_lines(
    scored: Counts, names: Sequence[str], train: Counts | None = None
) -> tuple[Majority | None, Majority | None]:
    """Score the two constant answers.

    Parameters
    ----------
    scored
        How many of the scored utterances have each class, shape (C,).
    names
        The C class names.
    train
        The same of the training utterances; None where there are none.

    Returns
    -------
    The line of the commonest scored class, None where nothing is labelled; and that of train's commonest class,
    None where it is the same class or nothing of train is labelled.
    """
    scored = np.asarray(scored, dtype=np.int64)
    if not scored.sum():
        return None, None
    trains = int(np.argmax(train)) if train is not None and np.sum(train) else None
    commonest = int(scored.argmax())
    if trains is None or scored[trains] == scored[commonest]:
        return constant_line(scored, commonest if trains is None else trains, names), None
    return constant_line(scored, commonest, names), constant_line(scored, trains, names)


def class_counts(codes: Counts, classes: int) -> Counts:
    """Return how many labels each class has, shape (C,), of codes that are -1 where there is none."""
    return np.bincount(codes[codes != UNLABELLED], minlength=classes)


def log_shares(counts: Counts) -> NDArray[np.float64]:
    """Return the logarithms of the classes' shares, the prior, with one added to each class."""
    counts = np.asarray(counts, dtype=np.int64)
    return np.log((counts + 1) / (counts.sum() + len(counts)))


def constant_line(scored: Counts, answer: int, names: Sequence[str]) -> Majority:
    """Score answering the class of code `answer` to utterances of which `scored` have each class."""
    confusion = np.zeros((len(names), len(names)))
    confusion[:, answer] = scored
    return Majority(names[answer], *(float(value) for value in headlines(confusion)))


def log_shares_near(counts: Counts, prior: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the logarithms of some utterances' shares, with one added to each class as a log `prior` has them."""
    counts = np.asarray(counts, dtype=np.int64)
    classes = len(counts)
    return np.log((counts + classes * np.exp(prior)) / (counts.sum() + classes))
