"""What becomes of decoded pictures and pieces of sound, in the way of ffmpeg's filters but in this process.

pictures   each wanted tick shows the picture that is nearest to it; only those are scaled
sound      placed on the clock to the sample, then centre, mix and difference at the wanted rate
"""

from __future__ import annotations

from collections import deque
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
from dualstream.features.media import nvdec
from dualstream.features.media.channels import FILTER
from dualstream.features.media.decode import MICROSECOND, Job, fitted, resampled
from dualstream.features.media.showing import MICRO, Base, NotPlainError, Showing, rescaled

if TYPE_CHECKING:
    from collections.abc import Collection

    from av import AudioFrame, VideoFrame
    from av.filter import Graph
    from av.video.stream import VideoStream
    from dualstream.features.media.sinks import AudioSamples, FrameSink, Stamps

PIECES = 64  # of sound that wait before they are filtered: more than a second
TURNS = {0: (), 90: ("transpose=cclock",), 180: ("hflip", "vflip"), 270: ("transpose=clock",)}
PLANAR = {"nv12": ("format=pix_fmts=yuv420p",), "p010le": ("format=pix_fmts=yuv420p10le",)}  # a GPU's, to a CPU's


class Pictures:
    """The pictures of one stream, in the order that they are shown in."""

    def __init__(
        self, job: Job, rows: FrameSink, stamps: Stamps, offset_us: int, stream: VideoStream, decoder: Any
    ) -> None:
        self.done = False
        self.rotation_deg = 0
        self.size_px = (stream.codec_context.width, stream.codec_context.height)
        self._decoder = decoder
        self._job, self._rows, self._stamps = job, rows, stamps
        self._offset_us, self._stream = offset_us, stream
        self._kind: tuple[Any, ...] | None = None
        self._graph: Graph | None = None
        self._base: Base = MICRO
        self._showing: Showing | None = None
        self._left_out: deque[int] = deque()
        self._due: int | None = None
        self._taken = 0
        self._held: VideoFrame | None = None

    def showing(self, base: Fraction) -> Showing:
        """Return what tells which pictures show which ticks, their times being of a base."""
        return Showing(self._job, self._offset_us, (base.numerator, base.denominator))

    def leave_out(self, times: Collection[int], of: int) -> None:
        """Take note of pictures, by their times, that are not decoded and show no tick; all are so many."""
        self._left_out, self._due = deque(sorted(times)), of - len(times)

    def take(self, frame: VideoFrame) -> None:
        """Take the next picture; what was before is now known to be nearest to the ticks before the midpoint."""
        form = frame.sw_format or frame.format  # a picture on a GPU has the first
        kind = (frame.width, frame.height, form.name, frame.colorspace, frame.color_range)
        if self._kind is None:
            self._kind, self._base, self.rotation_deg = kind, _base(frame), frame.rotation % 360
            self.size_px = frame.width, frame.height
            if self.rotation_deg not in TURNS:
                raise NotPlainError(f"the picture is turned by {self.rotation_deg} degrees")
            if _is_mirrored(frame):  # and turned perhaps, of which PyAV tells alone
                raise NotPlainError("the picture is mirrored")
            self._showing = self.showing(frame.time_base)
        elif kind != self._kind:
            raise NotPlainError("the pictures change their format")
        while frame.pts is not None and self._left_out and self._left_out[0] < frame.pts and not self.done:
            self._place(self._left_out.popleft(), None)
        if not self.done:
            self._place(frame.pts, frame)
        self._taken += 1

    def close(self) -> None:
        """Let the last picture be shown once more: whoever wants a later tick finds it there."""
        if self._showing is None or not self._stamps.times_us:
            raise NotPlainError("no picture came")
        if self._due not in (None, self._taken) and not self.done:
            raise NotPlainError(f"{self._due} packets gave {self._taken} pictures")
        while self._left_out and not self.done:
            self._place(self._left_out.popleft(), None)
        held, self._held = self._held, None
        self._keep(held, self._showing.rest())

    def _place(self, pts: int | None, frame: VideoFrame | None) -> None:
        """Find a picture's place among the ticks; one that was left out has a time alone."""
        assert self._showing is not None
        time_us = self._showing.take(pts)
        if time_us is not None:
            self._stamps.take(time_us)
            self._show(frame, time_us)
        self.done = self._showing.is_over

    def _show(self, frame: VideoFrame | None, _time_us: int) -> None:
        assert self._showing is not None
        self._keep(self._held, self._showing.before())
        self._held = frame

    def _keep(self, frame: VideoFrame | None, ticks: list[int]) -> None:
        if not ticks:
            return
        if frame is None:
            raise NotPlainError("no picture came that shows a tick")
        data = self._scaled(frame)
        for tick in ticks:
            self._rows.keep(tick, data)

    def _scaled(self, frame: VideoFrame) -> memoryview:
        """Return a picture as a square of RGB."""
        size = self._job.settings.frame_size_px
        assert size is not None
        scaled = self._filtered(frame, [*fitted(self._job.settings, size), "format=pix_fmts=rgb24"])
        return np.ascontiguousarray(scaled.to_ndarray()).data.cast("B")

    @property
    def _aspect(self) -> str:
        """The shape of a pixel: the container's word goes before the coded pictures'."""
        stated = self._stream.sample_aspect_ratio or self._decoder.sample_aspect_ratio
        return str(stated or "0/1")

    def _filtered(self, frame: VideoFrame, filters: list[str]) -> VideoFrame:
        """Return an upright picture as filters make it: the same scaler with the same flags as in the process."""
        import av

        frame = nvdec.on_cpu(frame)
        if self._graph is None:
            source = (
                f"video_size={frame.width}x{frame.height}:pix_fmt={frame.format.name}:time_base={self._base[0]}/{self._base[1]}"
                f":pixel_aspect={self._aspect}:colorspace={int(frame.colorspace)}"
                f":range={int(frame.color_range)}"
            )
            chain = [
                f"buffer={source}",
                *PLANAR.get(frame.format.name, ()),
                *TURNS[self.rotation_deg],
                *filters,
            ]
            self._graph = _graph([*chain, "buffersink"])
        self._graph.push(frame)
        filtered = self._graph.pull()
        assert isinstance(filtered, av.VideoFrame)
        return filtered


class Sound:
    """The sound of one stream."""

    def __init__(self, job: Job, samples: AudioSamples, stamps: Stamps, offset_us: int) -> None:
        self.done = False
        self._job, self._samples, self._stamps = job, samples, stamps
        self._offset_us = offset_us
        self._graph: Graph | None = None
        self._offset = self._limit = self._rate_hz = 0
        self._base: Base = MICRO
        self._one = Fraction(1)
        self._last: int | None = None  # of `_smoothed`
        self._due: int | None = None
        self._first: int | None = None
        self._waiting = 0

    def take(self, frame: AudioFrame) -> None:
        """Take the next piece of sound."""
        if self._graph is None:  # which refuses pieces of another format than the first one's
            self._begin(frame)
        if frame.pts is None:
            raise NotPlainError("a piece of sound has no time")
        at = self._smoothed(frame.pts + self._offset, frame.samples)
        if not self._note(at, frame.samples):
            return
        frame.pts, frame.time_base = at, self._one
        assert self._graph is not None
        self._graph.push(frame)
        self._waiting += 1
        if self._waiting >= PIECES:
            self._drain()

    def close(self) -> None:
        """Filter what is left."""
        if self._graph is None or not self._stamps.times_us:
            raise NotPlainError("no sound came")
        self._graph.push(None)
        self._drain()

    def _begin(self, frame: AudioFrame) -> None:
        layout, job = frame.layout.name, self._job
        if "channels" in layout or not layout:
            raise NotPlainError(f"the sound's channels have no names ({layout})")
        self._rate_hz = frame.sample_rate
        self._base, self._one = _base(frame), Fraction(1, self._rate_hz)
        self._offset = rescaled(self._offset_us, MICRO, self._base)
        self._limit = rescaled(round(job.limit_s * MICROSECOND), MICRO, (1, self._rate_hz))
        source = (
            f"time_base=1/{self._rate_hz}:sample_rate={self._rate_hz}:sample_fmt={frame.format.name}"
            f":channel_layout={layout}"
        )
        start = "start=0:" if job.seek_us else ""
        assert job.settings.sample_rate_hz is not None
        chain = [f"abuffer={source}", f"atrim={start}duration={job.limit_s:.6f}", "asettb=AVTB", "asettb=1/sr",
                 FILTER, resampled(job.settings.sample_rate_hz), "aformat=sample_fmts=flt"]  # fmt: skip
        self._graph = _graph([*chain, "abuffersink"])

    def _smoothed(self, pts: int, samples: int) -> int:
        """Return a time in samples, without the jitter of a coarse time base (``av_rescale_delta``)."""
        one = (1, self._rate_hz)
        above, below = self._base[0] * self._rate_hz, self._base[1]  # samples are pts · above / below
        due, last = self._due, self._last
        if above <= below or last is None or (due is not None and pts > -(-due * below // above)):  # or a gap
            at = rescaled(pts, self._base, one)
            self._last = at + samples
        else:
            low = (2 * pts - 1) * above // below >> 1
            high = -(-(2 * pts + 1) * above // below) + 1 >> 1
            near = 2 * low - high <= last <= 2 * high - low
            at = min(max(last, low), high) if near else rescaled(pts, self._base, one)
            self._last = at + samples
        self._due = at + samples
        return at

    def _note(self, at: int, samples: int) -> bool:
        """Note when a piece begins, as it is after ``atrim``; tell whether any of it is left."""
        if self._job.seek_us:
            if at + samples <= 0:
                return False
            at = max(at, 0)
        self._first = at if self._first is None else self._first
        if at - self._first >= self._limit:
            self.done = True
            return False
        self._stamps.take(rescaled(at, (1, self._rate_hz), MICRO))
        return True

    def _drain(self) -> None:
        import av

        assert self._graph is not None
        self._waiting = 0
        pieces = []
        while True:
            try:
                piece = self._graph.pull()
            except (av.error.BlockingIOError, av.error.EOFError):
                break
            pieces.append(piece.to_ndarray().tobytes())
        if pieces:
            self._samples.feed(b"".join(pieces))


def _base(frame: AudioFrame | VideoFrame) -> Base:
    return frame.time_base.numerator, frame.time_base.denominator


def _is_mirrored(frame: VideoFrame) -> bool:
    """Tell whether the picture is to be shown as in a mirror: its display matrix has a negative determinant."""
    from av.sidedata.sidedata import Type

    matrix = frame.side_data.get(Type.DISPLAYMATRIX)
    if matrix is None:
        return False
    (a, b, _), (c, d, _), _ = np.frombuffer(bytes(matrix), np.int32).reshape(3, 3).tolist()
    return bool(a * d < b * c)


def _graph(chain: list[str]) -> Graph:
    """Return a graph of filters, one after the other, in ffmpeg's own words."""
    from av.filter import Graph

    graph = Graph()
    graph.threads = 1
    nodes = []
    for words in chain:
        name, _, arguments = words.partition("=")
        nodes.append(graph.add(name, arguments or None))
    graph.link_nodes(*nodes).configure()
    return graph
