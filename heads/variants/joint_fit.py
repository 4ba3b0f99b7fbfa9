"""Fitting a joint answer: the table is counted, and who has how much say is fitted on held-out answers.

Held-out are, the first that there is: a solved variant's answers out of fold; utterances that were kept out of the
fit and are not scored either; a part of train, whole groups, answered by one more fit of one seed without it. That
fit is made only where some emotion leaves the sentiment open, for elsewhere nothing depends on it but who leads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from dualstream.heads.data.batch import UNLABELLED, FeatureSet
from dualstream.heads.evaluation.calibration import log_softmax
from dualstream.heads.evaluation.confusion import group_confusions, headline_statistic
from dualstream.heads.evaluation.folds import groups_of
from dualstream.heads.evaluation.statistics import compare
from dualstream.heads.variants import registry
from dualstream.heads.variants.contract import TASKS, FitOptions, Prediction, Progress, Trained
from dualstream.heads.variants.decode import decode
from dualstream.heads.variants.joint import FLOOR, Joint, pair_counts, pooled
from dualstream.heads.variants.joint_model import JointModel
from numpy.typing import NDArray

CONCENTRATIONS = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, np.inf)
PULL = 1.0  # towards a power of 1, in nats at a distance of sqrt(2)
SCORE = "balanced_accuracy"  # by which it is decided who leads
SWAPS = 999
ALPHA = 0.05  # chance that sentiment leads though its answers gain nothing by it

Codes = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True, repr=False)
class JointEvidence:
    """Answers of both heads for utterances that they were not fitted on."""

    said: Prediction
    emotion: Codes
    sentiment: Codes
    groups: Codes
    """What is alike: dialogues, or speakers."""
    counted: bool
    """Whether the utterances' own labels stand in the table, which then leaves them out."""

    @classmethod
    def of(cls, said: Prediction, features: FeatureSet, *, counted: bool) -> JointEvidence:
        """Pair answers with the labels of the utterances."""
        return cls(said, features.emotion, features.sentiment, groups_of(features)[0], counted)


def fit(
    name: str,
    train: FeatureSet,
    dev: FeatureSet | None = None,
    *,
    options: FitOptions | None = None,
    progress: Progress | None = None,
) -> Sequence[Trained]:
    """Fit a variant as `registry.fit` does, and give its models one joint answer where `options` say so.

    No label of `dev` has a part in the joint answer: it may be what is scored.
    """
    options = options or FitOptions()
    models = registry.fit(name, train, dev, options=options, progress=progress)
    return joined(models, train, options, progress=progress)


def joined(
    models: Sequence[Trained],
    train: FeatureSet,
    options: FitOptions,
    *,
    held_out: FeatureSet | None = None,
    again: bool = True,
    progress: Progress | None = None,
) -> Sequence[Trained]:
    """Return the models with one joint answer; as they are where the options or the labels give none.

    Parameters
    ----------
    models
        One a seed, fitted on `train`.
    held_out
        Utterances that were kept out of the fit and are not scored: what stopped a fold's training.
    again
        Whether one more fit may be made where nothing else is held out.
    """
    counts = pair_counts(train)
    if options.decoding != "joint" or len(options.tasks) < 2 or not counts.any():
        return models
    if any(model.history.stopped == "interrupted" for model in models):
        again = False
    joint = Joint(counts)
    if joint.open.any():
        joint = replace(joint, concentration=best_concentration(counts[joint.open], joint.log_shares))
    evidence = _evidence(models, train, options, held_out, again and bool(joint.open.any()), progress)
    if evidence is not None:
        joint = weighed(joint, evidence)
    return [JointModel(model, joint) for model in models]


def best_concentration(counts: Codes, log_shares: Floats) -> float:
    """Return the concentration under which the counts (E, S) are likeliest (a Dirichlet around the shares).

    The largest is infinite: the counts are those of the shares alone.
    """
    from scipy.special import gammaln

    shares = np.exp(log_shares)
    total = counts.sum(1)

    def likelihood(at: float) -> float:
        if np.isinf(at):
            return float((counts * log_shares).sum())
        rows = gammaln(at) - gammaln(at + total)
        return float(rows.sum() + (gammaln(counts + at * shares) - gammaln(at * shares)).sum())

    return max(CONCENTRATIONS, key=likelihood)


def weighed(joint: Joint, evidence: JointEvidence) -> Joint:
    """Return the joint with the heads' say, and who leads, as held-out answers have it."""
    table, head = _powers(joint, evidence)
    joint = replace(joint, table=table, head=head)
    joint = replace(joint, own=_own_share(joint, evidence))
    return replace(joint, lead="sentiment" if _sentiment_leads(joint, evidence) else "emotion")


def _evidence(
    models: Sequence[Trained],
    train: FeatureSet,
    options: FitOptions,
    held_out: FeatureSet | None,
    again: bool,
    progress: Progress | None,
) -> JointEvidence | None:
    own: Prediction | None = getattr(models[0], "out_of_fold", None)
    if own is not None:
        return JointEvidence.of(own, train, counted=True)
    if held_out is not None and len(held_out):
        return JointEvidence.of(models[0].predict(held_out), held_out, counted=False)
    return _fitted_again(models, train, options, progress) if again else None


def _fitted_again(
    models: Sequence[Trained], train: FeatureSet, options: FitOptions, progress: Progress | None
) -> JointEvidence | None:
    """Fit one seed without a part of train, for as many epochs as the models were, and ask it of that part."""
    from dualstream.heads.training.fit import HELD_OUT, split_groups

    kept, rest = split_groups(train, HELD_OUT)
    inner = getattr(models[0], "inner", models[0])  # `auto` has chosen already
    epochs = [model.history.best_epoch + 1 for model in models if model.history.best_epoch is not None]
    parameters = options.parameters if inner is models[0] else {}
    own = replace(
        options,
        seeds=options.seeds[:1],
        patience=0,
        epochs=round(float(np.median(epochs))) if epochs else options.epochs,
        parameters=parameters,
    )
    try:
        (model,) = registry.fit(inner.variant, kept, None, options=own, progress=progress)
    except ValueError:  # the part that is left has no label of a task, or is of one group
        return None
    if not len(rest) or model.history.stopped == "interrupted":
        return None
    said = model.predict(rest)
    if said.emotion is None or said.sentiment is None:
        return None
    return JointEvidence.of(said, rest, counted=True)


def _powers(joint: Joint, evidence: JointEvidence) -> tuple[float, float]:
    """Return the powers of the table and of the sentiment head.

    A power of the sentiments' shares is fitted with them and left out: it takes up what the loss did to the head's
    probabilities (it evens classes out), so that the other two don't, and the head answers as evenly as it did.
    """
    keep = (evidence.emotion != UNLABELLED) & (evidence.sentiment != UNLABELLED)
    keep[keep] &= joint.open[evidence.emotion[keep]]
    keep[keep] &= joint.allowed[evidence.emotion[keep], evidence.sentiment[keep]]
    if not keep.any() or evidence.said.sentiment is None:
        return joint.table, joint.head
    from scipy.optimize import minimize  # late: a third of a second

    emotion, sentiment = evidence.emotion[keep], evidence.sentiment[keep]
    ratio = joint.ratio(sentiment if evidence.counted else None, emotion)
    experts = np.stack(
        [ratio, np.maximum(evidence.said.sentiment[keep], FLOOR), np.broadcast_to(joint.log_shares, ratio.shape)]
    )  # (3, n, S)
    ruled_out = np.where(joint.allowed[emotion], 0.0, -np.inf)
    row, start = np.arange(len(sentiment)), np.array([1.0, 1.0, 0.0])

    def loss(at: Floats) -> tuple[float, Floats]:
        log_p = log_softmax(np.tensordot(at, experts, 1) + ruled_out)
        gap = np.exp(log_p)
        gap[row, sentiment] -= 1
        pulled = at - start
        value = -log_p[row, sentiment].sum() + PULL / 2 * pulled @ pulled
        return float(value), np.einsum("ns,kns->k", gap, experts) + PULL * pulled

    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=[(0, None), (0, None), (None, None)])
    return float(found.x[0]), float(found.x[1])


def _own_share(joint: Joint, evidence: JointEvidence) -> float:
    """Return the share of the sentiment head under which held-out sentiments are likeliest."""
    from scipy.optimize import minimize_scalar

    row = np.flatnonzero(evidence.sentiment != UNLABELLED)
    marginal, head = joint.apply(evidence.said).sentiment, evidence.said.sentiment
    if not len(row) or marginal is None or head is None:
        return 0.0
    marginal, head, truth = marginal[row], np.maximum(head[row], FLOOR), evidence.sentiment[row]

    def loss(own: float) -> float:
        return float(-pooled(marginal, head, own)[np.arange(len(row)), truth].sum() + PULL / 2 * own**2)

    return float(minimize_scalar(loss, bounds=(0, 1), method="bounded").x)


def _sentiment_leads(joint: Joint, evidence: JointEvidence) -> bool:
    """Say whether, held out, sentiment is significantly better where it leads, and emotion no worse."""
    follows, leads = (decode(replace(joint, lead=lead).apply(evidence.said)) for lead in TASKS)
    score = headline_statistic(SCORE)
    emotion, sentiment = (
        [_counted(answers[at], truth, evidence.groups, classes) for answers in (leads, follows)]
        for at, truth, classes in zip(
            (0, 1), (evidence.emotion, evidence.sentiment), joint.counts.shape, strict=True
        )
    )
    gains = [float(score(one.sum((0, 1))) - score(other.sum((0, 1)))) for one, other in (emotion, sentiment)]
    if gains[0] < 0 or gains[1] <= 0:  # the test costs more than all the rest
        return False
    first, second = sentiment
    return compare(first, second, score, resamples=1, swaps=SWAPS).p_value <= ALPHA


def _counted(answers: Codes | None, truth: Codes, groups: Codes, classes: int) -> Floats:
    """Count the answers to what is labelled, (1, G, C, C)."""
    assert answers is not None
    row = np.flatnonzero(truth != UNLABELLED)
    group = np.unique(groups, return_inverse=True)[1]
    return group_confusions(truth[row], answers[None, row], classes, group[row])
