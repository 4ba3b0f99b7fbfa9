"""What stands around the faces of a clip's windows, small: for pages that show whose face was chosen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from dualstream.features.faces.watching import FaceWatcher
from dualstream.features.media.pictures import Picture
from numpy.typing import NDArray

Box = tuple[float, float, float, float]


@dataclass(frozen=True, repr=False)
class Scene:
    """The picture of one window, and the faces in it."""

    picture: NDArray[np.uint8]
    """RGB, shape (H, W, 3)."""
    time_s: float
    """Presentation time of the picture, seconds."""
    faces: Mapping[int, Box]
    """The crop of each face that is in view, by its track: left, top, right, bottom as shares of the picture."""


def small_copy(picture: Picture, longer_px: int) -> NDArray[np.uint8]:
    """Return a picture in RGB, its longer side at most `longer_px`, both sides even."""
    width, height = picture.width_px, picture.height_px
    share = min(1.0, longer_px / max(width, height))
    size = max(2, 2 * round(width * share / 2)), max(2, 2 * round(height * share / 2))
    return picture.rgb((0.0, 0.0, float(width), float(height)), size)


def scenes_of(watcher: FaceWatcher, shown: Mapping[int, int]) -> dict[int, Scene]:
    """Return the scene of each window; `shown`: the window of each wanted instant. Empty where none was kept."""
    if not watcher.scenes:
        return {}
    seen = watcher.seen()
    return {
        window: Scene(
            watcher.scenes[target],
            watcher.picture_s[target],
            {one.track.number: one.shown[target].box for one in seen if target in one.shown},
        )
        for target, window in shown.items()
        if target in watcher.scenes
    }
