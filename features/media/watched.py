"""Every picture of a stream, decoded in this process, for a watcher: the same pictures as by pictures.py."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from dualstream.features.media.decode import MICROSECOND, MOST_PICTURES_A_SECOND, SCALER
from dualstream.features.media.pictures import Picture, Watcher, watched_chain
from dualstream.features.media.showing import NotPlainError
from dualstream.features.media.tracks import Pictures
from numpy.typing import NDArray

if TYPE_CHECKING:
    from av import VideoFrame

BT709 = 1  # AVCOL_SPC_BT709
FORMAT = "format=pix_fmts=yuv420p"


class WatchedPictures(Pictures):
    """The pictures of one stream, each shown to a watcher; none of them is kept as a row."""

    def __init__(self, *how: Any, watcher: Watcher) -> None:
        super().__init__(*how)
        self._watcher = watcher
        self._most = math.ceil(self._job.limit_s * MOST_PICTURES_A_SECOND) + 1

    def close(self) -> None:
        """Say that no picture follows."""
        if not self._stamps.times_us:
            raise NotPlainError("no picture came")
        self._watcher.end()

    def _show(self, frame: VideoFrame | None, time_us: int) -> None:
        assert frame is not None  # none is left out
        if len(self._stamps.times_us) > self._most:
            raise NotPlainError(f"there are more than {MOST_PICTURES_A_SECOND} pictures in a second")
        shown = self._filtered(frame, [*watched_chain(SCALER), FORMAT])
        y, u, v = (_array(plane) for plane in shown.planes)
        self._watcher.see(Picture(time_us / MICROSECOND, y, u, v, int(frame.colorspace) == BT709))


def _array(plane: Any) -> NDArray[np.uint8]:
    """Return a plane's values, shape (H, W), without a copy: they live as long as the array does."""
    return np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[: plane.height, : plane.width]
