"""A clip in two files: the picture of the one with the sound of the other, on one clock.

    film    ────├─ p0 ── p1 ── … ─┤        its header says that it starts at 0.5 s
    sound   ├──────────────────────┤       starts at 0
    clock   0

Both files start at 0, unless the header of one states a later start than the other's. Headers of MP4, MOV,
Matroska and WebM do; the time stamps of other formats begin anywhere, and say nothing.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from features.media import command, runner
from features.media.decode import Decoded, Job, decode
from features.media.probe import Probe, probe
from features.media.report import Report, stated_start_s
from features.media.settings import Guards, MediaError, naming

SAME_START_S = 0.001  # starts that differ by less are the same: priming, and rounding to a header's time base

Delays = tuple[float, float]  # how much later than the clip's 0 the film begins, and the sound, seconds


def decode_pair(job: Job, path: Path, sound: Path) -> tuple[Decoded | None, Decoded | None, int, Delays]:
    """Decode what is wanted of two files: the picture of `path`, which `job` names, and the sound of the other.

    Returns what holds the picture, what holds the sound, the number of processes, and the delays. Of a file of
    which nothing is wanted the header is read: where it starts shifts the other one.

    Raises
    ------
    MediaError
        Where a file of which something is wanted can't be opened, or has nothing of the kind, as the other.
    """
    jobs = job, replace(job, real_path=command.regular_file(sound))
    wanted = job.settings.frame_size_px is not None, job.settings.sample_rate_hz is not None
    files = path, sound
    found = [_decoded(jobs[i], files[i], picture=i == 0) if wanted[i] else None for i in (0, 1)]
    reports = [_header(jobs[i]) if (one := found[i]) is None else one.report for i in (0, 1)]
    delays_s = _relative(stated_start_s(reports[0]), stated_start_s(reports[1]))
    late = [i for i in (0, 1) if wanted[i] and delays_s[i]]
    for i in late:
        found[i] = _decoded(_later(jobs[i], delays_s[i]), files[i], picture=i == 0)
    has = (
        found[0] is not None and found[0].report.video is not None,
        found[1] is not None and found[1].report.audio is not None,
    )
    if not any(has):
        raise MediaError("no_streams", " and ".join(_lacks(files[i], i == 0) for i in (0, 1) if wanted[i]))
    return (found[0] if has[0] else None), (found[1] if has[1] else None), 2 + len(late), delays_s


def probe_pair(path: Path, sound: Path, *, ffmpeg: str | None = None, guards: Guards | None = None) -> Probe:
    """Return what a clip in two files holds: the picture of `path`, and the sound of `sound`.

    Raises
    ------
    MediaError
        Where one of the two can't be read, as `probe` does.
    """
    film, heard = (probe(one, ffmpeg=ffmpeg, guards=guards) for one in (path, sound))
    film_s, sound_s = _relative(film.start_s, heard.start_s)
    video = film.video and replace(
        film.video, start_s=film.video.start_s + film_s, end_s=film.video.end_s + film_s
    )
    audio = heard.audio and replace(
        heard.audio, start_s=heard.audio.start_s + sound_s, end_s=heard.audio.end_s + sound_s
    )
    ends_s = [facts.end_s for facts in (video, audio) if facts is not None]
    others = film.other_streams + heard.other_streams + (film.audio is not None) + (heard.video is not None)
    warnings = (*film.warnings, *(f"{sound.name}: {text}" for text in heard.warnings))
    duration_s = max(ends_s, default=0.0) or max(film.duration_s, heard.duration_s)
    return Probe(
        container=film.container,
        duration_s=duration_s,
        video=video,
        audio=audio,
        other_streams=others,
        warnings=warnings,
        start_s=min(film.start_s, heard.start_s),
        unused_sound=film.audio is not None,
    )


def _decoded(job: Job, path: Path, *, picture: bool) -> Decoded:
    begins = job.limit_s > 0  # else the file begins behind the end of the span: nothing of it is there
    with naming(path):
        found = decode(job if begins else replace(job, limit_s=SAME_START_S), video=picture, audio=not picture)
    if not begins:
        found.pictures.times_us, found.sound.times_us = [], []
    if not found.report.container:
        raise command.not_opened(found.report, path)
    return found


def _lacks(path: Path, picture: bool) -> str:
    return f"{path} has no {'moving picture' if picture else 'sound'}"


def _header(job: Job) -> Report:
    """Return what the header of a file says; nothing is decoded."""
    import ffmpeg

    report = Report(job.guards.log_bytes)
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


def _relative(film_s: float, sound_s: float) -> Delays:
    later_s = film_s - sound_s
    if abs(later_s) < SAME_START_S:
        return 0.0, 0.0
    return max(0.0, later_s), max(0.0, -later_s)
