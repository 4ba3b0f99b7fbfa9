"""What shapes the numbers (DecodeSettings), what only protects the machine (Guards), and how reading fails."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from dualstream.features.options import Channels as Channels
from dualstream.features.options import Decoder as Decoder
from dualstream.features.options import Fit as Fit
from dualstream.features.options import ReadingOptions
from dualstream.features.options import Speed as Speed

from dualstream.documents import JsonObject

ErrorKind = Literal[
    "missing", "not_a_file", "unreadable", "damaged", "empty", "no_streams", "timeout", "too_large", "killed"
]

# Container formats that people keep clips in. None of them names other files: no playlists, no manifests,
# no image sequences. ffmpeg calls one demuxer by several names (mov,mp4,m4a,...): one of them is enough.
FORMATS = (
    "mov", "mp4", "matroska", "webm", "avi", "mpeg", "mpegts", "flv", "asf", "mpegvideo", "m4v", "h264", "hevc",
    "dv", "gif", "wav", "w64", "flac", "mp3", "ogg", "aac", "ac3", "eac3", "aiff", "caf", "au", "amr",
)  # fmt: skip


READING_VERSION = 2  # raised whenever the same settings would give other arrays
FAST_READING_VERSION = 3  # likewise, for the speed `fast`
ALIKE = {READING_VERSION: (1,), FAST_READING_VERSION: (2,)}
"""Older ways that read plain clips alike. Where they differ from 2 (3): spans of files without an index, packets
without time stamps, channels that cancel or are silent beside others."""


class MediaError(Exception):
    """A clip that gives no arrays. The message says what was found and what to do, in ffmpeg's own words.

    `kind` is one of

    ``missing``     no such file, or no usable ffmpeg
    ``not_a_file``  a folder, a pipe or a device
    ``unreadable``  not a media file of a format that is opened, or its header is lost
    ``damaged``     streams are there, and nothing could be decoded
    ``empty``       no bytes, or nothing in the span that was asked for
    ``no_streams``  neither picture nor sound of those that were asked for
    ``timeout``     the time limit passed
    ``too_large``   a limit on pixels, memory or bytes was passed
    ``killed``      the system ended ffmpeg, as it does where memory runs out: that says nothing of the clip
    """

    def __init__(self, kind: ErrorKind, message: str) -> None:
        super().__init__(message)
        self.kind: ErrorKind = kind

    def __reduce__(self) -> tuple[Any, ...]:
        return MediaError, (self.kind, str(self))


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """Put the file's name before the message of a MediaError that does not know it."""
    try:
        yield
    except MediaError as error:
        if str(path) in str(error):
            raise
        raise MediaError(error.kind, f"{path}: {error}") from error


@dataclass(frozen=True)
class DecodeSettings:
    """How a clip becomes arrays. Every field shapes the numbers, so all of them go into the fingerprint."""

    frame_size_px: int | None = 224
    """Side of the square frames, pixels; None: no frames are wanted."""
    fit: Fit = ReadingOptions.fit
    """How a picture becomes a square: ``stretch`` both sides, ``crop`` the middle, ``pad`` with black."""
    sample_rate_hz: int | None = 16_000
    """Rate of the sound, Hz; None: no sound is wanted."""
    channels: Channels = ReadingOptions.channels
    """``auto``: the centre channel where there is one that is heard, else the mix. ``mix``: all, as channels.py
    weighs them; what mixing.py does about channels that cancel or are silent is noted. ``center``: the centre
    channel; a clip without one has no sound then."""
    speed: Speed = "exact"
    """``fast`` skips the loop filter and the frames that no other frame refers to: a third less time."""
    max_clip_s: float = ReadingOptions.max_clip_s
    """Only this much of a clip (or of a span) is read, seconds."""
    decoder: Decoder = "ffmpeg"
    """``pyav`` decodes plain clips in this process, and leaves all others to ffmpeg (pyav.py)."""

    def __post_init__(self) -> None:
        if self.frame_size_px is None and self.sample_rate_hz is None:
            raise ValueError("frame_size_px and sample_rate_hz are both None: nothing would be read")
        if self.frame_size_px is not None and not 1 <= self.frame_size_px <= 4096:
            raise ValueError(f"frame size is {self.frame_size_px} px; expected 1 to 4096")
        if self.sample_rate_hz is not None and not 1_000 <= self.sample_rate_hz <= 192_000:
            raise ValueError(f"sample rate is {self.sample_rate_hz} Hz; expected 1,000 to 192,000")
        for name, value, known in (
            ("fit", self.fit, get_args(Fit)),
            ("channels", self.channels, get_args(Channels)),
            ("speed", self.speed, get_args(Speed)),
            ("decoder", self.decoder, get_args(Decoder)),
        ):
            if value not in known:
                raise ValueError(f"{name} is {value!r}; expected one of: {', '.join(known)}")
        if not (math.isfinite(self.max_clip_s) and 0 < self.max_clip_s <= 24 * 3600):
            raise ValueError(f"max_clip_s is {self.max_clip_s}; expected seconds above 0, at most a day")

    def to_json(self) -> JsonObject:
        """Return the settings as JSON values, for the fingerprint."""
        values: JsonObject = {
            "reading": FAST_READING_VERSION if self.speed == "fast" else READING_VERSION,
            "frame_size_px": self.frame_size_px,
            "fit": self.fit,
            "sample_rate_hz": self.sample_rate_hz,
            "channels": self.channels,
            "speed": self.speed,
            "max_clip_s": self.max_clip_s,
        }
        if self.decoder != "ffmpeg":  # caches from before there was a choice do not state it
            values["decoder"] = self.decoder
        return values


@dataclass(frozen=True)
class Guards:
    """Limits on what a hostile or broken file can cost. They never change a number, only refuse."""

    wall_s: float = 300.0
    """A process that runs longer is ended, seconds."""
    max_pixels: int = 35_389_440
    """Largest picture that is decoded, pixels (8192 x 4320)."""
    max_alloc_bytes: int = 256 * 2**20
    """Largest single block of memory that ffmpeg may ask for, bytes."""
    address_space_bytes: int = 4 * 2**30
    """Address space of the process, bytes; kept where the system can (Linux)."""
    log_bytes: int = 64 * 2**20
    """Most that is read of ffmpeg's log, and of a packet list, bytes."""
    max_streams: int = 64
    """Most streams that a file may have."""
    formats: tuple[str, ...] = FORMATS
    """Names of the demuxers that may open a file."""
    threads: int = 1
    """Decoding threads of one process: many clips are read side by side, so one each."""

    def __post_init__(self) -> None:
        if not self.formats:
            raise ValueError("formats is empty: no file could be opened")
        for name in ("wall_s", "max_pixels", "max_alloc_bytes", "address_space_bytes", "log_bytes", "threads"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} is {getattr(self, name)}; expected a number above 0")
