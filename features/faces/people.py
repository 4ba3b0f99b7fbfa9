"""Whom the faces of a clip look like, and what a window that nobody was chosen for would show of each of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace

import numpy as np
from numpy.typing import NDArray


def _none(*shape: int) -> NDArray[np.float32]:
    return np.zeros(shape, np.float32)


@dataclass(frozen=True, repr=False)
class Rivals:
    """Faces of windows that nobody was chosen for: R lines, in order of the windows."""

    window: NDArray[np.int32] = field(default_factory=lambda: np.zeros(0, np.int32))
    """The window, shape (R,)."""
    track: NDArray[np.int32] = field(default_factory=lambda: np.zeros(0, np.int32))
    """The face's track, shape (R,)."""
    box: NDArray[np.float32] = field(default_factory=lambda: _none(0, 4))
    """Of its crop, as `FaceRows.box`, shape (R, 4)."""
    time_s: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    """Presentation time of the crop's picture, seconds, shape (R,)."""
    rows: NDArray[np.float32] = field(default_factory=lambda: _none(0, 0))
    """What the encoder says of the crop, shape (R, D)."""

    def __len__(self) -> int:
        return len(self.window)


@dataclass(frozen=True, repr=False)
class People:
    """The faces of one clip."""

    track: NDArray[np.int32] = field(default_factory=lambda: np.zeros(0, np.int32))
    """Numbers of the tracks, shape (T,)."""
    looks: NDArray[np.float32] = field(default_factory=lambda: _none(0, 0))
    """The embedder's row of each, of length 1, shape (T, E); zeros where it said nothing."""
    rivals: Rivals = field(default_factory=Rivals)

    def finite(self) -> People:
        """Return them without rivals whose rows hold NaN or infinity."""
        good = np.asarray(np.isfinite(self.rivals.rows).all(axis=1))
        return self if good.all() else replace(self, rivals=taken(self.rivals, good))

    def __bool__(self) -> bool:
        return True  # nobody in view is an answer, too

    def check(self, windows: int) -> None:
        """Raise ValueError where these are not the people of a clip of so many windows."""
        rivals, count = self.rivals, len(self.rivals)
        if len(self.looks) != len(self.track) or any(
            len(getattr(rivals, one.name)) != count for one in fields(rivals)
        ):
            raise ValueError("people and rivals must have one line for each track, and for each rival")
        if ((rivals.window < 0) | (rivals.window >= windows)).any():
            raise ValueError(f"rivals/window has a value outside 0 to {windows - 1}")
        if rivals.box.shape[1:] != (4,) or not np.isin(rivals.track, self.track).all():
            raise ValueError("rivals/box must have four columns, and rivals/track name tracks of people/track")


def taken(rivals: Rivals, which: NDArray[np.bool_] | slice) -> Rivals:
    """Return some of the rivals."""
    return Rivals(**{one.name: getattr(rivals, one.name)[which] for one in fields(Rivals)})


def stacked(parts: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Return the rows of several clips as one; those without rows may be of any width."""
    full = [one for one in parts if len(one)]
    return np.concatenate(full) if full else _none(0, 0)
