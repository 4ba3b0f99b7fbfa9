"""Cross-entropy over seeds, with its gradient by hand; the losses here that are made of it share it."""

from __future__ import annotations

from typing import Any

import torch
from dualstream.heads.training.weights import empty_by_seed
from torch import Tensor
from torch.nn import functional


def cross_entropy(logits: Tensor, mass: Tensor) -> Tensor:
    """Return the mass-weighted mean over the batch, in nats, one value a seed."""
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
