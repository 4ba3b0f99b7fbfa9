"""Emotion and sentiment as one joint answer: a table of pairs that training showed, and two heads.

With q the emotion head, H the sentiment head and P(s|e) the table, over the pairs that training showed:

    P(e, s | x) = q(e|x) P(s|e, x),    P(s|e, x) ~ (P(s|e) / P(s))^table * H(s|x)^head

Where an emotion came with one sentiment alone, that is a lookup; where it leaves the sentiment open, the
sentiment head has its say; where the table says nothing (P(s|e) = P(s)), what is left is the sentiment head.
Emotion leads: its head's probabilities and answers stay what they were, and the sentiment that is answered is the
likeliest given that emotion. Where held-out answers say that sentiment is significantly better the other way
round, and emotion no worse, the sentiment head leads and emotion follows (by Jeffrey's rule, H takes the place of
the joint's marginal).

Sentiment's probabilities, where it follows, are the joint's marginal M(s|x) = sum_e P(e, s | x) and the head in
one, M^(1 - own) * H^own, as held-out answers have them likeliest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from dualstream.heads.data.batch import UNLABELLED, FeatureSet
from dualstream.heads.evaluation.calibration import log_softmax
from dualstream.heads.evaluation.majority import log_shares
from dualstream.heads.variants.contract import Prediction, Task
from numpy.typing import NDArray

FLOOR = -1e4  # a log-probability below this is as good as none, and stays a number
UNSEEN = 0.5  # utterances of an emotion that count as of sentiments which it was never shown with

Floats = NDArray[np.float64]


@dataclass(frozen=True, repr=False)
class Joint:
    """What training says of emotion and sentiment together."""

    counts: NDArray[np.int64]
    """How often each pair stands among the training labels, shape (E, S)."""
    concentration: float = 1.0
    """Utterances that every emotion's row of the table is drawn towards the sentiments' shares by; infinite where
    sentiment does not follow from emotion."""
    table: float = 1.0
    """Power of P(s|e) / P(s)."""
    head: float = 1.0
    """Power of the sentiment head."""
    own: float = 0.0
    """Share of the sentiment head, 0 to 1, in sentiment's log-probabilities; the joint's marginal has the rest."""
    lead: Task = "emotion"
    """Whose head answers first; the other follows."""

    @property
    def allowed(self) -> NDArray[np.bool_]:
        """Pairs that may be answered, shape (E, S): those shown, or any of an emotion shown with none."""
        seen = self.counts > 0
        return np.where(seen.any(1, keepdims=True), seen, True)

    @property
    def open(self) -> NDArray[np.bool_]:
        """Emotions that were shown with several sentiments, shape (E,)."""
        return (self.counts > 0).sum(1) > 1

    @property
    def log_shares(self) -> Floats:
        """Log shares of the sentiments among utterances with both labels, shape (S,)."""
        return log_shares(self.counts.sum(0))

    def ratio(self, less: NDArray[np.int64] | None = None, emotion: NDArray[np.int64] | None = None) -> Floats:
        """Return log P(s|e) / P(s), shape (E, S).

        With `emotion` (N,), one row for each utterance, (N, S); and `less`, its sentiments, which are taken out
        of the counts first: what the others say of it.
        """
        counts = self.counts.astype(np.float64)
        if emotion is not None:
            counts = counts[emotion]
            if less is not None:
                counts[np.arange(len(less)), less] -= 1
        if np.isinf(self.concentration):
            return np.zeros_like(counts)
        shares = np.exp(self.log_shares)
        drawn = counts + self.concentration * shares
        return np.log(drawn / drawn.sum(1, keepdims=True) / shares)

    @property
    def leak(self) -> tuple[Floats, Floats]:
        """Logs of what is left for an emotion's shown sentiments, (E, 1), and of each other one's part, (E, S)."""
        total = self.counts.sum(1)
        closed_out = np.where(self.allowed, 0.0, np.exp(self.log_shares))  # (E, S)
        some = closed_out.sum(1, keepdims=True)
        share = np.where(some > 0, (UNSEEN / (total + UNSEEN))[:, None], 0.0)  # (E, 1)
        parts = share * closed_out / np.where(some > 0, some, 1.0)
        return np.log1p(-share), np.log(np.where(self.allowed, 1.0, parts))

    def follow(self, say: Floats) -> Floats:
        """Return log P(s|e, x), shape (N, E, S); `say` (N, S) is the sentiment head's, with its power."""
        logits = self.table * self.ratio()[None] + say[:, None, :]
        kept, parts = self.leak
        inside = log_softmax(np.where(self.allowed, logits, -np.inf))
        return np.where(self.allowed, inside + kept, parts)

    def apply(self, prediction: Prediction) -> Prediction:
        """Return a prediction of both tasks with the joint's marginals, and its pairs."""
        emotion, sentiment = prediction.emotion, prediction.sentiment
        assert emotion is not None and sentiment is not None, "a joint answer needs both heads"
        floored = np.maximum(sentiment, FLOOR)
        joint = np.maximum(emotion, FLOOR)[:, :, None] + self.follow(self.head * floored)  # (N, E, S)
        if self.lead == "sentiment":
            joint = led_by_sentiment(joint, floored)
            emotion = np.logaddexp.reduce(joint, axis=2)
        else:
            sentiment = pooled(np.logaddexp.reduce(joint, axis=1), floored, self.own)
        leads = np.full(len(joint), self.lead == "sentiment")
        return Prediction(emotion, sentiment, np.where(self.allowed, joint, -np.inf), leads)


def pooled(marginal: Floats, sentiment: Floats, own: float) -> Floats:
    """Return the joint's marginal (N, S) with the share `own` of what the sentiment head says."""
    return log_softmax((1 - own) * marginal + own * sentiment)


def led_by_sentiment(joint: Floats, sentiment: Floats) -> Floats:
    """Return log-probabilities of pairs (N, E, S) whose marginal over emotions is what `sentiment` (N, S) says."""
    return joint + (sentiment - np.logaddexp.reduce(joint, axis=1))[:, None, :]


def pair_counts(features: FeatureSet) -> NDArray[np.int64]:
    """Count the pairs of classes among utterances with both labels, shape (E, S)."""
    counts = np.zeros((len(features.emotion_names), len(features.sentiment_names)), dtype=np.int64)
    both = (features.emotion != UNLABELLED) & (features.sentiment != UNLABELLED)
    np.add.at(counts, (features.emotion[both], features.sentiment[both]), 1)
    return counts


def joined_rows(parts: Sequence[Prediction], order: NDArray[np.int64]) -> Prediction:
    """Return the rows of several predictions as one, in another order; all have the same tasks.

    Where some of them answer both tasks as one and others don't, as where the rows that a fold leaves never have
    both labels, the latter keep their separate answers.
    """

    def rows(task: Task) -> Floats | None:
        each = [one for part in parts if (one := part.task(task)) is not None]
        return np.concatenate(each)[order] if each else None

    if all(part.pairs is None for part in parts):
        return Prediction(rows("emotion"), rows("sentiment"))
    pairs, leads = zip(*(_pairs_of(part) for part in parts), strict=True)
    return Prediction(
        rows("emotion"), rows("sentiment"), np.concatenate(pairs)[order], np.concatenate(leads)[order]
    )


def _pairs_of(part: Prediction) -> tuple[Floats, NDArray[np.bool_]]:
    if part.pairs is not None and part.sentiment_leads is not None:
        return part.pairs, part.sentiment_leads
    assert part.emotion is not None and part.sentiment is not None
    apart = np.maximum(part.emotion, FLOOR)[:, :, None] + np.maximum(part.sentiment, FLOOR)[:, None, :]
    return apart, np.zeros(len(apart), np.bool_)
