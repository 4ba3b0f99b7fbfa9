"""Plain clips decoded in this process by PyAV, from one open file: what an ffmpeg process would give, without one.

    file ── packets ─┬─► pictures ─► those nearest to a tick ─► swscale ─► rows
                     └─► sound ────► swresample: centre, mix, difference ─► samples         (tracks.py)

A file is plain where nothing about it is unusual: a container of `CONTAINERS`, a time for each picture, one format
throughout, and no word of an error. Any other is handed to an ffmpeg process, whose verdict counts: so a damaged
file becomes the same record whichever decoder was chosen.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import importlib
import importlib.util
import logging
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dualstream.features.media import boxes, command, nvdec, unshown
from dualstream.features.media.decode import MICROSECOND, SOUND_SLACK_S, Decoded, Job
from dualstream.features.media.mixing import cancels
from dualstream.features.media.report import DAMAGE_WARNINGS, DecodeReport, StreamHeader
from dualstream.features.media.seek import INDEXED, Read
from dualstream.features.media.seek import decode_span as by_process
from dualstream.features.media.settings import Decoder, DecodeSettings, MediaError
from dualstream.features.media.showing import NotPlainError
from dualstream.features.media.sinks import SOUND_FRAME_BYTES, AudioSamples, FrameSink, Stamps
from dualstream.features.media.tracks import Pictures, Sound
from dualstream.features.media.watched import WatchedPictures

from dualstream.installation import install_hint

try:
    import resource
except ImportError:  # not on this system
    resource = None  # type: ignore[assignment]

if TYPE_CHECKING:
    from av import Packet
    from av.container import InputContainer
    from av.stream import Stream

log = logging.getLogger(__name__)

CONTAINERS = ("mov", "matroska", "wav", "flac", "mp3")  # whose time stamps come out as an ffmpeg process has them
GENERATE_TIMES = 1  # AVFMT_FLAG_GENPTS, which PyAV sets, and ffmpeg does not
UNSEEN = {"skip_frame": "all"}  # when a file is opened, which otherwise takes decoding a key frame twice
LARGEST_HELD_BYTES = 64 * 2**20  # of a file whose packets are all looked at before they are decoded
ATTACHED_PICTURE, TIMED_THUMBNAILS = 0x400, 0x800  # of a stream's disposition
NEEDED = f"decoding by pyav needs the package av: {install_hint('fast')}, or use ffmpeg"
MAPS, STATM = Path("/proc/self/maps"), Path("/proc/self/statm")


def is_installed() -> bool:
    """Tell whether PyAV is there, without importing it."""
    return importlib.util.find_spec("av") is not None


def decoder_at_hand(wanted: Decoder, gpu: int) -> Decoder:
    """Return a decoder, or where this machine lacks it the next one that gives the same frames."""
    if wanted == "nvdec":
        try:
            nvdec.engine(gpu)
        except MediaError:
            wanted = "pyav"
    return wanted if wanted == "ffmpeg" or is_installed() else "ffmpeg"


def warm_up(decoder: Decoder, gpu: int) -> None:
    """Import what the first clip would wait for; for the video engine, have the driver make its context."""
    if decoder_at_hand(decoder, gpu) != "ffmpeg":
        importlib.import_module("av")


def version() -> str:
    """Return PyAV's version and that of the ffmpeg libraries inside it.

    Raises
    ------
    MediaError
        ``missing``, where PyAV is not installed.
    """
    av = _library()
    return f"pyav {av.__version__} (ffmpeg {av.ffmpeg_version_info})"


def version_of(settings: DecodeSettings, ffmpeg: str | None = None) -> str:
    """Return what decodes: ffmpeg's version; or PyAV's, and that of the ffmpeg which reads what it leaves.

    Raises
    ------
    MediaError
        ``missing``, where that is not there.
    """
    if settings.decoder == "ffmpeg":
        return command.decoder_version(ffmpeg)
    try:
        other = f"ffmpeg {command.decoder_version(ffmpeg)}"
    except MediaError:
        if ffmpeg is not None:
            raise
        other = "none"
    return f"{version()}, else {other}"


def decode_span(job: Job, path: Path) -> Read:
    """Decode a clip, or a span of it, in this process where it is plain; else in an ffmpeg process.

    Raises
    ------
    MediaError
        As the process has it; ``unreadable`` where there is no ffmpeg to ask, ``timeout`` where the limit passes.
    """
    try:
        decoded = _decoded(job)
    except NotPlainError as error:
        log.info("%s: PyAV leaves it to ffmpeg: %s", path, error)
        if not job.ffmpeg:
            why = f"PyAV leaves it to ffmpeg ({error}), and there is {command.NONE_AT_ALL}"
            raise MediaError("unreadable", f"{path}: {why}") from error
        return by_process(job, path)
    return (decoded if decoded.rows else None), (decoded if decoded.samples else None), 0


@functools.cache
def _library() -> Any:
    """Return PyAV, with its log turned on: what it says decides whether a file is plain."""
    try:
        av = importlib.import_module("av")
        importlib.import_module("av.filter")
    except ImportError as error:
        raise MediaError("missing", NEEDED) from error
    av.logging.set_level(av.logging.WARNING)
    av.logging.set_skip_repeated(False)
    return av


def _decoded(job: Job) -> Decoded:
    """Decode a plain file; raise NotPlainError for any other."""
    av = _library()
    guards = job.guards
    _limit_blocks(guards.max_alloc_bytes)
    if _on_gpu(job):
        nvdec.engine(job.gpu)
    if job.delay_s or job.lead_us or job.inverted:
        raise NotPlainError("its start is moved")
    with av.logging.Capture(local=True) as said:
        try:
            with _bounded(guards.address_space_bytes, _on_gpu(job)), _opened(job) as file:
                result, decoders = _read(job, file)
        except (av.error.FFmpegError, MemoryError, ImportError, ValueError, OverflowError) as error:
            raise NotPlainError(f"{error}") from error
    for level, part, words in said:
        if level <= av.logging.ERROR or any(mark in words for mark in DAMAGE_WARNINGS):
            raise NotPlainError(f"{part}: {words.strip()}")
    for decoder in decoders.values():
        if isinstance(decoder, nvdec.EngineDecoder):
            decoder.keep()
    if result.samples is not None and cancels(result, job.settings.channels):
        raise NotPlainError("its channels cancel")
    return result


def _opened(job: Job) -> InputContainer:
    av = _library()
    options = {
        name: str(value) for name, value in command.input_options(job.guards).items() if name != "max_alloc"
    }
    if boxes.is_iso(job.real_path):
        options |= UNSEEN
    limit_s = job.guards.wall_s
    engine = nvdec.engine(job.gpu) if _on_gpu(job) else None
    file = av.open(command.input_url(job.real_path), options=options, timeout=(limit_s, limit_s), hwaccel=engine)
    file.flags &= ~GENERATE_TIMES
    return file


def _read(job: Job, file: InputContainer) -> tuple[Decoded, dict[int, Any]]:
    """Return what came, and by which decoders."""
    deadline = time.monotonic() + job.guards.wall_s
    report, limit_bytes = _described(file), job.guards.log_bytes
    if job.seek_us and (report.header_s is None or job.start_s >= report.header_s):
        raise NotPlainError("the span may lie behind the end")
    result = Decoded(0, report, Stamps(limit_bytes), Stamps(limit_bytes))
    decoders = _decoders(job, file, report)
    tracks = _tracks(job, file, result, decoders)
    _seek(job, file)
    for packet in _packets(job, file, decoders, tracks):
        index = packet.stream.index  # packets that only flush state no index of their own
        track = tracks[index]
        if time.monotonic() > deadline:
            raise MediaError("timeout", f"PyAV was still decoding after {job.guards.wall_s:g} s and was stopped")
        if packet.is_corrupt:
            raise NotPlainError("a packet is marked as corrupt")
        frames: Any = () if track.done else decoders[index].decode(packet)
        for frame in frames:
            if frame.is_corrupt:
                raise NotPlainError("corrupt decoded frame")
            if not track.done:
                track.take(frame)
        if all(one.done for one in tracks.values()):
            break
    for index, track in tracks.items():
        track.close()
        if isinstance(track, Pictures):
            header = report.streams[index]
            header.rotation_deg = track.rotation_deg
            header.width_px, header.height_px = track.size_px
    return result, decoders


def _decoders(job: Job, file: InputContainer, report: DecodeReport) -> dict[int, Any]:
    """Return what decodes the streams that are wanted, by index."""
    wanted = (job.settings.frame_size_px, report.video), (job.settings.sample_rate_hz, report.audio)
    found = [header.index for setting, header in wanted if setting is not None and header is not None]
    if not found:
        raise NotPlainError("it has no stream that is wanted")
    return {index: _decoder(file.streams[index], job) for index in found}


def _decoder(stream: Stream, job: Job) -> Any:
    """Return what decodes a stream, set up as the process sets its own."""
    context = stream.codec_context
    guards = job.guards
    context.options = {"max_pixels": str(guards.max_pixels), "err_detect": "crccheck+bitstream+buffer"}
    context.thread_count = guards.threads
    if stream.type == "video" and job.settings.speed == "fast":
        context.options |= {"skip_frame": "noref", "skip_loop_filter": "all"}
    on_gpu = stream.type == "video" and _on_gpu(job)
    return nvdec.EngineDecoder(stream, job.real_path, job.gpu) if on_gpu else context


def _tracks(
    job: Job, file: InputContainer, result: Decoded, decoders: dict[int, Any]
) -> dict[int, Pictures | Sound]:
    """Return what takes the frames of the streams that are decoded, by index; make its sinks in `result`."""
    rate_hz = job.settings.sample_rate_hz
    offset_us = -(job.seek_us + (file.start_time or 0))
    tracks: dict[int, Pictures | Sound] = {}
    for index, decoder in decoders.items():
        stream = file.streams[index]
        if stream.type == "video":
            tracks[index] = _pictures(job, result, (offset_us, stream, decoder))
        else:
            assert rate_hz is not None
            result.samples = AudioSamples(int((job.limit_s + SOUND_SLACK_S) * rate_hz) * SOUND_FRAME_BYTES)
            tracks[index] = Sound(job, result.samples, result.sound, offset_us)
    return tracks


def _pictures(job: Job, result: Decoded, how: tuple[int, Any, Any]) -> Pictures:
    """Return what takes the pictures: as rows, or to be looked at."""
    size_px = job.settings.frame_size_px
    assert size_px is not None
    if job.watch is None:
        result.rows = FrameSink(3 * size_px**2, job.ticks.count, job.most_rows, job.wanted_rows)
        return Pictures(job, result.rows, result.pictures, *how)
    result.rows, result.watcher = FrameSink(1, 0, 0, None), job.watch()
    return WatchedPictures(job, result.rows, result.pictures, *how, watcher=result.watcher)


def _packets(
    job: Job, file: InputContainer, decoders: dict[int, Any], tracks: dict[int, Pictures | Sound]
) -> Iterator[Packet]:
    """Yield what is to be decoded: all, or for a GPU's engine no picture that can be done without."""
    packets: Iterator[Packet] = file.demux([file.streams[index] for index in decoders])
    index = next((index for index, one in decoders.items() if _can_do_without(one, job)), None)
    if index is None:
        yield from packets
        return
    held = list(packets)
    pictures, track = [one for one in held if one.stream.index == index and one.size], tracks[index]
    assert isinstance(track, Pictures)
    left = unshown.left_out(pictures, decoders[index].header, track.showing)
    if left:
        track.leave_out(left, len(pictures))
    yield from (one for one in held if one.stream.index != index or not one.size or one.pts not in left)


def _can_do_without(decoder: Any, job: Job) -> bool:
    """Tell whether a decoder may be spared pictures: of a whole file whose packets take little memory."""
    if not isinstance(decoder, nvdec.EngineDecoder) or decoder.context.name != "h264":
        return False
    whole = job.watch is None and not job.seek_us and job.settings.speed == "exact"
    return whole and Path(job.real_path).stat().st_size <= LARGEST_HELD_BYTES


def _seek(job: Job, file: InputContainer) -> None:
    """Go to the key frame before a span, from as far before it as the process would."""
    if not job.seek_us:
        return
    if file.format.name.split(",")[0] not in INDEXED:
        raise NotPlainError("a span of a format whose seeks end anywhere")
    at_us = job.seek_us + (file.start_time or 0)
    delayed = any(one.codec_context is not None and one.codec_context.has_b_frames for one in file.streams.video)
    if delayed and "mov" not in file.format.name:
        at_us -= 3 * MICROSECOND // 23
    file.seek(at_us)


def _described(file: InputContainer) -> DecodeReport:
    """Return what the header says, in the form in which the process writes it to its log."""
    container = file.format.name
    if not any(name in CONTAINERS for name in container.split(",")):
        raise NotPlainError(f"its format is {container}")
    header_s = None if file.duration is None else (file.duration + 5000) // 10_000 / 100
    report = DecodeReport(0, container, header_s, (file.start_time or 0) / MICROSECOND)
    report.streams = [_header(stream) for stream in file.streams]
    return report


def _header(stream: Stream) -> StreamHeader:
    context = stream.codec_context
    header = StreamHeader(
        stream.index, stream.type.capitalize(), context.codec.canonical_name if context else "none"
    )
    if context is None and stream.type in ("video", "audio"):
        raise NotPlainError("it has a stream that no decoder knows")
    disposition = int(stream.disposition)
    if stream.type == "video":
        if disposition & (ATTACHED_PICTURE | TIMED_THUMBNAILS):
            header.picture = True
        header.width_px, header.height_px = context.width, context.height
        rate = stream.average_rate or stream.base_rate
        header.frame_rate = round(float(rate) * 100) / 100 if rate else 0.0
    elif stream.type == "audio":
        header.sample_rate_hz, header.layout = context.sample_rate, context.layout.name
    return header


def _on_gpu(job: Job) -> bool:
    return job.settings.decoder == "nvdec" and job.settings.frame_size_px is not None


_alone = [False]  # whether this process is a worker's, with one clip at a time


def bound_memory() -> None:
    """Bound what a clip may take of this process's address space, from now on; for a worker, not for a program."""
    _alone[0] = True


@contextlib.contextmanager
def _bounded(more_bytes: int, on_gpu: bool) -> Iterator[None]:
    """Let the process take so much more while a clip is decoded, as an ffmpeg process could (Linux).

    Not where a GPU decodes: its driver maps far more addresses than it takes memory.
    """
    if on_gpu or not _alone[0] or resource is None or not STATM.exists():
        yield
        return
    before = resource.getrlimit(resource.RLIMIT_AS)
    now = int(STATM.read_text(encoding="ascii").split()[0]) * resource.getpagesize()
    limits = [now + more_bytes, *(one for one in before if one != resource.RLIM_INFINITY)]
    resource.setrlimit(resource.RLIMIT_AS, (min(limits), before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


@functools.lru_cache(maxsize=1)
def _limit_blocks(most_bytes: int) -> None:
    """Let no single block of memory inside the libraries be larger, where they can be found (Linux)."""
    with contextlib.suppress(OSError, AttributeError):
        lines = MAPS.read_text(encoding="utf-8", errors="replace").splitlines()
        for path in {line.split(maxsplit=5)[-1] for line in lines if "libavutil" in line}:
            set_most = ctypes.CDLL(path).av_max_alloc
            set_most.argtypes, set_most.restype = [ctypes.c_size_t], None
            set_most(most_bytes)
