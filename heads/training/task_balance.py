"""How the two tasks share one representation: fixed weights, uncertainty weights, gradient surgery.

Each balance takes the tasks' losses, one value a seed, and leaves gradients on the weights. Seeds never
mix: the sum over seeds has each seed's own gradient in each seed's own arrays.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from dualstream.heads.training.weights import Weights
from dualstream.heads.variants.options import BALANCES as BALANCES
from dualstream.heads.variants.registry import Task
from torch import Tensor

LOG_VARIANCE = "balance.log_variance"
Backward = Callable[[dict[Task, Tensor]], None]


def make_balance(name: str, weights: Weights, sentiment_weight: float = 1.0) -> Backward:
    """Return the function that turns losses into gradients on `weights`.

    Parameters
    ----------
    name
        ``fixed``: emotion + `sentiment_weight` x sentiment. ``uncertainty``: each task weighted by a
        learned variance (Kendall et al. 2018, https://arxiv.org/abs/1705.07115). ``surgery``: where the
        tasks' gradients on what they share point against each other, each loses its part along the other
        (PCGrad, Yu et al. 2020, https://arxiv.org/abs/2001.06782).
    sentiment_weight
        Weight of the sentiment loss where the balance is fixed.

    Raises
    ------
    ValueError
        Where no balance has that name.
    """
    if name == "fixed":
        return lambda losses: _fixed(losses, sentiment_weight)
    if name == "uncertainty":
        weights.add(LOG_VARIANCE, (2,))
        return lambda losses: _uncertainty(losses, weights)
    if name == "surgery":
        return lambda losses: _surgery(losses, weights)
    raise ValueError(f"no task balance is called {name!r}; there are: {', '.join(BALANCES)}")


def is_shared(name: str) -> bool:
    """Tell by its name whether an array may serve both tasks; heads and balances serve one."""
    return not name.startswith(("head", "balance"))


def cosine(first: Tensor, second: Tensor) -> Tensor:
    """Return the cosine of two gradients (S, ...) of each seed, shape (S,); 0 where one is zero."""
    a, b = first.flatten(1), second.flatten(1)
    return (a * b).sum(1) / (a.norm(dim=1) * b.norm(dim=1)).clamp_min(1e-20)


def _fixed(losses: dict[Task, Tensor], sentiment_weight: float) -> None:
    total = sum(loss.sum() * (sentiment_weight if task == "sentiment" else 1.0) for task, loss in losses.items())
    assert isinstance(total, Tensor)
    total.backward()


def _uncertainty(losses: dict[Task, Tensor], weights: Weights) -> None:
    log_variance = weights[LOG_VARIANCE]  # (S, 2), log sigma^2
    total = torch.zeros(())
    for column, task in enumerate(("emotion", "sentiment")):
        loss = losses.get(task)  # type: ignore[call-overload]
        if loss is not None:
            s = log_variance[:, column]
            total = total + (torch.exp(-s) * loss + 0.5 * s).sum()  # their eq. 10 for two classifiers
    total.backward()


def _surgery(losses: dict[Task, Tensor], weights: Weights) -> None:
    if len(losses) < 2:
        return _fixed(losses, 1.0)
    arrays, names = weights.parameters(), list(weights.tensors)
    per_task = []
    for position, loss in enumerate(losses.values()):
        last = position == len(losses) - 1
        per_task.append(torch.autograd.grad(loss.sum(), arrays, retain_graph=not last, allow_unused=True))
    both = [all(grads[row] is not None for grads in per_task) for row in range(len(arrays))]
    shared = [is_shared(name) and reached for name, reached in zip(names, both, strict=True)]
    rows = [row for row, one in enumerate(shared) if one]
    first, second = ([_or_zero(grads[row], arrays[row]) for row in rows] for grads in per_task)
    dot, norm_first, norm_second = _dot(first, second), _dot(first, first), _dot(second, second)
    conflict = (dot < 0).to(dot.dtype)
    along_second = conflict * dot / norm_second.clamp_min(1e-20)
    along_first = conflict * dot / norm_first.clamp_min(1e-20)
    for row, array in enumerate(arrays):
        one, other = (_or_zero(grads[row], array) for grads in per_task)
        if shared[row]:
            shape = (-1, *[1] * (array.ndim - 1))
            array.grad = one + other - along_second.view(shape) * other - along_first.view(shape) * one
        else:
            array.grad = one + other
    return None


def _or_zero(grad: Tensor | None, array: Tensor) -> Tensor:
    return torch.zeros_like(array) if grad is None else grad


def _dot(first: list[Tensor], second: list[Tensor]) -> Tensor:
    products = [(a * b).reshape(len(a), -1).sum(1) for a, b in zip(first, second, strict=True)]
    return torch.stack(products).sum(0) if products else torch.zeros(())
