"""Balances of the streams: what each does to a loss or a step, what it does for a lazy stream, and who refuses it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from dualstream.heads import balances
from dualstream.heads.balances.ogm_ge import OgmGe
from dualstream.heads.balances.step import StreamBalance
from dualstream.heads.balances.umt import teachers
from dualstream.heads.diagnosis.changes import without
from dualstream.heads.diagnosis.measures.probes import probe_answers, representation
from dualstream.heads.diagnosis.refit import Trial
from dualstream.heads.diagnosis.trials import single_stream
from dualstream.heads.variants import registry
from dualstream.heads.variants.registry import FitOptions

from dualstream.cores import one_core
from tests.heads.lazy import lazy
from tests.heads.many_streams import corpus
from tests.heads.planted import Split, plant

OURS = ("auxiliary", "blending", "ogm_ge", "umt", "agm", "mmpareto")
SLOWLY = FitOptions(
    seeds=(0, 1), tasks=("emotion",), epochs=12, hidden=32, threads=1, modality_dropout=0.0, dropout=0.0
)
SHORT = FitOptions(seeds=(0, 1), epochs=6, hidden=16, threads=1)


def test_ours_are_listed_first() -> None:
    assert balances.names()[: 1 + len(OURS)] == ("none", *OURS)


def scores_and_probes(split: Split, balance: str, strength: float) -> list[tuple[float, float]]:
    """Return test accuracy, and that of a probe of the slow stream inside the joined head, a pair a seed."""
    found = []
    options = replace(SLOWLY, balance=balance, balance_strength=strength)
    with one_core():
        slow, held = (without(part, "video") for part in (split.train, split.test))
        for model in registry.fit("concat_norm", split.train, None, options=options):
            rows = model.predict(split.test).emotion
            assert rows is not None
            probe = probe_answers(representation(model, slow), split.train.emotion, representation(model, held))
            found.append([float(np.mean(one == split.test.emotion)) for one in (rows.argmax(axis=1), probe)])
    return found  # type: ignore[return-value]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("balance", "strength", "least"),
    [
        ("auxiliary", 1.0, (0.003, 0.005)),
        ("blending", 1.0, (0.003, 0.005)),
        ("umt", 1.0, (0.003, 0.005)),
        ("mmpareto", 1.0, (0.003, 0.005)),
        ("agm", 4.0, (0.003, 0.002)),
    ],
)
def test_a_lazy_stream_is_used_more_and_the_score_rises(
    balance: str, strength: float, least: tuple[float, float]
) -> None:
    corpora = [lazy(seed) for seed in (0, 1, 2)]
    plain = np.array([scores_and_probes(one, "none", 1.0) for one in corpora]).reshape(-1, 2)
    better = np.array([scores_and_probes(one, balance, strength) for one in corpora]).reshape(-1, 2)
    score, probe = (better - plain).mean(axis=0)
    assert score > least[0] and probe > least[1], (score, probe)


@pytest.mark.parametrize("balance", OURS)
def test_a_seed_does_not_depend_on_its_company(balance: str) -> None:
    split = plant("noise_stream", 0, train=120, dev=40, test=20)
    options = replace(SHORT, balance=balance)
    both = registry.fit("concat_norm", split.train, split.dev, options=options)
    (alone,) = registry.fit("concat_norm", split.train, split.dev, options=replace(options, seeds=(1,)))
    plain = registry.fit("concat_norm", split.train, split.dev, options=SHORT)
    np.testing.assert_array_equal(both[1].predict(split.test).emotion, alone.predict(split.test).emotion)
    assert not np.array_equal(plain[1].predict(split.test).emotion, alone.predict(split.test).emotion)


@pytest.mark.parametrize("balance", OURS)
@pytest.mark.parametrize("fusion", ["aligned", "dialogue:concat_norm"])
def test_heads_over_windows_and_dialogues_take_it(fusion: str, balance: str) -> None:
    split = plant("noise_stream", 0, train=60, dev=20, test=20)
    (model,) = registry.fit(fusion, split.train, split.dev, options=replace(SHORT, seeds=(0,), balance=balance))
    assert np.isfinite(model.predict(split.test).emotion).all()


@pytest.mark.parametrize(
    ("fusion", "why"),
    [
        ("linear", "linear is solved, not trained"),
        ("auto", "auto chooses among heads that are solved too"),
        ("video", "video reads one stream"),
        ("late", "late trains each stream by itself"),
    ],
)
def test_heads_without_two_streams_in_training_refuse_it_by_name(fusion: str, why: str) -> None:
    split = plant("noise_stream", 0, train=60, dev=20, test=20)
    with pytest.raises(ValueError, match=f"balance umt: {why}.*leave it at none"):
        registry.fit(fusion, split.train, split.dev, options=replace(SHORT, balance="umt"))


def test_unknown_names_and_idle_options_are_named() -> None:
    with pytest.raises(
        ValueError, match=r"balance is 'ogm'; expected one of: none, auxiliary, blending, ogm_ge, umt"
    ):
        FitOptions(balance="ogm")
    idle = registry.unused("concat_norm", FitOptions(balance_strength=2.0))
    assert idle == {"balance_strength": "the balance of the streams is none"}
    assert not registry.unused("concat_norm", FitOptions(balance="umt", balance_strength=2.0))


def test_only_streams_that_are_read_have_a_teacher() -> None:
    train, options = corpus("each", 0, 60), replace(SHORT, seeds=(0,), epochs=1)
    assert set(teachers("concat_norm:whisper+face", train, None, options)) == {"whisper", "face"}
    assert set(teachers("concat_norm", train, None, options)) == {"whisper", "acoustic", "face"}


def test_the_stream_that_is_ahead_takes_smaller_steps() -> None:
    """By hand: shares of the truth 0.8 and 0.4 of the first seed, the other way round of the second; alpha 0.5."""
    shares = {"fast": torch.tensor([0.8, 0.4]), "slow": torch.tensor([0.4, 0.8])}
    task: Any = type("Task", (), {"strength": 0.5})
    step: Any = type("Told", (), {"streams": ("fast", "slow")})
    found = OgmGe(task).factors_of(shares, step.streams)
    held = 1 - np.tanh(0.5 * 2)
    np.testing.assert_allclose(found["fast"], [held, 1], atol=1e-6)
    np.testing.assert_allclose(found["slow"], [1, held], atol=1e-6)


def test_a_step_is_scaled_by_its_factor() -> None:
    """With factors 0 of one stream and 1 of the other, the first stays where it began and the other goes its way."""
    split = plant("noise_stream", 0, train=60, dev=20, test=20)
    starts: dict[str, dict[str, np.ndarray]] = {}

    class Held(OgmGe):
        noise = False

        def factors(self, step):  # type: ignore[no-untyped-def]
            weights = step.weights.arrays(0)
            starts.setdefault("first", {key: weights[key] for key in ("video.weight", "audio.weight")})
            return {"video": torch.zeros(1), "audio": torch.ones(1)}

    name = "held_for_a_test"
    balances.register_balance(name)(lambda task: Held(task))
    try:
        options = replace(SHORT, seeds=(0,), balance=name, weight_decay=0.0)
        (model,) = registry.fit("lowrank", split.train, None, options=options)
    finally:
        balances.REGISTRY._entries.pop(name)
    width = split.train.streams["video"].width
    np.testing.assert_array_equal(model.arrays["video.weight"][:width], starts["first"]["video.weight"][:width])
    assert not np.array_equal(model.arrays["audio.weight"], starts["first"]["audio.weight"])


@pytest.mark.parametrize(
    ("fusion", "single", "has"), [("concat_norm", "audio", "none"), ("aligned", "aligned", "umt")]
)
def test_a_single_stream_beside_a_balanced_head_has_none(fusion: str, single: str, has: str) -> None:
    """But where the other stream is only hidden it is the same head, by the same options."""
    trial = single_stream(Trial("fused", fusion, replace(SHORT, balance="umt")), "audio")
    assert (trial.fusion, trial.options.balance) == (single, has)
    split = plant("noise_stream", 0, train=60, dev=20, test=20)
    registry.check(trial.fusion, split.train, trial.options)


def test_what_is_prepared_sees_the_rows_that_are_trained_on() -> None:
    split, rows = plant("noise_stream", 0, train=60, dev=20, test=20), []

    def make(task: Any) -> StreamBalance:
        rows.append((task.prepared, task.data.tensors.count, task.data.watched.held_out.tensors.count))
        return StreamBalance()

    name = "watching_for_a_test"
    balances.register_balance(name, prepare=lambda name, train, dev, options: len(train), holds_out=True)(make)
    try:
        registry.fit("gated", split.train, None, options=replace(SHORT, seeds=(0,), epochs=1, balance=name))
    finally:
        balances.REGISTRY._entries.pop(name)
    ((prepared, trained_on, held_out),) = rows
    assert prepared == trained_on == 60 - held_out and held_out > 0


def test_a_balance_of_an_own_module_is_found_and_does_nothing_by_itself() -> None:
    split = plant("noise_stream", 0, train=60, dev=20, test=20)
    name = "idle_for_a_test"
    balances.register_balance(name)(lambda task: StreamBalance())
    try:
        (idle,) = registry.fit("gated", split.train, None, options=replace(SHORT, seeds=(0,), balance=name))
    finally:
        balances.REGISTRY._entries.pop(name)
    (plain,) = registry.fit("gated", split.train, None, options=replace(SHORT, seeds=(0,)))
    np.testing.assert_array_equal(idle.predict(split.test).emotion, plain.predict(split.test).emotion)
    with pytest.raises(ValueError, match="'none' is what no balance is called"):
        balances.register_balance("none")
