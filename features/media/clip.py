"""read_clip: the frames and the sound of one clip, both on one clock, from one ffmpeg process.

    clip's clock   0 ─────────────────────────────────────── duration_s
    picture        ├─ p0 ── p1 ── p2 ── … ── p85 ─┤              one frame a wanted instant
    sound              ├──────────────────────────────┤          sample 0 stands at 0; silence before the start

0 is the earliest start of the file's streams, or the start of the span that was asked for.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from pathlib import Path

from dualstream.features.media import command, pyav
from dualstream.features.media.assemble import Asked, Clip, assemble, row_of
from dualstream.features.media.decode import Job, Ticks
from dualstream.features.media.pair import decode_pair, probe_pair
from dualstream.features.media.pictures import Watcher
from dualstream.features.media.probe import probe
from dualstream.features.media.seek import decode_span
from dualstream.features.media.settings import DecodeSettings, Guards, MediaError, naming
from dualstream.features.windows import Sampling, WindowPlan

Span = tuple[float | None, float | None]


def read_clip(
    path: Path,
    *,
    plan: WindowPlan,
    sampling: Sampling,
    settings: DecodeSettings,
    span_s: Span = (None, None),
    sound: Path | None = None,
    ffmpeg: str | None = None,
    guards: Guards | None = None,
    watch: Callable[[float], Watcher] | None = None,
    gpu: int = 0,
) -> Clip:
    """Read the frames that `sampling` wants and the whole sound of a clip, or of a span of it.

    The frame of a wanted instant is the one whose presentation time is nearest (the earlier one of two). Where
    that frame is further away than half a window, and than the usual distance between two frames, the video has
    not begun, has ended or has a hole: the frame is left out, and its window's row masked.

    Parameters
    ----------
    span_s
        Start and end inside the file, seconds on its clock; None: from the start, to the end. The clip's clock
        then begins at the start of the span.
    sound
        The file that holds the clip's sound, where that is not `path`; both files start at 0 unless they state a
        start (pair.py).
    ffmpeg
        The binary; None: as `find_ffmpeg` finds it.
    watch
        Makes what is shown every picture as it comes (pictures.py), which the clip then holds in place of frames.
        It takes the most that is read, or the length where `sampling` depends on that, seconds.
    gpu
        Number of the GPU that decodes, where `settings` names nvdec.

    Raises
    ------
    MediaError
        Where neither frames nor sound come out; its `kind` says why. A single missing stream is no error.
    """
    guards = guards or Guards()
    real_path = command.regular_file(path)
    binary = _binary(ffmpeg, settings)
    read = decode_span if settings.decoder == "ffmpeg" else pyav.decode_span
    start_s, limit_s = _span(span_s, settings)
    known_s = None
    if sampling.kind == "uniform":  # these instants depend on the end, so it must be known before
        known_s = min(limit_s, _left_s(path, sound, start_s, binary, guards))
    longest_s = known_s or limit_s
    ticks = Ticks.of(sampling.grid(plan, longest_s))
    job = Job(
        binary,
        real_path,
        settings,
        guards,
        start_s,
        limit_s,
        ticks,
        _wanted_rows(plan, sampling, longest_s, ticks),
        max(plan.length_s / 2, float(ticks.step)),
        watch=None if watch is None else partial(watch, longest_s),
        gpu=gpu,
    )
    if sound is not None:
        video, audio, processes, delays_s = decode_pair(job, path, sound, read)
        return assemble(Asked(path, plan, sampling, job, span_s[1], known_s, delays_s), video, audio, processes)
    with naming(path):
        video, audio, processes = read(job, path)
    return assemble(Asked(path, plan, sampling, job, span_s[1], known_s), video, audio, processes)


def _wanted_rows(plan: WindowPlan, sampling: Sampling, longest_s: float, ticks: Ticks) -> frozenset[int] | None:
    """Return which of the wanted instants keep their frame; None: all, each window having one of its own."""
    if sampling.kind == "aligned":
        return None
    return frozenset(row_of(sampling.targets(plan, longest_s).time_s, ticks).tolist())


def _binary(ffmpeg: str | None, settings: DecodeSettings) -> str:
    """Return the ffmpeg to use; an empty string where PyAV decodes, none is named and there is none."""
    try:
        return command.find_ffmpeg(ffmpeg)
    except MediaError:
        if settings.decoder == "ffmpeg" or ffmpeg is not None:
            raise
        return ""


def _span(span_s: Span, settings: DecodeSettings) -> tuple[float, float]:
    """Return the span's start, and the most that is read from there, seconds."""
    start_s, end_s = span_s[0] or 0.0, span_s[1]
    if not (0 <= start_s < math.inf):
        raise ValueError(f"the span starts at {start_s} s; expected 0 or more")
    if end_s is None:
        return start_s, settings.max_clip_s
    if not (start_s < end_s < math.inf):
        raise ValueError(f"the span runs from {start_s} s to {end_s} s; expected an end after its start")
    return start_s, min(end_s - start_s, settings.max_clip_s)


def _left_s(path: Path, sound: Path | None, start_s: float, binary: str, guards: Guards) -> float:
    found = (
        probe(path, ffmpeg=binary, guards=guards)
        if sound is None
        else probe_pair(path, sound, ffmpeg=binary, guards=guards)
    )
    left_s = found.duration_s - start_s
    if left_s <= 0:
        raise MediaError("empty", f"{path}: the span starts at {start_s:g} s, behind the end of the clip")
    return left_s
