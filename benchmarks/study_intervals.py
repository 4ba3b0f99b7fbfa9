"""How often do intervals of EMAP, interaction and information hold what is known? For docs/fusion.md.

    python benchmarks/study_intervals.py [--part information,heads] [--streams 2,3] [--counts 300,1000]
                                         [--sticky 0,0.5] [--samples 300] [--first 0]

Of each known distribution so many samples are drawn and measured as `diagnose` does, at a nominal 95 %. Answers
for `information` come from `known_parts`. The projection's gain and the share of interactions are of heads
that answer by a formula over discrete streams: what is true of all utterances is summed over every outcome. With
`--sticky` utterances stand in groups of ten of which such a share is alike. In brackets: 95 % Clopper-Pearson.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, product

import checkout  # noqa: F401
import numpy as np
from dualstream.heads.diagnosis.measures import coalitions
from dualstream.heads.diagnosis.measures.emap import measure_emap
from dualstream.heads.diagnosis.measures.information import Parts, measure_information
from dualstream.heads.diagnosis.measures.interaction import measure_interaction
from exact_rates import exact_interval
from known_parts import corpora, drawn, known, known_of_two
from numpy.typing import NDArray

from tests.heads.diagnosis.measures.stubs import corpus, fitted, pool_of

NAMES = ("a", "b", "c")
FOLDS = 4
SLACK = 1e-6  # a value is never exactly zero

Known = tuple[str, float, float | None, float | None]  # what is measured, the truth, both ends


@dataclass(frozen=True)
class Planted:
    """A head's formula, how often each sign of a stream is plus, and what share of labels it is right for."""

    formula: Callable[..., NDArray[np.float64]]
    """From the signs of the streams to the evidence for the second class."""
    plus: tuple[float, ...]
    label: Callable[..., NDArray[np.float64]]
    """From the signs to the chance of the second class."""

    @property
    def outcomes(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """All combinations of signs, shape (K, streams), and their chances."""
        signs = np.array(list(product((-1.0, 1.0), repeat=len(self.plus))))
        return signs, np.where(signs > 0, self.plus, 1 - np.array(self.plus)).prod(axis=1)

    def truth(self) -> tuple[float, float]:
        """Return the projection's loss of balanced accuracy and the share of interactions."""
        signs, chance = self.outcomes
        evidence = self.formula(*signs.T)
        value = {
            frozenset(told): np.array([_mean_over(signs, chance, evidence, row, told) for row in signs])
            for told in _subsets(range(len(self.plus)))
        }
        alone = [value[frozenset({one})] for one in range(len(self.plus))]
        additive = sum(alone) - (len(alone) - 1) * value[frozenset()]
        second = self.label(*signs.T)
        scores = [_balanced(one > 0, chance, second) for one in (evidence, additive)]
        pairs, own = _interplay(value, len(self.plus))
        above, by_itself = ((np.abs(one) * chance).sum() for one in (pairs, own))
        return scores[0] - scores[1], float(above / (above + by_itself))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", default="information,heads")
    parser.add_argument("--streams", default="2,3")
    parser.add_argument("--counts", default="300,1000")
    parser.add_argument("--sticky", default="0,0.5")
    parser.add_argument("--samples", type=int, default=300)
    parser.add_argument("--first", type=int, default=0, help="seed of the first sample")
    parser.add_argument("--only", default="", help="distributions, separated by semicolons; all by default")
    words = parser.parse_args()
    print("| corpus | streams | utterances | sticky | measure | truth | held | width | above, below |")
    print("|---|---|---|---|---|---|---|---|---|")
    for part, streams, count, sticky in product(
        words.part.split(","), _numbers(words.streams), _numbers(words.counts), map(float, words.sticky.split(","))
    ):
        samples = {"information": of_information, "heads": of_heads}[part](streams, count, sticky, words)
        for name, found in samples:
            started = time.process_time()
            told(f"{name} | {streams} | {count} | {sticky:g}", [list(one) for one in found])
            print(f"<!-- {time.process_time() - started:.0f} s -->", flush=True)


def of_information(
    streams: int, count: int, sticky: float, words: argparse.Namespace
) -> Iterator[tuple[str, Iterator[Iterator[Known]]]]:
    """Give of each distribution its samples, each as what was measured."""
    names, every = NAMES[:streams], frozenset(range(streams))
    some = [frozenset(known) for known in combinations(range(streams), 2)] if streams > 2 else []
    some += [every - {one} for one in every] if streams > 3 else []

    def one(name: str, seed: int) -> Iterator[Known]:
        components = corpora(streams)[name]
        rng = np.random.default_rng([seed, 11])
        truth, alone, joined, group, answers = drawn(components, count, rng, sticky, some=some)
        of_some = {frozenset(names[at] for at in known): codes for known, codes in answers.items()}
        by_name = dict(zip(names, alone, strict=True))
        found = measure_information(truth, by_name, joined, group, some=of_some, seed=seed)
        yield from _named("", known(components), found)
        for title, parts in {**found.against_rest, **found.pairs}.items():
            sources = [frozenset(map(names.index, source.split("+"))) for source in parts.unique]
            how = "" if "+" in title else "against the rest: "
            yield from _named(how, known_of_two(components, *sources), parts)

    for name in _asked(corpora(streams), words.only):
        yield name, (one(name, seed) for seed in range(words.first, words.first + words.samples))


def _named(how: str, truth: Sequence[float], found: Parts) -> Iterator[Known]:
    titles = ("redundant", *(f"only {source}" for source in found.unique), "synergy")
    sources = f" of {', '.join(found.unique)}"
    for title, bits, part in zip(
        titles, truth, (found.redundant, *found.unique.values(), found.synergy), strict=True
    ):
        yield f"{how}{title}{sources}", bits, part.low, part.high


def of_heads(
    streams: int, count: int, sticky: float, words: argparse.Namespace
) -> Iterator[tuple[str, Iterator[Iterator[Known]]]]:
    """Give of each head by a formula its samples, each as what was measured."""

    def one(planted: Planted, seed: int) -> Iterator[Known]:
        rng = np.random.default_rng([seed, 12])
        group = np.arange(count) // (10 if sticky else 1)
        source = np.where(rng.random(count) < sticky, group * (10 if sticky else 1), np.arange(count))
        signs = np.where(rng.random((count, streams)) < planted.plus, 1.0, -1.0)[source]
        labels = (rng.random(count) < planted.label(*signs.T))[source].astype(np.int64)
        labels = np.where(source == np.arange(count), labels, labels[source])
        pooled = pool_of(corpus(dict(zip(NAMES, signs.T, strict=False)), labels), folds=FOLDS)
        pooled.group[:] = group
        pooled.fold[:] = group % FOLDS
        names = NAMES[:streams]
        refit = fitted(pooled, lambda *each: _two_classes(planted.formula(*each)), names, folds=FOLDS)
        met = coalitions.all_pairs(pooled, refit, names, seed=seed)
        gain, share = measure_emap(met, pooled, seed=seed).gain, measure_interaction(met, pooled, seed=seed).share
        truth = planted.truth()
        yield "EMAP", truth[0], gain.low, gain.high
        yield "interaction", truth[1], share.low, share.high

    for name, planted in _asked(heads(streams), words.only).items():
        yield name, (one(planted, seed) for seed in range(words.first, words.first + words.samples))


def heads(streams: int) -> dict[str, Planted]:
    """Return heads of two or three streams, whose last two are the ones that interact."""
    rest = [0.0] * (streams - 2)

    def of(first: float, second: float, both: float, third: float = 2.0) -> Callable[..., NDArray[np.float64]]:
        return lambda *s: first * s[-2] + second * s[-1] + both * s[-2] * s[-1] + (third * s[0] if rest else 0.0)

    def right(evidence: Callable[..., NDArray[np.float64]], chance: float) -> Callable[..., NDArray[np.float64]]:
        return lambda *s: np.where(evidence(*s) > 0, chance, 1 - chance)

    plain = (0.5,) * streams
    rare = (0.5,) * (streams - 2) + (0.8, 0.7)
    exclusive, mixed, weak, summed = of(0.5, 0.0, 4.0, 0.2), of(2, 1, 4), of(2, 1, 1.4), of(3, 1, 0.0, 1.0)
    return {
        "exclusive-or": Planted(exclusive, plain, right(exclusive, 0.9)),
        "a sum and an exclusive-or": Planted(mixed, plain, right(mixed, 0.85)),
        "the same, rare signs": Planted(mixed, rare, right(mixed, 0.85)),
        "little interaction": Planted(weak, rare, right(weak, 0.8)),
        "a sum": Planted(summed, rare, right(summed, 0.8)),
    }


def told(title: str, samples: Sequence[Sequence[Known]]) -> None:
    """Print of each measure how many intervals hold the truth, how wide they are, and where the others lie."""
    for found in zip(*samples, strict=True):
        name, truth = found[0][:2]
        low, high = (np.array([one[end] for one in found], dtype=np.float64) for end in (2, 3))
        above, below = int((low > truth + SLACK).sum()), int((high < truth - SLACK).sum())
        held, count = len(found) - above - below, len(found)
        least, most = exact_interval(held, count)
        print(
            f"| {title} | {name} | {truth:.3f} | {held / count:.1%} ({least:.1%}–{most:.1%}) | "
            f"{np.mean(high - low):.3f} | {above}, {below} |"
        )


def _two_classes(evidence: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.stack([-evidence / 2, evidence / 2], axis=1)


def _mean_over(
    signs: NDArray[np.float64],
    chance: NDArray[np.float64],
    evidence: NDArray[np.float64],
    row: NDArray[np.float64],
    told_of: Sequence[int],
) -> float:
    """Return the mean evidence where only some streams are known to be as in `row`; streams are independent."""
    fits = (signs[:, list(told_of)] == row[list(told_of)]).all(axis=1)
    return float((evidence * chance * fits).sum() / (chance * fits).sum())


def _interplay(
    value: dict[frozenset[int], NDArray[np.float64]], streams: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return sums of absolute interaction indices and of absolute own effects, of two streams or three."""
    index = {}
    for i, j in combinations(range(streams), 2):
        rest = [k for k in range(streams) if k not in (i, j)]
        deltas = [
            value[frozenset({i, j, *more})]
            - value[frozenset({i, *more})]
            - value[frozenset({j, *more})]
            + value[frozenset(more)]
            for more in ((), *((k,) for k in rest))
        ]
        index[i, j] = sum(deltas) / len(deltas)  # of three streams both have a weight of a half
    own = 0.0
    for i in range(streams):
        orders = []
        for more in _subsets([k for k in range(streams) if k != i]):
            weight = {2: (0.5, 0.5), 3: (1 / 3, 1 / 6, 1 / 3)}[streams][len(more)]
            orders.append(weight * (value[frozenset({i, *more})] - value[frozenset(more)]))
        halves = sum(0.5 * one for pair, one in index.items() if i in pair)
        own = own + np.abs(sum(orders) - halves)
    return sum(np.abs(one) for one in index.values()), np.asarray(own)


def _balanced(second: NDArray[np.bool_], chance: NDArray[np.float64], of_second: NDArray[np.float64]) -> float:
    sides = [(chance * of_second, second), (chance * (1 - of_second), ~second)]
    return float(np.mean([(share * right).sum() / share.sum() for share, right in sides]))


def _subsets(items: Sequence[int]) -> list[tuple[int, ...]]:
    found: list[tuple[int, ...]] = [()]
    for item in items:
        found += [(*one, item) for one in found]
    return found


def _asked(every: dict, only: str) -> dict:  # type: ignore[type-arg]
    return {name: one for name, one in every.items() if not only or name in only.split(";")}


def _numbers(words: str) -> list[int]:
    return [int(word) for word in words.split(",")]


if __name__ == "__main__":
    main()
