"""Do all clips have one offset between their streams? Whether part of them agrees at a second shift.

With one offset tau, agreement falls off alike on both sides of it, as fast as the streams change:

    r(tau + d) = r(tau - d)             one offset
    r(tau + d) > r(tau - d), clearly    some clips have the offset tau + d

along the directions in which the streams agree at tau. Where tau - d was not looked at, r(tau + d) must stand
out of what lies between the two. Directions are found in other dialogues than those that are scored, and the
excess is held against a bootstrap over dialogues, corrected for the number of shifts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from dualstream.heads.data.batch import PAIR, FeatureSet
from dualstream.heads.diagnosis.alignment import MIN_PAIRS, OffsetCurve, centred, directions, pairs
from numpy.typing import NDArray

FOLDS = 4
RESAMPLES = 1_000
ALPHA = 0.01  # chance of an excess at any shift
LEAST_SHARE = 0.2  # of the agreement that isn't at the best offset: below it a few clips differ


@dataclass(frozen=True)
class SecondOffset:
    """A second offset that part of the clips have."""

    shift_s: float
    """Seconds, positive where the second stream (audio) comes later."""
    share: float
    """Of the agreement, how much is at the second offset: about the share of the clips."""
    low: float
    """Lower end of the interval of the excess of agreement there, over what one offset leaves."""

    def to_json(self) -> dict[str, float]:
        """Return the values."""
        return dict(vars(self))


def second_offset(
    features: FeatureSet, curve: OffsetCurve, *, hop_s: float, seed: int = 0, streams: tuple[str, str] = PAIR
) -> SecondOffset | None:
    """Return the second offset that part of the clips have; None where one offset explains the agreement."""
    if np.isnan(curve.peak_s) or curve.p_value > ALPHA:
        return None
    video, audio = (centred(features, name) for name in streams)
    owner = np.repeat(np.arange(len(features)), np.diff(features.offsets))
    groups, group_of = np.unique(features.dialogue, return_inverse=True)
    rng = np.random.default_rng(seed)
    fold = (rng.permutation(len(groups)) % FOLDS)[group_of[owner]]
    peak = round(curve.peak_s / hop_s)
    hops = np.round(curve.shift_s / hop_s).astype(int)

    sums = _Sums(owner, group_of[owner], len(groups))
    u, v = np.zeros(len(owner)), np.zeros(len(owner))
    left, right = sums.seen_pairs(video.seen, audio.seen, peak)
    for held in range(FOLDS):
        fit = fold[left] != held
        if fit.sum() < MIN_PAIRS:
            return None
        of_x, of_y = directions(video.rows[left[fit]], audio.rows[right[fit]])
        mine = fold == held
        u[mine], v[mine] = video.rows[mine] @ of_x[:, 0], audio.rows[mine] @ of_y[:, 0]
    weights = rng.multinomial(len(groups), np.full(len(groups), 1 / len(groups)), size=RESAMPLES)
    weights = np.concatenate((np.ones((1, len(groups)), dtype=weights.dtype), weights))
    agreed = {}
    for hop in hops.tolist():
        pair = sums.seen_pairs(video.seen, audio.seen, hop)
        if len(pair[0]) >= MIN_PAIRS:
            agreed[hop] = _correlation(weights @ sums.of(u, v, pair))
    return _second(agreed, peak, hop_s)


@dataclass(frozen=True, repr=False)
class _Sums:
    owner: NDArray[np.int64]
    group: NDArray[np.int64]
    groups: int

    def seen_pairs(
        self, one: NDArray[np.bool_], other: NDArray[np.bool_], hop: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the pairs of windows at a shift that both streams have."""
        left, right = pairs(self.owner, hop)
        both = one[left] & other[right]
        return left[both], right[both]

    def of(
        self, u: NDArray[np.float64], v: NDArray[np.float64], pair: tuple[NDArray[np.int64], NDArray[np.int64]]
    ) -> NDArray[np.float64]:
        """Return the sums of each group that make a correlation, shape (G, 3)."""
        left, right = pair
        sums = np.zeros((self.groups, 3))
        for part, values in enumerate((u[left] * v[right], u[left] ** 2, v[right] ** 2)):
            np.add.at(sums[:, part], self.group[left], values)
        return sums


def _second(agreed: dict[int, NDArray[np.float64]], peak: int, hop_s: float) -> SecondOffset | None:
    """Return the shift besides the peak that stands out; `agreed` holds the agreement, and its resamples."""
    best: SecondOffset | None = None
    for hop, there in agreed.items():
        mirror = 2 * peak - hop
        between = [agreed[one] for one in range(min(hop, peak) + 1, max(hop, peak)) if one in agreed]
        if mirror in agreed:
            usual = agreed[mirror]
        elif between:
            usual = np.min(between, axis=0)
        else:
            continue
        excess = there - np.maximum(usual, 0)
        low = float(np.quantile(excess[1:], ALPHA / max(1, len(agreed) - 1)))
        share = float(excess[0] / max(excess[0] + agreed[peak][0], 1e-9))
        if hop != peak and low > 0 and share >= LEAST_SHARE and (best is None or low > best.low):
            best = SecondOffset(hop * hop_s, share, low)
    return best


def _correlation(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(sums[:, 0] / np.sqrt(np.maximum(sums[:, 1] * sums[:, 2], 1e-24)))
