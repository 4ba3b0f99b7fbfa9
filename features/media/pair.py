"""A clip in two files: the picture of the one with the sound of the other, on one clock.

    film    ────├─ p0 ── p1 ── … ─┤        its header says that it starts at 0.5 s
    sound   ├──────────────────────┤       starts at 0
    clock   0

Both files start at 0, unless the header of one states a later start than the other's. Headers of MP4, MOV, Matroska
and WebM do; the time stamps of other formats begin anywhere, and say nothing.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from features.media import command
from features.media.decode import Decoded, Job, decode
from features.media.probe import Probe, probe
from features.media.report import Report, stated_start_s
from features.media.settings import Guards, MediaError, naming

SAME_START_S = 0.001  # starts that differ by less are the same: priming, and rounding to a header's time base

Delays = tuple[float, float]  # how much later than the clip's 0 the film begins, and the sound, seconds


def decode_pair(job: Job, path: Path, sound: Path) -> tuple[Decoded | None, Decoded | None, int, Delays]:
    """Decode the picture of `path`, which `job` names, and the sound of another file.

    Returns what holds the picture, what holds the sound, the number of processes, and the delays.

    Raises
    ------
    MediaError
        Where one of the two can't be opened, or neither has what is wanted of it.
    """
    sound_job = replace(job, real_path=command.regular_file(sound))
    video, audio = _decoded(job, path, picture=True), _decoded(sound_job, sound, picture=False)
    delays_s = _delays(video.report, audio.report)
    processes = 2
    if delays_s[0]:
        video, processes = _decoded(_later(job, delays_s[0]), path, picture=True), 3
    if delays_s[1]:
        audio, processes = _decoded(_later(sound_job, delays_s[1]), sound, picture=False), 3
    if video.report.video is None and audio.report.audio is None:
        raise MediaError("no_streams", f"{path} has no moving picture and {sound} no sound")
    has_video, has_audio = video.report.video is not None, audio.report.audio is not None
    return (video if has_video else None), (audio if has_audio else None), processes, delays_s


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
    return Probe(film.container, duration_s, video, audio, others, warnings, min(film.start_s, heard.start_s))


def _decoded(job: Job, path: Path, *, picture: bool) -> Decoded:
    begins = job.limit_s > 0  # else the file begins behind the end of the span: nothing of it is there
    with naming(path):
        found = decode(job if begins else replace(job, limit_s=SAME_START_S), video=picture, audio=not picture)
    if not begins:
        found.pictures.times_us, found.sound.times_us = [], []
    if not found.report.container:
        raise command.not_opened(found.report, path)
    return found


def _later(job: Job, delay_s: float) -> Job:
    """Return the job for a file that begins `delay_s` after the clock's 0."""
    start_s = job.start_s - delay_s
    if start_s >= 0:
        return replace(job, start_s=start_s)
    return replace(job, start_s=0.0, delay_s=-start_s, limit_s=job.limit_s + start_s)


def _delays(film: Report, sound: Report) -> Delays:
    return _relative(stated_start_s(film), stated_start_s(sound))


def _relative(film_s: float, sound_s: float) -> Delays:
    later_s = film_s - sound_s
    if abs(later_s) < SAME_START_S:
        return 0.0, 0.0
    return max(0.0, later_s), max(0.0, -later_s)
