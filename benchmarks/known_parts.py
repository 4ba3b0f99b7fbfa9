"""Distributions of labels and answers whose redundant, unique and synergistic bits are known by hand.

Each is a product of independent components; bits of independent components add up. A component is a joint
distribution of one part of the label and of what every stream (and the joined head) answers for that part.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import product

import numpy as np
from numpy.typing import NDArray

Codes = NDArray[np.int64]
Streams = frozenset[int]
Four = tuple[float, float, float, float]  # bits: redundant, of the first source only, of the second, synergy
NOTHING: Four = (0.0, 0.0, 0.0, 0.0)
SEVEN = (0.47, 0.17, 0.12, 0.11, 0.07, 0.03, 0.03)  # as MELD's emotions are distributed


def entropy(shares: Sequence[float]) -> float:
    """Return the entropy of a distribution, bits."""
    return float(-sum(share * np.log2(share) for share in shares if share > 0))


@dataclass(frozen=True)
class Component:
    """One independent part of a label: its outcomes, and the bits that are told of it."""

    outcomes: tuple[tuple[float, tuple[int, ...]], ...]
    """Share of each outcome; label, answer of each stream, joined answer."""
    redundant: float
    unique: tuple[float, ...]
    synergy: float
    answers: Callable[[Streams, Codes], Codes] = field(default=lambda known, codes: codes[:, 1 + min(known)])
    """What a head on some of the streams answers, of codes of outcomes (K, 2 + streams)."""
    of_two: Callable[[Streams, Streams], Four] = field(default=lambda first, second: NOTHING)
    """What two sources, each of some streams joined, tell of it."""


def parity(streams: int, of: Sequence[int], rare: float = 0.5, error: float = 0.0) -> Component:
    """Return an exclusive-or of some streams: synergy. The rarer label has the share `rare`."""
    free, last = of[:-1], of[-1]
    outcomes = []
    for label, wrong, bits in product((0, 1), (0, 1), product((0, 1), repeat=len(free))):
        share = (rare, 1 - rare)[label] * (1 - error, error)[wrong] / 2 ** len(free)
        told = (label ^ wrong) ^ (sum(bits) & 1)
        answers = [0] * streams
        for stream, bit in zip((*free, last), (*bits, told), strict=True):
            answers[stream] = bit
        outcomes.append((share, (label, *answers, label ^ wrong)))
    bits_of, all_of = channel(rare, error), frozenset(of)

    def of_two(first: Streams, second: Streams) -> Four:
        if not all_of <= first | second:
            return NOTHING
        sides = [bits_of * (all_of <= one) for one in (first, second)]
        return 0.0, sides[0], sides[1], bits_of - sum(sides)

    def answers(known: Streams, codes: Codes) -> Codes:
        return codes[:, -1] * (all_of <= known)

    return Component(_some(outcomes), 0.0, (0.0,) * streams, bits_of, answers, of_two)


def echo(streams: int, of: Sequence[int], shares: Sequence[float], error: float = 0.0) -> Component:
    """Return a part that some streams tell alike (with the same errors): redundant, or unique where it is one."""
    classes = len(shares)
    outcomes = []
    for label, told in product(range(classes), repeat=2):
        right = 1 - error if told == label else error / max(1, classes - 1)
        answers = [told if stream in of else 0 for stream in range(streams)]
        outcomes.append((shares[label] / sum(shares) * right, (label, *answers, told)))
    joint = np.zeros((classes, classes))
    for share, codes in outcomes:
        joint[codes[0], codes[-1]] += share
    bits_of = entropy(joint.sum(0)) + entropy(joint.sum(1)) - entropy(joint.ravel())
    alone = len(of) == 1
    unique = tuple(bits_of if alone and stream in of else 0.0 for stream in range(streams))

    def of_two(first: Streams, second: Streams) -> Four:
        one, other = (bool(source & set(of)) for source in (first, second))
        return bits_of * (one and other), bits_of * (one and not other), bits_of * (other and not one), 0.0

    def answers(known: Streams, codes: Codes) -> Codes:
        return codes[:, -1] * bool(known & set(of))

    return Component(_some(outcomes), 0.0 if alone else bits_of, unique, 0.0, answers, of_two)


def witnesses(streams: int, errors: Sequence[float]) -> Component:
    """Return two independent witnesses of one fair sign, the first streams, the first as sure or surer.

    What a worse witness tells is told by a better one (its channel is the better one's and noise), so only the
    best has something of its own. The joined answer is that of all witnesses, as they are.
    """
    assert len(errors) == 2 and list(errors) == sorted(errors)
    outcomes = []
    for label, wrong in product((0, 1), product((0, 1), repeat=len(errors))):
        share = 0.5 * float(np.prod([(1 - e, e)[w] for e, w in zip(errors, wrong, strict=True)]))
        answers = [label ^ w for w in wrong]
        code = int("".join(map(str, answers)), 2)
        outcomes.append((share, (label, *answers, *[0] * (streams - len(errors)), code)))
    best, second = (channel(0.5, error) for error in errors[:2])
    joint = np.zeros((2, 2 ** len(errors)))
    for share, codes in outcomes:
        joint[codes[0], codes[-1]] += share
    told = 1 + entropy(joint.sum(0)) - entropy(joint.ravel())
    unique = [0.0] * streams
    unique[0] = best - second

    def of_two(one: Streams, other: Streams) -> Four:
        of_one, of_other = (source & {0, 1} for source in (one, other))
        if of_one and of_other:
            more = best - second
            return second, more * (0 in of_one), more * (0 in of_other), told - best
        worth = (0.0, best if 0 in of_one | of_other else second, told)
        return 0.0, worth[len(of_one)], worth[len(of_other)], 0.0

    def answers(known: Streams, codes: Codes) -> Codes:
        return codes[:, -1] & (2 * (0 in known) + (1 in known))

    return Component(_some(outcomes), second, tuple(unique), told - best, answers, of_two)


def channel(rare: float, error: float) -> float:
    """Return the bits that a sign (of shares `rare` and the rest) leaves through a symmetric channel."""
    seen = rare * (1 - error) + (1 - rare) * error
    return entropy((seen, 1 - seen)) - entropy((error, 1 - error))


def drawn(
    components: Sequence[Component],
    count: int,
    rng: np.random.Generator,
    sticky: float = 0.0,
    size: int = 10,
    some: Sequence[Streams] = (),
) -> tuple[Codes, list[Codes], Codes, Codes, dict[Streams, Codes]]:
    """Draw utterances; return labels, answers of each stream, joined answers, groups, answers of heads on `some`.

    With `sticky` utterances stand in groups of `size`, and so large a share of a group is like its first one.
    """
    group = np.arange(count) // (size if sticky else 1)
    source = np.where(rng.random(count) < sticky, group * size, np.arange(count)) if sticky else np.arange(count)
    columns: list[Codes] = []
    of_some = {known: np.zeros(count, dtype=np.int64) for known in some}
    for component in components:
        shares = np.array([share for share, _ in component.outcomes])
        codes = np.array([codes for _, codes in component.outcomes])
        found = codes[rng.choice(len(shares), count, p=shares / shares.sum())][source]
        bases = codes.max(axis=0) + 1
        for known in some:
            answers = component.answers(known, found)
            of_some[known] = answers + of_some[known] * (codes.max() + 1)
        columns = [found[:, at] + (columns[at] * bases[at] if columns else 0) for at in range(codes.shape[1])]
    return columns[0], columns[1:-1], columns[-1], group, of_some


def known(components: Sequence[Component]) -> tuple[float, ...]:
    """Return redundant, unique of each stream, synergistic bits."""
    unique = np.sum([component.unique for component in components], axis=0)
    return (
        sum(component.redundant for component in components),
        *map(float, unique),
        sum(component.synergy for component in components),
    )


def known_of_two(components: Sequence[Component], first: Streams, second: Streams) -> Four:
    """Return redundant bits, of the first source only, of the second only, synergistic."""
    parts = [component.of_two(first, second) for component in components]
    redundant, one, other, synergy = map(float, np.sum(parts, axis=0))
    return redundant, one, other, synergy


def _some(outcomes: Sequence[tuple[float, tuple[int, ...]]]) -> tuple[tuple[float, tuple[int, ...]], ...]:
    return tuple((share, codes) for share, codes in outcomes if share > 0)


def corpora(streams: int) -> dict[str, tuple[Component, ...]]:
    """Return the distributions that are tried of so many streams, by what they hold."""
    every, rest = range(streams), tuple(range(1, streams))
    three = (0.7, 0.2, 0.1)
    makes: dict[str, Callable[[], tuple[Component, ...]]] = {
        "exclusive-or": lambda: (parity(streams, every),),
        "exclusive-or, rare, errs": lambda: (parity(streams, every, 0.15, 0.1),),
        "copies": lambda: (echo(streams, every, three),),
        "copies, err": lambda: (echo(streams, every, three, 0.15),),
        "one tells": lambda: (echo(streams, (0,), three, 0.15),),
        "each tells a part": lambda: tuple(echo(streams, (one,), (0.5, 0.5), 0.1) for one in every),
        "some tell, one not": lambda: (echo(streams, rest, (0.8, 0.2), 0.1),),
        "witnesses": lambda: (witnesses(streams, (0.1, 0.1)),),
        "unlike witnesses": lambda: (witnesses(streams, (0.1, 0.2)),),
        "all kinds": lambda: (
            parity(streams, every, 0.5, 0.1),
            echo(streams, every, (0.8, 0.2), 0.1),
            echo(streams, (0,), (0.7, 0.3), 0.1),
        ),
        "seven classes, copies": lambda: (echo(streams, every, SEVEN, 0.5),),
        "seven classes, one tells": lambda: (echo(streams, (0,), SEVEN, 0.5),),
        "nothing": lambda: (nothing(streams, three),),
    }  # fmt: skip
    return {name: make() for name, make in makes.items()}


def nothing(streams: int, shares: Sequence[float]) -> Component:
    """Return a part of the label that nobody tells anything of, though all answer."""
    classes = len(shares)
    outcomes = [
        (share / classes ** (streams + 1), (label, *answers))
        for label, share in enumerate(shares)
        for answers in product(range(classes), repeat=streams + 1)
    ]
    return Component(_some(outcomes), 0.0, (0.0,) * streams, 0.0)
