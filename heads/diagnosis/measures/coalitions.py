"""What a fitted head says where it knows some of the streams only: the others come from other utterances.

With z(S) the mean over what is drawn for the streams outside of S (each by itself, whatever the others are),

    z({video})(i) = mean over j of head(video of i, audio of j)       z({}) = mean over i and j

which is what the additive projection, the interaction index and the Shapley values of utterances are made of.
What is averaged are log-probabilities less their mean over the classes: logits, in which a head that adds up its
streams is a sum, whatever softmax makes of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from dualstream.heads.data.batch import FeatureSet
from dualstream.heads.diagnosis.changes import lent
from dualstream.heads.diagnosis.refit import Pool, Refit, predict
from dualstream.heads.evaluation.shapley import Coalition, subsets
from dualstream.heads.variants import registry
from dualstream.heads.variants.contract import Trained
from dualstream.heads.variants.options import Task
from numpy.typing import NDArray

Values = Mapping[Coalition, NDArray[np.float64]]
"""By the streams that are known: logits (..., N, C), or anything of that shape."""

PAIRS = 62_500  # combinations that one model answers: all pairs of 250 utterances
PAIRS_BY_WINDOWS = 8_100  # of heads that read windows, whose answers cost as much as eight others
DRAWS = 24  # others that stand in for an unknown stream of an utterance, where not all do
DRAWS_OF_MANY = (
    96  # the same where a corpus-wide measure is made of three streams or more: of fewer its means are noise
)
MAX_STREAMS = 4  # coalitions double with each
CHUNK = 16_384  # utterances that are predicted at once


@dataclass(frozen=True, repr=False)
class Coalitions:
    """Answers of the fitted heads to every coalition of streams, by models that did not see the utterance."""

    names: tuple[str, ...]
    rows: NDArray[np.int64]
    """Of the pool: which utterances, shape (N,)."""
    values: Values
    """Logits, one row a seed, shape (S, N, C)."""
    exact: bool
    """Whether an unknown stream was taken from every utterance of the fold that is in `rows`."""
    draws: int
    """From how many utterances an unknown stream was taken, at least."""
    grids: tuple[NDArray[np.float64], ...] = ()
    """Where `exact`, of each fold the logits of all pairs: first stream by second stream, shape (S, n, n, C)."""
    by_lender: tuple[Values, ...] = ()
    """Where three streams or more were drawn, of each fold logits by those who lend, shape (S, J, n, C); of nobody
    known (S, J, J, C): J turns of J lenders. The mean over J is in `values`."""
    lender_groups: tuple[NDArray[np.int64], ...] = ()
    """Then of each fold the group that each of the J is drawn with, shape (J,)."""

    @property
    def whole(self) -> NDArray[np.float64]:
        """Of the head that knows all streams, shape (S, N, C)."""
        return self.values[frozenset(self.names)]


def all_pairs(pooled: Pool, fused: Refit, names: Sequence[str], *, seed: int = 0) -> Coalitions:
    """Answer each coalition on as many utterances of each fold as can meet one another.

    Two streams are averaged over all pairs of those, and so exactly; of more, `DRAWS_OF_MANY` combinations are
    drawn for each utterance, or as many as there are utterances.
    """
    budget = PAIRS_BY_WINDOWS if registry.get(fused.trial.fusion).needs_windows else PAIRS
    largest = int(np.sqrt(budget))
    return _over_folds(pooled, fused, names, largest=largest, draws=None, seed=seed)


def drawn(pooled: Pool, fused: Refit, names: Sequence[str], *, draws: int = DRAWS, seed: int = 0) -> Coalitions:
    """Answer each coalition on every utterance, unknown streams taken from `draws` others of its fold."""
    return _over_folds(pooled, fused, names, largest=None, draws=draws, seed=seed)


def of_models(
    models: Sequence[Trained],
    features: FeatureSet,
    fusion: str,
    names: Sequence[str],
    task: Task,
    *,
    draws: int = DRAWS,
    seed: int = 0,
) -> Coalitions:
    """Answer each coalition by fitted models, unknown streams taken from `draws` of these very utterances."""
    bared = bare(features, fusion)
    others = lenders(names, np.arange(len(features)), draws, np.random.default_rng((seed, 6)))
    found = [coalition_values(one, bared, names, task, others) for one in models]
    values = {known: np.stack([one[known] for one in found]) for known in subsets(names)}
    met = min(draws, len(features))
    return Coalitions(
        tuple(names), np.arange(len(features)), values, met == len(features) and len(names) == 2, met
    )


def why_none(fusion: str, names: Sequence[str]) -> str:
    """Return why streams of other utterances can't stand in; empty where they can."""
    if registry.get(fusion).needs_dialogues:
        return f"{fusion} reads whole dialogues, and a turn's stream can't come from another dialogue"
    if len(names) > MAX_STREAMS:
        return f"{len(names)} streams have {2 ** len(names)} combinations; at most {MAX_STREAMS} are tried"
    return ""


def _over_folds(
    pooled: Pool, fused: Refit, names: Sequence[str], *, largest: int | None, draws: int | None, seed: int
) -> Coalitions:
    kept, parts, exact, fewest = [], [], True, len(pooled.features)
    grids: list[NDArray[np.float64]] = []
    by_lender: list[Values] = []
    of_groups: list[NDArray[np.int64]] = []
    for held, (models, change) in enumerate(fused.models):
        rng = np.random.default_rng((seed, held, 2))
        rows = pooled.rows([held])
        if largest is not None and len(rows) > largest:
            rows = np.sort(rng.choice(rows, largest, replace=False))
        features = bare(change(pooled.features.take(rows)), fused.trial.fusion)
        wanted = len(rows) if draws is None and len(names) == 2 else min(len(rows), draws or DRAWS_OF_MANY)
        exact, fewest = exact and wanted == len(rows) and len(names) == 2, min(fewest, wanted)
        others = lenders(names, pooled.group[rows], wanted, rng)
        if largest is not None and len(names) == 2:
            grids.append(np.stack([_grid(model, features, names, pooled.task) for model in models]))
            of_models = [of_grid(grid, names) for grid in grids[-1]]
        elif largest is not None:
            each = [values_by_lender(model, features, names, pooled.task, others) for model in models]
            by_lender.append({known: np.stack([one[known] for one in each]) for known in subsets(names)})
            of_groups.append(pooled.group[rows][others[names[0]]])
            of_models = [over_lenders(one, len(rows)) for one in each]
        else:
            of_models = [coalition_values(model, features, names, pooled.task, others) for model in models]
        parts.append({key: np.stack([one[key] for one in of_models]) for key in subsets(names)})
        kept.append(rows)
    values = {key: np.concatenate([part[key] for part in parts], axis=1) for key in subsets(names)}
    met_all = tuple(grids) if exact else ()
    at = np.concatenate(kept)
    return Coalitions(tuple(names), at, values, exact, fewest, met_all, tuple(by_lender), tuple(of_groups))


def lenders(
    names: Sequence[str], group: NDArray[np.int64], draws: int, rng: np.random.Generator
) -> dict[str, NDArray[np.int64]]:
    """Return which utterances lend each stream, in turn, shape (J,): the same J, or nearly, in different orders.

    In a turn each stream comes from another group, and turns that take one stream of a group take another stream
    of one group of about its size (cut, or repeated). So turns of different groups are independent of one another,
    and can be drawn anew by groups. Where there are fewer groups than streams, orders are random.
    """
    some = rng.choice(len(group), min(draws, len(group)), replace=False)
    codes, place, sizes = np.unique(group[some], return_inverse=True, return_counts=True)
    streams, groups = len(names), len(codes)
    if groups < streams:
        return {name: rng.permutation(some) for name in names}
    order = np.lexsort((rng.random(groups), sizes))
    starts = np.arange(0, groups - streams + 1, streams)  # of rings of groups; the last takes what is left over
    rings = np.split(order, starts[1:])
    members = [rng.permutation(some[place == one]) for one in range(groups)]
    found = {}
    for step, name in enumerate(names):
        giving = np.concatenate([np.roll(ring, -step) for ring in rings])
        taken = zip(giving, sizes[order], strict=True)
        found[name] = np.concatenate([np.resize(members[giver], size) for giver, size in taken])
    return found


def coalition_values(
    model: Trained,
    features: FeatureSet,
    names: Sequence[str],
    task: Task,
    others: Mapping[str, NDArray[np.int64]],
) -> dict[Coalition, NDArray[np.float64]]:
    """Return one model's logits (N, C) for each coalition; `others` (`lenders`) stand in for each.

    With two streams and as many of those as there are utterances each meets each, itself among them (Hessel & Lee
    2020).
    """
    count = len(features)
    if len(names) == 2 and len(others[names[0]]) == count:
        return of_grid(_grid(model, features, names, task), names)
    return over_lenders(values_by_lender(model, features, names, task, others), count)


def values_by_lender(
    model: Trained,
    features: FeatureSet,
    names: Sequence[str],
    task: Task,
    others: Mapping[str, NDArray[np.int64]],
) -> dict[Coalition, NDArray[np.float64]]:
    """Return one model's logits (J, N, C) for each coalition, by the J utterances that lend what is unknown.

    Where nothing is known they lend to one another: shape (J, J, C), turns by lenders; the first stream comes from
    as many lenders before as the turn says. Where all is known: (1, N, C).
    """
    # the same others stand in for everybody, and for every coalition: what they happen to be is no interaction
    count, met = len(features), len(others[names[0]])
    values: dict[Coalition, NDArray[np.float64]] = {}
    for known in subsets(names):
        unknown = [name for name in names if name not in known]
        if not unknown:
            values[known] = logits(model, features, task)[None]
        elif known:
            turns = [{name: np.full(count, others[name][at]) for name in unknown} for at in range(met)]
            values[known] = _lent(model, features, features, turns, task)
        else:
            # the first stream of every lender meets the others of every lender
            turns = [{**others, names[0]: np.roll(others[names[0]], by)} for by in range(met)]
            values[known] = _lent(model, features.take(np.arange(met)), features, turns, task)
    return values


def over_lenders(values: Values, count: int) -> dict[Coalition, NDArray[np.float64]]:
    """Return logits (N, C) of each coalition, means over those who lend."""
    found: dict[Coalition, NDArray[np.float64]] = {}
    for known, rows in values.items():
        mean = rows.mean(axis=0)
        found[known] = mean if known else np.broadcast_to(mean.mean(axis=0), (count, mean.shape[1])).copy()
    return found


def _lent(
    model: Trained,
    features: FeatureSet,
    background: FeatureSet,
    turns: Sequence[Mapping[str, NDArray[np.int64]]],
    task: Task,
) -> NDArray[np.float64]:
    """Return a model's logits under several ways to lend streams of the background, shape (turns, N, C)."""
    return np.stack([logits(model, lent(features, givers, background), task) for givers in turns])


def _grid(model: Trained, features: FeatureSet, names: Sequence[str], task: Task) -> NDArray[np.float64]:
    """Return logits of two streams from all pairs of utterances, the first's by the second's, shape (N, N, C)."""
    first, _ = names
    count = len(features)
    parts = []
    step = max(1, CHUNK // max(count, 1))
    for start in range(0, count, step):
        some = np.arange(start, min(start + step, count))
        giver = np.repeat(some, count)  # of the first stream; the rest of an utterance is that of the second's
        met = features.take(np.tile(np.arange(count), len(some)))
        parts.append(logits(model, lent(met, {first: giver}, features), task).reshape(len(some), count, -1))
    return np.concatenate(parts)


def of_grid(grid: NDArray[np.float64], names: Sequence[str]) -> dict[Coalition, NDArray[np.float64]]:
    """Return logits of each coalition of two streams from those of all pairs (N, N, C)."""
    first, second = names
    of_first, here = grid.mean(axis=1), np.arange(len(grid))
    return {
        frozenset(): np.broadcast_to(of_first.mean(axis=0), of_first.shape).copy(),
        frozenset({first}): of_first,
        frozenset({second}): grid.mean(axis=0),
        frozenset({first, second}): grid[here, here],
    }


def logits(model: Trained, features: FeatureSet, task: Task) -> NDArray[np.float64]:
    """Return log-probabilities less their mean over the classes, shape (N, C)."""
    parts = [
        predict(model, features.take(np.arange(start, min(start + CHUNK, len(features)))), task)
        for start in range(0, len(features), CHUNK)
    ]
    rows = np.concatenate(parts) if len(parts) > 1 else parts[0]
    return rows - rows.mean(axis=1, keepdims=True)


def bare(features: FeatureSet, fusion: str) -> FeatureSet:
    """Return the utterances without windows where the head reads none: they would be carried along for nothing."""
    variant = registry.get(fusion)
    if variant.needs_windows or variant.kind == "search":
        return features
    streams = {
        name: replace(stream, windows=None, window_present=None) for name, stream in features.streams.items()
    }
    return replace(
        features, streams=streams, offsets=np.zeros_like(features.offsets), start_s=np.zeros(0, np.float64)
    )
