"""Do all clips have one offset between their streams? Whether part of them agrees at a second shift.

With one offset tau, agreement falls off alike on both sides of it, as fast as the streams change:

    r(tau + d) = r(tau - d)             one offset
    r(tau + d) > r(tau - d), clearly    some clips have the offset tau + d

along the directions in which the streams agree at tau. Where tau - d was not looked at, r(tau + d) must stand
out of what lies between the two. Directions are found in other dialogues than those that are scored, and the
excess is held against a bootstrap over dialogues, corrected for the number of shifts.

But two encoders of one sound need not fall off alike: one hears a word's beginning, the other its end, in every
clip. What tells offsets that differ from such a course is that the clips differ. Beyond the course that all clips
have in common (v as a filter of u), a clip that agrees at tau + d does not agree at tau:

    sum over clips of  r_clip(tau) r_clip(tau + d)    far below the same with the rests of v dealt to other clips
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from dualstream.heads.data.batch import PAIR, FeatureSet
from dualstream.heads.diagnosis.alignment import MIN_PAIRS, OffsetCurve, centred, directions, pairs
from numpy.typing import NDArray

FOLDS = 4
RESAMPLES = 1_000
ALPHA = 0.01  # chance of an excess at any shift
LEAST_SHARE = 0.2  # of the agreement that isn't at the best offset: below it a few clips differ
LOT = 8  # clips of about one length, among which what a filter leaves is dealt anew
DEALS = 99
CLIPS_Z = -2.33  # deviations: at most one in a hundred corpora of one course
AGAINST_Z = 3.0  # expected of moved clips, from which on the measure says the opposite in such clips: nothing
WEAK_Z = -0.5  # where hardly more is to be expected: clips that are told to contradict it do


@dataclass(frozen=True)
class SecondOffset:
    """A second offset that part of the clips have."""

    shift_s: float
    """Seconds, positive where the second stream (audio) comes later."""
    share: float
    """Of the agreement, how much is at the second offset: about the share of the clips."""
    low: float
    """Lower end of the interval of the excess of agreement there, over what one offset leaves."""
    clips_z: float = float("-inf")
    """How rarely clips that agree at one of both agree at the other, in deviations of one course: below 0."""
    expected_z: float = float("-inf")
    """The same once a share of these clips is moved to the second offset."""

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
    found = _second(agreed, peak, hop_s)
    if found is None:
        return None
    u, v = np.where(video.seen, u, 0.0), np.where(audio.seen, v, 0.0)
    second = round(found.shift_s / hop_s)
    z, expected_z = clips_differ(u, v, owner, hops=hops, both=(peak, second), share=found.share)
    found = replace(found, clips_z=z, expected_z=expected_z)
    if expected_z > AGAINST_Z:
        return None
    weak = min(expected_z / 2, WEAK_Z) if expected_z < 0 else CLIPS_Z
    return found if z <= max(weak, CLIPS_Z) else None


def clips_differ(
    u: NDArray[np.float64],
    v: NDArray[np.float64],
    owner: NDArray[np.int64],
    *,
    hops: NDArray[np.int64],
    both: tuple[int, int],
    share: float,
    seed: int = 0,
) -> tuple[float, float]:
    """Return how rarely clips that agree at one of two shifts agree at the other: deviations from clips of one
    course, which is v as a filter of u and something else; and the same where a share of the clips is moved.

    Parameters
    ----------
    u, v
        Both streams along one direction, shape (W,), centred within clips; zeros where one isn't there.
    owner
        Clip of each window, rising, shape (W,).
    hops
        Shifts that the filter spans.
    both
        The two shifts, hops.
    share
        Of the clips that are moved to the second shift.
    """
    rng = np.random.default_rng(seed)
    moved = np.zeros_like(v)
    left, right = pairs(owner, both[1] - both[0])
    moved[right] = v[left]
    some = np.isin(owner, np.flatnonzero(rng.random(int(owner.max(initial=0)) + 1) < share))
    return _clips_z(u, v, owner, hops, both, seed), _clips_z(u, np.where(some, moved, v), owner, hops, both, seed)


def _clips_z(
    u: NDArray[np.float64],
    v: NDArray[np.float64],
    owner: NDArray[np.int64],
    hops: NDArray[np.int64],
    both: tuple[int, int],
    seed: int,
) -> float:
    rest = v - _filtered(u, v, owner, hops)
    rng, sums = np.random.default_rng(seed), np.zeros(1 + DEALS)
    for one, other in _lots(u, rest, owner, least=max(map(abs, both)) + 1):
        deals = np.stack([np.arange(len(one)), *(rng.permutation(len(one)) for _ in range(DEALS))])
        agreed = [_at(one, other[deals], hop) for hop in both]  # (1 + DEALS, clips) each
        sums += (agreed[0] * agreed[1]).sum(axis=1)
    return float((sums[0] - sums[1:].mean()) / max(sums[1:].std(), 1e-12))


def _filtered(
    u: NDArray[np.float64], v: NDArray[np.float64], owner: NDArray[np.int64], hops: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return what the best filter of u over the shifts `hops` says of v, shape (W,)."""
    moved = np.zeros((len(u), len(hops)))
    for column, hop in enumerate(hops.tolist()):
        left, right = pairs(owner, hop)
        moved[right, column] = u[left]
    return np.asarray(moved @ np.linalg.lstsq(moved, v, rcond=None)[0])


def _lots(
    u: NDArray[np.float64], v: NDArray[np.float64], owner: NDArray[np.int64], least: int
) -> Iterator[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Yield clips of about one length, cut to the shortest, each side of length one, shape (clips, windows)."""
    _, start, count = np.unique(owner, return_index=True, return_counts=True)
    order = np.argsort(count, kind="stable")
    order = order[count[order] >= least]
    edges = [0]
    for place in range(1, len(order)):  # clips of one length stay together
        if place - edges[-1] >= LOT and count[order[place]] > count[order[place - 1]]:
            edges.append(place)
    for first, end in pairwise([*edges, len(order)]):
        if end - first < 3:
            continue
        lot = order[first:end]
        at = start[lot][:, None] + np.arange(count[lot].min())
        yield tuple(
            rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12) for rows in (u[at], v[at])
        )


def _at(u: NDArray[np.float64], v: NDArray[np.float64], hop: int) -> NDArray[np.float64]:
    """Return the products of u (clips, windows) and v (..., clips, windows) so many hops later, summed by clip."""
    width = u.shape[1]
    left, right = slice(max(0, -hop), width - max(0, hop)), slice(max(0, hop), width - max(0, -hop))
    return np.asarray(np.einsum("cw,...cw->...c", u[:, left], v[..., right]))


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
