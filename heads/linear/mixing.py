"""How the parts of a late variant are mixed: weights fitted on what heads said out of fold, and the mixture."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from dualstream.heads.data.batch import UNLABELLED
from dualstream.heads.evaluation.calibration import LogPool, fit_pool, log_softmax
from dualstream.heads.evaluation.majority import class_counts, log_shares, log_shares_near
from dualstream.heads.linear.design import Design
from dualstream.heads.linear.head import Fitted
from dualstream.heads.linear.partial import PartialPools
from dualstream.heads.variants.contract import Task
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def mix(
    fitted: list[tuple[Design, dict[Task, Fitted]]],
    task: Task,
    codes: NDArray[np.int64],
    prior: Floats,
    there: NDArray[np.bool_],
    mixing: str,
    *,
    need_alone: bool = True,
) -> list[LogPool]:
    """Return how the parts are mixed together, then how each one answers alone, from out-of-fold answers.

    `there` says which utterances have each part's streams, shape (parts, N). A part's answers hold the prior of
    the utterances that it was fitted on, those that have its streams. Without `need_alone` nothing is fitted for
    parts alone: whoever asks has all streams.
    """
    outs = _out_of_fold(fitted, task)
    parts, classes = len(fitted), len(prior)
    if parts == 1 or outs is None:
        return [LogPool.mean(parts, classes), *[LogPool.mean(1, classes)] * parts]
    together = _pooling(outs, codes, prior, there, mixing)(np.arange(parts), np.all(there, axis=0))
    if not need_alone:
        return [together, *[LogPool.mean(1, classes)] * parts]
    alone = [
        fit_pool(expert[None], np.where(has, codes, UNLABELLED), held=own[None], prior=own)
        for expert, has, own in zip(outs, there, _held(codes, there, classes), strict=True)
    ]
    return [together, *alone]


def mix_partial(
    fitted: list[tuple[Design, dict[Task, Fitted]]],
    task: Task,
    codes: NDArray[np.int64],
    prior: Floats,
    there: NDArray[np.bool_],
    mixing: str,
) -> PartialPools:
    """Return how some of the parts are mixed, from out-of-fold answers, as `mix` does for all of them."""
    outs = _out_of_fold(fitted, task)
    if outs is None:
        return PartialPools.none(len(fitted), len(prior))
    pooled = _pooling(outs, codes, prior, there, mixing)
    return PartialPools.fit([design.streams for design, _ in fitted], codes, there, len(prior), pooled)


def weights_of(pools: list[LogPool]) -> tuple[Floats, Floats, Floats]:
    """Return what `mix` gave as a model's `mixing`, `alone` and `offset`."""
    together, *alone = pools
    offset = np.stack([pool.offset for pool in pools])
    return together.weights, np.concatenate([pool.weights for pool in alone]), offset


def mixed(
    experts: Floats,
    there: NDArray[np.bool_],
    mixing: Floats,
    alone: Floats,
    offset: Floats,
    partial: PartialPools,
    shift: Floats,
    prior: Floats,
) -> Floats:
    """Mix the parts' log-probabilities (parts, N, C) by which of them have their streams (parts, N)."""
    complete = there.all(0).astype(np.float64)
    share = (there & ~there.all(0)) / np.maximum(there.sum(0), 1)  # of each part, where some are missing
    weights = complete * mixing[:, None] + share * alone[:, None]
    offsets = np.vstack([complete, share]).T @ offset
    case = partial.matching(there)
    some = np.flatnonzero(case >= 0)
    weights[:, some], offsets[some] = partial.weights[case[some]].T, partial.offset[case[some]]
    answer = log_softmax(log_softmax(np.einsum("pn,pnc->nc", weights, experts) + offsets) + shift)
    answer[~there.any(0)] = prior
    return answer


def _out_of_fold(fitted: list[tuple[Design, dict[Task, Fitted]]], task: Task) -> list[Floats] | None:
    """Return each part's answers to the training rows, (N, C); None where one has none."""
    outs = [out for _, heads in fitted if (out := heads[task].out_of_fold) is not None]
    return outs if len(outs) == len(fitted) else None


def _pooling(
    outs: list[Floats], codes: NDArray[np.int64], prior: Floats, there: NDArray[np.bool_], mixing: str
) -> Callable[[NDArray[np.int64], NDArray[np.bool_]], LogPool]:
    """Return what fits the mixture of these parts on these utterances."""
    classes = len(prior)
    held = _held(codes, there, classes)

    def pooled(parts: NDArray[np.int64], has: NDArray[np.bool_]) -> LogPool:
        return fit_pool(
            np.stack([outs[k] for k in parts]),
            np.where(has, codes, UNLABELLED),
            held=held[parts],
            prior=log_shares_near(class_counts(codes[has], classes), prior),
            pull=0.01 * len(codes),
            shared=mixing != "learned",
        )

    return pooled


def _held(codes: NDArray[np.int64], there: NDArray[np.bool_], classes: int) -> Floats:
    """Return the prior that each part's answers hold, shape (parts, C)."""
    return np.stack([log_shares(class_counts(codes[has], classes)) for has in there])
