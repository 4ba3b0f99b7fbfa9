"""Task balances on a problem small enough for gradients by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from dualstream.heads.training.task_balance import LOG_VARIANCE, cosine, make_balance
from dualstream.heads.training.weights import Weights
from dualstream.heads.variants.registry import Task
from torch import Tensor

EMOTION = torch.tensor([[3.0, 0.0], [1.0, 0.0]])  # gradients on the shared array, one row a seed
SENTIMENT = torch.tensor([[-1.0, 1.0], [1.0, 2.0]])  # seed 0: in conflict; seed 1: not


def _problem() -> Weights:
    """Make weights for losses that are linear in them, so that the gradients are the numbers above."""
    weights = Weights([0, 1])
    weights.add("shared.weight", (2,), fill=1.0)
    weights.add("head.weight", (2,), fill=1.0)
    return weights


def _losses(weights: Weights) -> dict[Task, Tensor]:
    shared, head = weights["shared.weight"], weights["head.weight"]
    return {
        "emotion": (shared * EMOTION).sum(1) + 5.0 * head[:, 0],
        "sentiment": (shared * SENTIMENT).sum(1) + 7.0 * head[:, 1],
    }


def test_fixed_adds_up() -> None:
    weights = _problem()
    backward = make_balance("fixed", weights, sentiment_weight=0.5)
    weights.train()
    backward(_losses(weights))
    torch.testing.assert_close(weights["shared.weight"].grad, EMOTION + 0.5 * SENTIMENT)
    torch.testing.assert_close(weights["head.weight"].grad, torch.tensor([[5.0, 3.5], [5.0, 3.5]]))


def test_surgery_takes_out_the_conflict() -> None:
    """Yu et al. 2020, algorithm 1, by hand.

    Seed 0: g1 = (3, 0), g2 = (-1, 1), g1.g2 = -3. g1' = g1 + 3/2 g2 = (1.5, 1.5); g2' = g2 + 3/9 g1 = (0, 1).
    Seed 1: no conflict, so the plain sum.
    """
    weights = _problem()
    backward = make_balance("surgery", weights)
    weights.train()
    backward(_losses(weights))
    torch.testing.assert_close(weights["shared.weight"].grad, torch.tensor([[1.5, 2.5], [2.0, 2.0]]))
    torch.testing.assert_close(weights["head.weight"].grad, torch.tensor([[5.0, 7.0], [5.0, 7.0]]))


def test_uncertainty_weighs_and_learns() -> None:
    """Kendall et al. 2018: exp(-s) L + s / 2, whose slope in s is 1/2 - exp(-s) L."""
    weights = _problem()
    backward = make_balance("uncertainty", weights)
    weights.tensors[LOG_VARIANCE][:, 0] = float(np.log(2.0))
    weights.train()
    losses = _losses(weights)
    backward(losses)
    torch.testing.assert_close(weights["shared.weight"].grad, EMOTION / 2 + SENTIMENT)
    expected = torch.stack([0.5 - losses["emotion"] / 2, 0.5 - losses["sentiment"]], dim=1)
    torch.testing.assert_close(weights[LOG_VARIANCE].grad, expected.detach())


@pytest.mark.parametrize("name", ["fixed", "uncertainty", "surgery"])
def test_one_task_alone(name: str) -> None:
    weights = _problem()
    backward = make_balance(name, weights)
    weights.train()
    backward({"emotion": _losses(weights)["emotion"]})
    torch.testing.assert_close(weights["shared.weight"].grad, EMOTION)


def test_unknown_balance_fails() -> None:
    with pytest.raises(ValueError, match="no task balance is called 'mgda'; there are: fixed"):
        make_balance("mgda", _problem())


def test_cosine_by_hand() -> None:
    torch.testing.assert_close(cosine(EMOTION, SENTIMENT), torch.tensor([-(0.5**0.5), 1 / 5**0.5]))
    assert cosine(torch.zeros(1, 3), torch.ones(1, 3)).item() == 0.0
