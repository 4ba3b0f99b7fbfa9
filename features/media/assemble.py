"""From what was decoded to a Clip: the clock, the frames near a wanted instant, the channel, and the notes."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from dualstream.features.media.channels import channel_count
from dualstream.features.media.decode import MICROSECOND, Decoded, Job, Ticks
from dualstream.features.media.mixing import choose
from dualstream.features.media.pictures import Watcher
from dualstream.features.media.report import DecodeReport
from dualstream.features.media.settings import MediaError
from dualstream.features.media.sinks import LOUDEST
from dualstream.features.windows import Sampling, WindowPlan
from numpy.typing import NDArray

from dualstream.documents import JsonObject

STILL_LIMIT_S = 1.0  # a longer clip with a single picture shows a still image
HOLE_S = 0.1  # a hole in the sound that is worth a note; ffmpeg fills those with silence
SHORT_S = 0.5  # a clip that lacks more than this of what its header states gets a note ...
SHORT_SHARE = 0.02  # ... and more than this share of it
DEFAULT_GAP_S = 0.04  # how long a single picture of unknown rate is shown


@dataclass(frozen=True)
class ClipFacts:
    """What was read, and how."""

    container: str
    video_codec: str | None
    width_px: int | None
    """Width as shown, after rotation."""
    height_px: int | None
    rotation_deg: int
    frame_rate: float | None
    """Pictures a second, from the median distance of their time stamps."""
    pictures: int
    """Pictures that were decoded."""
    audio_codec: str | None
    sample_rate_hz: int | None
    """Rate in the file."""
    channels: int | None
    layout: str | None
    channel_policy: str | None
    """What was applied: ``center`` or ``mix``."""
    processes: int
    """ffmpeg processes that it took."""

    def to_json(self) -> JsonObject:
        """Return the facts as JSON values."""
        return asdict(self)


@dataclass(frozen=True)
class Clip:
    """Frames and sound of one clip (or span). A stream that is missing is empty, and `notes` say why."""

    duration_s: float
    """From the clock's 0 to the end of the later one of the streams that were read, seconds."""
    starts_s: NDArray[np.float64]
    """Starts of the windows, seconds, shape (K,)."""
    frames: NDArray[np.uint8]
    """RGB, shape (F, S, S, 3); F is 0 where there is no picture, S is 0 where no frames were wanted."""
    frame_time_s: NDArray[np.float64]
    """Presentation time of each frame on the clip's clock, seconds, shape (F,)."""
    frame_window: NDArray[np.int64]
    """Window that each frame stands for, rising, shape (F,)."""
    audio: NDArray[np.float32] | None
    """Mono samples at the rate of the settings, full scale ±1, shape (S,); sample 0 stands at 0 s."""
    audio_covered_s: tuple[float, float] | None
    """Where the stream really has sound, seconds, half-open; outside `audio` is padding."""
    facts: ClipFacts
    notes: tuple[str, ...] = ()
    """What a user should know: truncated, damaged, a stream that is missing."""
    errors: int = 0
    """Errors that ffmpeg counted while decoding; above 0 a note says ``damaged``."""
    watcher: Watcher | None = None
    """What was shown every picture, where `read_clip` was given one to make and there are pictures."""
    picture_gap_s: float = DEFAULT_GAP_S
    """The usual distance between two pictures, seconds."""

    @property
    def damaged(self) -> bool:
        """Whether some of the picture or sound may not be what was recorded; a note then says what is known."""
        return any(note.startswith("damaged") for note in self.notes)

    def __repr__(self) -> str:
        audio = "none" if self.audio is None else self.audio.shape
        return f"Clip({self.duration_s:.3f} s, frames={self.frames.shape}, audio={audio}, notes={self.notes})"


@dataclass(frozen=True)
class Asked:
    """What the caller wanted."""

    path: Path
    plan: WindowPlan
    sampling: Sampling
    job: Job
    span_end_s: float | None
    known_s: float | None
    """Duration from which the wanted instants were worked out, where they depend on it."""
    delays_s: tuple[float, float] | None = None
    """Where picture and sound come from two files: how much later than the clock's 0 each begins, seconds."""


def assemble(asked: Asked, video: Decoded | None, audio: Decoded | None, processes: int) -> Clip:
    """Put what was decoded onto the clip's clock, and say what is missing."""
    job = asked.job
    notes: list[str] = []
    read = [video] if video is audio else [video, audio]
    reports = [d.report for d in read if d is not None]
    pictures = _pictures(video, job, notes)
    gap_s = _usual_gap_s(pictures, reports[0])
    samples, covered_s, policy = _sound(audio, job, notes)
    audio_end_s = covered_s[1] if covered_s else 0.0
    stated_s = _stated_s(asked, video, audio)
    if len(pictures) == 1 and max(audio_end_s, min(stated_s or 0.0, job.limit_s)) > STILL_LIMIT_S:
        notes.append("no moving picture: the video is a single still image")
        pictures = []
    if not pictures and samples is None:
        raise _nothing(asked, reports, notes)
    last_s = min(gap_s, _stated_gap_s(reports[0])) if job.settings.speed == "fast" else gap_s  # some were skipped
    video_end_s = max(pictures) / MICROSECOND + last_s if pictures else 0.0
    duration_s = min(max(video_end_s, audio_end_s), job.limit_s)
    starts_s = asked.plan.starts_s(duration_s)
    frames, frame_time_s, frame_window = _frames(asked, video, pictures, duration_s, gap_s)
    if pictures and not len(frames) and job.watch is None:
        notes.append("no frame: no picture lies near a wanted instant")
    there = sum(len(report.streams) for report in (reports if asked.delays_s else reports[:1]))
    all_read = there == bool(pictures) + (samples is not None)
    _note_length(asked, duration_s, stated_s, all_read, notes)
    errors = sum(report.error_count for report in reports)
    if errors:
        notes.append(f"damaged: {errors} errors: {'; '.join(r.said() for r in reports if r.errors)}")
    return Clip(
        duration_s=duration_s,
        starts_s=starts_s,
        frames=frames,
        frame_time_s=frame_time_s,
        frame_window=frame_window,
        audio=samples,
        audio_covered_s=covered_s,
        facts=_facts(video, audio if samples is not None else None, pictures, gap_s, policy, processes),
        notes=tuple(notes),
        errors=errors,
        watcher=video.watcher if video is not None and pictures else None,
        picture_gap_s=gap_s,
    )


def _stated_s(asked: Asked, video: Decoded | None, audio: Decoded | None) -> float | None:
    """Return the length that the header states, or the longer of two files' headers, from the span's start."""
    reports = [one.report for one in (video, audio) if one is not None]
    lengths_s = [report.header_s for report in reports[:1] if report.header_s is not None]
    if asked.delays_s:
        both = zip((video, audio), asked.delays_s, strict=True)
        lengths_s = [
            one.report.length_s + delay_s for one, delay_s in both if one is not None and one.report.header_s
        ]
    return max(lengths_s) - asked.job.start_s if lengths_s else None


def row_of(wanted_s: NDArray[np.float64], ticks: Ticks) -> NDArray[np.int64]:
    """Return the row that each wanted instant has among the ticks, shape of `wanted_s`."""
    return np.rint((wanted_s - ticks.first_us / MICROSECOND) / float(ticks.step)).astype(np.int64)


def _pictures(video: Decoded | None, job: Job, notes: list[str]) -> list[int]:
    """Return the presentation times of the decoded pictures, microseconds; empty where there is no video."""
    if job.settings.frame_size_px is None:
        return []
    if video is None or video.rows is None:
        notes.append("no picture: the file has none that moves")
        return []
    stamps = video.pictures
    if stamps.lost or stamps.restarted:
        notes.append("no picture: pictures lack time stamps, so that none can be told from another")
        return []
    if not stamps.times_us:
        notes.append(_none_came("no picture", video.report))
    return stamps.times_us


def _sound(
    audio: Decoded | None, job: Job, notes: list[str]
) -> tuple[NDArray[np.float32] | None, tuple[float, float] | None, str | None]:
    """Return the samples, the span that they really cover, and the channel policy that was applied."""
    rate_hz = job.settings.sample_rate_hz
    if rate_hz is None:
        return None, None, None
    if audio is None:
        notes.append("no sound: the file has none")
        return None, None, None
    starts_us = audio.sound.times_us
    if not starts_us:
        notes.append(_none_came("no sound", audio.report))
        return None, None, None
    samples, policy = choose(audio, job.settings.channels, notes)
    if samples is None:
        return None, None, None
    usual_us = float(np.median(np.diff(starts_us))) if len(starts_us) > 1 else 0.0
    if audio.sound.restarted:
        end_s = (starts_us[-1] + usual_us) / MICROSECOND
        notes.append(f"the sound changes its format at {end_s:.3f} s: what follows is not used")
        samples = samples[: round(end_s * rate_hz)]
    covered_s = max(0.0, starts_us[0] / MICROSECOND), len(samples) / rate_hz
    if covered_s[1] <= covered_s[0]:
        notes.append(_none_came("no sound", audio.report))
        return None, None, None
    holes_s = (np.diff(starts_us) - usual_us) / MICROSECOND
    holes_s = holes_s[holes_s > HOLE_S]
    if len(holes_s):
        notes.append(f"holes in the sound, filled with silence: {len(holes_s)}, up to {holes_s.max():.3f} s")
    return _sane(samples, notes), covered_s, policy


def _none_came(what: str, report: DecodeReport) -> str:
    return (
        f"{what}: none could be decoded: {report.said()}" if report.errors else f"{what}: the stream has none here"
    )


def _sane(samples: NDArray[np.float32], notes: list[str]) -> NDArray[np.float32]:
    """Replace what is no sound: NaN and infinity by 0, and clip what is far beyond full scale."""
    finite = np.isfinite(samples)
    wild = int((~finite | (np.abs(samples) > LOUDEST)).sum())
    if not wild:
        return samples
    notes.append(f"damaged: {wild} samples are no numbers or beyond {LOUDEST:g} times full scale")
    return np.clip(np.where(finite, samples, np.float32(0)), -LOUDEST, LOUDEST).astype(np.float32)


def _usual_gap_s(pictures: list[int], report: DecodeReport) -> float:
    """Return the usual distance between two pictures, seconds."""
    if len(pictures) > 1:
        return float(np.median(np.diff(np.sort(pictures)))) / MICROSECOND
    return _stated_gap_s(report)


def _stated_gap_s(report: DecodeReport) -> float:
    """Return the distance between two pictures by the header's frame rate, seconds."""
    rate = report.video.frame_rate if report.video else 0.0
    return 1 / rate if rate >= 1 else DEFAULT_GAP_S


def _frames(
    asked: Asked, video: Decoded | None, pictures: list[int], duration_s: float, gap_s: float
) -> tuple[NDArray[np.uint8], NDArray[np.float64], NDArray[np.int64]]:
    """Return the frames that stand near enough to a wanted instant, their times and their windows."""
    job, plan = asked.job, asked.plan
    size = job.settings.frame_size_px or 0
    if video is None or video.rows is None or not pictures or job.watch is not None:
        return np.zeros((0, size, size, 3), np.uint8), np.zeros(0), np.zeros(0, np.int64)
    rows = video.rows
    stored = np.frombuffer(rows.data, dtype=np.uint8).reshape(-1, size, size, 3)  # (rows kept, S, S, 3)
    chosen = job.ticks.chosen(pictures, job.ticks.count)  # (ticks,)
    shown_s = np.asarray(pictures, dtype=np.float64)[chosen] / MICROSECOND  # (ticks,)
    targets = asked.sampling.targets(plan, asked.known_s or duration_s)
    row, window, wanted_s = row_of(targets.time_s, job.ticks), targets.window, targets.time_s  # (targets,)
    if rows.kept:  # of ticks behind the end, which the process no longer served, the last row shows the picture
        last = rows.kept[-1]
        row = np.where((row > last) & (chosen[np.minimum(row, len(chosen) - 1)] == chosen[last]), last, row)
    near = np.isin(row, rows.kept) & (window < plan.count(duration_s))
    row, window, wanted_s = row[near], window[near], wanted_s[near]
    reach_s = max(plan.length_s / 2, gap_s) + 1 / MICROSECOND
    near = np.abs(shown_s[row] - wanted_s) <= reach_s
    row, window = row[near], window[near]
    at = np.searchsorted(rows.kept, row)
    frames = stored if np.array_equal(at, np.arange(len(stored))) else stored[at]
    return frames, shown_s[row], window


def _note_length(
    asked: Asked, duration_s: float, stated_s: float | None, all_read: bool, notes: list[str]
) -> None:
    """Say where less was read than there is, or than was asked for. Seconds from the start of the span."""
    job, end_s = asked.job, asked.span_end_s
    limit_s = job.settings.max_clip_s
    asked_s = math.inf if end_s is None else end_s - job.start_s
    whole_s = min(asked_s, math.inf if stated_s is None else stated_s)
    if duration_s >= limit_s - SHORT_S and whole_s > limit_s + 0.01:
        length = "no length is stated" if whole_s == math.inf else f"{whole_s:.1f} s"
        notes.append(f"truncated: {length}, the first {limit_s:g} s are used")
        return
    if end_s is not None:
        if duration_s < min(asked_s, limit_s) - SHORT_S:
            notes.append(f"short: the span is {asked_s:.3f} s long, and the file gives {duration_s:.3f} s of it")
        return
    if all_read and stated_s is not None:  # the header's length counts every stream
        expected_s = min(stated_s, limit_s)
        if duration_s < expected_s - max(SHORT_S, SHORT_SHARE * expected_s):
            notes.append(f"damaged: the header states {stated_s:.3f} s, and {duration_s:.3f} s could be read")


def _nothing(asked: Asked, reports: list[DecodeReport], notes: list[str]) -> MediaError:
    """Return the error for a clip that gave neither frames nor sound."""
    start_s, header_s = asked.job.start_s, reports[0].header_s
    for report in reports:
        if report.errors:
            return MediaError(report.kind("damaged"), f"{asked.path}: {'; '.join(notes)}")
    if start_s > 0 and header_s is not None and start_s >= header_s:
        return MediaError(
            "empty", f"{asked.path}: the span starts at {start_s:g} s; the clip ends at {header_s:g} s"
        )
    return MediaError("empty", f"{asked.path}: {'; '.join(notes)}")


def _facts(
    video: Decoded | None,
    audio: Decoded | None,
    pictures: list[int],
    gap_s: float,
    policy: str | None,
    processes: int,
) -> ClipFacts:
    picture = video.report.video if video is not None else None
    sound = audio.report.audio if audio is not None else None
    container = next(d.report.container for d in (video, audio) if d is not None)
    sides_px = (picture.width_px, picture.height_px) if picture else None
    if picture and sides_px and picture.rotation_deg % 180 == 90:
        sides_px = sides_px[::-1]
    return ClipFacts(
        container=container,
        video_codec=picture.codec if picture else None,
        width_px=sides_px[0] if sides_px else None,
        height_px=sides_px[1] if sides_px else None,
        rotation_deg=picture.rotation_deg if picture else 0,
        frame_rate=1 / gap_s if len(pictures) > 1 and gap_s > 0 else None,
        pictures=len(pictures),
        audio_codec=sound.codec if sound else None,
        sample_rate_hz=sound.sample_rate_hz if sound else None,
        channels=channel_count(sound.layout) if sound else None,
        layout=sound.layout if sound else None,
        channel_policy=policy,
        processes=processes,
    )
