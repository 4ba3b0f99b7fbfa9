"""The time grid: counts by hand, and properties that hold for every plan and length."""

from __future__ import annotations

import math

import numpy as np
import pytest
from dualstream.features.windows import Grid, Sampling, WindowPlan, nearest
from hypothesis import given, settings
from hypothesis import strategies as st

LENGTHS = st.floats(0.2, 5.0)
DURATIONS = st.floats(0.0, 300.0)


@pytest.mark.parametrize(("duration_s", "count"), [
    (0.0, 1), (0.006, 1), (0.999, 1), (1.0, 1), (1.0000005, 1), (1.001, 2), (1.5, 2), (1.51, 3), (2.46, 4),
    (3.6, 7), (120.0, 239),
])  # fmt: skip
def test_counts_by_hand(duration_s: float, count: int) -> None:
    """Of the default plan, 1.0 s each 0.5 s."""
    assert WindowPlan().count(duration_s) == count


@settings(deadline=None, max_examples=60)
@given(LENGTHS, st.floats(0.2, 1.0), DURATIONS)
def test_windows_cover_the_clip_and_none_lies_behind_it(length_s: float, share: float, duration_s: float) -> None:
    plan = WindowPlan(length_s, length_s * share)
    starts_s = plan.starts_s(duration_s)
    assert len(starts_s) == plan.count(duration_s) >= 1
    assert starts_s[0] == 0
    assert starts_s[-1] + length_s >= duration_s - 2e-6
    if len(starts_s) > 1:
        assert starts_s[-2] + length_s < duration_s
        assert np.allclose(np.diff(starts_s), plan.hop_s)


@pytest.mark.parametrize(
    ("length_s", "hop_s"),
    [(0, 0.5), (-1, 1), (1, 0), (1, 1.1), (math.nan, 1), (1, math.nan), (math.inf, 1), (1e9, 1), (1, 1e-9)],
)
def test_plans_that_are_none_fail(length_s: float, hop_s: float) -> None:
    with pytest.raises(ValueError, match="expected"):
        WindowPlan(length_s, hop_s)


@pytest.mark.parametrize("text", ["aligned", "every:3", "every:0.5", "uniform:8"])
def test_sampling_reads_what_it_writes(text: str) -> None:
    assert str(Sampling.parse(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "every",
        "every:",
        "every:0",
        "every:-1",
        "every:nan",
        "uniform:2.5",
        "uniform:0",
        "x:1",
        "aligned:2",
        "every:1e-9",
        "every:inf",
        "uniform:1e8",
    ],
)
def test_sampling_that_is_none_fails(text: str) -> None:
    with pytest.raises(ValueError, match="sampling"):
        Sampling.parse(text)


def test_targets_by_hand() -> None:
    plan = WindowPlan()
    aligned = Sampling().targets(plan, 2.2)
    assert (aligned.time_s.tolist(), aligned.window.tolist()) == ([0.5, 1.0, 1.5, 2.0], [0, 1, 2, 3])
    every = Sampling.parse("every:3").targets(plan, 7.0)  # centres 0.5, 1.0, ..., 6.5: 0 is nearest to the first
    assert (every.time_s.tolist(), every.window.tolist()) == ([0.0, 3.0, 6.0], [0, 5, 11])
    uniform = Sampling.parse("uniform:2").targets(plan, 4.0)
    assert (uniform.time_s.tolist(), uniform.window.tolist()) == ([1.0, 3.0], [1, 5])
    many = Sampling.parse("every:0.1").targets(plan, 1.0)  # one window: the instant at its centre stays
    assert many.window.tolist() == [0]
    assert many.time_s == pytest.approx([0.5])


@settings(deadline=None, max_examples=60)
@given(
    st.sampled_from(["aligned", "every:3", "every:0.3", "uniform:5", "uniform:40"]),
    LENGTHS,
    st.floats(0.05, 1.0),
    DURATIONS,
)
def test_targets_lie_in_order_one_a_window(text: str, length_s: float, share: float, duration_s: float) -> None:
    plan, sampling = WindowPlan(length_s, length_s * share), Sampling.parse(text)
    targets = sampling.targets(plan, duration_s)
    assert len(targets.time_s) >= 1
    assert np.all(np.diff(targets.window) > 0) and np.all(np.diff(targets.time_s) > 0)
    assert targets.window[0] >= 0 and targets.window[-1] < plan.count(duration_s)
    grid_s = sampling.grid(plan, duration_s).times_s()
    assert np.isin(np.round(targets.time_s, 9), np.round(grid_s, 9)).all()
    centres_s = plan.centres_s(duration_s)
    behind = np.clip(np.searchsorted(centres_s, targets.time_s), 1, max(1, len(centres_s) - 1))
    beside_s = centres_s[np.minimum([behind - 1, behind], len(centres_s) - 1)]  # (2, F): one of them is nearest
    least_s = np.abs(beside_s - targets.time_s).min(axis=0)
    assert np.allclose(np.abs(centres_s[targets.window] - targets.time_s), least_s, atol=2e-6)


@settings(deadline=None, max_examples=60)
@given(st.floats(0.05, 2.0), DURATIONS, st.floats(0.0, 60.0))
def test_a_longer_clip_has_the_same_instants_and_more(step_s: float, duration_s: float, more_s: float) -> None:
    for sampling in (Sampling(), Sampling("every", step_s)):
        short, long = (sampling.grid(WindowPlan(), d) for d in (duration_s, duration_s + more_s))
        assert (short.first_s, short.step_s) == (long.first_s, long.step_s)
        assert short.count <= long.count


def test_grid() -> None:
    assert Grid(0.5, 0.25, 3).times_s().tolist() == [0.5, 0.75, 1.0]


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(0, 1000), min_size=1, unique=True), st.lists(st.integers(-100, 1200), min_size=1))
def test_nearest_is_the_nearest_and_the_earlier_of_two(times: list[int], wanted: list[int]) -> None:
    ordered = np.array(sorted(times), dtype=np.float64)
    expected = [min(range(len(ordered)), key=lambda i: (abs(ordered[i] - w), i)) for w in wanted]
    assert nearest(ordered, np.array(wanted, dtype=np.float64)).tolist() == expected
