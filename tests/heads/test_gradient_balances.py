"""AGM and MMPareto: what each makes of losses and gradients, by hand and by other software, and what that is good for."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations
from typing import Any

import numpy as np
import pytest
import torch
from dualstream.heads.balances.agm import MOST, Agm, coalitions, responses
from dualstream.heads.balances.mmpareto import MMPareto, pareto
from dualstream.heads.variants import registry
from dualstream.heads.variants.registry import FitOptions
from scipy.optimize import minimize_scalar

from dualstream.cores import one_core
from tests.heads.lazy import turned
from tests.heads.planted import plant

SHORT = FitOptions(seeds=(0,), tasks=("emotion",), epochs=2, hidden=16, threads=1)
SLOWLY = replace(SHORT, seeds=(0, 1), epochs=20, hidden=32, modality_dropout=0.0, dropout=0.0)


def told(strength: float = 1.0) -> Any:
    return type("Task", (), {"strength": strength})


@pytest.mark.parametrize("count", [2, 3, 4])
def test_a_streams_answer_is_its_mean_gain_over_all_orders(count: int) -> None:
    names = [f"s{k}" for k in range(count)]
    values = {
        known: torch.from_numpy(np.random.default_rng(k).normal(size=(2, 3, 4)))
        for k, known in enumerate(coalitions(names))
    }
    orders = list(permutations(names))
    found = responses(values, names)
    for name in names:
        gains = []
        for order in orders:
            before = frozenset(order[: order.index(name)])
            gains.append(values[before | {name}] - (values[before] if before else 0))
        np.testing.assert_allclose(found[name], sum(gains) / len(orders), atol=1e-12)
    np.testing.assert_allclose(sum(found.values()), values[frozenset(names)], atol=1e-12)


def test_a_stream_that_runs_ahead_of_its_past_is_held_back() -> None:
    """By hand, of two seeds: losses of 1 and 1, then of 0.5 and 1; alpha 2.5 at a strength of 1."""
    balance = Agm(told())
    np.testing.assert_allclose(balance.factors_of(torch.tensor([[1.0, 2.0], [1.0, 2.0]])), 1, atol=1e-6)
    found = balance.factors_of(torch.tensor([[0.5, 2.0], [1.0, 2.0]]))
    fast, slow = np.exp(2.5 * (1 - np.exp(0.5))), np.exp(2.5 * (1 - np.exp(-0.5)))
    np.testing.assert_allclose(found, [[fast, 1], [slow, 1]], rtol=1e-5)
    # the mean of both steps is what the third is held against: losses 0.75 and 1 are usual by then
    np.testing.assert_allclose(balance.factors_of(torch.tensor([[0.75, 2.0], [1.0, 2.0]])), 1, atol=1e-6)


def test_of_three_streams_each_is_held_against_the_mean_of_the_others() -> None:
    balance = Agm(told())
    balance.factors_of(torch.zeros(3, 1))
    found = balance.factors_of(torch.tensor([[0.0], [0.2], [0.4]]))
    leads = np.exp(np.array([0.3, 0.0, -0.3]))  # (0.2 + 0.4) / 2 - 0, and so on
    np.testing.assert_allclose(found[:, 0], np.exp(2.5 * (1 - leads)), rtol=1e-5)


def test_a_factor_has_a_bound_and_seeds_that_are_done_are_forgotten() -> None:
    balance = Agm(told(100.0))
    balance.factors_of(torch.tensor([[1.0, 3.0], [1.0, 1.0]]))
    balance.keep([1])
    assert balance.mean is not None
    np.testing.assert_array_equal(balance.mean, [[3.0], [1.0]])
    found = balance.factors_of(torch.tensor([[1.0], [3.0]]))
    assert float(found.max()) == pytest.approx(MOST) and float(found.min()) < 1e-6


def test_gradients_that_agree_are_added() -> None:
    joint, single = torch.tensor([[1.0, 0.5]]), torch.tensor([[0.2, 1.0]])
    torch.testing.assert_close(pareto(joint, single), joint + single)


def test_gradients_that_conflict_give_way_to_the_shortest_between_them() -> None:
    """By hand: of (1, 0) and (-1, 1) it is 3/5 and 2/5, (0.2, 0.4); twice that is shorter than the sum (0, 1)."""
    found = pareto(torch.tensor([1.0, 0.0]), torch.tensor([-1.0, 1.0]))
    np.testing.assert_allclose(found, np.array([1, 2]) / np.sqrt(5), rtol=1e-6)


@pytest.mark.parametrize("seed", range(20))
def test_what_is_found_is_the_min_norm_point_and_lowers_both_losses(seed: int) -> None:
    rng = np.random.default_rng(seed)
    joint = rng.normal(size=6)
    single = rng.normal(size=6) * rng.choice([0.2, 1.0, 5.0])
    single -= 2 * max(0.0, joint @ single) / (joint @ joint) * joint  # they conflict
    found = pareto(torch.from_numpy(joint), torch.from_numpy(single)).numpy()
    share = minimize_scalar(
        lambda w: np.linalg.norm(w * joint + (1 - w) * single), bounds=(0, 1), method="bounded"
    ).x
    nearest = share * joint + (1 - share) * single
    np.testing.assert_allclose(found / np.linalg.norm(found), nearest / np.linalg.norm(nearest), atol=1e-4)
    assert found @ joint > -1e-9 and found @ single > -1e-9
    longest = max(2 * np.linalg.norm(nearest), np.linalg.norm(joint + single))
    assert np.linalg.norm(found) == pytest.approx(longest, rel=1e-4)


def test_opposite_gradients_move_nothing() -> None:
    found = pareto(torch.tensor([1.0, -2.0]), torch.tensor([-1.0, 2.0]))
    np.testing.assert_array_equal(found, [0.0, 0.0])


def test_without_single_losses_the_joined_gradients_are_left_as_they_are() -> None:
    split = plant("noise_stream", 0, train=80, dev=20, test=20)
    options = replace(SHORT, dropout=0.0)
    (plain,) = registry.fit("concat_norm", split.train, None, options=options)
    (idle,) = registry.fit(
        "concat_norm", split.train, None, options=replace(options, balance="mmpareto", balance_strength=0.0)
    )
    np.testing.assert_allclose(idle.predict(split.test).emotion, plain.predict(split.test).emotion, atol=1e-5)


def test_without_strength_no_step_is_changed() -> None:
    split = plant("noise_stream", 0, train=80, dev=20, test=20)
    options = replace(SHORT, dropout=0.0)
    (plain,) = registry.fit("gated", split.train, None, options=options)
    (idle,) = registry.fit(
        "gated", split.train, None, options=replace(options, balance="agm", balance_strength=0.0)
    )
    np.testing.assert_allclose(idle.predict(split.test).emotion, plain.predict(split.test).emotion, atol=1e-5)


def test_the_gradient_of_the_joined_loss_is_what_remains_of_the_sum(monkeypatch: pytest.MonkeyPatch) -> None:
    """What `pareto` gets as the joined gradient is the gradient of the plain head's loss, weights of tasks included."""
    split = plant("noise_stream", 0, train=64, dev=20, test=20)
    seen: dict[str, list[np.ndarray]] = {"plain": [], "ours": []}
    options = FitOptions(
        seeds=(0,),
        epochs=1,
        hidden=8,
        threads=1,
        dropout=0.0,
        modality_dropout=0.0,
        batch_size=64,
        sentiment_weight=0.3,
    )
    original = MMPareto.before_step

    def joined(joint: torch.Tensor, single: torch.Tensor) -> torch.Tensor:
        seen["ours"].append(joint.numpy().copy())
        return joint + single

    def look(self: MMPareto, step: Any) -> None:
        grads = {name: step.weights[name].grad for name, *_ in self._own}
        if not self.strength:
            seen["plain"] += [grads[n][0, a:b].numpy().copy() for n, a, b, _ in self._own]
        original(self, step)

    monkeypatch.setattr(MMPareto, "before_step", look)
    for strength in (0.0, 2.0):
        monkeypatch.setattr(
            "dualstream.heads.balances.mmpareto.pareto", joined if strength else lambda j, s: j + s
        )
        registry.fit(
            "lowrank", split.train, None, options=replace(options, balance="mmpareto", balance_strength=strength)
        )
    assert seen["plain"] and len(seen["plain"]) == len(seen["ours"])
    for plain, ours in zip(
        seen["plain"][:2], seen["ours"][:2], strict=True
    ):  # of the first step: the same weights
        np.testing.assert_allclose(ours, plain, atol=1e-6)


@pytest.mark.slow
def test_where_streams_mean_the_opposite_together_conflicts_are_solved() -> None:
    """A stream that says one thing by itself and the reverse beside the other: even losses of its own do more harm."""
    scores: dict[str, list[float]] = {"auxiliary": [], "mmpareto": []}
    for seed in (0, 1, 2):
        split = turned(seed)
        for balance, found in scores.items():
            options = replace(SLOWLY, balance=balance, balance_strength=3.0)
            with one_core():
                models = registry.fit("concat", split.train, None, options=options)
            answers = [one.predict(split.test).emotion for one in models]
            found += [
                float(np.mean(rows.argmax(axis=1) == split.test.emotion)) for rows in answers if rows is not None
            ]
    gain = np.array(scores["mmpareto"]) - np.array(scores["auxiliary"])
    assert gain.mean() > 0.005 and (gain > 0).all(), gain
