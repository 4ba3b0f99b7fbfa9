"""Where reading of a span begins, so that all of it comes out, also of files without an index.

    file     K ─────────────────────── K ─────────────────────── K          K: key frames
    span                     [start ────── end)
    seek                     ▲           no index: nothing comes before the next K, and what comes is called broken
    lead       ▲─────────────┘           from here a K comes before the start; what is before the start is dropped

Formats with an index (mp4, mkv) find the key frame by themselves. The others are searched for a time stamp, and
the search ends between two key frames: they are read from further and further before the span, at last from their
start.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from dualstream.features.media import boxes, command
from dualstream.features.media.decode import MICROSECOND, Decoded, Job, decode
from dualstream.features.media.mixing import cancels
from dualstream.features.media.probe import probe
from dualstream.features.media.settings import MediaError

SEARCHED = ("mpegts", "mpeg")  # containers whose seeks never know where a key frame is
INDEXED = ("mov", "matroska")  # containers whose seeks always do
BARE = ("h264", "hevc", "m4v", "mpegvideo")  # streams without a container, whose times are counted from the start
LEADS_S = (3.0, 12.0, 48.0)  # broadcasts have a key frame each half or two seconds, recordings of screens each ten
HOLE_S = 0.1  # sound that begins later than this is looked for
LATE_PICTURES = 1.5  # usual distances between pictures after which the first one of a span comes late

Read = tuple[Decoded | None, Decoded | None, int]
"""What holds the picture, what holds the sound (often the same), and the number of processes."""


def decode_span(job: Job, path: Path) -> Read:
    """Decode a span from wherever reading must begin for all of it to come out; a whole clip from its start."""
    video, audio, processes = _decode_what_can_be(job, path)
    _require_within(job, path, (video or audio))
    for lead_us in _leads_us(job, video, audio):
        job = replace(job, lead_us=lead_us)
        video, audio, more = _decode_both(job, video is not None, audio is not None)
        processes += more
        if _begin(video, 0.0, audio):
            break
    if audio is not None and cancels(audio, job.settings.channels):
        audio = decode(replace(job, inverted=True), video=False, audio=True)
        processes += 1
    return video, audio, processes


def _require_within(job: Job, path: Path, read: Decoded | None) -> None:
    """Refuse a span behind the end: a seek that finds nothing ends anywhere, and what is there would pass for it.

    The header's length may be a guess, so where the span lies behind it, the packets are asked.
    """
    stated_s = read.report.header_s if read is not None else None
    if job.seek_us <= 0 or stated_s is None or job.start_s < stated_s:
        return
    ends_s = probe(path, ffmpeg=job.ffmpeg, guards=job.guards).duration_s
    if job.start_s >= ends_s:
        raise MediaError("empty", f"{path}: the span starts at {job.start_s:g} s; the clip ends at {ends_s:g} s")


def _leads_us(job: Job, video: Decoded | None, audio: Decoded | None) -> list[int]:
    """Return how much earlier than the span to begin, from the least on; nothing where it came out whole."""
    start_us = job.seek_us
    read = [decoded for decoded in (video, audio) if decoded is not None]
    if start_us <= 0:
        return []
    report = read[0].report
    container = report.container.split(",")[0]
    if report.not_sought or container in BARE:
        return [start_us]
    whole = container in INDEXED or _begin(video, _late_s(video), audio)
    errors = any(decoded.report.error_count for decoded in read)  # of the file, or of where the seek ended?
    if whole and not errors and container not in SEARCHED:
        return []
    return [*(round(lead_s * MICROSECOND) for lead_s in LEADS_S if lead_s < job.start_s), start_us]


def _begin(video: Decoded | None, late_s: float, audio: Decoded | None) -> bool:
    """Tell whether the streams that are there begin with the span: the picture no later than `late_s`."""
    begins = [] if video is None else [(video.pictures.first_us, late_s)]
    begins += [] if audio is None else [(audio.sound.first_us, HOLE_S)]
    return all(first_us is not None and first_us <= most_s * MICROSECOND for first_us, most_s in begins)


def _late_s(video: Decoded | None) -> float:
    """Return when the first picture of a span comes late, as far as the header's frame rate can tell, seconds."""
    rate = video.report.video.frame_rate if video is not None and video.report.video is not None else 0.0
    return LATE_PICTURES / max(rate, 1.0)


def _decode_what_can_be(job: Job, path: Path) -> Read:
    """Decode both streams in one process, or the only one that is there; where that fails, one by one."""
    want_video = job.settings.frame_size_px is not None
    want_audio = job.settings.sample_rate_hz is not None
    asked = want_video, want_audio
    tracks = boxes.stated_tracks(job.real_path) if all(asked) else ()
    if len(tracks) == 1:  # asking for the other, too, would fail
        asked = "vide" in tracks, "soun" in tracks
    first = decode(job, video=asked[0], audio=asked[1])
    report = first.report
    if not report.container:
        raise command.not_opened(report, path, first.status)
    has_video = want_video and report.video is not None
    has_audio = want_audio and report.audio is not None
    if not has_video and not has_audio:
        wanted = [name for name, want in (("moving picture", want_video), ("sound", want_audio)) if want]
        raise MediaError("no_streams", f"{path} has no {' and no '.join(wanted)}")
    if (has_video, has_audio) == asked and (first.status == 0 or not all(asked)):
        return (first if has_video else None), (first if has_audio else None), 1
    # One of the two is missing, or fails so that it takes the other with it.
    return _one_by_one(job, has_video, has_audio, 1)


def _decode_both(job: Job, has_video: bool, has_audio: bool) -> Read:
    """Decode the streams that are known to be there."""
    first = decode(job, video=has_video, audio=has_audio)
    if first.status == 0 or not (has_video and has_audio):
        return (first if has_video else None), (first if has_audio else None), 1
    return _one_by_one(job, has_video, has_audio, 1)


def _one_by_one(job: Job, has_video: bool, has_audio: bool, processes: int) -> Read:
    video = decode(job, video=True, audio=False) if has_video else None
    audio = decode(job, video=False, audio=True) if has_audio else None
    return video, audio, processes + has_video + has_audio
