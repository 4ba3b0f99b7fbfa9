"""Coalitions of streams, and what each stream adds to them: Shapley values, exact, of arrays and tensors alike."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from math import factorial
from typing import Any

Coalition = frozenset[str]


def subsets(names: Sequence[str]) -> Iterator[Coalition]:
    """Give every coalition of the streams, the smaller first."""
    for size in range(len(names) + 1):
        yield from map(frozenset, combinations(names, size))


def shapley(values: Mapping[Coalition, Any], names: Sequence[str]) -> dict[str, Any]:
    """Return each stream's Shapley value (1953) from the values of all coalitions, the empty one too.

    Values are anything that can be added and scaled; the answers are of that kind.
    """
    count = len(names)
    answer = {}
    for name in names:
        total: Any = 0.0
        for known in subsets([other for other in names if other != name]):
            weight = factorial(len(known)) * factorial(count - len(known) - 1) / factorial(count)
            total = total + weight * (values[known | {name}] - values[known])
        answer[name] = total
    return answer
