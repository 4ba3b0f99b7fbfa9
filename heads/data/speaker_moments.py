"""Means and variances of columns by speaker: of rows and windows, of all training speakers, and of all but one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from dualstream.heads.data.batch import FeatureSet, StreamArrays
from numpy.typing import NDArray

CONSTANT = 1e-6  # a column whose spread is below this share of its size is constant
PARTS = ("mean", "within", "between")

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]


@dataclass(frozen=True, repr=False)
class Moments:
    """Mean and variances of columns, each of shape (D,), or (G, D) of G groups."""

    mean: Floats
    within: Floats
    """Variance within a speaker."""
    between: Floats
    """Variance of the speakers' means."""

    def __post_init__(self) -> None:
        shapes = [getattr(self, part).shape for part in PARTS]
        if len(set(shapes)) > 1:
            raise ValueError(f"{', '.join(PARTS)} have shapes {shapes}; expected one shape")

    def spread(self) -> Floats:
        """Return the standard deviation of all rows; 0 marks a column that is constant."""
        return spread_of(self.mean, self.within + self.between)

    def inner_share(self) -> Floats:
        """Return which share of the variance lies within speakers, 0 to 1; 1 of a column that is constant."""
        total = self.within + self.between
        return np.divide(self.within, total, out=np.ones_like(total), where=total > 0)

    def __repr__(self) -> str:
        return f"Moments({self.mean.shape})"


@dataclass(frozen=True, repr=False)
class SpeakerRows:
    """Rows of one stream at one level, the usable ones marked."""

    values: NDArray[np.float32]
    """Shape (R, D)."""
    present: NDArray[np.bool_]
    usable: NDArray[np.bool_]
    """Present and finite."""
    of: Codes
    """The utterance of each row."""
    share: Floats
    """What each row counts for: those of an utterance that are usable together 1."""


def levels(features: FeatureSet, stream: StreamArrays) -> dict[str, SpeakerRows]:
    """Return a stream's utterance rows and, where it has any, its windows."""
    count = len(features)
    found = {"utterance": _rows(stream.utterance, stream.present, np.arange(count), count)}
    if stream.windows is not None and stream.window_present is not None:
        of = np.repeat(np.arange(count), np.diff(features.offsets))
        found["windows"] = _rows(stream.windows, stream.window_present, of, count)
    return found


def _rows(values: NDArray[np.float32], present: NDArray[np.bool_], of: Codes, count: int) -> SpeakerRows:
    usable = present & np.isfinite(values).all(axis=1)
    seen = np.bincount(of, weights=usable, minlength=count)
    return SpeakerRows(values, present, usable, of, np.where(usable, 1 / np.maximum(seen, 1)[of], 0.0))


def with_rows(
    features: FeatureSet, normalised: Callable[[str, str, SpeakerRows], NDArray[np.float32]]
) -> FeatureSet:
    """Return the features with the rows that `normalised` makes of each stream, given its name and level."""
    streams = {}
    for name, stream in features.streams.items():
        done = {level: normalised(name, level, rows) for level, rows in levels(features, stream).items()}
        streams[name] = replace(stream, utterance=done["utterance"], windows=done.get("windows"))
    return replace(features, streams=streams)


def speaker_groups(features: FeatureSet, batch: Codes | None = None) -> Codes:
    """Number the speakers, in each batch anew; -1 where the speaker is unknown."""
    speaker = features.speaker
    if batch is None:
        batch = np.zeros(len(features), np.int64)
    if batch.shape != speaker.shape:
        raise ValueError(f"batches have shape {batch.shape}; expected {speaker.shape}")
    pairs = np.stack((batch, speaker), axis=1)
    codes = np.unique(pairs, axis=0, return_inverse=True)[1].reshape(-1).astype(np.int64)
    return np.where(speaker < 0, -1, codes)


@dataclass(frozen=True, repr=False)
class SpeakerSums:
    """What G speakers' rows amount to; rows of group -1 are of unknown speakers, each one of its own."""

    group: Codes
    """Of each row, shape (R,)."""
    size: Floats
    """Utterances, shape (G,)."""
    mean: Floats
    """Shape (G, D)."""
    variance: Floats
    """Around that mean, shape (G, D)."""
    centre: Floats
    """Mean of all usable rows, shape (D,)."""
    total: Floats
    """Their variance around it, shape (D,)."""
    everyone: float
    """Utterances with usable rows, unknown speakers' too."""

    @classmethod
    def of(cls, rows: SpeakerRows, group: Codes, count: int | None = None) -> SpeakerSums:
        """Sum the usable rows by group, of `count` groups; None: as many as have rows."""
        size, mean, variance = _by_group(rows, group, int(group.max(initial=-1)) + 1 if count is None else count)
        (everyone,), (centre,), (total,) = _by_group(rows, np.zeros_like(group), 1)
        return cls(group, size, mean, variance, centre, total, float(everyone))

    def moments(self) -> Moments:
        """Return mean and variances of all rows."""
        freedom = np.maximum(self.size - 1, 0)
        squares = self._squares().sum(0)
        return _split(self.centre, self.total, squares, freedom.sum(keepdims=True))

    def moments_of_others(self) -> Moments:
        """Return those of all rows but each group's own, (G, D); of all rows where there are no others."""
        left = (self.everyone - self.size)[:, None]
        alone = left <= 0
        own = np.divide(self.size[:, None], left, out=np.zeros_like(left), where=~alone)
        # sums around the mean of all: in these, the whole has mean 0 and variance `total`
        moved = -own * (self.mean - self.centre)
        square = (1 + own) * self.total - own * (self.variance + (self.mean - self.centre) ** 2)
        freedom = np.maximum(self.size - 1, 0)
        squares = self._squares()
        return _split(
            np.where(alone, self.centre, self.centre + moved),
            np.where(alone, self.total, np.maximum(square - moved**2, 0)),
            np.maximum(squares.sum(0) - squares, 0),
            (freedom.sum() - freedom)[:, None],
        )

    def _squares(self) -> Floats:
        """Return sums of squares around each speaker's mean; a single utterance says nothing of its spread."""
        return np.where(self.size[:, None] > 1, self.size[:, None] * self.variance, 0.0)


def _split(mean: Floats, total: Floats, squares: Floats, freedom: Floats) -> Moments:
    """Part the variance of all rows into that within speakers and the rest, which lies between them."""
    within = np.where(freedom > 0, np.minimum(squares / np.maximum(freedom, 1), total), total)
    return Moments(mean, within, total - within)


def spread_of(mean: Floats, variance: Floats) -> Floats:
    """Return standard deviations; 0 marks a column that is constant."""
    spread = np.sqrt(variance)
    return np.where(spread <= CONSTANT * np.maximum(np.abs(mean), CONSTANT), 0.0, spread)


def _by_group(rows: SpeakerRows, group: Codes, count: int) -> tuple[Floats, Floats, Floats]:
    """Return utterances (G,), means (G, D) and variances (G, D) of groups 0 to G - 1; zeros of an empty one."""
    width = rows.values.shape[1]
    total, mean, variance = np.zeros(count), np.zeros((count, width)), np.zeros((count, width))
    kept = np.flatnonzero(rows.usable & (group >= 0))
    if not len(kept):
        return total, mean, variance
    order = kept[np.argsort(group[kept], kind="stable")]
    starts = np.flatnonzero(np.diff(group[order], prepend=-1))
    which = group[order][starts]
    share, values = rows.share[order], rows.values[order].astype(np.float64)
    size = np.add.reduceat(share, starts)
    mean[which] = np.add.reduceat(share[:, None] * values, starts) / size[:, None]
    values -= mean[group[order]]
    variance[which] = np.add.reduceat(share[:, None] * values**2, starts) / size[:, None]
    total[which] = np.rint(size)  # whole utterances, but for the last digits of their windows' shares
    return total, mean, variance
