"""Class imbalance: losses by name, all on logits (S, B, C) and giving one value a seed, shape (S,).

The truth comes as mass (B, C): the utterance's weight in the column of its class, nothing where it is
unlabelled. A loss is the mass-weighted mean over the batch, in nats.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from dualstream.heads.training.weights import empty_by_seed
from dualstream.heads.variants.options import LOSSES as LOSSES
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

Loss = Callable[[Tensor, Tensor], Tensor]


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
        ``cross_entropy``; ``weighted``: classes count alike, by inverse frequency; ``focal`` (Lin et al.
        2017, https://arxiv.org/abs/1708.02002); ``logit_adjusted`` (Menon et al. 2021,
        https://arxiv.org/abs/2007.07314); ``balanced_softmax`` (Ren et al. 2020,
        https://arxiv.org/abs/2007.10740), which without its meta sampler equals ``logit_adjusted`` with an
        adjustment of 1: the logarithms of counts and of shares differ by a constant.
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
    labelled = labels >= 0
    come = None if frequency is None else frequency[labelled]
    counts = np.bincount(labels[labelled], weights=come, minlength=classes).astype(np.float64)
    mass = np.zeros((len(labels), classes), dtype=np.float32)
    mass[np.flatnonzero(labelled), labels[labelled]] = 1.0
    if name == "weighted":
        seen = np.maximum(counts, 1.0)
        mass *= (counts.sum() / max(int((counts > 0).sum()), 1) / seen).astype(np.float32)
    # a class that train lacks would get log 0: it counts as half an utterance
    log_share = np.log(np.maximum(counts, 0.5) / max(counts.sum(), 1.0)).astype(np.float32)
    losses: dict[str, Callable[[], Loss]] = {
        "cross_entropy": lambda: _cross_entropy,
        "weighted": lambda: _cross_entropy,
        "focal": lambda: _focal(focal_gamma),
        "logit_adjusted": lambda: _shifted(torch.from_numpy(adjustment * log_share)),
        "balanced_softmax": lambda: _shifted(torch.from_numpy(log_share)),
    }
    if name not in losses:
        raise ValueError(f"no loss is called {name!r}; there are: {', '.join(LOSSES)}")
    return TaskLoss(loss=losses[name](), mass=torch.from_numpy(mass))


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


def _cross_entropy(logits: Tensor, mass: Tensor) -> Tensor:
    result: Tensor = _CrossEntropy.apply(logits, mass)  # type: ignore[no-untyped-call]
    return result


class _CrossEntropy(torch.autograd.Function):
    """Cross-entropy with its gradient by hand: p x (mass of the row) - mass. A fifth of the small operations.

    Classes come before utterances inside, (S, C, B): torch's softmax over a last axis of seven columns takes nine
    times as long (154 against 17 microseconds for 5 x 256 x 7, one thread).
    """

    @staticmethod
    def forward(ctx: Any, logits: Tensor, mass: Tensor) -> Tensor:
        log_p = functional.log_softmax(logits.transpose(1, 2).contiguous(), dim=1)  # (S, C, B)
        mass = mass.t().contiguous()  # (C, B)
        whole = mass.sum().clamp_min(1e-12)
        ctx.save_for_backward(log_p, mass, whole)
        return -(log_p * mass).sum((1, 2)) / whole

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        log_p, mass, whole = ctx.saved_tensors
        # each seed in a row of its own: vectors that span two seeds would round by where a seed lies
        slope = torch.exp(log_p, out=empty_by_seed(*log_p.shape))
        slope = slope.mul_(mass.sum(0)).sub_(mass)
        return slope.mul_((grads[0] / whole)[:, None, None]).transpose(1, 2), None


def _focal(gamma: float) -> Loss:
    def loss(logits: Tensor, mass: Tensor) -> Tensor:
        log_p = functional.log_softmax(logits, dim=-1)
        # 1 - p is kept off 0, where a fractional power has no derivative
        discount = (1.0 - log_p.exp()).clamp_min(1e-6) ** gamma
        return -(discount * log_p * mass).sum((1, 2)) / mass.sum().clamp_min(1e-12)

    return loss


def _shifted(shift: Tensor) -> Loss:
    def loss(logits: Tensor, mass: Tensor) -> Tensor:
        return _cross_entropy(logits + shift, mass)

    return loss
