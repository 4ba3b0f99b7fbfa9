"""probe: what a file holds, from one ffmpeg process that lists every packet and decodes none.

ffmpeg -i FILE -c copy -f framecrc      #codec_id 0: h264 / #sar … / 0, dts, pts, duration, size, crc
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import numpy as np
from dualstream.features.media import command, runner
from dualstream.features.media.channels import channel_count
from dualstream.features.media.report import DecodeReport, StreamHeader, stated_start_s
from dualstream.features.media.settings import Guards, MediaError, naming
from numpy.typing import NDArray

STILL_LIMIT_S = 1.0
UNKNOWN_RATE = 25.0
NO_TIME = -(2**63)  # how ffmpeg writes that there is none


@dataclass(frozen=True)
class VideoFacts:
    """The first moving picture of a file."""

    codec: str
    width_px: int
    """As stored, before rotation."""
    height_px: int
    rotation_deg: int
    """Counterclockwise, as ffmpeg states it, 0 to 359."""
    frame_rate: float
    """Pictures a second, from the packets' time stamps."""
    start_s: float
    """Seconds on the clip's clock."""
    end_s: float
    frames: int
    """Packets, each of which holds one picture (two fields may be two)."""
    still: bool
    """One picture for a clip that is longer."""


@dataclass(frozen=True)
class AudioFacts:
    """The first sound of a file."""

    codec: str
    sample_rate_hz: int
    channels: int
    layout: str
    """As ffmpeg names it: ``mono``, ``stereo``, ``5.1``."""
    start_s: float
    """Seconds on the clip's clock."""
    end_s: float


@dataclass(frozen=True)
class Probe:
    """What a file holds. The clock's 0 is the earliest start of its streams, as in `read_clip`."""

    container: str
    """ffmpeg's names of the format: ``mov,mp4,m4a,3gp,3g2,mj2``."""
    duration_s: float
    """To the end of the later one of picture and sound, seconds."""
    video: VideoFacts | None
    audio: AudioFacts | None
    other_streams: int
    """Further streams: more sound, data, subtitles, covers."""
    warnings: tuple[str, ...] = ()
    start_s: float = 0.0
    """Where the file says that it starts, seconds; 0 where its format says nothing of the kind."""
    unused_sound: bool = False
    """The video file of a clip in two files has sound of its own."""


@dataclass
class _Track:
    """Time stamps of one stream's packets, in its time base."""

    kind: str = ""
    time_base: Fraction = Fraction(1, 1)
    pts: list[int | None] = field(default_factory=list)
    dts: list[int | None] = field(default_factory=list)
    last: int = 0
    """Duration of the packet that came last."""

    def times(self) -> NDArray[np.int64]:
        """Return when each packet's content is shown, sorted.

        Some containers (AVI, MPEG programme streams, bare streams) stamp all packets with the time of decoding,
        and few or none with that of presentation. Pictures are decoded in another order than they are shown in,
        but at the same instants plus a constant delay, which the first packet tells where it has both.
        """
        pts = _known(self.pts)
        dts = _known(self.dts)
        if len(pts) == len(self.pts) or not len(dts):
            return np.sort(pts)
        first_pts, first_dts = self.pts[0], self.dts[0]
        delay = -min(0, int(dts.min())) if first_pts is None or first_dts is None else first_pts - first_dts
        return np.sort(dts) + delay


@dataclass
class _Packets:
    """A sink for framecrc's lines."""

    limit_bytes: int
    tracks: dict[int, _Track] = field(default_factory=dict)
    cut: bool = False
    _rest: bytes = b""
    _bytes: int = 0

    def feed(self, data: bytes) -> None:
        self._bytes += len(data)
        if self._bytes > self.limit_bytes:
            raise MediaError("too_large", f"the list of packets passed {self.limit_bytes} bytes")
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._line(line)

    def _line(self, line: bytes) -> None:
        if line.startswith(b"#"):
            name, _, value = line[1:].decode("ascii", "replace").partition(": ")
            key, _, index = name.rpartition(" ")
            if index.isdigit() and key == "tb":
                self.tracks.setdefault(int(index), _Track()).time_base = Fraction(value.strip())
            elif index.isdigit() and key == "media_type":
                self.tracks.setdefault(int(index), _Track()).kind = value.strip()
            return
        parts = line.split(b",", 5)
        if len(parts) < 5:
            return
        try:
            stream, dts, pts, duration = int(parts[0]), _time(parts[1]), _time(parts[2]), int(parts[3])
        except ValueError:
            return
        track = self.tracks.setdefault(stream, _Track())
        track.pts.append(pts)
        track.dts.append(dts)
        track.last = duration


def _known(times: list[int | None]) -> NDArray[np.int64]:
    return np.array([time for time in times if time is not None], dtype=np.int64)


def _time(word: bytes) -> int | None:
    """Return a time stamp; None where the packet has none."""
    time = None if b"NOPTS" in word else int(word)
    return None if time == NO_TIME else time


def probe(path: Path, *, ffmpeg: str | None = None, guards: Guards | None = None) -> Probe:
    """Return what a file holds, by reading its packets without decoding them.

    Raises
    ------
    MediaError
        Where it is no regular file, no media file of a known format, or has neither picture nor sound.
    """
    guards = guards or Guards()
    real_path = command.regular_file(path)
    binary = command.find_ffmpeg(ffmpeg)
    report, packets = DecodeReport(guards.log_bytes), _Packets(guards.log_bytes)
    with naming(path):
        status = runner.run(
            lambda _, fds: _command(binary, real_path, guards, fds[0]),
            log=report.feed,
            sinks=[packets.feed],
            guards=guards,
        )
    report.close()
    if not report.container:
        raise command.not_opened(report, path, status)
    if report.video is None and report.audio is None:
        raise MediaError("no_streams", f"{path} has neither a moving picture nor sound")
    by_kind = {track.kind: track for track in packets.tracks.values()}
    video = _video(report.video, by_kind.get("video"), report)
    audio = _audio(report.audio, by_kind.get("audio"))
    ends_s = [facts.end_s for facts in (video, audio) if facts is not None]
    warnings = list(report.errors)
    if not any(ends_s):
        if status != 0:
            raise MediaError("damaged", f"{path}: {report.said()}")
        warnings.append("no packet has a time stamp: the length is the header's")
        ends_s.append(report.header_s or 0.0)
    used = (report.video is not None) + (report.audio is not None)
    others = len(report.streams) - used
    return Probe(report.container, max(ends_s), video, audio, others, tuple(warnings), stated_start_s(report))


def _command(binary: str, real_path: str, guards: Guards, fd: int) -> list[str]:
    import ffmpeg

    source = ffmpeg.input(command.input_url(real_path), **command.input_options(guards))
    streams = [source["V:0?"], source["a:0?"]]
    output = ffmpeg.output(*streams, f"pipe:{fd}", format="framecrc", codec="copy")
    return ffmpeg.compile(output, cmd=command.global_options(binary))


def _video(stream: StreamHeader | None, track: _Track | None, report: DecodeReport) -> VideoFacts | None:
    if stream is None:
        return None
    track = _Track() if track is None else track
    pts_s = track.times() * float(track.time_base)
    pts_s = pts_s[pts_s >= 0]  # what an edit list leaves out has negative times
    gap_s = float(np.median(np.diff(pts_s))) if len(pts_s) > 1 else 1 / (stream.frame_rate or UNKNOWN_RATE)
    end_s = float(pts_s[-1]) + gap_s if len(pts_s) else 0.0  # as read_clip has it
    return VideoFacts(
        codec=stream.codec,
        width_px=stream.width_px,
        height_px=stream.height_px,
        rotation_deg=stream.rotation_deg,
        frame_rate=1 / gap_s if gap_s > 0 else stream.frame_rate,
        start_s=float(pts_s[0]) if len(pts_s) else 0.0,
        end_s=end_s,
        frames=len(pts_s),
        still=len(pts_s) == 1 and max(end_s, report.header_s or 0.0) > STILL_LIMIT_S,
    )


def _audio(stream: StreamHeader | None, track: _Track | None) -> AudioFacts | None:
    if stream is None:
        return None
    track = _Track() if track is None else track
    times_s = track.times() * float(track.time_base)
    return AudioFacts(
        codec=stream.codec,
        sample_rate_hz=stream.sample_rate_hz,
        channels=channel_count(stream.layout),
        layout=stream.layout,
        start_s=max(0.0, float(times_s[0])) if len(times_s) else 0.0,
        end_s=max(0.0, float(times_s[-1] + track.last * track.time_base)) if len(times_s) else 0.0,
    )
