"""A penalty for each stream, and each speaker's own mean and spread: what they are worth on a cache of streams.

    python benchmarks/study_bands.py results/ravdess-whisper.h5 --lead audio.whisper-tiny.en [--streams ...]
    python benchmarks/study_bands.py results/ravdess-whisper.h5 --lead ... --write own.h5

Banded ridge regression on the classes (Nunez-Elizalde et al. 2019, https://doi.org/10.1016/j.neuroimage.2019.04.012):
a kernel for each stream, summed with weights; weights and penalty are chosen by squared error in folds over the
training speakers. Beside it one weight for all. Rows as they are, and each speaker's centred and scaled by all of
that speaker's rows, without the prior of `--speaker-norm`; `--write` leaves such a cache for `compare`.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path

import checkout  # noqa: F401
import numpy as np
from dualstream.pipeline.cache import Cache, read_cache, write_cache
from numpy.typing import NDArray

PENALTIES = 10.0 ** np.arange(-3, 2.1, 0.5)
BANDS = (0.0, 0.25, 1.0, 4.0)
DRAWS = 2000
Rows = Mapping[str, NDArray[np.float64]]
Kernels = list[tuple[NDArray[np.float64], NDArray[np.float64]]]


def own(rows: NDArray[np.float64], speaker: NDArray[np.str_]) -> NDArray[np.float64]:
    """Centre and scale each speaker's rows by their own mean and spread."""
    made = rows.copy()
    for one in np.unique(speaker):
        at = speaker == one
        spread = made[at].std(0)
        made[at] = (made[at] - made[at].mean(0)) / np.where(spread > 1e-8, spread, 1.0)
    return made


def fold_of(speaker: NDArray[np.str_], count: int) -> NDArray[np.int64]:
    """Deal speakers into folds in turn."""
    _, codes = np.unique(speaker, return_inverse=True)
    return codes % count


def kernels(rows: Rows, train: NDArray[np.int64], test: NDArray[np.int64]) -> Kernels:
    """Return each stream's kernel among the training rows, and from the others to them; train scales both."""
    made = []
    for one in rows.values():
        mean, spread = one[train].mean(0), one[train].std(0)
        a, b = ((one[at] - mean) / np.where(spread > 1e-8, spread, 1.0) for at in (train, test))
        made.append((a @ a.T / a.shape[1], b @ a.T / a.shape[1]))
    return made


def ridge(
    band: Sequence[float], made: Kernels, truth: NDArray[np.int64], classes: int
) -> list[NDArray[np.float64]]:
    """Return scores of the other rows, (M, C), for each penalty."""
    target = np.eye(classes)[truth]
    inside, across = (sum(w * pair[k] for w, pair in zip(band, made, strict=True)) for k in (0, 1))
    values, vectors = np.linalg.eigh(inside)
    turned, left = vectors.T @ (target - target.mean(0)), across @ vectors
    return [left @ (turned / (values[:, None] + p * len(truth))) + target.mean(0) for p in PENALTIES]


def predict(
    rows: Rows, truth: NDArray[np.int64], speaker: NDArray[np.str_], bands: Sequence[Sequence[float]], folds: int
) -> tuple[NDArray[np.int64], list[tuple[float, ...]]]:
    """Answer each fold of speakers by the others; return classes and the bands that were chosen."""
    classes, outer = int(truth.max()) + 1, fold_of(speaker, folds)
    answer, chosen = np.empty(len(truth), np.int64), []
    for number in range(folds):
        train, test = np.flatnonzero(outer != number), np.flatnonzero(outer == number)
        inner, losses = fold_of(speaker[train], folds), np.zeros((len(bands), len(PENALTIES)))
        for part in range(folds):
            fit, held = train[inner != part], train[inner == part]
            made = kernels(rows, fit, held)
            for k, band in enumerate(bands):
                found = ridge(band, made, truth[fit], classes)
                losses[k] += [np.square(one - np.eye(classes)[truth[held]]).sum() for one in found]
        best, penalty = np.unravel_index(losses.argmin(), losses.shape)
        chosen.append(tuple(bands[best]))
        scores = ridge(bands[best], kernels(rows, train, test), truth[train], classes)[penalty]
        answer[test] = scores.argmax(1)
    return answer, chosen


def uar(truth: NDArray[np.int64], answer: NDArray[np.int64]) -> float:
    """Return the unweighted mean of the classes' recalls."""
    return float(np.mean([np.mean(answer[truth == one] == one) for one in np.unique(truth)]))


def interval(
    truth: NDArray[np.int64], speaker: NDArray[np.str_], one: NDArray[np.int64], other: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return the 95 % interval of the difference in UAR, drawn over speakers."""
    rng, rows = np.random.default_rng(0), [np.flatnonzero(speaker == name) for name in np.unique(speaker)]
    drawn = [np.concatenate([rows[k] for k in rng.integers(0, len(rows), len(rows))]) for _ in range(DRAWS)]
    gaps = [uar(truth[at], one[at]) - uar(truth[at], other[at]) for at in drawn]
    low_high: NDArray[np.float64] = np.percentile(gaps, [2.5, 97.5])
    return low_high


def write_own(cache: Cache, speaker: NDArray[np.str_], target: Path) -> None:
    """Write a cache whose utterances' rows are each speaker's own; windows stay as they are."""
    streams = {
        name: dataclasses.replace(one, utterance=own(one.utterance.astype(float), speaker).astype(np.float32))
        for name, one in cache.streams.items()
    }
    write_cache(target, dataclasses.replace(cache, streams=streams))


def main() -> None:
    """Print scores with one weight and with a weight for each stream."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])  # type: ignore[union-attr]
    parser.add_argument("cache", type=Path)
    parser.add_argument("--lead", required=True, help="the stream whose weight stays 1")
    parser.add_argument("--streams", help="of which, by comma; default: all of the cache")
    parser.add_argument("--folds", type=int, default=4)
    parser.add_argument("--write", type=Path, help="only write a cache whose rows are each speaker's own")
    asked = parser.parse_args()
    cache = read_cache(asked.cache)
    speaker, truth = np.asarray(cache.utterances.speaker), np.asarray(cache.utterances.emotion, np.int64)
    if asked.write:
        write_own(cache, speaker, asked.write)
        return
    wanted = asked.streams.split(",") if asked.streams else list(cache.streams)
    names = [asked.lead, *(name for name in wanted if name != asked.lead)]
    for how in ("as they are", "each speaker's own"):
        whole = {name: cache.streams[name].utterance.astype(float)[truth >= 0] for name in names}
        rows = {n: own(one, speaker[truth >= 0]) for n, one in whole.items()} if "own" in how else whole
        told = (truth[truth >= 0], speaker[truth >= 0])
        bands = [(1.0, *one) for one in itertools.product(BANDS, repeat=len(names) - 1)]
        even, _ = predict(rows, *told, [(1.0,) * len(names)], asked.folds)
        banded, chosen = predict(rows, *told, bands, asked.folds)
        low, high = interval(*told, banded, even)
        print(
            f"{', '.join(names)}, {how}: one weight {uar(told[0], even):.3f}, a weight each "
            f"{uar(told[0], banded):.3f} ([{low:+.3f}, {high:+.3f}]), chosen {chosen}"
        )


if __name__ == "__main__":
    main()
