"""What is kept of the faces beside a stream's rows: one line per window."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

NO_FACE, ALONE, BY_MARGIN, UNDECIDED, OUT_OF_VIEW, LARGEST, BY_IDENTITY = range(7)
STATES = ("no face", "alone", "by margin", "undecided", "out of view", "largest", "by identity")
CHOSEN = (ALONE, BY_MARGIN, LARGEST, BY_IDENTITY)  # states in which a window shows a face


@dataclass(frozen=True, repr=False)
class FaceRows:
    """Whose face each of K windows shows, and how that was decided."""

    box: NDArray[np.float32]
    """Left, top, right, bottom of the crop as shares of the picture's width and height, shape (K, 4); NaN where no
    face is chosen."""
    track: NDArray[np.int32]
    """Number of the chosen track in its clip, shape (K,); -1 where no face is chosen."""
    score: NDArray[np.float32]
    """Of the best face, by the scorer; NaN where nothing was scored, shape (K,)."""
    margin: NDArray[np.float32]
    """Of the best face over the second one; NaN where there are no two, shape (K,)."""
    in_view: NDArray[np.int32]
    """Faces in the window's picture, shape (K,)."""
    state: NDArray[np.int32]
    """An index into STATES, shape (K,)."""

    def __len__(self) -> int:
        return len(self.state)

    @classmethod
    def nothing(cls, count: int) -> FaceRows:
        """Return the rows of `count` windows without a face."""
        none = np.full(count, np.nan, np.float32)
        zeros = np.zeros(count, np.int32)
        return cls(np.full((count, 4), np.nan, np.float32), zeros - 1, none, none.copy(), zeros, zeros + NO_FACE)

    @classmethod
    def joined(cls, rows: list[FaceRows]) -> FaceRows:
        """Return the rows of several clips as one."""
        return cls(**{one.name: np.concatenate([getattr(row, one.name) for row in rows]) for one in fields(cls)})

    def check(self, count: int) -> None:
        """Raise ValueError where these are not rows of `count` windows, or contradict themselves."""
        for one in fields(self):
            shape = (count, 4) if one.name == "box" else (count,)
            if getattr(self, one.name).shape != shape:
                raise ValueError(f"faces/{one.name} has shape {getattr(self, one.name).shape}; expected {shape}")
        if ((self.state < 0) | (self.state >= len(STATES))).any():
            raise ValueError(f"faces/state has a value outside 0 to {len(STATES) - 1}")
        chosen = np.isin(self.state, CHOSEN)
        if (np.isfinite(self.box).all(axis=1) != chosen).any() or ((self.track >= 0) != chosen).any():
            raise ValueError("faces/box and faces/track must be given where a face is chosen, and nowhere else")

    def summary(self) -> dict[str, float | int]:
        """Return counts of windows by state, the median of the margins, and the share with several faces."""
        counts = {name: int((self.state == code).sum()) for code, name in enumerate(STATES)}
        margins = self.margin[np.isfinite(self.margin)]
        several = float((self.in_view > 1).mean()) if len(self) else 0.0
        return {
            **{name: count for name, count in counts.items() if count},
            "several_in_view": round(several, 4),
            **({"median_margin": round(float(np.median(margins)), 4)} if len(margins) else {}),
        }


def words_of(faces: FaceRows, window: int) -> str:
    """Say how a window's face was chosen, such as ``by margin, score 2.10, margin 1.70``."""
    text = STATES[faces.state[window]]
    if np.isfinite(faces.score[window]):
        text += f", score {faces.score[window]:.2f}"
    if np.isfinite(faces.margin[window]):
        text += f", margin {faces.margin[window]:.2f}"
    return text
