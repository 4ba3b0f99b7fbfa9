"""What every registered loss must do, whoever wrote it: a new one is tested here without a new test."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from dualstream.heads import losses
from dualstream.heads.linear.model import SOLVED
from dualstream.heads.training.losses import make_loss
from dualstream.heads.variants import registry
from dualstream.heads.variants.options import FitOptions

from tests.heads.planted import plant
from tests.registries import scratch

LABELS = np.array([0, 0, 0, 0, 1, 1, 2, -1])
LOGITS = torch.from_numpy(np.random.default_rng(0).normal(size=(3, 8, 3))).float()


@pytest.mark.parametrize("name", losses.names())
def test_one_value_a_seed_and_seeds_apart(name: str) -> None:
    made = make_loss(name, LABELS, 3)
    found = made.loss(LOGITS, made.mass)
    assert found.shape == (3,) and torch.isfinite(found).all()
    for seed in range(3):
        torch.testing.assert_close(made.loss(LOGITS[seed : seed + 1], made.mass)[0], found[seed])


@pytest.mark.parametrize("name", losses.names())
def test_the_unlabelled_have_no_part(name: str) -> None:
    made = make_loss(name, LABELS, 3)
    logits = LOGITS.clone().requires_grad_(True)
    made.loss(logits, made.mass).sum().backward()
    assert logits.grad is not None and not logits.grad[:, -1].any() and logits.grad[:, :-1].any()
    assert torch.isfinite(made.loss(LOGITS, torch.zeros_like(made.mass))).all()


@pytest.mark.parametrize("name", losses.names())
def test_it_is_a_mean(name: str) -> None:
    """The same batch twice has the loss of the batch."""
    made = make_loss(name, LABELS, 3)
    twice = made.loss(torch.cat([LOGITS, LOGITS], dim=1), torch.cat([made.mass, made.mass]))
    torch.testing.assert_close(twice, made.loss(LOGITS, made.mass))


@pytest.mark.parametrize("name", losses.names())
def test_the_right_class_pays(name: str) -> None:
    made = make_loss(name, LABELS, 3)
    right = torch.nn.functional.one_hot(torch.from_numpy(LABELS).clamp(min=0), 3).float().expand(1, 8, 3)
    assert float(made.loss(4 * right, made.mass)) < float(made.loss(-4 * right, made.mass))


@pytest.mark.parametrize("name", losses.names())
def test_a_head_learns_by_it(name: str) -> None:
    """And a linear one is solved for it, or says that it can't be."""
    split = plant("noise_stream", 5, train=300, dev=10, test=100)
    options = FitOptions(seeds=(0,), epochs=15, loss=name, patience=0, threads=1)
    (model,) = registry.fit("concat_norm", split.train, options=options)
    found = model.predict(split.test).emotion
    assert found is not None and (found.argmax(1) == split.test.emotion).mean() > 0.85
    if name in SOLVED:
        registry.fit("linear", split.train, options=options)
        return
    with pytest.raises(ValueError, match=f"no use for the loss {name}; for class imbalance it takes: logit_adj"):
        registry.fit("linear", split.train, options=options)


@pytest.mark.parametrize("name", losses.names())
def test_options_that_it_does_not_declare_are_idle(name: str) -> None:
    said = registry.unused("concat", FitOptions(loss=name, focal_gamma=1.5, adjustment=0.75))
    for key in losses.OPTIONS:
        assert (key not in said) == (key in losses.get(name).options)
    plain = make_loss(name, LABELS, 3, focal_gamma=2.0, adjustment=0.5)
    other = make_loss(name, LABELS, 3, focal_gamma=1.5, adjustment=0.75)
    same = torch.equal(plain.loss(LOGITS, plain.mass), other.loss(LOGITS, other.mass))
    assert same == (not losses.get(name).options)


def test_names_that_are_not_there_or_taken() -> None:
    with pytest.raises(ValueError, match="loss is 'hinge'; expected one of: cross_entropy, weighted, focal"):
        FitOptions(loss="hinge")
    with pytest.raises(ValueError, match="loss 'focal' is registered twice"):
        losses.register_loss("focal")(lambda labels: lambda logits, mass: logits)
    with pytest.raises(ValueError, match=r"takes \['gamma'\]; expected options of"):
        losses.register_loss("own", options=("gamma",))


def test_one_function_is_a_loss() -> None:
    def halved(labels: losses.Labels) -> losses.Loss:
        """Half of cross-entropy."""
        inner = losses.get("cross_entropy").make(labels)
        return lambda logits, mass: inner(logits, mass) / 2

    with scratch(losses.REGISTRY):
        losses.register_loss("halved")(halved)
        assert losses.names()[-1] == "halved" and FitOptions(loss="halved").loss == "halved"
        made, whole = make_loss("halved", LABELS, 3), make_loss("cross_entropy", LABELS, 3)
        torch.testing.assert_close(2 * made.loss(LOGITS, made.mass), whole.loss(LOGITS, whole.mass))
