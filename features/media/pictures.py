"""Every picture of a clip, as it comes: brightness and colour planes with the time at which it is shown.

ffmpeg writes yuv4mpegpipe, whose header states the size; the times come in a pipe of their own (decode.py), so a
picture waits here until its time is known.

    YUV4MPEG2 W1280 H720 F…\\n      FRAME\\n Y (H, W) U (H/2, W/2) V (H/2, W/2)      FRAME\\n …
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from dualstream.features.media.report import DecodeReport
from dualstream.features.media.settings import MediaError
from numpy.typing import NDArray

MICROSECOND = 1_000_000
LONGEST_SIDE_PX = 1280  # larger pictures are scaled down: a face that fills a tenth of it fills an encoder's frame
HEADER_LIMIT_BYTES = 512
WAITING_LIMIT = 512  # pictures whose times have not come
# Share of V in red, of U and V in green, and of U in blue, for limited range (16 to 235, 16 to 240).
COLOURS = {False: (1.59603, -0.39176, -0.81297, 2.01723), True: (1.79274, -0.21325, -0.53291, 2.11240)}


@dataclass(frozen=True, repr=False, eq=False)
class Picture:
    """One picture: square pixels, upright, limited range."""

    time_s: float
    """Presentation time on the clip's clock, seconds."""
    y: NDArray[np.uint8]
    """Brightness, shape (H, W)."""
    u: NDArray[np.uint8]
    """Shape (ceil(H / 2), ceil(W / 2))."""
    v: NDArray[np.uint8]
    """Shape as `u`."""
    bt709: bool = False
    """Whose colours these are: ITU-R BT.709's, or BT.601's."""

    def __repr__(self) -> str:
        return f"Picture({self.time_s:.3f} s, {self.width_px}x{self.height_px})"

    @property
    def width_px(self) -> int:
        """W."""
        return int(self.y.shape[1])

    @property
    def height_px(self) -> int:
        """H."""
        return int(self.y.shape[0])

    def rgb(self, box: tuple[float, float, float, float], size: tuple[int, int]) -> NDArray[np.uint8]:
        """Return a part of the picture, resized: RGB, shape (height, width, 3).

        Parameters
        ----------
        box
            Left, top, right, bottom in pixels; what lies outside repeats the picture's edge.
        size
            Width and height of the answer, pixels.
        """
        half = tuple(side / 2 for side in box)
        y, u, v = (
            resized(plane, part, size).astype(np.float32)
            for plane, part in ((self.y, box), (self.u, half), (self.v, half))
        )
        y, u, v = 1.164384 * (y - 16), u - 128, v - 128
        red, green_u, green_v, blue = COLOURS[self.bt709]
        planes = np.stack([y + red * v, y + green_u * u + green_v * v, y + blue * u], axis=-1)
        return np.clip(planes + 0.5, 0, 255).astype(np.uint8)

    def grey(self, box: tuple[float, float, float, float], size: tuple[int, int]) -> NDArray[np.uint8]:
        """Return the brightness of a part of the picture on the full range, resized, shape (height, width)."""
        y = resized(self.y, box, size).astype(np.float32)
        return np.clip(1.164384 * (y - 16) + 0.5, 0, 255).astype(np.uint8)


def resized(plane: NDArray[np.uint8], box: tuple[float, ...], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Return a part of a plane, bilinear and antialiased; outside the plane its edge is repeated."""
    from PIL import Image

    height, width = plane.shape
    left, top, right, bottom = box
    x0, y0, x1, y1 = int(np.floor(left)), int(np.floor(top)), int(np.ceil(right)), int(np.ceil(bottom))
    x1, y1 = max(x1, x0 + 1), max(y1, y0 + 1)
    inside = plane[max(y0, 0) : y1, max(x0, 0) : x1]
    if x0 < 0 or y0 < 0 or x1 > width or y1 > height:
        rows = np.clip(np.arange(y0, y1), 0, height - 1)
        inside = plane[rows[:, None], np.clip(np.arange(x0, x1), 0, width - 1)]
    part = left - x0, top - y0, min(right - x0, x1 - x0), min(bottom - y0, y1 - y0)
    image = Image.fromarray(np.ascontiguousarray(inside))
    return np.asarray(image.resize(size, Image.Resampling.BILINEAR, box=part))


class Watcher(Protocol):
    """What is shown every picture."""

    def see(self, picture: Picture) -> None:
        """Take the next picture; times rise."""
        ...

    def end(self) -> None:
        """Learn that no picture follows."""
        ...


Watch = Callable[[], Watcher]


def watched_chain(scaler: str) -> list[str]:
    """Return the filters that make pictures upright, of square pixels, and no longer than LONGEST_SIDE_PX."""
    share = f"min(1,{LONGEST_SIDE_PX}/max(ih*dar,ih))"
    sides = [f"max(2,2*round(ih*{shape}{share}/2))" for shape in ("dar*", "")]
    return [f"scale=w='{sides[0]}':h='{sides[1]}':out_range=tv:{scaler}", "setsar=1"]


@dataclass
class PictureSink:
    """A sink for yuv4mpegpipe that shows a watcher each picture, once its time is known."""

    watcher: Watcher
    times_us: list[int]
    """The times as they become known, of the same pictures."""
    report: DecodeReport
    """Tells whose colours they are, before any picture comes."""
    _size: tuple[int, int] | None = None
    _part: bytearray = field(default_factory=bytearray)
    _waiting: deque[bytes] = field(default_factory=deque)
    _shown: int = 0
    _last_us: int = -1

    def feed(self, data: bytes) -> None:
        """Take the next bytes."""
        self._part += data
        if self._size is None and not self._read_header():
            return
        assert self._size is not None
        width, height = self._size
        count = width * height + 2 * ((width + 1) // 2) * ((height + 1) // 2)
        while (end := self._part.find(b"\n", 0, HEADER_LIMIT_BYTES)) >= 0 and len(self._part) > end + count:
            self._waiting.append(bytes(memoryview(self._part)[end + 1 : end + 1 + count]))
            del self._part[: end + 1 + count]
            self._show()
        if len(self._waiting) > WAITING_LIMIT:
            raise MediaError("too_large", f"{WAITING_LIMIT} pictures came without their times")

    def close(self, *, lost: bool) -> None:
        """Show what waited for its time, and say that it was the last; nothing where times are `lost`."""
        self._show()
        self._waiting.clear()
        if not lost:
            self.watcher.end()

    def _read_header(self) -> bool:
        head, found, rest = self._part.partition(b"\n")
        if not found:
            return False
        words = head.decode("ascii", "replace").split()
        sides = {word[0]: int(word[1:]) for word in words[1:] if word[0] in "WH" and word[1:].isdigit()}
        if words[:1] != ["YUV4MPEG2"] or set(sides) != {"W", "H"}:
            raise MediaError("unreadable", f"ffmpeg gave {head[:80]!r}; expected pictures as YUV4MPEG2")
        self._size, self._part = (sides["W"], sides["H"]), bytearray(rest)
        return True

    def _show(self) -> None:
        """Show every picture that waits and whose time is known, and that is later than the one before."""
        while self._waiting and self._shown < len(self.times_us) and self.report.video is not None:
            time_us, data = self.times_us[self._shown], self._waiting.popleft()
            self._shown += 1
            if time_us > self._last_us:
                self._last_us = time_us
                self.watcher.see(self._picture(data, time_us))

    def _picture(self, data: bytes, time_us: int) -> Picture:
        assert self._size is not None and self.report.video is not None
        width, height = self._size
        shape = (height + 1) // 2, (width + 1) // 2
        y, u, v = np.split(np.frombuffer(data, np.uint8), [width * height, width * height + shape[0] * shape[1]])
        return Picture(
            time_us / MICROSECOND,
            y.reshape(height, width),
            u.reshape(shape),
            v.reshape(shape),
            self.report.video.bt709,
        )
