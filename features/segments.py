"""A long recording into stretches that are taken for utterances: by a fixed length, or at silences."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

SHORTEST_S = 0.4  # a stretch below this is no utterance: it joins its neighbour, or is left out
LONGEST_S = 15.0  # longer speech without a pause is cut into equal parts
PAUSE_S = 0.3  # a pause below this does not part two utterances
MARGIN_S = 0.1  # kept around speech on either side
SILENCE_DB = 40.0  # below the loudest moment, what counts as silence
FRAME_S, STEP_S = 0.064, 0.016

Span = tuple[float, float]


def by_length(duration_s: float, length_s: float) -> list[Span]:
    """Cut ``[0, duration_s)`` into stretches of `length_s` seconds, half-open.

    A rest below `SHORTEST_S` joins the last stretch.

    Raises
    ------
    ValueError
        Where either is not above 0.
    """
    if not (math.isfinite(length_s) and length_s > 0 and math.isfinite(duration_s) and duration_s > 0):
        raise ValueError(f"segments of {length_s} s over {duration_s} s; expected numbers above 0")
    starts_s = [k * length_s for k in range(max(1, math.ceil(duration_s / length_s)))]
    if len(starts_s) > 1 and duration_s - starts_s[-1] < min(SHORTEST_S, length_s):
        starts_s.pop()
    return list(zip(starts_s, [*starts_s[1:], duration_s], strict=True))


def by_silence(samples: NDArray[np.float32], sample_rate_hz: int) -> list[Span]:
    """Return the stretches between silences, seconds, half-open, rising; none where all is silent.

    Silence is what lies `SILENCE_DB` below the loudest moment, in power over `FRAME_S`, for at least `PAUSE_S`.
    Loud music or noise under the speech leaves no silence: such a recording is better cut by length.

    Parameters
    ----------
    samples
        Mono, full scale ±1, shape (S,).
    """
    if not len(samples) or not np.any(np.abs(samples) > 1e-5):
        return []
    duration_s = len(samples) / sample_rate_hz
    joined: list[list[float]] = []
    for start_s, end_s in _loud(samples, sample_rate_hz):
        if joined and start_s - joined[-1][1] < PAUSE_S:
            joined[-1][1] = end_s
        else:
            joined.append([start_s, end_s])
    spans: list[Span] = []
    for start_s, end_s in joined:
        if end_s - start_s < SHORTEST_S:
            continue
        start_s, end_s = max(0.0, start_s - MARGIN_S), min(duration_s, end_s + MARGIN_S)
        parts = math.ceil((end_s - start_s) / LONGEST_S)
        edges_s = np.linspace(start_s, end_s, parts + 1).tolist()
        spans += list(pairwise(edges_s))
    return spans


def _loud(samples: NDArray[np.float32], sample_rate_hz: int) -> list[Span]:
    """Return the stretches whose power is within `SILENCE_DB` of the loudest, each rounded to `STEP_S`."""
    step, half = round(STEP_S * sample_rate_hz), round(FRAME_S * sample_rate_hz / 2)
    summed = np.concatenate(([0.0], np.cumsum(samples.astype(np.float64) ** 2)))
    centres = np.arange(0, len(samples), step) + step // 2  # of frames that lie half over either side of a step
    first, last = np.maximum(centres - half, 0), np.minimum(centres + half, len(samples))
    power = (summed[last] - summed[first]) / np.maximum(last - first, 1)
    loud = power >= power.max() * 10 ** (-SILENCE_DB / 10)
    edges = np.flatnonzero(np.diff(np.concatenate(([False], loud, [False]))))
    ends = np.minimum(edges * step, len(samples)) / sample_rate_hz
    return list(zip(ends[::2].tolist(), ends[1::2].tolist(), strict=True))
