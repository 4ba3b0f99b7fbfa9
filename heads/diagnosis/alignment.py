"""Do the streams run on one clock? Their agreement as a function of a shift between them.

    shift +2 hops     video  [v0][v1][v2][v3][v4]
                      audio  [a0][a1][a2][a3][a4]      pairs (v0, a2), (v1, a3), (v2, a4)

A face and a voice that belong together move together: the directions in which windows of one stream
follow windows of the other are found in some dialogues (canonical correlation, Hotelling 1936,
https://doi.org/10.1093/biomet/28.3-4.321) and scored in others. Labels are not used. Each stream is
centred within its utterance first, so that who speaks and what is felt throughout can't stand in for time.

Whether the best agreement is more than chance is told by turning the sign of whole groups of dialogues in
one stream: that leaves each stream as it is and takes away what they share. Of eight dialogues there are so few
turns that most of what agrees is not told from chance; of fewer than `FEW_DIALOGUES` single utterances are
turned, each of which is centred by itself. Directions and the peak's interval still go by dialogue. Every fold's
directions are found in the other folds, so agreements of unrelated streams scatter more, and further above zero
than below, than a bootstrap of the scored pairs shows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from dualstream.heads.data.batch import PAIR, FeatureSet
from numpy.typing import NDArray

from dualstream.documents import JsonObject

RANK = 12  # principal directions of each stream that are looked at
COMPONENTS = 2  # pairs of canonical directions that are scored
RIDGE = 0.1  # share of a stream's mean variance added to its covariance
MIN_PAIRS = 200  # pairs of windows below which a shift is not scored
FLIPS = 299  # turns of signs that say what the best of all shifts reaches by chance
UNITS = 64  # of a fold: lots of dialogues whose signs are turned together
FEW_DIALOGUES = 32  # below, single utterances are turned
ALPHA = 0.01  # chance that unrelated streams have a peak that stands out
FLAT = 0.9  # of the best agreement, that streams with no shift must not reach for one to be told

Verdict = Literal["aligned", "shifted", "none", "unknown"]


@dataclass(frozen=True)
class OffsetCurve:
    """Agreement of the streams at each shift."""

    shift_s: NDArray[np.float64]
    """Shifts, seconds, rising, shape (S,): positive where the second stream (audio) comes later."""
    agreement: NDArray[np.float64]
    """Held-out canonical correlation, mean over the first directions, -1 to 1, shape (S,); NaN: too few pairs."""
    low: NDArray[np.float64]
    """Lower end of the 95 % interval over dialogues, shape (S,)."""
    high: NDArray[np.float64]
    """Upper end, shape (S,)."""
    peak_s: float
    """Shift with the best agreement, seconds; NaN where nothing could be scored."""
    peak_interval_s: tuple[float, float]
    """95 % interval of the peak over resampled dialogues, seconds."""
    p_value: float
    """Chance that the best of all shifts agrees so well where the streams are unrelated; NaN likewise."""
    verdict: Verdict
    """``aligned``: the peak is at zero, its interval within a hop of it; ``shifted``: it is elsewhere, its
    interval excludes zero, and they agree clearly less there; ``none``: no shift agrees; ``unknown``: too few
    windows, a wider interval, or a curve that is flat up to its peak, as of two encoders of one slow sound."""

    def to_json(self) -> JsonObject:
        """Return the curve as JSON values, NaN as None."""

        def plain(values: NDArray[np.float64]) -> list[float | None]:
            return [None if np.isnan(v) else round(float(v), 6) for v in values]

        return {
            "shift_s": plain(self.shift_s),
            "agreement": plain(self.agreement),
            "low": plain(self.low),
            "high": plain(self.high),
            "peak_s": None if np.isnan(self.peak_s) else self.peak_s,
            "peak_interval_s": list(self.peak_interval_s) if not np.isnan(self.peak_s) else None,
            "p_value": None if np.isnan(self.p_value) else self.p_value,
            "verdict": self.verdict,
        }


def offset_curve(
    features: FeatureSet,
    *,
    hop_s: float,
    max_shift_s: float = 2.0,
    folds: int = 4,
    resamples: int = 1_000,
    seed: int = 0,
    streams: tuple[str, str] = PAIR,
) -> OffsetCurve:
    """Measure how well windows of two streams agree at shifts of -`max_shift_s` to `max_shift_s`.

    Parameters
    ----------
    features
        Corpus with windows in both of `streams`.
    hop_s
        Distance between windows, seconds: the resolution of the curve.
    max_shift_s
        Largest shift, seconds.
    folds
        Dialogues are assigned into so many folds: directions are fitted without the fold they are scored on.
    resamples
        Bootstrap resamples of dialogues for the intervals.
    streams
        The two; a shift is positive where the second comes later than the first.

    Raises
    ------
    ValueError
        Where a stream has no windows, or `max_shift_s` is less than a hop.
    """
    reach = round(max_shift_s / hop_s)
    if reach < 1:
        raise ValueError(
            f"a largest shift of {max_shift_s:g} s; windows are {hop_s:g} s apart: expected that or more"
        )
    video, audio = (centred(features, name) for name in streams)
    owner = np.repeat(np.arange(len(features)), np.diff(features.offsets))
    groups, group_of = np.unique(features.dialogue, return_inverse=True)
    rng = np.random.default_rng(seed)
    fold_of_group = rng.permutation(len(groups)) % folds
    hops = np.arange(-reach, reach + 1)
    shift_s = hops.astype(np.float64) * hop_s
    if len(groups) < folds:
        return _unknown(shift_s)

    signs = _signs(rng, folds)
    chance = np.full(FLIPS, -np.inf)  # the best agreement of all shifts, each with signs turned
    # Sums that make a correlation, of each group and component: xy, xx, yy.
    sums = np.zeros((len(hops), len(groups), COMPONENTS, 3))
    scored = np.zeros(len(hops), dtype=bool)
    for index, shift in enumerate(hops):
        left, right = pairs(owner, int(shift))
        both = video.seen[left] & audio.seen[right]
        left, right = left[both], right[both]
        if len(left) < MIN_PAIRS:
            continue
        scored[index] = True
        x, y, group = video.rows[left], audio.rows[right], group_of[owner[left]]
        sums[index] = _held_out_sums(x, y, group, fold_of_group)
        unit = fold_of_group[group] * UNITS + (owner[left] if len(groups) < FEW_DIALOGUES else group) % UNITS
        chance = np.maximum(chance, _turned(x, y, fold_of_group[group], unit, signs))
    if not scored.any():
        return _unknown(shift_s)
    weights = rng.multinomial(len(groups), np.full(len(groups), 1 / len(groups)), size=resamples)
    return _curve(hops, hop_s, sums, scored, weights, chance)


def _held_out_sums(
    x: NDArray[np.float64], y: NDArray[np.float64], group: NDArray[np.int64], fold_of_group: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return the sums of pairs of rows that make a correlation, shape (groups, COMPONENTS, 3).

    Each fold's are along the directions of the other folds.
    """
    sums = np.zeros((len(fold_of_group), COMPONENTS, 3))
    for fold in range(int(fold_of_group.max()) + 1):
        held = fold_of_group[group] == fold
        of_x, of_y = directions(x[~held], y[~held])
        u, v = x[held] @ of_x, y[held] @ of_y  # (P, COMPONENTS)
        for part, product in enumerate((u * v, u * u, v * v)):
            np.add.at(sums[:, :, part], group[held], product)
    return sums


def _curve(
    hops: NDArray[np.int64],
    hop_s: float,
    sums: NDArray[np.float64],
    scored: NDArray[np.bool_],
    weights: NDArray[np.int64],
    chance: NDArray[np.float64],
) -> OffsetCurve:
    """Return the curve of the sums of each shift and group; each row of `weights` is a resample of the groups."""
    agreement = np.where(scored, _correlation(sums.sum(axis=1)), np.nan)  # (S,)
    drawn = _correlation(np.einsum("rg,sgcp->rscp", weights, sums))  # (R, S)
    low, high = (np.where(scored, np.quantile(drawn, q, axis=0), np.nan) for q in (0.025, 0.975))
    peak = int(np.nanargmax(agreement))
    peaks_s = hops[np.argmax(np.where(scored, drawn, -np.inf), axis=1)] * hop_s
    interval = (float(np.quantile(peaks_s, 0.025)), float(np.quantile(peaks_s, 0.975)))
    p_value = float((1 + np.sum(chance >= agreement[peak])) / (1 + FLIPS))
    at_zero = bool(hops[peak] == 0)
    return OffsetCurve(
        hops.astype(np.float64) * hop_s,
        agreement,
        low,
        high,
        float(hops[peak] * hop_s),
        interval,
        p_value,
        _verdict(p_value, interval, at_zero, hop_s, flat=bool(agreement[hops == 0][0] >= FLAT * agreement[peak])),
    )


def _verdict(
    p_value: float, interval_s: tuple[float, float], at_zero: bool, hop_s: float, *, flat: bool
) -> Verdict:
    if p_value > ALPHA:
        return "none"
    if interval_s[0] > 0 or interval_s[1] < 0:
        return "unknown" if flat else "shifted"
    return "aligned" if at_zero and max(-interval_s[0], interval_s[1]) <= hop_s else "unknown"


@dataclass(frozen=True)
class _Centred:
    rows: NDArray[np.float64]
    """Principal components within utterances, shape (W, R)."""
    seen: NDArray[np.bool_]


def centred(features: FeatureSet, name: str) -> _Centred:
    """Return a stream's windows less the mean of their utterance, as principal components.

    Raises
    ------
    ValueError
        Where the stream has no windows.
    """
    stream = features.streams[name]
    if stream.windows is None or stream.window_present is None:
        raise ValueError(f"the {name} stream has no windows: its alignment can't be measured")
    seen = stream.window_present & np.isfinite(stream.windows).all(axis=1)
    rows = np.where(seen[:, None], stream.windows, 0).astype(np.float64)
    filled = np.diff(features.offsets) > 0
    counts, totals = np.zeros(len(features)), np.zeros((len(features), rows.shape[1]))
    starts = features.offsets[:-1][filled]
    counts[filled] = np.add.reduceat(seen.astype(np.float64), starts)
    totals[filled] = np.add.reduceat(rows, starts, axis=0)
    owner = np.repeat(np.arange(len(features)), np.diff(features.offsets))
    rows = np.where(seen[:, None], rows - (totals / np.maximum(counts, 1)[:, None])[owner], 0)
    # Standardised columns, so that one loud column isn't taken for the whole stream
    deviation = np.sqrt((rows**2).sum(axis=0) / max(1, seen.sum()))
    rows = rows / np.where(deviation > 1e-12, deviation, np.inf)
    values, vectors = np.linalg.eigh(rows.T @ rows)
    return _Centred(rows @ vectors[:, np.argsort(values)[::-1][:RANK]], seen & (counts[owner] > 1))


def pairs(owner: NDArray[np.int64], shift: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return rows (left, right = left + shift) that lie in one utterance."""
    left = np.arange(max(0, -shift), len(owner) - max(0, shift))
    right = left + shift
    same = owner[left] == owner[right]
    return left[same], right[same]


def directions(x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the canonical directions of both sides, shape (R, COMPONENTS) each."""
    x_white, y_white = _whitening(x), _whitening(y)
    u, _, vt = np.linalg.svd(x_white.T @ (x.T @ y / len(x)) @ y_white)
    return x_white @ u[:, :COMPONENTS], y_white @ vt[:COMPONENTS].T


def _signs(rng: np.random.Generator, folds: int) -> NDArray[np.float64]:
    """Return signs of the units of all folds, shape (FLIPS, folds * UNITS)."""
    return rng.choice([-1.0, 1.0], size=(FLIPS, folds * UNITS))


def _turned(
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    fold: NDArray[np.int64],
    unit: NDArray[np.int64],
    signs: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return the agreement with the signs of `y` turned, shape (FLIPS,).

    Rows enter by their products alone: a unit's cross products change sign, each side's own stay.
    """
    folds, width = signs.shape[1] // UNITS, x.shape[1]
    cross = np.zeros((folds * UNITS, width, y.shape[1]))
    for number in np.unique(unit):
        rows = unit == number
        cross[number] = x[rows].T @ y[rows]
    of_fold = np.einsum("rfu,fuij->frij", signs.reshape(-1, folds, UNITS), cross.reshape(folds, UNITS, width, -1))
    sums = np.zeros((len(signs), COMPONENTS, 3))
    for held in range(folds):
        inside = fold == held
        x_white, y_white = _whitening(x[~inside]), _whitening(y[~inside])
        u, _, vt = np.linalg.svd(x_white.T @ (of_fold.sum(axis=0) - of_fold[held]) @ y_white)  # (R, ...)
        left = x_white @ u[..., :COMPONENTS]  # (R, W, COMPONENTS)
        right = y_white @ np.swapaxes(vt[:, :COMPONENTS], 1, 2)
        products = (of_fold[held], x[inside].T @ x[inside], y[inside].T @ y[inside])
        for part, (one, product, two) in enumerate(
            zip((left, left, right), products, (right, left, right), strict=True)
        ):
            sums[..., part] += (one * (product @ two)).sum(axis=1)
    return _correlation(sums)


def _whitening(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    covariance = rows.T @ rows / max(1, len(rows))
    width = len(covariance)
    covariance = covariance + (RIDGE * np.trace(covariance) / width + 1e-12) * np.eye(width)
    values, vectors = np.linalg.eigh(covariance)
    return vectors / np.sqrt(values)


def _correlation(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean over components of xy / sqrt(xx yy); `sums` has shape (..., COMPONENTS, 3)."""
    xy, xx, yy = sums[..., 0], sums[..., 1], sums[..., 2]
    return (xy / np.sqrt(np.maximum(xx * yy, 1e-24))).mean(axis=-1)


def _unknown(shift_s: NDArray[np.float64]) -> OffsetCurve:
    nothing = np.full(len(shift_s), np.nan)
    nan = float("nan")
    return OffsetCurve(shift_s, nothing, nothing, nothing, nan, (nan, nan), nan, "unknown")
