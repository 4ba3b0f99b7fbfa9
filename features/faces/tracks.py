"""Faces that are one from detection to detection, and where each of them is at any instant.

detections   x        x        x                 x        x          an instant each 0.12 s
track        ├────────┼────────┼─────────────────┼────────┤          gaps up to 0.4 s are filled
box at t                   ▲ between the smoothed boxes before and after
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from dualstream.features.faces.detection import Box, Face, Point, overlap
from numpy.typing import NDArray

LONGEST_GAP_S = 0.4
SHORTEST_S = 0.3
LEAST_OVERLAP = 0.2  # with the face's box in the last detection
HELD_S = 0.13  # before the first and after the last detection: what lies between two detections
SMOOTHED_S = 0.24  # detections this far away are averaged, the nearer the more
RowOf = Callable[[Face], list[float]]  # numbers of a face that are averaged
SETTLED_S = LONGEST_GAP_S + SMOOTHED_S + 0.02  # what comes later can't move a box any more


@dataclass(frozen=True)
class Place:
    """Where a face is at one instant, pixels."""

    centre: tuple[float, float]
    side: float
    """Of the square from the brows to the chin."""
    mouth: tuple[float, float]

    def square(self, share: float, down: float = 0.0) -> Box:
        """Return a square of `share` sides around the centre, moved down by `down` sides."""
        half = self.side * share / 2
        x, y = self.centre[0], self.centre[1] + down * self.side
        return x - half, y - half, x + half, y + half


@dataclass(repr=False)
class Track:
    """One face through one shot."""

    number: int
    shot: int
    times_s: list[float] = field(default_factory=list)
    faces: list[Face] = field(default_factory=list)
    until_s: float = float("inf")
    """End of its shot, once that is known, seconds."""
    from_s: float = 0.0
    """Start of its shot, seconds."""

    def __repr__(self) -> str:
        return f"Track({self.number}, shot {self.shot}, {self.start_s:.2f}-{self.end_s:.2f} s)"

    @property
    def start_s(self) -> float:
        """When it begins, seconds."""
        return max(self.times_s[0] - HELD_S, self.from_s)

    @property
    def end_s(self) -> float:
        """When it ends, seconds."""
        return min(self.times_s[-1] + HELD_S, self.until_s)

    def add(self, time_s: float, face: Face) -> None:
        """Take the next detection."""
        self.times_s.append(time_s)
        self.faces.append(face)

    def place(self, time_s: float) -> Place | None:
        """Return where the face is at an instant; None where the track does not reach."""
        if not self.start_s <= time_s < self.end_s or not self.times_s:
            return None
        row = self._at(time_s, _row)
        return Place((float(row[0]), float(row[1])), float(row[2]), (float(row[3]), float(row[4])))

    def eyes(self, time_s: float) -> Point:
        """Return the midpoint of the eyes at an instant of the track, pixels."""
        x, y = self._at(time_s, lambda face: list(face.eyes))
        return float(x), float(y)

    def _at(self, time_s: float, row_of: RowOf) -> NDArray[np.float64]:
        """Return what `row_of` says of the face at an instant, between the detections beside it."""
        after = bisect_left(self.times_s, time_s)
        if after in (0, len(self.times_s)):
            return self._smoothed(min(after, len(self.times_s) - 1), row_of)
        first_s, last_s = self.times_s[after - 1], self.times_s[after]
        share = (time_s - first_s) / (last_s - first_s)
        return (1 - share) * self._smoothed(after - 1, row_of) + share * self._smoothed(after, row_of)

    def _smoothed(self, at: int, row_of: RowOf) -> NDArray[np.float64]:
        """Return what `row_of` says at a detection: a mean over as many before as after it, without a lag."""
        time_s = self.times_s[at]
        first, last = at, at
        while (
            first > 0
            and last + 1 < len(self.times_s)
            and time_s - self.times_s[first - 1] <= SMOOTHED_S
            and self.times_s[last + 1] - time_s <= SMOOTHED_S
        ):
            first, last = first - 1, last + 1
        times_s = np.array(self.times_s[first : last + 1])
        weights = 1 - np.abs(times_s - time_s) / (SMOOTHED_S + HELD_S)
        return np.asarray(
            weights @ np.array([row_of(one) for one in self.faces[first : last + 1]]) / weights.sum()
        )


def _row(face: Face) -> list[float]:
    left, top, right, bottom = face.box
    side = max(right - left, bottom - top)
    return [(left + right) / 2, (top + bottom) / 2, side, *face.mouth]


class Tracker:
    """Takes detections as they come, and keeps the tracks."""

    def __init__(self) -> None:
        self.tracks: list[Track] = []
        self._active: list[Track] = []

    def see(self, time_s: float, shot: int, shot_from_s: float, faces: Sequence[Face]) -> None:
        """Take the faces of one instant."""
        self._active = [
            one for one in self._active if one.shot == shot and time_s - one.times_s[-1] <= LONGEST_GAP_S + 1e-6
        ]
        pairs = sorted(
            (
                (overlap(track.faces[-1].box, face.box), -track.number, at)
                for track in self._active
                for at, face in enumerate(faces)
            ),
            reverse=True,
        )
        taken: set[int] = set()
        by_number = {-track.number: track for track in self._active}
        for share, number, at in pairs:
            if share < LEAST_OVERLAP or at in taken or number not in by_number:
                continue
            by_number.pop(number).add(time_s, faces[at])
            taken.add(at)
        for face in (face for at, face in enumerate(faces) if at not in taken):
            track = Track(len(self.tracks), shot, from_s=shot_from_s)
            track.add(time_s, face)
            self.tracks.append(track)
            self._active.append(track)

    def cut(self, time_s: float) -> None:
        """End all tracks: another shot begins at `time_s`."""
        for track in self._active:
            track.until_s = time_s
        self._active = []

    def kept(self, sure_score: float = 0.0) -> list[Track]:
        """Return the tracks from SHORTEST_S up, one of whose faces scores `sure_score` or more."""
        return [
            one
            for one in self.tracks
            if one.end_s - one.start_s >= SHORTEST_S - 1e-6 and max(face.score for face in one.faces) >= sure_score
        ]
