"""The one time grid that audio and video share: windows over a clip, and where frames are sampled.

    clip      0 ────────────────────────────────── D
    window 0  [0 ───────── length)
    window 1       [hop ──────── hop + length)
    window K-1                       [(K-1)·hop ──────┼─── may pass the end

Times are seconds on the clip's clock: 0 is the earliest start of the clip's streams.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from dualstream.features.options import ReadingOptions
from numpy.typing import NDArray

DEFAULT_LENGTH_S = ReadingOptions.window_s
DEFAULT_HOP_S = ReadingOptions.hop_s
TIME_RESOLUTION_S = 1e-6  # durations are known to a microsecond: less than that opens no new window
SHORTEST_STEP_S = 0.01  # between windows or frames: no film shows more pictures, and two minutes fill 2 GB
LONGEST_WINDOW_S = 3600.0  # longer than any utterance; the last picture is held for half a window
MOST_FRAMES = 10_000  # of uniform:N

SamplingKind = Literal["aligned", "every", "uniform"]


@dataclass(frozen=True)
class WindowPlan:
    """Windows ``[k·hop, k·hop + length)``: at least one, the last one covering the end."""

    length_s: float = DEFAULT_LENGTH_S
    """Length of a window, seconds, `SHORTEST_STEP_S` to `LONGEST_WINDOW_S`."""
    hop_s: float = DEFAULT_HOP_S
    """Distance between the starts of two windows, seconds, from `SHORTEST_STEP_S` to `length_s`."""

    def __post_init__(self) -> None:
        if not SHORTEST_STEP_S <= self.length_s <= LONGEST_WINDOW_S:
            raise ValueError(
                f"window length is {self.length_s} s; expected {SHORTEST_STEP_S:g} to {LONGEST_WINDOW_S:g} s"
            )
        if not SHORTEST_STEP_S <= self.hop_s <= self.length_s:
            raise ValueError(
                f"window hop is {self.hop_s} s; expected at least {SHORTEST_STEP_S:g} s and at most the length "
                f"({self.length_s} s), so that no part of a clip falls between windows"
            )

    def count(self, duration_s: float) -> int:
        """Return how many windows a clip of `duration_s` seconds has, at least 1."""
        beyond_s = duration_s - self.length_s - TIME_RESOLUTION_S
        return 1 if beyond_s <= 0 else 1 + math.ceil(beyond_s / self.hop_s)

    def starts_s(self, duration_s: float) -> NDArray[np.float64]:
        """Return the windows' starts, seconds, shape (K,)."""
        return np.arange(self.count(duration_s), dtype=np.float64) * self.hop_s

    def centres_s(self, duration_s: float) -> NDArray[np.float64]:
        """Return the windows' centres, seconds, shape (K,)."""
        return self.starts_s(duration_s) + self.length_s / 2


@dataclass(frozen=True)
class Grid:
    """Evenly spaced instants ``first_s + i·step_s`` for i in 0 … count - 1, on the clip's clock."""

    first_s: float
    """The first instant, seconds."""
    step_s: float
    """Distance between two instants, seconds, above 0."""
    count: int
    """How many there are, at least 1."""

    def times_s(self) -> NDArray[np.float64]:
        """Return the instants, seconds, shape (count,)."""
        return self.first_s + np.arange(self.count, dtype=np.float64) * self.step_s


@dataclass(frozen=True)
class Targets:
    """The instants at which frames are wanted, and the window that each one stands for."""

    time_s: NDArray[np.float64]
    """Wanted instants on the clip's clock, seconds, rising, shape (F,)."""
    window: NDArray[np.int64]
    """Index of the window whose row each frame makes, rising and without repeats, shape (F,)."""


@dataclass(frozen=True)
class Sampling:
    """Which frames of a clip are encoded.

    ``aligned``    one frame a window, the one nearest to its centre
    ``every:S``    one frame each S seconds from 0 on, at least one; most windows then have no frame
    ``uniform:N``  N frames spread evenly over the clip; windows without a frame stay masked
    """

    kind: SamplingKind = "aligned"
    value: float = 0.0
    """Seconds for ``every``, number of frames for ``uniform``, 0 for ``aligned``."""

    def __post_init__(self) -> None:
        if self.kind == "every" and not SHORTEST_STEP_S <= self.value < math.inf:
            raise ValueError(
                f"sampling every:{self.value:g}: expected seconds from {SHORTEST_STEP_S:g} on, such as every:3"
            )
        if self.kind == "uniform" and not (1 <= self.value <= MOST_FRAMES and float(self.value).is_integer()):
            raise ValueError(
                f"sampling uniform:{self.value:g}: expected a whole number up to {MOST_FRAMES}, such as uniform:8"
            )

    @classmethod
    def parse(cls, text: str) -> Sampling:
        """Read ``aligned``, ``every:SECONDS`` or ``uniform:COUNT``; raise ValueError for anything else."""
        kind, _, value = text.partition(":")
        expected = "expected aligned, every:SECONDS (every:3) or uniform:COUNT (uniform:8)"
        if kind == "aligned" and not value:
            return cls()
        if kind not in ("every", "uniform"):
            raise ValueError(f"sampling is {text!r}; {expected}")
        try:
            number = float(value)
        except ValueError as error:
            raise ValueError(f"sampling is {text!r}; {expected}") from error
        return cls("every" if kind == "every" else "uniform", number)

    def __str__(self) -> str:
        return self.kind if self.kind == "aligned" else f"{self.kind}:{self.value:g}"

    def grid(self, plan: WindowPlan, duration_s: float) -> Grid:
        """Return the instants at which frames are wanted, before each window keeps one of them.

        For ``aligned`` and ``every`` a longer clip has the same instants and then more.
        """
        if self.kind == "aligned":
            return Grid(plan.length_s / 2, plan.hop_s, plan.count(duration_s))
        if self.kind == "every":
            count = max(1, math.ceil((duration_s - TIME_RESOLUTION_S) / self.value))
            return Grid(0.0, self.value, count)
        count = int(self.value)
        step_s = max(duration_s / count, TIME_RESOLUTION_S)
        return Grid(step_s / 2, step_s, count)

    def targets(self, plan: WindowPlan, duration_s: float) -> Targets:
        """Return the wanted instants of a clip of `duration_s` seconds, each with its window.

        An instant belongs to the window whose centre is nearest (the earlier one of two equally near);
        of several instants of one window the one nearest to its centre stays.
        """
        centres_s = plan.centres_s(duration_s)  # (K,)
        wanted_s = self.grid(plan, duration_s).times_s()  # (F,)
        if self.kind == "aligned":
            return Targets(wanted_s, np.arange(len(wanted_s), dtype=np.int64))
        window = nearest(centres_s, wanted_s)
        order = np.lexsort((wanted_s, np.abs(wanted_s - centres_s[window]), window))
        _, first = np.unique(window[order], return_index=True)
        keep = order[first]
        return Targets(wanted_s[keep], window[keep])


def nearest(sorted_s: NDArray[np.float64], wanted_s: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return for each wanted instant the index of the nearest of `sorted_s`; the earlier one on a tie.

    Both in seconds; `sorted_s` rises and has at least one element. Shape of the answer: that of `wanted_s`.
    """
    after = np.clip(np.searchsorted(sorted_s, wanted_s, side="left"), 1, max(len(sorted_s) - 1, 1))
    if len(sorted_s) == 1:
        return np.zeros(len(wanted_s), dtype=np.int64)
    before = after - 1
    take_before = wanted_s - sorted_s[before] <= sorted_s[after] - wanted_s + TIME_RESOLUTION_S
    return np.where(take_before, before, after).astype(np.int64)
