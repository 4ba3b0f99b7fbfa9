"""One ffmpeg process for one clip: the command, the pipes, and which decoded picture each frame is.

The frame nearest to each wanted instant is chosen inside ffmpeg, so that only chosen frames are scaled and
sent, and without knowing the pictures' times beforehand. ``setpts`` moves each picture to where it is nearer
than the one before (by more than a microsecond, as time stamps are rounded), and ``fps``, rounding up, then
shows at each tick the last picture that has come:

    pictures   p0        p1   p2              p3
    moved to   p0    p1    p2        p3              (just after the midpoints)
    ticks         t0        t1        t2             t0 -> p0, t1 -> p2, t2 -> p2 or p3

``metadata`` before that prints the true times into a pipe of its own (the log is no safe place, see report.py),
from which `chosen` works out by the same integer arithmetic which picture each row is.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
from dualstream.features.media import boxes, command, runner
from dualstream.features.media.channels import FILTER, INVERTED_FILTER
from dualstream.features.media.pictures import PictureSink, Watch, Watcher, watched_chain
from dualstream.features.media.report import DecodeReport
from dualstream.features.media.settings import DecodeSettings, Guards
from dualstream.features.media.sinks import SOUND_FRAME_BYTES, AudioSamples, FrameSink, Stamps
from dualstream.features.windows import Grid
from numpy.typing import NDArray

MICROSECOND = 1_000_000
TIE_US = 2  # behind the midpoint, rounded down: half a microsecond of error, and half of windows.nearest
RATIO_LIMIT = 1_000_000  # ffmpeg keeps both sides of a frame rate below about this
SCALER = "flags=bilinear+accurate_rnd+full_chroma_int+bitexact"  # the same numbers on every processor
WIDEST = 8  # a picture is never scaled beyond this many frame sides, however odd its shape
Output = tuple[int, str, dict[str, str | int]]  # pipe, stream, options
MARKS = 3  # lines of the log that say that a picture came: two threads' words may run into one line
SOUND_MARK_S = 0.5  # before a span, what is wrong with its sound is no longer the seek's doing
MOST_PICTURES_A_SECOND = 240  # that are shown to a watcher
SOUND_SLACK_S = 2.0  # sound beyond the limit that a decoder may still give


@dataclass(frozen=True)
class Ticks:
    """The wanted instants in whole numbers: ``first_us + n · step · 10^6`` microseconds."""

    first_us: int
    step: Fraction
    count: int

    @classmethod
    def of(cls, grid: Grid) -> Ticks:
        """Return the ticks nearest to a grid whose step ffmpeg can express as a frame rate."""
        step = Fraction(grid.step_s).limit_denominator(max(1, int(RATIO_LIMIT / max(grid.step_s, 1.0))))
        if step <= 0:
            raise ValueError(f"frames {grid.step_s} s apart are wanted; expected at least a microsecond")
        return cls(round(grid.first_s * MICROSECOND), step, grid.count)

    def times_s(self) -> NDArray[np.float64]:
        """Return the instants, seconds, shape (count,)."""
        return self.first_us / MICROSECOND + np.arange(self.count, dtype=np.float64) * float(self.step)

    def chosen(self, picture_us: list[int], rows: int) -> NDArray[np.int64]:
        """Return which picture each of the first `rows` ticks shows, shape (rows,): `fps`, worked out again."""
        times = np.asarray(picture_us, dtype=np.int64)
        moved = times.copy()
        moved[1:] = (times[:-1] + times[1:]) // 2 + TIE_US
        scale = MICROSECOND * self.step.numerator
        shown_from = [-((self.first_us - int(at)) * self.step.denominator // scale) for at in moved]
        in_turn = np.maximum.accumulate(np.array(shown_from, dtype=np.int64))  # pictures are shown in turn
        return np.maximum(np.searchsorted(in_turn, np.arange(rows), side="right") - 1, 0)


@dataclass(frozen=True)
class Job:
    """What is to be decoded of one file."""

    ffmpeg: str
    real_path: str
    settings: DecodeSettings
    guards: Guards
    start_s: float
    limit_s: float
    ticks: Ticks
    wanted_rows: frozenset[int] | None
    """FrameSink that are kept as they come; None: all."""
    pad_s: float
    """How long the last picture is held, so that at least one tick behind it shows it."""
    lead_us: int = 0
    """Reading begins this much before the span, microseconds; what comes until there is decoded and dropped."""
    inverted: bool = False
    """The right side of the sound is inverted before it is mixed."""
    delay_s: float = 0.0
    """How much later than the clock's 0 the file begins; its sound is then preceded by silence."""
    watch: Watch | None = None
    """Makes what is shown every picture, in place of the frames of wanted instants; None: nothing is."""
    gpu: int = 0
    """Number of the GPU that decodes, where the settings say that one does."""
    unseen: bool = False
    """Pictures, of which none is wanted, are not decoded as the file is opened either."""

    @property
    def seek_us(self) -> int:
        """Where reading begins in the file, microseconds; 0: at its start."""
        return round(self.start_s * MICROSECOND) - self.lead_us

    @property
    def most_rows(self) -> int:
        """No more frames than this are taken. Fewer would end the decoding before the clip does."""
        return max(
            self.ticks.count, math.ceil((self.limit_s + self.delay_s + self.pad_s) / float(self.ticks.step)) + 1
        )


@dataclass
class Decoded:
    """What one process gave."""

    status: int
    report: DecodeReport
    pictures: Stamps
    sound: Stamps
    rows: FrameSink | None = None
    samples: AudioSamples | None = None
    inverted: bool = False
    """The right side of the sound was inverted before it was mixed."""
    watcher: Watcher | None = None
    """What was shown every picture."""


def decode(job: Job, *, video: bool, audio: bool) -> Decoded:
    """Run one process for the first moving picture (`video`) and the first sound (`audio`) of a file.

    Opening a file decodes a key frame: not where only the sound of an MP4 or MOV file is wanted, whose header
    tells all. Where anything goes wrong then, another process opens it as usual: its verdict is the usual one.
    """
    if job.settings.frame_size_px is None and "vide" in boxes.stated_tracks(job.real_path):
        result = _decode(replace(job, unseen=True), video=False, audio=audio)
        if result.status == 0 and not result.report.error_count:
            return result
    return _decode(job, video=video, audio=audio)


def _decode(job: Job, *, video: bool, audio: bool) -> Decoded:
    settings = job.settings
    limit_bytes = job.guards.log_bytes
    result = Decoded(0, DecodeReport(limit_bytes), Stamps(limit_bytes, job.lead_us), Stamps(limit_bytes))
    result.inverted = job.inverted
    if job.lead_us and job.seek_us:
        result.report.wait(video=video, audio=audio)
    sinks: list[runner.Sink] = []
    outputs: list[Callable[[list[int]], Output]] = []
    if video and job.watch is not None:
        result.watcher = job.watch()
        shown = PictureSink(result.watcher, result.pictures.times_us, result.report)
        result.rows = FrameSink(1, 0, 0, None)
        sinks += [shown.feed, result.pictures.feed]
        outputs.append(lambda fds: (fds[0], "V:0", _watched_options(job, fds[1])))
    elif video:
        size = settings.frame_size_px
        assert size is not None
        result.rows = FrameSink(3 * size * size, job.ticks.count, job.most_rows, job.wanted_rows)
        sinks += [result.rows.feed, result.pictures.feed]
        outputs.append(lambda fds: (fds[0], "V:0", _video_options(job, size, fds[1])))
    if audio:
        rate_hz = settings.sample_rate_hz
        assert rate_hz is not None
        result.samples = AudioSamples(
            int((job.limit_s + job.delay_s + SOUND_SLACK_S) * rate_hz) * SOUND_FRAME_BYTES
        )
        sinks += [result.samples.feed, result.sound.feed]
        outputs.append(lambda fds: (fds[-2], "a:0", _audio_options(job, rate_hz, fds[-1])))
    result.status = runner.run(
        lambda _, fds: _command(job, [output(fds) for output in outputs]),
        log=result.report.feed,
        sinks=sinks,
        guards=job.guards,
    )
    result.report.close()
    if result.watcher is not None:
        shown.close(lost=bool(result.pictures.lost))
    return result


def _command(job: Job, outputs: list[Output]) -> list[str]:
    import ffmpeg

    options = command.input_options(job.guards)
    if any(selector.startswith("V") for _, selector, _ in outputs):
        options["reinit_filter:v"] = 0  # a change of size must not start the ticks anew
        if job.settings.speed == "fast":
            options |= {"skip_frame:v": "noref", "skip_loop_filter:v": "all"}
    elif job.unseen:
        options["skip_frame:v"] = "all"
    if job.seek_us > 0:
        options["ss"] = f"{job.seek_us / MICROSECOND:.6f}"
    if job.delay_s > 0:
        options["itsoffset"] = f"{job.delay_s:.6f}"
    options["t"] = f"{job.limit_s + job.lead_us / MICROSECOND:.6f}"
    source = ffmpeg.input(command.input_url(job.real_path), **options)
    # flush_packets=0: larger writes, or each piece of sound wakes the reader
    streams = [ffmpeg.output(source[which], f"pipe:{fd}", flush_packets=0, **more) for fd, which, more in outputs]
    if job.lead_us:  # of some formats the clock begins with the streams that are used: use both, always
        streams.append(ffmpeg.output(source["V:0?"], source["a:0?"], "-", format="null", codec="copy"))
    return ffmpeg.compile(ffmpeg.merge_outputs(*streams), cmd=command.global_options(job.ffmpeg))


def _video_options(job: Job, size: int, stamps_fd: int) -> dict[str, str | int]:
    ticks = job.ticks
    chain = [
        "settb=AVTB",
        "metadata=mode=add:key=t:value=1",  # what has no entry is not printed
        *_from_a_key_frame(job),
        f"metadata=mode=print:file='pipe\\:{stamps_fd}'",
        *([f"trim=start={job.lead_us}us", f"setpts=PTS-{job.lead_us}"] if job.lead_us else []),
        # The end too is moved to a midpoint; one picture more makes up for it, the others hold the last one.
        "tpad=stop_mode=clone:stop=1",
        f"tpad=stop_mode=clone:stop_duration={job.pad_s:.6f}",
        f"setpts='if(isnan(PREV_INPTS),PTS,floor((PREV_INPTS+PTS)/2)+{TIE_US})'",
        # half a microsecond more, because ffmpeg cuts the product to a whole number
        f"fps=fps={ticks.step.denominator}/{ticks.step.numerator}"
        f":start_time={(ticks.first_us + 0.5) / MICROSECOND:.7f}:round=up:eof_action=pass",
        *fitted(job.settings, size),
    ]
    return {
        "format": "rawvideo",
        "vf": ",".join(chain),
        "pix_fmt": "rgb24",
        "fps_mode": "passthrough",
        "frames:v": job.most_rows,
    }


def _watched_options(job: Job, stamps_fd: int) -> dict[str, str | int]:
    """Every picture from 0 on, with its time in a pipe of its own that is written at once."""
    chain = [
        "settb=AVTB",
        "metadata=mode=add:key=t:value=1",
        *_from_a_key_frame(job),
        f"metadata=mode=print:direct=1:file='pipe\\:{stamps_fd}'",
        f"trim=start={job.lead_us}us",  # as the list of stamps leaves out what is before 0
        *([f"setpts=PTS-{job.lead_us}"] if job.lead_us else []),
        *watched_chain(SCALER),
    ]
    return {
        "format": "yuv4mpegpipe",
        "vf": ",".join(chain),
        "pix_fmt": "yuv420p",
        "fps_mode": "passthrough",
        "strict": -1,
        "frames:v": math.ceil(job.limit_s * MOST_PICTURES_A_SECOND) + 1,
    }


def _from_a_key_frame(job: Job) -> list[str]:
    """Drop what a decoder that began between two key frames makes of the rest of the first group; mark the end."""
    if not job.lead_us or not job.seek_us:
        return []
    return ["select='gt(st(0,max(ld(0),key)),0)'", f"metadata=mode=print:enable='lt(n,{MARKS})'"]


def fitted(settings: DecodeSettings, size: int) -> list[str]:
    """Return the filters that make a square of a picture."""
    if settings.fit == "stretch":
        return [f"scale={size}:{size}:{SCALER}"]
    most = WIDEST * size
    if settings.fit == "crop":
        sides = [f"clip(ceil({size}*max(1,{shape})),{size},{most})" for shape in ("dar", "1/dar")]
        return [f"scale=w='{sides[0]}':h='{sides[1]}':{SCALER}", f"crop={size}:{size}"]
    sides = [f"clip(round({size}*min(1,{shape})),1,{size})" for shape in ("dar", "1/dar")]
    return [f"scale=w='{sides[0]}':h='{sides[1]}':{SCALER}", f"pad={size}:{size}:(ow-iw)/2:(oh-ih)/2"]


def resampled(rate_hz: int) -> str:
    """Return the filter that brings sound to a rate, and to its place on the clock."""
    return f"aresample={rate_hz}:async=1:first_pts=0"


def _audio_options(job: Job, rate_hz: int, stamps_fd: int) -> dict[str, str | int]:
    """Both centre and mix come in one output: ffmpeg 9.0 may wait for itself where two outputs read one stream."""
    lead_s = job.lead_us / MICROSECOND
    begin = max(0.0, lead_s - SOUND_MARK_S)
    lead = [
        f"ametadata=mode=print:enable='gte(t,{begin:.6f})*lt(t,{lead_s + SOUND_MARK_S:.6f})'",
        f"atrim=start={job.lead_us}us",
        f"asetpts=PTS-{lead_s:.6f}/TB",
    ]
    chain = [
        "asettb=AVTB",
        "ametadata=mode=add:key=t:value=1",
        *(lead if job.lead_us else []),
        f"ametadata=mode=print:file='pipe\\:{stamps_fd}'",
        "asettb=1/sr",
        INVERTED_FILTER if job.inverted else FILTER,
        resampled(rate_hz),
    ]
    return {"format": "f32le", "af": ",".join(chain), "acodec": "pcm_f32le"}
