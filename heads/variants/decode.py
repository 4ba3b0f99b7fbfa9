"""From log-probabilities to answers: each task by itself, or both at once over the pairs seen in training."""

from __future__ import annotations

import numpy as np
from dualstream.heads.variants.registry import Prediction
from numpy.typing import NDArray

Codes = NDArray[np.int64]


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
