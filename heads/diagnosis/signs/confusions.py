"""Labels that are wrong in one way: some utterances of a class bear the name of one other, whoever speaks.

A share of wrong labels need not be drawn from all classes. Where rows were labelled in another order of the
classes, where two names were mixed up or one class was labelled carelessly, classes have names of their own:

    P(label y | row) = sum over c of P(c | row) T[c, y]          T[c, y]: share of class c that is called y

A probe alone tells no difference between a class that is called by two names and two classes that overlap: both
names get a share of its answer. But rows of classes that overlap are unsure between the two and sure elsewhere,
while wrong names leave no row sure, however far inside of its class it lies. So P(c | row) is a softmax of the
probe's scores, mixed anew (matrix scaling, Guo et al. 2017, https://arxiv.org/abs/1706.04599), fitted with T (the
transition matrix of Patrini et al. 2017, https://arxiv.org/abs/1609.03683, found together with the classes) and
without it. What T gains is read off from speakers whom neither model has met: a corpus of right labels gains
nothing by it, however many shares T has. Classes that lie in one place, as where streams tell only groups of them,
gain a little by drawing lots for their names; a name that is wrong, and told elsewhere, gains far more.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from dualstream.heads.diagnosis.signs.table import Codes, Floats, Mask, Table
from dualstream.heads.diagnosis.signs.told import Told, told_labels
from dualstream.heads.evaluation.calibration import log_softmax

ROWS = 2_500  # of larger tables so many are looked at, evenly spread
LEAST_ROWS = 100
FOLDS = 4  # of speakers (dialogues); of fewer, rows are dealt by themselves
FITTED = 5  # labels of a class that were fitted on, for others of it to be scored
STEPS = 150
LITTLE = 0.05  # share of wrong names that one of two searches begins with
FLOOR = 0.01  # share of each name, where the other one begins
NEAR = 1.0  # penalty of scores that are mixed anew, and
RIGHT = 3.0  # log-likelihood that it costs to call all of a class otherwise
LEAST_GAIN = 15.0  # of log-likelihood, over speakers who were not fitted on
LEAST_EACH = 0.15  # of log-likelihood, for each wrong label; classes in one place reach 0.09
LEAST_SHARE = 0.1  # of one class, that bears other names
LEAST_RATE = 0.03  # of all labels
MOST = 0.5  # of the wrong labels, that bear such names where labels are wrong in one way
ONE_NAME = 0.6  # of the wrong labels, that bear the one name which is commonest for their class


@dataclass(frozen=True, repr=False)
class Confusions:
    """What each class is called where some labels are wrong."""

    classes: tuple[int, ...]
    """Codes of the classes that occur."""
    called: tuple[tuple[float, ...], ...]
    """Of each of `classes`, the share that is called by each of their names; rows sum to 1."""
    rate: float
    """Share of all labels that are wrong."""
    wrong: float
    """Number of those, as expected."""
    gain: float
    """Log-likelihood of it over that of right labels, of groups that neither was fitted on."""
    utterances: tuple[int, ...]
    """Those that are more likely wrong than right, the likeliest first."""
    answers: tuple[int, ...]
    """The class of each of those."""

    @property
    def found(self) -> bool:
        """Whether some classes bear other names beyond doubt."""
        most = max(1 - row[at] for at, row in enumerate(self.called))
        gains = self.gain >= max(LEAST_GAIN, LEAST_EACH * self.wrong)
        return gains and most >= LEAST_SHARE and self.rate >= LEAST_RATE

    @property
    def pairs(self) -> tuple[tuple[int, int, float], ...]:
        """Classes of which a share bears one other name: the class, the name and the share, the largest first."""
        found = []
        for at, row in enumerate(self.called):
            others = [(share, name) for name, share in enumerate(row) if name != at]
            share, name = max(others)
            if share >= LEAST_SHARE and share >= ONE_NAME * (1 - row[at]):
                found.append((self.classes[at], self.classes[name], share))
        return tuple(sorted(found, key=lambda one: -one[2]))

    @property
    def in_one_way(self) -> bool:
        """Whether most of the wrong labels bear the commonest wrong name of their class."""
        wrong = sum(1 - row[at] for at, row in enumerate(self.called))
        return self.found and sum(share for _, _, share in self.pairs) >= MOST * wrong

    @property
    def spread(self) -> tuple[tuple[int, float], ...]:
        """Classes of which a share bears many other names: the class and the share, the largest first."""
        paired = {one for one, _, _ in self.pairs}
        shares = [(one, 1 - self.called[at][at]) for at, one in enumerate(self.classes) if one not in paired]
        return tuple(sorted((one for one in shares if one[1] >= LEAST_SHARE), key=lambda one: -one[1]))


def confusions(table: Table) -> Confusions | None:
    """Estimate what each class is called, of all streams together; None where there are too few utterances."""
    told = told_labels(table) if table.raw else None
    if told is None or not told.tells:
        return None
    index = np.flatnonzero(told.use)
    index = index[:: -(-len(index) // ROWS)]
    if len(index) < LEAST_ROWS:
        return None
    scores = told.log_p[index] - told.log_p[index].mean(axis=1, keepdims=True)
    code = told.code[index]
    fold = _folds(table.speaker[index] if table.named_speakers else table.dialogue[index])
    gain = sum(_gained(scores, code, fold != number) for number in range(FOLDS))
    fitted = _named(scores, code, _plain(scores, code))
    return _confusions(told, index, scores, fitted, gain)


def _folds(group: Codes) -> Codes:
    """Deal whole groups into folds at random; single rows where there are too few groups."""
    names, code = np.unique(group, return_inverse=True)
    if len(names) < FOLDS:
        code, names = np.arange(len(group)), np.arange(len(group))
    return (np.random.default_rng(0).permutation(len(names)) % FOLDS)[code]


def _gained(scores: Floats, code: Codes, fit: Mask) -> float:
    """Return what names gain in the log-likelihood of rows that were not fitted on."""
    asked = ~fit & (np.bincount(code[fit], minlength=scores.shape[1]) >= FITTED)[code]
    if not asked.any():
        return 0.0
    plain = _plain(scores[fit], code[fit])
    named = _named(scores[fit], code[fit], plain)
    own = [_answers(one, scores[asked])[2][np.arange(asked.sum()), code[asked]] for one in (named, plain)]
    return float((np.log(own[0]) - np.log(own[1])).sum())


def _plain(scores: Floats, code: Codes) -> Floats:
    """Return how scores are mixed anew where each label is right: weights and intercepts."""
    classes = scores.shape[1]
    return _fitted(np.concatenate((np.eye(classes).ravel(), np.zeros(classes))), scores, code)[1]


def _named(scores: Floats, code: Codes, plain: Floats) -> Floats:
    """Return how scores are mixed anew where a class has several names: weights, intercepts, names' logits.

    One search begins with hardly any wrong names, and one with those that rows of each likeliest class bear.
    """
    classes = scores.shape[1]
    few = np.full((classes, classes), LITTLE / max(1, classes - 1))
    np.fill_diagonal(few, 1 - LITTLE)
    borne = np.full((classes, classes), 1e-9) + 1e-9 * np.eye(classes)
    np.add.at(borne, (_answers(plain, scores)[1].argmax(axis=1), code), 1.0)
    borne = np.maximum(borne / borne.sum(axis=1, keepdims=True), FLOOR)
    starts = [np.concatenate((plain, np.log(names).ravel())) for names in (few, borne)]
    return min((_fitted(start, scores, code) for start in starts), key=lambda one: one[0])[1]


def _fitted(start: Floats, scores: Floats, code: Codes) -> tuple[float, Floats]:
    from scipy.optimize import minimize

    found = minimize(_loss, start, args=(scores, code), jac=True, method="L-BFGS-B", options={"maxiter": STEPS})
    return float(found.fun), np.asarray(found.x)


def _answers(values: Floats, scores: Floats) -> tuple[Floats, Floats, Floats]:
    """Return the names T (C, C), and of each row the chances of the classes (N, C) and of the labels (N, C)."""
    classes = scores.shape[1]
    weights, intercepts, names = np.split(values, [classes**2, classes**2 + classes])
    p = np.exp(log_softmax(scores @ weights.reshape(classes, classes).T + intercepts))
    called = np.exp(log_softmax(names.reshape(classes, classes))) if len(names) else np.eye(classes)
    return called, p, np.maximum(p @ called, 1e-12)


def _loss(values: Floats, scores: Floats, code: Codes) -> tuple[float, Floats]:
    """Return the penalised log loss and its gradient."""
    count, classes = scores.shape
    called, p, labels = _answers(values, scores)
    own = labels[np.arange(count), code]
    told = p * called[:, code].T / own[:, None]  # chance of each class once the label is known
    change = values[: classes**2].reshape(classes, classes) - np.eye(classes)
    loss = -np.log(own).sum() + NEAR * (change**2).sum()
    by_weight = (p - told).T @ scores + 2 * NEAR * change
    gradient = [by_weight.ravel(), (p - told).sum(axis=0)]
    if len(values) > classes**2 + classes:
        counts = np.zeros((classes, classes))
        np.add.at(counts.T, code, told)
        right = np.diag(called)
        loss += RIGHT * float((1 - right).sum())
        by_name = counts.sum(axis=1, keepdims=True) * called - counts
        by_name -= RIGHT * right[:, None] * (np.eye(classes) - called)
        gradient.append(by_name.ravel())
    return float(loss), np.concatenate(gradient)


def _confusions(told: Told, index: Codes, scores: Floats, fitted: Floats, gain: float) -> Confusions:
    called, p, labels = _answers(fitted, scores)
    code = told.code[index]
    of_class = p * called[:, code].T / labels[np.arange(len(code)), code][:, None]
    wrong = 1 - of_class[np.arange(len(code)), code]
    likely = np.flatnonzero(wrong > 0.5)
    likely = likely[np.argsort(-wrong[likely], kind="stable")]
    return Confusions(
        classes=tuple(told.names.tolist()),
        called=tuple(tuple(row) for row in called.tolist()),
        rate=float(wrong.mean()),
        wrong=float(wrong.sum()),
        gain=gain,
        utterances=tuple(index[likely].tolist()),
        answers=tuple(told.names[of_class[likely].argmax(axis=1)].tolist()),
    )
