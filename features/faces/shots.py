"""Cuts, found on small pictures as they come: a change that stands out from the changes just before it.

A picture is averaged to 32 x 18 cells; the change is the mean absolute difference of cells between two pictures
that follow one another, on the scale of 0 to 255. Movement and a moving camera give changes that last, which the
median of the last half second knows; a cut gives a single one. PySceneDetect's adaptive detector compares a change
with its neighbours too, on both sides; here it is the past alone, so nothing waits for pictures that come. The two
were not run on the same clips.
"""

from __future__ import annotations

from collections import deque

import numpy as np
from dualstream.features.media.pictures import Picture, resized
from numpy.typing import NDArray

CELLS = 32, 18  # width, height
LEAST_CHANGE = 12.0  # grey levels: less is no cut, however still the shot was
TIMES_USUAL = 4.0  # a cut changes this many times as much as was usual
REMEMBERED = 12  # changes
SHORTEST_SHOT_S = 0.2  # a flash is no shot


class ShotFinder:
    """Tells for each picture the number of its shot, from 0 on."""

    def __init__(self) -> None:
        self.shot = 0
        self._before: NDArray[np.float32] | None = None
        self._changes: deque[float] = deque(maxlen=REMEMBERED)
        self._began_s = 0.0

    def see(self, picture: Picture) -> int:
        """Take the next picture, and return its shot."""
        whole = 0.0, 0.0, float(picture.width_px), float(picture.height_px)
        colours = (resized(plane, (0, 0, *plane.shape[::-1]), CELLS) for plane in (picture.u, picture.v))
        cells = np.stack([picture.grey(whole, CELLS), *colours]).astype(np.float32)
        if self._before is not None and self._cut(cells, picture.time_s):
            self.shot += 1
            self._began_s = picture.time_s
            self._changes.clear()
        self._before = cells
        return self.shot

    def _cut(self, cells: NDArray[np.float32], time_s: float) -> bool:
        assert self._before is not None
        change = float(np.abs(cells - self._before).mean(axis=(1, 2)) @ (1.0, 0.5, 0.5))
        usual = float(np.median(self._changes)) if self._changes else 0.0
        self._changes.append(change)
        return change > max(LEAST_CHANGE, TIMES_USUAL * usual) and time_s - self._began_s >= SHORTEST_SHOT_S
