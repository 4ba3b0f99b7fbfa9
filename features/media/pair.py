"""A clip in two files: the picture of the one with the sound of the other, on one clock.

    video   ────├─ p0 ── p1 ── … ─┤         its header says that it starts at 0.5 s
    sound   ├──────────────────────┤       starts at 0
    clock   0

Both files start at 0, unless the header of one states a later start than the other's. Headers of MP4, MOV,
Matroska and WebM do; the time stamps of other formats begin anywhere, and say nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from dualstream.features.media import command, runner
from dualstream.features.media.decode import Decoded, Job
from dualstream.features.media.probe import Probe, probe
from dualstream.features.media.report import DecodeReport, stated_start_s
from dualstream.features.media.settings import Guards, MediaError, naming
from dualstream.features.media.sinks import AudioSamples, FrameSink, Stamps

SAME_START_S = 0.001  # starts that differ by less are the same: priming, and rounding to a header's time base

Reader = Callable[[Job, Path], tuple[Decoded | None, Decoded | None, int]]
Delays = tuple[float, float]  # how much later than the clip's 0 the video begins, and the sound, seconds


@dataclass(frozen=True)
class _Half:
    """What one of the two files gave."""

    decoded: Decoded | None
    """None where nothing is wanted of it, or it has nothing of the kind."""
    report: DecodeReport
    processes: int
    fault: MediaError | None = None


def decode_pair(
    job: Job, path: Path, sound: Path, read: Reader
) -> tuple[Decoded | None, Decoded | None, int, Delays]:
    """Decode what is wanted of two files: the picture of `path`, which `job` names, and the sound of the other.

    Of a file of which nothing is wanted the header is read: where it starts shifts the other one.

    Parameters
    ----------
    read
        Decodes what a job wants of one file, as for a clip that lies in it alone.

    Returns
    -------
    What holds the picture, what holds the sound, the number of processes, and the delays.

    Raises
    ------
    MediaError
        Where a file of which something is wanted can't be opened, or has nothing of the kind, as the other.
    """
    settings = job.settings
    jobs = (
        job if settings.frame_size_px is None else replace(job, settings=replace(settings, sample_rate_hz=None)),
        job if settings.sample_rate_hz is None else replace(job, settings=replace(settings, frame_size_px=None)),
    )
    jobs = jobs[0], replace(jobs[1], real_path=command.regular_file(sound))
    wanted = settings.frame_size_px is not None, settings.sample_rate_hz is not None
    halves = [
        _half(at, one, file, read) if wanted[at] else _Half(None, _header(one), 1)
        for at, (one, file) in enumerate(zip(jobs, (path, sound), strict=True))
    ]
    delays_s = _relative(*(stated_start_s(half.report) for half in halves))
    processes = sum(half.processes for half in halves)
    for at, file in enumerate((path, sound)):
        if wanted[at] and delays_s[at]:
            halves[at] = _half(at, _later(jobs[at], delays_s[at]), file, read)
            processes += halves[at].processes
    faults = [half.fault for half in halves if half.fault is not None]
    if len(faults) == sum(wanted):
        raise MediaError(faults[0].kind, "; ".join(map(str, faults)))
    return halves[0].decoded, halves[1].decoded, processes, delays_s


def _half(at: int, job: Job, path: Path, read: Reader) -> _Half:
    """Read the picture (`at` 0) or the sound (1) of one file; having none of it, or none there, fails not yet."""
    if job.limit_s <= 0:  # the file begins behind the end of the span
        report = _header(job)
        return _Half(_nothing(job, report), report, 1)
    try:
        with naming(path):
            *found, processes = read(job, path)
    except MediaError as error:
        if error.kind not in ("no_streams", "empty"):
            raise
        report = _header(job)
        return _Half(_nothing(job, report) if error.kind == "empty" else None, report, 2, error)
    decoded = found[at]
    assert isinstance(decoded, Decoded)  # nothing else was wanted
    return _Half(decoded, decoded.report, processes)


def probe_pair(path: Path, sound: Path, *, ffmpeg: str | None = None, guards: Guards | None = None) -> Probe:
    """Return what a clip in two files holds: the picture of `path`, and the sound of `sound`.

    Raises
    ------
    MediaError
        Where one of the two can't be read, as `probe` does.
    """
    shown, heard = (probe(one, ffmpeg=ffmpeg, guards=guards) for one in (path, sound))
    shown_s, sound_s = _relative(shown.start_s, heard.start_s)
    video = shown.video and replace(
        shown.video, start_s=shown.video.start_s + shown_s, end_s=shown.video.end_s + shown_s
    )
    audio = heard.audio and replace(
        heard.audio, start_s=heard.audio.start_s + sound_s, end_s=heard.audio.end_s + sound_s
    )
    ends_s = [facts.end_s for facts in (video, audio) if facts is not None]
    others = shown.other_streams + heard.other_streams + (shown.audio is not None) + (heard.video is not None)
    warnings = (*shown.warnings, *(f"{sound.name}: {text}" for text in heard.warnings))
    duration_s = max(ends_s, default=0.0) or max(shown.duration_s, heard.duration_s)
    return Probe(
        container=shown.container,
        duration_s=duration_s,
        video=video,
        audio=audio,
        other_streams=others,
        warnings=warnings,
        start_s=min(shown.start_s, heard.start_s),
        unused_sound=shown.audio is not None,
    )


def _nothing(job: Job, header: DecodeReport) -> Decoded:
    """Return what a file gives of a span that lies before its start or behind its end."""
    side = job.settings.frame_size_px or 0
    rows = FrameSink(3 * side * side, job.ticks.count, 0, None)
    return Decoded(0, header, Stamps(0), Stamps(0), rows, AudioSamples(0))


def _header(job: Job) -> DecodeReport:
    """Return what the header of a file says; nothing is decoded."""
    import ffmpeg

    report = DecodeReport(job.guards.log_bytes)
    options = command.input_options(job.guards)
    source = ffmpeg.input(command.input_url(job.real_path), t=f"{SAME_START_S}", **options)
    output = ffmpeg.output(source["V:0?"], source["a:0?"], "pipe:1", format="null", codec="copy")
    line = ffmpeg.compile(output, cmd=command.global_options(job.ffmpeg))
    runner.run(lambda _, fds: line, log=report.feed, sinks=[], guards=job.guards)
    report.close()
    return report


def _later(job: Job, delay_s: float) -> Job:
    """Return the job for a file that begins `delay_s` after the clock's 0."""
    start_s = job.start_s - delay_s
    if start_s >= 0:
        return replace(job, start_s=start_s)
    return replace(job, start_s=0.0, delay_s=-start_s, limit_s=job.limit_s + start_s)


def _relative(shown_s: float, sound_s: float) -> Delays:
    later_s = shown_s - sound_s
    if abs(later_s) < SAME_START_S:
        return 0.0, 0.0
    return max(0.0, later_s), max(0.0, -later_s)
