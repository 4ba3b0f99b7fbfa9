"""Losses made for a task's labels (`heads.losses` has them by name), and resampling.

The truth comes as mass (B, C): the utterance's weight in the column of its class, nothing where it is
unlabelled. A loss is the mass-weighted mean over the batch, in nats.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from dualstream.heads import losses
from dualstream.heads.losses import Labels, Loss
from numpy.typing import NDArray
from torch import Tensor


@dataclass(frozen=True)
class TaskLoss:
    """The loss of one task, and the mass that its labels carry."""

    loss: Loss
    mass: Tensor
    """Shape (N, C)."""


def make_loss(
    name: str,
    labels: NDArray[np.int64],
    classes: int,
    *,
    focal_gamma: float = 2.0,
    adjustment: float = 1.0,
    frequency: NDArray[np.float64] | None = None,
) -> TaskLoss:
    """Return the loss called `name` for labels (N,), -1 where unlabelled.

    Parameters
    ----------
    name
        One of `heads.losses.names()`.
    focal_gamma
        How much the well classified are discounted; 0 is cross-entropy.
    adjustment
        Menon's tau.
    frequency
        How often each utterance comes, shape (N,). The classes' shares are those of what comes, so that what
        resampling evens out is not corrected a second time. None: each once.

    Raises
    ------
    ValueError
        Where no loss has that name.
    """
    entry = losses.get(name)
    labelled = labels >= 0
    come = None if frequency is None else frequency[labelled]
    counts = np.bincount(labels[labelled], weights=come, minlength=classes).astype(np.float64)
    # a class that train lacks would get log 0: it counts as half an utterance
    log_share = np.log(np.maximum(counts, 0.5) / max(counts.sum(), 1.0)).astype(np.float32)
    values = {"focal_gamma": focal_gamma, "adjustment": adjustment}
    made = entry.make(Labels(counts, log_share, {key: values[key] for key in entry.options}))
    return TaskLoss(loss=made, mass=label_mass(labels, classes))


def label_mass(labels: NDArray[np.int64], classes: int) -> Tensor:
    """Return each label's mass (N, C): 1 in the column of its class, nothing where it is unlabelled (-1)."""
    mass = np.zeros((len(labels), classes), dtype=np.float32)
    labelled = labels >= 0
    mass[np.flatnonzero(labelled), labels[labelled]] = 1.0
    return torch.from_numpy(mass)


def answered_prior(loss: Loss, counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the log prior that answers of a loss hold, shape (C,): its best answer where there are no features.

    Cross-entropy's are the classes' shares, a loss that evens classes out has even ones, and whatever a registered
    loss does is found without asking it. `counts` is how often each class comes, one is added to each.
    """
    mass = torch.diag(torch.from_numpy((counts + 1.0) / (counts + 1.0).sum()).float())
    logits = torch.zeros(len(counts), requires_grad=True)
    search = torch.optim.LBFGS([logits], max_iter=100, tolerance_grad=1e-6, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        search.zero_grad()
        value = loss(logits.expand(1, len(counts), -1), mass).sum()
        value.backward()
        return value

    search.step(closure)
    found: NDArray[np.float64] = logits.detach().double().log_softmax(0).numpy()
    return found


def balanced_weights(labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the chance of each utterance under class-balanced resampling, shape (N,), sum 1.

    Unlabelled utterances are drawn as often as the average labelled one.
    """
    labelled = labels >= 0
    if not labelled.any():
        return np.full(len(labels), 1.0 / max(len(labels), 1))
    counts = np.bincount(labels[labelled])
    weights = np.full(len(labels), 1.0)
    weights[labelled] = labelled.sum() / (counts > 0).sum() / counts[labels[labelled]]
    balanced: NDArray[np.float64] = weights / weights.sum()
    return balanced
