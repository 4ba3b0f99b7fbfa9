"""Information decomposition: distributions whose parts are known, and how often intervals hold them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from dualstream.heads.diagnosis.measures.information import Information, Parts, measure_information
from dualstream.heads.diagnosis.measures.union import mutual_information, union_information
from numpy.typing import NDArray

Codes = NDArray[np.int64]
Drawn = tuple[Codes, Codes, Codes, Codes]  # truth, answers of two streams, joined answers
HALF = 1 - (-0.1 * np.log2(0.1) - 0.9 * np.log2(0.9))  # bits through a channel that errs in one of ten


def exclusive_or(rng: np.random.Generator, count: int) -> Drawn:
    a, b = rng.integers(0, 2, (2, count))
    return a ^ b, a, b, a ^ b


def copies(rng: np.random.Generator, count: int) -> Drawn:
    a = rng.choice(3, count, p=(0.5, 0.25, 0.25))
    return a, a, a, a


def halves(rng: np.random.Generator, count: int) -> Drawn:
    """Independent streams that tell different halves of the label: unique, which I_min would call redundant."""
    a, b = rng.integers(0, 2, (2, count))
    return 2 * a + b, a, b, 2 * a + b


def one_tells(rng: np.random.Generator, count: int) -> Drawn:
    a, b = rng.integers(0, 2, (2, count))
    return a, a, b, a


def noisy_exclusive_or(rng: np.random.Generator, count: int) -> Drawn:
    a, b = rng.integers(0, 2, (2, count))
    truth = a ^ b ^ (rng.random(count) < 0.1)
    return truth, a, b, a ^ b


def noisy_halves(rng: np.random.Generator, count: int) -> Drawn:
    a, b = rng.integers(0, 2, (2, count))
    x, y = (one ^ (rng.random(count) < 0.1) for one in (a, b))
    return 2 * a + b, x, y, 2 * x + y


def noisy_echo(rng: np.random.Generator, count: int) -> Drawn:
    """Both streams see the same noisy sign: redundant."""
    truth = rng.integers(0, 2, count)
    seen = truth ^ (rng.random(count) < 0.1)
    return truth, seen, seen, seen


KNOWN: dict[Callable[[np.random.Generator, int], Drawn], tuple[float, float, float, float]] = {
    # redundant, unique to the first, unique to the second, synergy: bits
    exclusive_or: (0, 0, 0, 1),
    copies: (1.5, 0, 0, 0),
    halves: (0, 1, 1, 0),
    one_tells: (0, 1, 0, 0),
    noisy_exclusive_or: (0, 0, 0, HALF),
    noisy_halves: (0, HALF, HALF, 0),
    noisy_echo: (HALF, 0, 0, 0),
}


def measured(drawn: Drawn, group: Codes | None = None, seed: int = 0, resamples: int = 200) -> Information:
    truth, a, b, joined = drawn
    group = np.arange(len(truth)) if group is None else group
    return measure_information(truth, {"face": a, "voice": b}, joined, group, seed=seed, resamples=resamples)


def parts(found: Information):
    return found.redundant, found.unique["face"], found.unique["voice"], found.synergy


@pytest.mark.parametrize("make", KNOWN, ids=lambda make: make.__name__)
def test_known_parts(make) -> None:
    found = measured(make(np.random.default_rng(0), 4_000))
    assert [one.mean for one in parts(found)] == pytest.approx(KNOWN[make], abs=0.05)
    assert sum(one.mean for one in parts(found)) == pytest.approx(found.joined.mean, abs=0.02)


@pytest.mark.slow
@pytest.mark.parametrize("make", KNOWN, ids=lambda make: make.__name__)
def test_intervals_hold_what_is_known(make) -> None:
    """Of 100 samples of 400, each part by itself."""
    held = np.zeros(4)
    for seed in range(100):
        found = measured(make(np.random.default_rng([seed, 1]), 400), seed=seed, resamples=100)
        for row, (one, bits) in enumerate(zip(parts(found), KNOWN[make], strict=True)):
            assert one.low is not None and one.high is not None
            held[row] += one.low - 1e-6 <= bits <= one.high + 1e-6
    assert (held >= 95).all(), held


def test_and_of_two_bits_as_published() -> None:
    """Bertschinger et al. 2014, table 1: AND has 0.311 bits shared, none unique, 0.5 synergy."""
    face = np.array([[[0.5, 0.0], [0.25, 0.25]]])  # shares of (bit, and): (0, 0), (1, 0), (1, 1)
    union = union_information([face, face])
    assert float(union[0]) == pytest.approx(0.311, abs=1e-3)
    assert float(mutual_information(face)[0]) == pytest.approx(0.311, abs=1e-3)
    whole = np.array([[[0.25, 0.0], [0.25, 0.0], [0.25, 0.0], [0.0, 0.25]]])
    assert float(mutual_information(whole)[0] - union[0]) == pytest.approx(0.5, abs=1e-3)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((2, 3, 3), 0.60848),
        ((3, 3, 3), 0.16299),
        ((4, 3, 2), 0.24692),
        ((2, 2, 2, 2), 0.22756),
        ((3, 2, 3, 3), 0.30432),
        ((7, 7, 7), 0.36419),
    ],
)
def test_union_information_as_a_conic_solver_finds_it(tables, shape, expected) -> None:
    """The same convex problem, posed in CVXPY and solved by Clarabel 0.11; the label is the last axis."""
    table = tables[shape]
    sources = range(len(shape) - 1)
    margins = [table.sum(axis=tuple(other for other in sources if other != one))[None] for one in sources]
    assert float(union_information(margins)[0]) == pytest.approx(expected, abs=1e-3)


@pytest.fixture(scope="module")
def tables():
    """Tables drawn one after the other from one generator, as they were for the solver."""
    rng = np.random.default_rng(7)
    shapes = ((2, 3, 3), (3, 3, 3), (4, 3, 2), (2, 2, 2, 2), (3, 2, 3, 3), (7, 7, 7))
    return {shape: rng.dirichlet(np.full(int(np.prod(shape)), 0.3)).reshape(shape) for shape in shapes}


def test_bias_of_sparse_tables_is_taken_off() -> None:
    """Of 300 utterances of seven classes answers of noise seem to tell .09 bits; 20 samples, corrected."""
    found = []
    for seed in range(20):
        rng = np.random.default_rng([seed, 5])
        truth, answer = rng.choice(7, (2, 300), p=(0.4, 0.2, 0.12, 0.1, 0.08, 0.05, 0.05))
        one = measure_information(truth, {"a": answer, "b": answer}, answer, np.arange(300), resamples=40)
        found.append((one.joined.seeds[0], one.joined.mean))
    plain, corrected = np.mean(found, axis=0)
    assert plain > 0.07 > 0.02 > corrected


def test_mutual_information_as_scikit_learn_has_it() -> None:
    from sklearn.metrics import mutual_info_score

    counts = np.random.default_rng(0).integers(0, 30, (4, 5))
    expected = mutual_info_score(None, None, contingency=counts) / np.log(2)
    assert float(mutual_information(counts / counts.sum())) == pytest.approx(expected)


def test_three_streams() -> None:
    rng = np.random.default_rng(0)
    a, b, c = rng.integers(0, 2, (3, 4_000))
    truth = 2 * a + (b ^ c)
    found = measure_information(truth, {"a": a, "b": b, "c": c}, truth, np.arange(4_000), resamples=50)
    got = [found.unique["a"].mean, found.unique["b"].mean, found.redundant.mean, found.synergy.mean]
    assert got == pytest.approx([1, 0, 0, 1], abs=0.05)


def test_whole_groups_are_resampled() -> None:
    """Each utterance ten times over tells no more: the interval is as wide as that of one of each."""
    drawn = noisy_halves(np.random.default_rng(0), 200)
    often: Drawn = tuple(np.tile(codes, 10) for codes in drawn)  # type: ignore[assignment]
    once, tenfold = measured(drawn), measured(often, np.tile(np.arange(200), 10))
    widths = [one.unique["face"].high - one.unique["face"].low for one in (once, tenfold)]
    assert widths[1] == pytest.approx(widths[0], rel=0.1)


def test_one_stream_is_refused() -> None:
    codes = np.zeros(4, dtype=np.int64)
    with pytest.raises(ValueError, match="1 streams; information is decomposed of 2 to 4"):
        measure_information(codes, {"face": codes}, codes, codes)


# ---- three streams: each against the rest, and every two


def parity(rng: np.random.Generator, count: int):
    """All three at once, or nothing: no two tell anything."""
    a, b, c = rng.integers(0, 2, (3, count))
    truth = a ^ b ^ c
    return truth, {"a": a, "b": b, "c": c}, dict.fromkeys(("ab", "ac", "bc"), np.zeros_like(a)), truth


def three_copies(rng: np.random.Generator, count: int):
    truth = rng.integers(0, 2, count)
    return truth, dict.fromkeys("abc", truth), dict.fromkeys(("ab", "ac", "bc"), truth), truth


def three_parts(rng: np.random.Generator, count: int):
    """Each tells a bit of its own, of a label of eight classes."""
    a, b, c = rng.integers(0, 2, (3, count))
    some = {"ab": 2 * a + b, "ac": 2 * a + c, "bc": 2 * b + c}
    return 4 * a + 2 * b + c, {"a": a, "b": b, "c": c}, some, 4 * a + 2 * b + c


def two_of_three(rng: np.random.Generator, count: int):
    """An exclusive-or of b and c, which a copies with errors."""
    b, c = rng.integers(0, 2, (2, count))
    a = b ^ c ^ (rng.random(count) < 0.1)
    return b ^ c, {"a": a, "b": b, "c": c}, {"ab": a, "ac": a, "bc": b ^ c}, b ^ c


# of a against b+c: redundant, only a, only b+c, synergy; of the pair b, c: redundant, only b, only c, synergy
OF_THREE = {
    parity: ((0, 0, 0, 1), (0, 0, 0, 0)),
    three_copies: ((1, 0, 0, 0), (1, 0, 0, 0)),
    three_parts: ((0, 1, 2, 0), (0, 1, 1, 0)),
    two_of_three: ((HALF, 0, 1 - HALF, 0), (0, 0, 0, 1)),
}


def of_three(make, rng: np.random.Generator, count: int, group: Codes | None = None, **options) -> Information:
    truth, alone, some, joined = make(rng, count)
    group = np.arange(count) if group is None else group
    known = {frozenset(name): codes for name, codes in some.items()}
    return measure_information(truth, alone, joined, group, some=known, **options)


def listed(found: Parts):
    return [found.redundant, *found.unique.values(), found.synergy]


@pytest.mark.parametrize("make", OF_THREE, ids=lambda make: make.__name__)
def test_a_stream_against_the_rest_and_a_pair(make) -> None:
    found = of_three(make, np.random.default_rng(0), 4_000, resamples=40)
    assert set(found.against_rest) == set("abc") and set(found.pairs) == {"a+b", "a+c", "b+c"}
    assert list(found.against_rest["a"].unique) == ["a", "b+c"] and list(found.pairs["b+c"].unique) == ["b", "c"]
    rest, pair = OF_THREE[make]
    assert [one.mean for one in listed(found.against_rest["a"])] == pytest.approx(rest, abs=0.05)
    assert [one.mean for one in listed(found.pairs["b+c"])] == pytest.approx(pair, abs=0.05)
    document = found.to_json()
    assert document["against_rest"]["a"]["unique"]["b+c"]["bits"] == pytest.approx(rest[2], abs=0.05)
    low, high = document["pairs"]["b+c"]["synergy"]["interval"]
    assert low <= pair[3] + 1e-6 and pair[3] - 1e-6 <= high


@pytest.mark.slow
@pytest.mark.parametrize("make", OF_THREE, ids=lambda make: make.__name__)
def test_intervals_of_three_streams_hold_what_is_known(make) -> None:
    """Of 100 samples of 400, each part of a against b+c and of the pair b, c by itself."""
    held = np.zeros((2, 4))
    for seed in range(100):
        found = of_three(make, np.random.default_rng([seed, 3]), 400, seed=seed, resamples=100)
        for row, (parts_of, bits) in enumerate(
            zip((found.against_rest["a"], found.pairs["b+c"]), OF_THREE[make], strict=True)
        ):
            for at, (one, known) in enumerate(zip(listed(parts_of), bits, strict=True)):
                assert one.low is not None and one.high is not None
                held[row, at] += one.low - 1e-6 <= known <= one.high + 1e-6
    assert (held >= 95).all(), held


def test_without_heads_on_some_streams_nothing_is_said_of_them() -> None:
    truth, alone, _, joined = parity(np.random.default_rng(0), 60)
    found = measure_information(truth, alone, joined, np.arange(60), resamples=20)
    assert (dict(found.against_rest), dict(found.pairs)) == ({}, {})
