"""Tracks → columns: statistics of tracks over segments of frames; the whole clip is one more segment.

A column is named ``track.statistic``. Statistics that weigh frames use those of speech (no prefix) or those
with a pitch (``voiced_``); a statistic without enough such frames in its segment is 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from dualstream.features.acoustic.frames import FRAMES_PER_S, Tracks
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

Rows = NDArray[np.float64]
Flags = NDArray[np.bool_]
Frames = NDArray[np.int64]
PERCENTILES = {f"p{q}": q / 100 for q in (10, 20, 50, 80, 90)}
SCALES = (1.0, 2.0, 4.0, 8.0, 16.0)  # frames: widths of the Gaussians whose differences are the modulation bands
MODULATIONS = ("mod20", "mod10", "mod5", "mod2", "mod1")  # about the Hz at which each band is centred
AT_ONCE = 400_000  # numbers of tracks that are summed up at a time: more than a minute's 50 tracks go in groups
MIN_FRAMES = 3  # fewer frames than these make no statistic
QUIET = 1e-2  # added to a modulation's size before the logarithm, in the unit of the track
RELATIONS: dict[str, tuple[str, str | None, str]] = {
    "pitch_slope": ("pitch", None, "voiced"),
    "level_slope": ("level", None, "active"),
    "pitch_level": ("pitch", "level", "voiced"),
    "hnr_level": ("hnr", "level", "voiced"),
    "pitch_tilt": ("pitch", "cepstrum1", "voiced"),
    "tilt_level": ("cepstrum1", "level", "active"),
    "flux_level": ("flux", "level", "active"),
    "alpha_pitch": ("alpha", "pitch", "voiced"),
    "h1_level": ("h1_a3", "level", "voiced"),
}
"""Of `rhythm`: a track, what it is related to (None: time), and over which frames."""
RHYTHM = (
    *("active", "voiced", "active_onsets", "voiced_onsets", "syllables", "voiced_run", "unvoiced_run"),
    *RELATIONS,
)


@dataclass(frozen=True)
class _Plan:
    """Which statistic is taken of which tracks, and where its numbers go."""

    tracks: NDArray[np.int64]
    columns: NDArray[np.int64]


Plans = dict[str, _Plan]


def summarise(
    tracks: Tracks, starts: NDArray[np.int64], stops: NDArray[np.int64], columns: Sequence[str]
) -> NDArray[np.float32]:
    """Return the `columns` of each segment of frames ``[start, stop)``, shape (segments, columns), all finite."""
    columns = list(columns)
    out = np.empty((len(starts), len(columns)), np.float32)
    for group in _groups(columns, max(1, AT_ONCE // len(tracks.active))):
        own = tuple(columns[at] for at in group)
        out[:, group] = _statistics(tracks.only(tracks_of(own)), starts, stops, own)
    return out


def _groups(columns: list[str], most: int) -> list[list[int]]:
    """Part the positions of columns by their tracks, `most` a group; rhythm, which relates tracks, stays whole."""
    by_track: dict[str, list[int]] = {}
    for at, column in enumerate(columns):
        by_track.setdefault(column.partition(".")[0], []).append(at)
    rhythm = by_track.pop("rhythm", None)
    positions = list(by_track.values())
    parts = [positions[start : start + most] for start in range(0, len(positions), most)]
    groups = [[at for own in part for at in own] for part in parts]
    if rhythm is None:
        return groups
    return [*groups, rhythm] if len(groups) != 1 else [groups[0] + rhythm]


def _statistics(tracks: Tracks, starts: Frames, stops: Frames, columns: tuple[str, ...]) -> NDArray[np.float32]:
    plans = _plans(columns, tracks.names)
    out = np.zeros((len(columns), len(starts)))
    values = tracks.values.astype(np.float64)
    first, last = _span(tracks.active)
    inside = np.zeros(len(tracks.active), bool)
    inside[first:last] = True
    weights = {"": tracks.active, "voiced_": tracks.voiced}
    for prefix, mask in weights.items():
        _moments(values, mask, starts, stops, prefix, plans, out)
        _percentiles(tracks.values, mask, starts, stops, prefix, plans, out)
    _modulations(values, first, last, inside, tracks.voiced, starts, stops, plans, out)
    _slopes(values, first, last, inside, starts, stops, plans, out)
    _rhythm(tracks, values, inside, starts, stops, plans, out)
    return np.nan_to_num(out.T, posinf=0.0, neginf=0.0).astype(np.float32)


@lru_cache(maxsize=256)
def tracks_of(columns: tuple[str, ...]) -> frozenset[str]:
    """Return the tracks that columns are made of: what `measure` must measure for them."""
    found: set[str] = set()
    for track, statistic in (column.split(".") for column in columns):
        if track != "rhythm":
            found.add(track)
        elif statistic in RELATIONS:
            found |= {name for name in RELATIONS[statistic][:2] if name is not None}
    return frozenset(found)


@lru_cache(maxsize=256)
def _plans(columns: tuple[str, ...], names: tuple[str, ...]) -> Plans:
    index = {n: i for i, n in enumerate(names)} | {"rhythm": -1}
    found: dict[str, list[tuple[int, int]]] = {}
    for at, column in enumerate(columns):
        track, _, statistic = column.partition(".")
        found.setdefault(statistic, []).append((index[track], at))
    return {
        s: _Plan(*(np.array(part, np.int64) for part in zip(*pairs, strict=True))) for s, pairs in found.items()
    }


def _span(active: NDArray[np.bool_]) -> tuple[int, int]:
    """Return first and last-plus-one frame of speech; the whole clip where there is none."""
    where = np.flatnonzero(active)
    return (int(where[0]), int(where[-1]) + 1) if len(where) else (0, len(active))


def _sums(rows: NDArray[np.float64], starts: NDArray[np.int64], stops: NDArray[np.int64]) -> Rows:
    """Sum rows, shape (R, T), over segments, each at least one frame long: shape (R, segments)."""
    padded = np.concatenate([rows, np.zeros((len(rows), 1))], axis=1)
    return np.add.reduceat(padded, np.stack([starts, stops], 1).ravel(), axis=1)[:, ::2]


def _moments(
    values: Rows, mask: Flags, starts: Frames, stops: Frames, prefix: str, plans: Plans, out: Rows
) -> None:
    kinds = [k for k in ("mean", "std", "skew") if prefix + k in plans]
    if not kinds:
        return
    count = _sums(mask[None].astype(np.float64), starts, stops)[0]
    enough = count >= MIN_FRAMES
    count = np.maximum(count, 1)
    wanted = np.unique(np.concatenate([plans[prefix + k].tracks for k in kinds]))
    x = values[wanted] * mask
    mean = _sums(x, starts, stops) / count
    # Squares are taken around the clip's own mean, so that no digits cancel.
    centre = x.sum(1, keepdims=True) / max(int(mask.sum()), 1)
    y = (values[wanted] - centre) * mask
    m1 = _sums(y, starts, stops) / count
    m2 = _sums(y * y, starts, stops) / count
    std = np.sqrt(np.maximum(m2 - m1**2, 0))
    results = {"mean": mean, "std": std}
    if "skew" in kinds:
        m3 = _sums(y * y * y, starts, stops) / count
        results["skew"] = np.clip((m3 - 3 * m1 * m2 + 2 * m1**3) / np.maximum(std, 1e-3) ** 3, -5, 5)
    for kind in kinds:
        plan = plans[prefix + kind]
        out[plan.columns] = np.where(enough, results[kind][np.searchsorted(wanted, plan.tracks)], 0)


def _percentiles(
    values: NDArray[np.float32], mask: Flags, starts: Frames, stops: Frames, prefix: str, plans: Plans, out: Rows
) -> None:
    kinds = [k for k in (*PERCENTILES, "range") if prefix + k in plans]
    if not kinds:
        return
    wanted = np.unique(np.concatenate([plans[prefix + k].tracks for k in kinds]))
    rows = values[wanted]
    for segment, (start, stop) in enumerate(zip(starts, stops, strict=True)):
        chosen = rows[:, start:stop][:, mask[start:stop]]
        if chosen.shape[1] < MIN_FRAMES:
            continue
        chosen = np.sort(chosen, axis=1)

        def at(share: float, chosen: NDArray[np.float32] = chosen) -> NDArray[np.float32]:
            place = share * (chosen.shape[1] - 1)
            low = int(place)
            high = min(low + 1, chosen.shape[1] - 1)
            return chosen[:, low] + (place - low) * (chosen[:, high] - chosen[:, low])

        for kind in kinds:
            plan = plans[prefix + kind]
            result = at(0.9) - at(0.1) if kind == "range" else at(PERCENTILES[kind])
            out[plan.columns, segment] = result[np.searchsorted(wanted, plan.tracks)]


def _modulations(
    values: Rows,
    first: int,
    last: int,
    inside: Flags,
    voiced: Flags,
    starts: Frames,
    stops: Frames,
    plans: Plans,
    out: Rows,
) -> None:
    masks = {"": inside, "voiced_": voiced}
    kinds = [p + m for p in masks for m in MODULATIONS if p + m in plans]
    if not kinds:
        return
    # Tracks that are needed at the slowest scales come first, so that each next filter sees fewer of them.
    last_scale = np.full(len(values), -1)
    for number, name in enumerate(MODULATIONS):
        for kind in (name, "voiced_" + name):
            if kind in plans:
                last_scale[plans[kind].tracks] = number
    order = np.argsort(-last_scale, kind="stable")[: int((last_scale >= 0).sum())]
    place = np.argsort(order)[np.searchsorted(np.sort(order), np.arange(len(values))).clip(0, len(order) - 1)]
    before = values[order, first:last]  # the span alone: silence around it makes no modulation
    counts = {p: _sums(m[None].astype(np.float64), starts, stops)[0] for p, m in masks.items()}
    for number, (scale, name) in enumerate(zip(SCALES, MODULATIONS, strict=True)):
        before = before[: int((last_scale >= number).sum())]
        after = gaussian_filter1d(before, scale, axis=1, mode="nearest", truncate=3.0)
        square = np.zeros((len(before), values.shape[1]))
        square[:, first:last] = (before - after) ** 2
        before = after
        for prefix, mask in masks.items():
            if prefix + name not in plans:
                continue
            plan = plans[prefix + name]
            rows = square[place[plan.tracks]] * mask
            size = np.sqrt(_sums(rows, starts, stops) / np.maximum(counts[prefix], 1))
            out[plan.columns] = np.where(counts[prefix] >= MIN_FRAMES, np.log(size + QUIET), np.log(QUIET))


def _slopes(
    values: Rows, first: int, last: int, inside: Flags, starts: Frames, stops: Frames, plans: Plans, out: Rows
) -> None:
    kinds = [k for k in ("rise", "fall", "move") if k in plans]
    if not kinds:
        return
    wanted = np.unique(np.concatenate([plans[k].tracks for k in kinds]))
    slope = np.zeros((len(wanted), values.shape[1]))
    slope[:, first:last] = gaussian_filter1d(
        values[wanted, first:last], 2.0, axis=1, order=1, mode="nearest", truncate=3.0
    )
    count = np.maximum(_sums(inside[None].astype(np.float64), starts, stops)[0], 1)
    part = {"rise": np.maximum(slope, 0), "fall": np.maximum(-slope, 0), "move": np.abs(slope)}
    for kind in kinds:
        plan = plans[kind]
        out[plan.columns] = _sums(part[kind][np.searchsorted(wanted, plan.tracks)], starts, stops) / count


def _rhythm(
    tracks: Tracks, values: Rows, inside: Flags, starts: Frames, stops: Frames, plans: Plans, out: Rows
) -> None:
    kinds = [k for k in RHYTHM if k in plans]
    if not kinds:
        return
    a, v = tracks.active, tracks.voiced
    u = a & ~v

    def onset(mask: Flags) -> Flags:
        return mask & ~np.concatenate([[True], mask[:-1]])

    n_in, n_a, n_v, n_u, n_ao, n_vo, n_uo, n_s = _sums(
        np.stack([inside, a, v, u, onset(a), onset(v), onset(u), tracks.onsets]).astype(np.float64), starts, stops
    )
    seconds = np.maximum(n_in, MIN_FRAMES) / FRAMES_PER_S
    results: dict[str, NDArray[np.float64]] = {
        "active": n_a / np.maximum(n_in, 1),
        "voiced": n_v / np.maximum(n_in, 1),
        "active_onsets": n_ao / seconds,
        "voiced_onsets": n_vo / seconds,
        "syllables": n_s / seconds,
        "voiced_run": np.log((n_v + 1) / (n_vo + 1)),
        "unvoiced_run": np.log((n_u + 1) / (n_uo + 1)),
    }
    names = tracks.names
    time = np.arange(len(a)) / FRAMES_PER_S
    masks = {"active": a, "voiced": v}
    related = [(kind, *RELATIONS[kind]) for kind in kinds if kind in RELATIONS]
    if related:
        y = np.stack([values[names.index(track)] for _, track, _, _ in related])  # (related, T)
        x = np.stack([time if over is None else values[names.index(over)] for _, _, over, _ in related])
        slope, correlation = _related(x, y, np.stack([masks[where] for *_, where in related]), starts, stops)
        for at, (kind, _, over, _) in enumerate(related):
            results[kind] = slope[at] if over is None else correlation[at]
    for kind in kinds:
        out[plans[kind].columns] = results[kind]


def _related(x: Rows, y: Rows, mask: Flags, starts: Frames, stops: Frames) -> tuple[Rows, Rows]:
    """Return slope of y over x, and their correlation, over the frames of `mask` in each segment.

    x, y and mask have shape (R, T), the answers (R, segments).
    """
    n_all = np.maximum(mask.sum(axis=1, keepdims=True), 1)
    x = (x - (x * mask).sum(axis=1, keepdims=True) / n_all) * mask
    y = (y - (y * mask).sum(axis=1, keepdims=True) / n_all) * mask
    sums = _sums(np.concatenate([mask.astype(np.float64), x, y, x * x, y * y, x * y]), starts, stops)
    n, sx, sy, sxx, syy, sxy = sums.reshape(6, len(x), -1)
    few = n < 5
    n = np.maximum(n, 1)
    vx, vy, c = sxx / n - (sx / n) ** 2, syy / n - (sy / n) ** 2, sxy / n - sx * sy / n**2
    slope = np.clip(c / np.maximum(vx, 1e-3), -40, 40)
    return np.where(few, 0.0, slope), np.where(few, 0.0, c / np.sqrt(np.maximum(vx * vy, 1e-6)))
