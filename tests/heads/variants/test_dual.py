"""The dual head, and decoding both tasks together."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from dualstream.heads.training.weights import Weights
from dualstream.heads.variants.decode import joint_decode, separate_decode
from dualstream.heads.variants.dual import DualHead
from dualstream.heads.variants.registry import Prediction


def test_heads_are_an_affine_map_each() -> None:
    weights = Weights([1, 2])
    head = DualHead(weights, 6, 4, 3)
    z = torch.randn(2, 5, 6, generator=torch.Generator().manual_seed(0))
    logits = head(z)
    assert repr(logits) == "Logits(emotion=(2, 5, 4), sentiment=(2, 5, 3))"
    for seed in range(2):
        expected = z[seed] @ weights["head.weight"][seed] + weights["head.bias"][seed]
        torch.testing.assert_close(logits.emotion[seed], expected[:, :4])
        torch.testing.assert_close(logits.sentiment[seed], expected[:, 4:])


def test_one_head_alone() -> None:
    logits = DualHead(Weights([0]), 6, 0, 3)(torch.zeros(1, 5, 6))
    assert logits.emotion.shape == (1, 5, 0) and logits.sentiment.shape == (1, 5, 3)


def test_no_head_fails() -> None:
    with pytest.raises(ValueError, match="at least one task"):
        DualHead(Weights([0]), 6, 0, 0)


def test_joint_decoding_by_hand() -> None:
    """Rows: the heads agree; they contradict and the emotion is surer; they contradict and the sentiment is."""
    emotion = np.log([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.4, 0.35, 0.25]])
    sentiment = np.log([[0.9, 0.1], [0.6, 0.4], [0.05, 0.95]])
    seen = np.array([[True, False], [False, True], [True, True]])
    # row 1: (1, 1) 0.32 beats (2, 0) 0.06 and (0, 0) 0.06; row 2: (1, 1) 0.3325 beats (2, 1) 0.2375
    first, second = joint_decode(Prediction(emotion, sentiment), seen)
    np.testing.assert_array_equal(first, [0, 1, 1])
    np.testing.assert_array_equal(second, [0, 1, 1])
    assert seen[first, second].all()
    alone = separate_decode(Prediction(emotion, sentiment))
    np.testing.assert_array_equal(alone[0], [0, 1, 0])
    np.testing.assert_array_equal(alone[1], [0, 0, 1])


def test_joint_decoding_is_the_best_of_all_pairs() -> None:
    rng = np.random.default_rng(3)
    emotion, sentiment = (np.log(rng.dirichlet(np.ones(k), 50)) for k in (7, 3))
    seen = rng.random((7, 3)) < 0.4
    seen[0, 0] = True
    found = joint_decode(Prediction(emotion, sentiment), seen)
    for row in range(50):
        pairs = [(e, s) for e in range(7) for s in range(3) if seen[e, s]]
        best = max(pairs, key=lambda pair, row=row: emotion[row, pair[0]] + sentiment[row, pair[1]])  # type: ignore[misc]
        assert (found[0][row], found[1][row]) == best


def test_joint_decoding_fails() -> None:
    both = Prediction(np.zeros((2, 3)), np.zeros((2, 2)))
    with pytest.raises(ValueError, match="needs both tasks"):
        joint_decode(Prediction(np.zeros((2, 3)), None), np.ones((3, 2), bool))
    with pytest.raises(ValueError, match=r"has shape \(2, 3\); expected \(3, 2\)"):
        joint_decode(both, np.ones((2, 3), bool))
    with pytest.raises(ValueError, match="no pair to decode over"):
        joint_decode(both, np.zeros((3, 2), bool))
