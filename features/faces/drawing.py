"""The box of a face on a picture, for pages: what is chosen in green, what else is in view in orange."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

CHOSEN_INK, OTHER_INK = (40, 200, 80), (230, 170, 40)
CHOSEN_PX, OTHER_PX = 2, 1  # width of a line


def draw_box(picture: NDArray[np.uint8], box: Iterable[float], *, chosen: bool = True) -> None:
    """Draw a box onto a picture, (H, W, 3): left, top, right, bottom as shares of the picture.

    The lines lie inside the box and inside the picture, whatever part of the box is.
    """
    ink, line = (CHOSEN_INK, CHOSEN_PX) if chosen else (OTHER_INK, OTHER_PX)
    sides = np.array([picture.shape[1], picture.shape[0]])
    corners = (np.array(list(box)).reshape(2, 2) * sides).round().astype(int)
    left, top = corners[0].clip(0, sides - line)
    right, bottom = corners[1].clip((left + line, top + line), sides)
    part = picture[top:bottom, left:right]
    for edge in (part[:line], part[-line:], part[:, :line], part[:, -line:]):
        edge[:] = ink
