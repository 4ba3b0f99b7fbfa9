"""An ensemble over seeds: the mean of several models' probabilities, as one more model."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from dualstream.heads.variants.registry import Prediction, Task
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def ensemble(predictions: Sequence[Prediction]) -> Prediction:
    """Return log mean probabilities of several models' predictions of the same utterances.

    Deep ensembles: Lakshminarayanan et al. 2017, https://arxiv.org/abs/1612.01474.

    Raises
    ------
    ValueError
        Where there is none, or they differ in tasks or shapes.
    """
    if not predictions:
        raise ValueError("an ensemble needs at least one model's predictions")

    def mean(task: Task) -> Floats | None:
        rows = [prediction.task(task) for prediction in predictions]
        shapes = {None if row is None else row.shape for row in rows}
        if len(shapes) > 1:
            raise ValueError(
                f"the models' {task} predictions have shapes {sorted(map(str, shapes))}; expected one"
            )
        there = [row for row in rows if row is not None]
        return _log_mean_exp(np.stack(there)) if there else None

    pairs = [one.pairs for one in predictions if one.pairs is not None]
    if len(pairs) < len(predictions):
        return Prediction(mean("emotion"), mean("sentiment"))
    leads = predictions[0].sentiment_leads
    if any(not np.array_equal(one.sentiment_leads, leads) for one in predictions):  # type: ignore[arg-type]
        raise ValueError("the models' joint answers are led by different tasks; they are of different fits")
    return Prediction(mean("emotion"), mean("sentiment"), _log_mean_exp(np.stack(pairs)), leads)


def _log_mean_exp(log_p: Floats) -> Floats:
    top = log_p.max(0)
    finite = np.where(np.isfinite(top), top, 0)  # all models at minus infinity: so is their mean
    with np.errstate(divide="ignore"):
        return np.log(np.exp(log_p - finite).mean(0)) + finite
