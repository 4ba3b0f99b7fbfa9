"""Do the streams run on one clock? Their agreement as a function of a shift between them.

    shift +2 hops     video  [v0][v1][v2][v3][v4]
                      audio  [a0][a1][a2][a3][a4]      pairs (v0, a2), (v1, a3), (v2, a4)

A face and a voice that belong together move together: the directions in which windows of one stream
follow windows of the other are found in some dialogues (canonical correlation, Hotelling 1936,
https://doi.org/10.1093/biomet/28.3-4.321) and scored in others. Labels are not used. Each stream is
centred within its utterance first, so that who speaks and what is felt throughout can't stand in for time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from heads.batch import FeatureSet

RANK = 12  # principal directions of each stream that are looked at
COMPONENTS = 2  # pairs of canonical directions that are scored
RIDGE = 0.1  # share of a stream's mean variance added to its covariance
MIN_PAIRS = 200  # pairs of windows below which a shift is not scored
Z_95 = 1.959964


@dataclass(frozen=True)
class OffsetCurve:
    """Agreement of the streams at each shift."""

    shift_s: NDArray[np.float64]
    """Shifts, seconds, rising, shape (S,): positive where audio comes later than video."""
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
    verdict: Literal["aligned", "shifted", "none", "unknown"]
    """``aligned``: the peak is at zero; ``shifted``: it is elsewhere, and its interval excludes zero;
    ``none``: no shift agrees; ``unknown``: too few windows, or the interval covers zero and more."""

    def to_json(self) -> dict[str, Any]:
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
) -> OffsetCurve:
    """Measure how well video and audio windows agree at shifts of -`max_shift_s` to `max_shift_s`.

    Parameters
    ----------
    features
        Corpus with windows in both streams.
    hop_s
        Distance between windows, seconds: the resolution of the curve.
    max_shift_s
        Largest shift, seconds.
    folds
        Dialogues are dealt into so many folds: directions are fitted without the fold they are scored on.
    resamples
        Bootstrap resamples of dialogues for the intervals.

    Raises
    ------
    ValueError
        Where a stream has no windows.
    """
    video, audio = _centred(features, "video"), _centred(features, "audio")
    owner = np.repeat(np.arange(len(features)), np.diff(features.offsets))
    groups, group_of = np.unique(features.dialogue, return_inverse=True)
    rng = np.random.default_rng(seed)
    fold_of_group = rng.permutation(len(groups)) % folds
    reach = round(max_shift_s / hop_s)
    hops = np.arange(-reach, reach + 1)
    shift_s = hops.astype(np.float64) * hop_s
    if len(groups) < folds:
        return _unknown(shift_s)

    # Sums that make a correlation, of each group and component: xy, xx, yy.
    sums = np.zeros((len(hops), len(groups), COMPONENTS, 3))
    scored = np.zeros(len(hops), dtype=bool)
    for index, shift in enumerate(hops):
        left, right = _pairs(owner, int(shift))
        both = video.seen[left] & audio.seen[right]
        left, right = left[both], right[both]
        if len(left) < MIN_PAIRS:
            continue
        scored[index] = True
        group = group_of[owner[left]]
        for fold in range(folds):
            held = fold_of_group[group] == fold
            x, y = _directions(video.rows[left[~held]], audio.rows[right[~held]])
            u, v = video.rows[left[held]] @ x, audio.rows[right[held]] @ y  # (P, COMPONENTS)
            for part, product in enumerate((u * v, u * u, v * v)):
                np.add.at(sums[index, :, :, part], group[held], product)
    if not scored.any():
        return _unknown(shift_s)
    weights = rng.multinomial(len(groups), np.full(len(groups), 1 / len(groups)), size=resamples)
    agreement = np.where(scored, _correlation(sums.sum(axis=1)), np.nan)  # (S,)
    drawn = _correlation(np.einsum("rg,sgcp->rscp", weights, sums))  # (R, S)
    low, high = (np.where(scored, np.quantile(drawn, q, axis=0), np.nan) for q in (0.025, 0.975))
    peak = int(np.nanargmax(agreement))
    peaks_s = hops[np.argmax(np.where(scored, drawn, -np.inf), axis=1)] * hop_s
    interval = (float(np.quantile(peaks_s, 0.025)), float(np.quantile(peaks_s, 0.975)))
    # A peak of pure noise is the best of many: the bar is raised for the number of shifts looked at.
    spread = np.std(drawn[:, peak])
    stands = agreement[peak] > Z_95 * np.sqrt(1 + np.log(scored.sum())) * spread
    if not stands:
        verdict = "none"
    elif interval[0] > 0 or interval[1] < 0:
        verdict = "shifted"
    else:
        verdict = "aligned" if hops[peak] == 0 else "unknown"
    return OffsetCurve(
        shift_s,
        agreement,
        low,
        high,
        float(hops[peak] * hop_s),
        interval,
        verdict,  # type: ignore[arg-type]
    )


@dataclass(frozen=True)
class _Centred:
    rows: NDArray[np.float64]
    """Principal components within utterances, shape (W, R)."""
    seen: NDArray[np.bool_]


def _centred(features: FeatureSet, name: str) -> _Centred:
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


def _pairs(owner: NDArray[np.int64], shift: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return rows (left, right = left + shift) that lie in one utterance."""
    left = np.arange(max(0, -shift), len(owner) - max(0, shift))
    right = left + shift
    same = owner[left] == owner[right]
    return left[same], right[same]


def _directions(x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the canonical directions of both sides, shape (R, COMPONENTS) each."""
    x_white, y_white = _whitening(x), _whitening(y)
    u, _, vt = np.linalg.svd(x_white.T @ (x.T @ y / len(x)) @ y_white)
    return x_white @ u[:, :COMPONENTS], y_white @ vt[:COMPONENTS].T


def _whitening(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    covariance = rows.T @ rows / len(rows)
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
    return OffsetCurve(shift_s, nothing, nothing, nothing, float("nan"), (float("nan"),) * 2, "unknown")  # type: ignore[arg-type]
