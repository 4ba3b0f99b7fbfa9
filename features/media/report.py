"""Read what ffmpeg writes to its log: the facts of the input, and the errors.

The log runs with ``-loglevel repeat+level+info``, so each line reads ``[part @ 0x55…] [level] words``.
Both ffmpeg 5.1 and 9.0 are understood. Since 7.0 several threads write there and cut into each other's lines,
so nothing that must not be lost (such as the time of every frame) is taken from the log.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from dualstream.features.media.settings import ErrorKind, MediaError

LINE_LIMIT = 4096  # characters of a line that are looked at: some side data are printed as endless hex
STATES_START = ("mov", "matroska")  # formats whose time stamps count from a 0 of the header's own
KEPT_ERRORS = 256  # kinds of errors that are kept; all errors are counted
SAID_ERRORS = 4  # kinds of errors that a message names

_LEVEL = re.compile(r"^((?:\[[^\]]* @ (?:0x)?[0-9a-fA-F]+\] )*)\[(panic|fatal|error|warning|info)\] (.*)$")
_PART = re.compile(r"\[([^\]]*?) @ (?:0x)?[0-9a-fA-F]+\] ")
_INPUT = re.compile(r"^Input #0, (.*), from ")
_DURATION = re.compile(r"^  Duration: (?:(\d+):(\d\d):(\d\d(?:\.\d+)?)|N/A)")
_START = re.compile(r", start: (-?\d+\.\d+)")
_STREAM = re.compile(r"^ {2,}Stream #0:(\d+)(?:\[0x[0-9a-f]+\])?(?:\([^)]*\))?: ([A-Z]\w+): (\S+?)(?:,| |$)(.*)$")
_SIZE = re.compile(r"(?:^|, | )(\d+)x(\d+)(?:,| |$)")
_RATE = re.compile(r", ([\d.]+)(k?) fps")
_TBR = re.compile(r", ([\d.]+)(k?) tbr")
_BT709 = re.compile(r"\((?:[a-z]+, )?bt709[/,)]")
_HZ = re.compile(r"(?:^|, | )(\d+) Hz, ([^,]+)")
_ROTATION = re.compile(r"(?:displaymatrix|Display Matrix): rotation of (-?[\d.]+) degrees")

_MARK = re.compile(r"\[Parsed_(a?)metadata_")

_ALARM = re.compile(r"\b(error|invalid|corrupt|conceal|missing|failed)", re.IGNORECASE)

# What ffmpeg calls an error though no picture and no sound is lost by it.
_LIMIT_WORDS = ("Cannot allocate memory", "exceeds specified max", "Picture size")
_HARMLESS = (
    "Application provided invalid, non monotonically increasing dts",
    "Error while filtering: Broken pipe",
)
# What it calls a warning though what comes out is not what went in.
DAMAGE_WARNINGS = ("corrupt decoded frame", "corrupt input packet", "Packet corrupt", "Incomplete frame")


@dataclass
class StreamHeader:
    """One stream as the input's description has it."""

    index: int
    kind: str
    """``Video``, ``Audio``, ``Data``, ``Subtitle``, ``Attachment``."""
    codec: str
    width_px: int = 0
    height_px: int = 0
    frame_rate: float = 0.0
    sample_rate_hz: int = 0
    layout: str = ""
    rotation_deg: int = 0
    picture: bool = False
    """A cover or a thumbnail, not a moving picture."""
    bt709: bool = False
    """Whether its colours are stated to be those of ITU-R BT.709; BT.601 is taken where nothing is stated."""


@dataclass
class DecodeReport:
    """A sink for the log, and what it said so far."""

    limit_bytes: int
    container: str = ""
    header_s: float | None = None
    """Duration that the header states; None where it does not."""
    start_s: float = 0.0
    """The earliest time stamp by the header, seconds; what ffmpeg calls 0 of the file."""
    streams: list[StreamHeader] = field(default_factory=list)
    """In the file's order, in which ffmpeg does not always list them: those of a group come first."""
    error_count: int = 0
    words: list[str] = field(default_factory=list)
    """The last lines above the level of information, for a failure without an error line."""
    not_sought: bool = False
    """The file could not be read from where it was to begin."""
    _waiting: set[str] = field(default_factory=set)
    """Whose errors are not yet counted: ``video``, ``audio``."""
    _early: list[tuple[str, str, str]] = field(default_factory=list)
    """Errors of those who are waited for: of whom, part and words."""
    _only: str = "video"
    _kinds: dict[str, str] = field(default_factory=dict)
    """The first message of each kind of error."""
    _rest: bytes = b""
    _bytes: int = 0
    _section: str = ""
    _listed: StreamHeader | None = None
    """The stream that what is listed next belongs to."""

    def feed(self, data: bytes) -> None:
        """Take the next bytes of the log."""
        self._bytes += len(data)
        if self._bytes > self.limit_bytes:
            raise MediaError("too_large", f"ffmpeg's log passed {self.limit_bytes} bytes and was cut off")
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > LINE_LIMIT:
            self._rest = self._rest[:LINE_LIMIT]
        for line in lines:
            self._line(line[:LINE_LIMIT].decode("utf-8", "replace"))

    def wait(self, *, video: bool, audio: bool) -> None:
        """Count the errors of a stream only from its mark on (see `_describe`): what is before comes of a seek.

        A seek into a format without an index ends anywhere in a group of pictures and in a piece of sound.
        """
        self._waiting = {kind for kind, wanted in (("video", video), ("audio", audio)) if wanted}
        self._only = "video" if video else "audio"

    def close(self) -> None:
        """Take the last line, which may lack its end; errors that no mark ended do count."""
        if self._rest:
            self._line(self._rest.decode("utf-8", "replace"))
            self._rest = b""
        self._waiting = set()
        for _, parts, words in self._early:
            self._error(parts, words)
        self._early = []

    @property
    def length_s(self) -> float:
        """How long the file is by its header, seconds; Matroska's header counts from 0, others' from the start."""
        return (self.header_s or 0.0) - (self.start_s if "matroska" in self.container else 0.0)

    @property
    def video(self) -> StreamHeader | None:
        """The first stream of moving pictures, which is the one that is read."""
        return next((s for s in self.streams if s.kind == "Video" and not s.picture), None)

    @property
    def audio(self) -> StreamHeader | None:
        """The first stream of sound, which is the one that is read."""
        return next((s for s in self.streams if s.kind == "Audio"), None)

    @property
    def errors(self) -> list[str]:
        """The first message of every kind of error, sorted: threads of ffmpeg log in no fixed order."""
        return [self._kinds[kind] for kind in sorted(self._kinds)]

    def said(self) -> str:
        """Return ffmpeg's own words on what went wrong, on one line."""
        errors = self.errors
        more = f" (and {len(errors) - SAID_ERRORS} other kinds)" if len(errors) > SAID_ERRORS else ""
        return "; ".join(errors[:SAID_ERRORS]) + more or "; ".join(self.words[-2:]) or "ffmpeg said nothing"

    def kind(self, otherwise: ErrorKind) -> ErrorKind:
        """Return the kind of failure that ffmpeg's words tell of: a limit was passed, or `otherwise`."""
        words = " ".join([*self.errors, *self.words])
        return "too_large" if any(mark in words for mark in _LIMIT_WORDS) else otherwise

    def _line(self, line: str) -> None:
        found = _LEVEL.match(line)
        if found is None:
            # Two threads' words may run into one line, and the level of the second is then not printed.
            if self._section != "input" and _ALARM.search(line):
                self._error("", line)
            return
        parts, level, words = found.groups()
        if level == "info":
            if not parts:
                self._describe(words)
            elif mark := _MARK.search(parts):
                self._mark("audio" if mark[1] else "video")
            return
        self.words = [*self.words[-3:], words]
        self.not_sought |= "could not seek" in words
        if level != "warning" or any(mark in words for mark in DAMAGE_WARNINGS):
            self._error(parts, words)

    def _mark(self, kind: str) -> None:
        """Forget what was wrong before a stream's first picture or sound."""
        self._waiting.discard(kind)
        self._early = [one for one in self._early if one[0] != kind]

    def _of(self, parts: str) -> str:
        """Return whose error it is; what neither decoder says is taken for the picture's, if that is read."""
        sound = self.audio
        if sound is not None and any(name in parts for name in (f"{sound.codec} @", f"{sound.codec}float @")):
            return "audio"
        return self._only

    def _error(self, parts: str, words: str) -> None:
        if words.startswith(_HARMLESS):
            return
        if self._waiting and self._of(parts) in self._waiting:
            self._early.append((self._of(parts), parts, words))
            return
        self.error_count += 1
        part = _PART.search(parts)
        name = part.group(1) if part and "/" not in part.group(1) and "#" not in part.group(1) else ""
        message = f"{name}: {words.strip()}" if name else words.strip()
        kind = re.sub(r"\d+", "#", message)
        if len(self._kinds) < KEPT_ERRORS:
            self._kinds.setdefault(kind, message)

    def _describe(self, words: str) -> None:
        if words.startswith("Input #"):
            found = _INPUT.match(words)
            self._section = "input"
            self.container = found[1] if found else ""
        elif not words.startswith(" "):
            self._section = ""
        if self._section != "input":
            return
        if found := _DURATION.match(words):
            if found[1]:
                self.header_s = int(found[1]) * 3600 + int(found[2]) * 60 + float(found[3])
            if start := _START.search(words):
                self.start_s = float(start[1])
        elif found := _STREAM.match(words):
            self._list(_stream(int(found[1]), found[2], found[3], found[4]))
        elif self._listed is not None and (found := _ROTATION.search(words)):
            self._listed.rotation_deg = round(float(found[1])) % 360

    def _list(self, stream: StreamHeader) -> None:
        """Take a stream; one that is in several groups is listed as often, and counts once."""
        self._listed = stream
        self.streams = sorted(
            [*(one for one in self.streams if one.index != stream.index), stream], key=lambda one: one.index
        )


def stated_start_s(report: DecodeReport) -> float:
    """Return where a file says that it starts, seconds; 0 where its format says nothing of the kind."""
    return report.start_s if any(name in STATES_START for name in report.container.split(",")) else 0.0


def _stream(index: int, kind: str, codec: str, rest: str) -> StreamHeader:
    stream = StreamHeader(index, kind, codec)
    if kind == "Video":
        if size := _SIZE.search(rest):
            stream.width_px, stream.height_px = int(size[1]), int(size[2])
        if rate := _RATE.search(rest) or _TBR.search(rest):
            stream.frame_rate = float(rate[1]) * (1000 if rate[2] else 1)
        stream.bt709 = _BT709.search(rest) is not None
        stream.picture = "(attached pic)" in rest or "(timed thumbnails)" in rest
    elif kind == "Audio" and (hz := _HZ.search(rest)):
        stream.sample_rate_hz, stream.layout = int(hz[1]), hz[2].strip()
    return stream
