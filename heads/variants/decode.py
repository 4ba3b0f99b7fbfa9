"""From log-probabilities to answers: one joint answer, each task by itself, or the likeliest of the pairs seen."""

from __future__ import annotations

import numpy as np
from dualstream.heads.variants.registry import Prediction
from numpy.typing import NDArray

Codes = NDArray[np.int64]


def decode(prediction: Prediction) -> tuple[Codes | None, Codes | None]:
    """Return the classes that a model answers, (N,) each; None for a task without a head.

    A joint answer is the likeliest class of the task that leads, and the other's likeliest given it: a pair that
    training showed. Without one, each task's likeliest.
    """
    pairs, leads = prediction.pairs, prediction.sentiment_leads
    if pairs is None or leads is None:
        return separate_decode(prediction)
    assert prediction.emotion is not None and prediction.sentiment is not None
    row = np.arange(len(pairs))
    able = np.isfinite(pairs).any(1)  # sentiments that stand in some pair, (N, S)
    emotion = prediction.emotion.argmax(1)
    sentiment = np.where(able, np.maximum(prediction.sentiment, np.finfo(np.float64).min), -np.inf).argmax(1)
    answers = (
        np.where(leads, pairs[row, :, sentiment].argmax(1), emotion),
        np.where(leads, sentiment, pairs[row, emotion].argmax(1)),
    )
    return answers[0].astype(np.int64), answers[1].astype(np.int64)


def separate_decode(prediction: Prediction) -> tuple[Codes | None, Codes | None]:
    """Return the most likely class of each task, (N,) each; None for a task without a head."""
    emotion, sentiment = (
        None if rows is None else rows.argmax(axis=1).astype(np.int64)
        for rows in (prediction.emotion, prediction.sentiment)
    )
    return emotion, sentiment


def joint_decode(prediction: Prediction, seen: NDArray[np.bool_]) -> tuple[Codes, Codes]:
    """Return the most likely (emotion, sentiment) pair among those seen in training.

    Sentiment follows from emotion but for few emotions (in MELD, surprise alone), so that a pair which no
    training utterance has is a mistake of one of the heads. The heads count as independent given the
    features: a pair's score is the sum of its log-probabilities.

    Parameters
    ----------
    prediction
        With both tasks.
    seen
        Shape (E, S): True for pairs among the training labels (`heads.evaluation.metrics.seen_pairs`). Or
        (N, E, S), where utterances are answered by models of different trainings.

    Raises
    ------
    ValueError
        Where a task is missing, `seen` has another shape, or no pair was seen.
    """
    if prediction.emotion is None or prediction.sentiment is None:
        raise ValueError("joint decoding needs both tasks; this model has a head for only one")
    expected = (prediction.emotion.shape[1], prediction.sentiment.shape[1])
    if seen.shape[-2:] != expected or seen.shape[:-2] not in ((), (len(prediction.emotion),)):
        raise ValueError(f"the table of pairs has shape {seen.shape}; expected {expected}")
    if not seen.any((-2, -1)).all():
        raise ValueError("no training utterance has both labels: there is no pair to decode over")
    scores = prediction.emotion[:, :, None] + prediction.sentiment[:, None, :]  # (N, E, S)
    scores = np.where(
        seen, np.maximum(scores, np.finfo(np.float64).min), -np.inf
    )  # a seen pair is never ruled out
    best = scores.reshape(len(scores), -1).argmax(axis=1)
    return best // expected[1], best % expected[1]
