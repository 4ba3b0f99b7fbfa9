"""Losses against torch's own and against the papers' formulas worked by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from dualstream.heads import losses
from dualstream.heads.training.losses import balanced_weights, make_loss
from torch.nn import functional

LOSSES = losses.names()
LABELS = np.array([0, 0, 0, 0, 1, 1, 2, -1])
LOGITS = torch.from_numpy(np.random.default_rng(0).normal(size=(2, 8, 3))).float()


def test_cross_entropy_is_torchs_over_labelled_rows() -> None:
    made = make_loss("cross_entropy", LABELS, 3)
    for seed in range(2):
        expected = functional.cross_entropy(LOGITS[seed], torch.from_numpy(LABELS), ignore_index=-1)
        torch.testing.assert_close(made.loss(LOGITS, made.mass)[seed], expected)


def test_weighted_is_torchs_with_balanced_weights() -> None:
    made = make_loss("weighted", LABELS, 3)
    weight = torch.tensor([7 / (3 * 4), 7 / (3 * 2), 7 / (3 * 1)])  # scikit-learn's class_weight="balanced"
    expected = functional.cross_entropy(LOGITS[1], torch.from_numpy(LABELS), weight=weight, ignore_index=-1)
    torch.testing.assert_close(made.loss(LOGITS, made.mass)[1], expected)


def test_focal_by_hand() -> None:
    made = make_loss("focal", np.array([0, 1]), 2, focal_gamma=2.0)
    logits = torch.log(torch.tensor([[[0.9, 0.1], [0.6, 0.4]]]))
    expected = (0.1**2 * -np.log(0.9) + 0.6**2 * -np.log(0.4)) / 2
    assert float(made.loss(logits, made.mass)[0]) == pytest.approx(expected, rel=1e-5)


def test_focal_with_gamma_0_is_cross_entropy() -> None:
    plain, focal = make_loss("cross_entropy", LABELS, 3), make_loss("focal", LABELS, 3, focal_gamma=0.0)
    torch.testing.assert_close(focal.loss(LOGITS, focal.mass), plain.loss(LOGITS, plain.mass))


def test_logit_adjustment_by_hand() -> None:
    """Menon et al. 2021, eq. 10: cross-entropy of logits + tau log prior."""
    made = make_loss("logit_adjusted", LABELS, 3, adjustment=0.5)
    prior = torch.tensor([4 / 7, 2 / 7, 1 / 7])
    adjusted = LOGITS[0] + 0.5 * prior.log()
    expected = functional.cross_entropy(adjusted, torch.from_numpy(LABELS), ignore_index=-1)
    torch.testing.assert_close(made.loss(LOGITS, made.mass)[0], expected)


def test_balanced_softmax_by_hand() -> None:
    """Ren et al. 2020, eq. 4: each exponential times its class's count."""
    made = make_loss("balanced_softmax", LABELS, 3)
    counts = np.array([4.0, 2.0, 1.0])
    share = counts * np.exp(LOGITS[0].double().numpy())
    share /= share.sum(axis=1, keepdims=True)
    expected = -np.mean([np.log(share[row, LABELS[row]]) for row in range(7)])
    assert float(made.loss(LOGITS, made.mass)[0]) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("name", LOSSES)
def test_seeds_do_not_mix(name: str) -> None:
    made = make_loss(name, LABELS, 3)
    logits = LOGITS.clone().requires_grad_(True)
    made.loss(logits, made.mass)[0].backward()
    assert logits.grad is not None
    assert logits.grad[0].abs().sum() > 0 and logits.grad[1].abs().sum() == 0


@pytest.mark.parametrize("name", LOSSES)
def test_no_labelled_row_is_no_loss(name: str) -> None:
    made = make_loss(name, LABELS, 3)
    logits = LOGITS[:, 7:].clone().requires_grad_(True)
    made.loss(logits, made.mass[7:]).sum().backward()
    assert logits.grad is not None and logits.grad.abs().sum() == 0


def test_a_class_without_utterances_is_bearable() -> None:
    for name in LOSSES:
        made = make_loss(name, LABELS, 5)
        logits = torch.zeros(1, 8, 5)
        assert torch.isfinite(made.loss(logits, made.mass)).all()


@pytest.mark.parametrize("name", ["weighted", "logit_adjusted", "balanced_softmax"])
def test_what_resampling_evened_out_is_not_corrected_again(name: str) -> None:
    """Drawn evenly, classes have even shares: each of these is then cross-entropy."""
    made = make_loss(name, LABELS, 3, frequency=8 * balanced_weights(LABELS))
    plain = make_loss("cross_entropy", LABELS, 3)
    torch.testing.assert_close(made.loss(LOGITS, made.mass), plain.loss(LOGITS, plain.mass))
    alone = make_loss(name, LABELS, 3)
    assert not torch.allclose(alone.loss(LOGITS, alone.mass), plain.loss(LOGITS, plain.mass))


def test_unknown_loss_fails() -> None:
    with pytest.raises(ValueError, match="no loss is called 'hinge'; there are: cross_entropy, weighted"):
        make_loss("hinge", LABELS, 3)


def test_resampling_evens_classes() -> None:
    chance = balanced_weights(LABELS)
    assert chance.sum() == pytest.approx(1.0)
    shares = [chance[k == LABELS].sum() for k in (0, 1, 2)]
    assert shares == pytest.approx([shares[0]] * 3)
    drawn = np.random.default_rng(0).choice(8, 30_000, p=chance)
    counts = np.bincount(LABELS[drawn][LABELS[drawn] >= 0])
    assert counts.min() / counts.max() > 0.95
