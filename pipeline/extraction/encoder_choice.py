"""The encoders that options name: whether they fit together, their files, and the names of their streams."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from dualstream.features.device import number_of_gpu, require_device, require_device_name
from dualstream.features.encoder import (
    Encoder,
    EncoderEntry,
    EncoderOptions,
    SpecDocument,
    StreamName,
    find,
    named_files,
    require_known,
)
from dualstream.features.faces.region import require_parts
from dualstream.features.media import nvdec, pyav
from dualstream.features.media.settings import MediaError
from dualstream.features.options import LEAST_CONFIDENCE, given_options
from dualstream.features.windows import Sampling, WindowPlan
from dualstream.pipeline.errors import UsageError
from dualstream.pipeline.extraction import csd_tables
from dualstream.pipeline.extraction.options import ExtractionOptions, RunOptions

NONE = "none"
STREAMS: tuple[StreamName, ...] = ("video", "audio")
FACE_FILES = ("face_weights", "speaker_weights", "identity_weights")  # what finds faces, who talks, and who is who
LONGEST_CLIP_S = 24 * 3600.0
LONGEST_NAME = 64  # of a stream; a cache takes small letters without accents, digits, dot, dash and underscore


def refuse_early(options: ExtractionOptions) -> None:
    """Refuse names of no encoder, files that are not there, and values out of range, before torch is imported.

    Raises
    ------
    UsageError
        As building the encoders would, seconds later.
    """
    grid_of(options)
    try:
        require_device_name(options.device)
        if not has_network(options):  # networks tell by themselves
            require_device(options.device)
        for stream in STREAMS:
            for text in getattr(options, stream):
                if text == NONE:
                    continue
                argument = text.partition(":")[2]
                if require_known(stream, text).table and argument and not Path(argument).exists():
                    raise FileNotFoundError(
                        f"--{stream} {text}: there is no {argument}; name a table, or a folder of them"
                    )
            files_of(stream, options)
        refuse_unused(options)
        require_parts(options, options)
    except (ValueError, OSError) as error:
        raise UsageError(str(error)) from error
    if set(options.video) | set(options.audio) == {NONE}:
        raise UsageError("--video none --audio none leaves nothing to extract")
    if options.decoder != "ffmpeg" and not pyav.is_installed():
        raise UsageError(pyav.NEEDED)
    if options.decoder == "nvdec":
        try:
            nvdec.engine(number_of_gpu(options.device))
        except MediaError as error:
            raise UsageError(str(error)) from error


def grid_of(options: ExtractionOptions) -> tuple[WindowPlan, Sampling]:
    """Return the windows, and which frames are looked at.

    Raises
    ------
    UsageError
        Where one of the options is out of range.
    """
    try:
        WindowPlan(options.window_s, min(options.window_s, WindowPlan.hop_s))
    except ValueError as error:
        raise UsageError(f"--window: {error}") from error
    try:
        windows = WindowPlan(options.window_s, options.hop_s)
    except ValueError as error:
        raise UsageError(f"--hop: {error}") from error
    if not (math.isfinite(options.max_clip_s) and 0 < options.max_clip_s <= LONGEST_CLIP_S):
        raise UsageError(f"--max-clip-s {options.max_clip_s:g}; expected seconds above 0, at most a day")
    try:
        return windows, Sampling.parse(options.sampling)
    except ValueError as error:
        raise UsageError(f"--sampling: {error}") from error


def files_of(stream: StreamName, options: ExtractionOptions) -> list[Path]:
    """Return the files that the encoders of a stream rest on; those of pictures rest on what finds faces, too.

    Raises
    ------
    UsageError, ValueError, OSError
        Where weights are given for other encoders than there are, or a file is not there.
    """
    texts = getattr(options, stream)
    chosen = getattr(options, f"{stream}_weights")
    weights = dict(zip(takers_of(stream, texts, chosen), chosen, strict=False))
    found = []
    for text in texts:
        entry = find(stream, text)
        files = named_files if entry is None else entry.files
        found += [] if text == NONE else files(text.partition(":")[2], weights.get(text))
    if stream == "video":
        found += [path for name in FACE_FILES if (path := getattr(options, name)) is not None]
    return found


def refuse_unused(options: ExtractionOptions) -> None:
    """Refuse options of pictures, sound, networks or tables where none of the encoders has a use for them.

    Raises
    ------
    UsageError
        Naming the option and the encoders.
    """
    looking, listening = _entries("video", options), _entries("audio", options)
    sees, encodes_sound = (any(one is None or not one.table for one in some) for some in (looking, listening))
    regions = set(options.region)
    hears = encodes_sound or "speaker" in regions
    tables = any(one is None or one.table for one in (*looking, *listening))
    if faces := [] if sees else [one for one in options.region if one != "frame"]:
        raise UsageError(
            f"--region {faces[0]} needs a video encoder that sees pictures; found --video "
            + ", ".join(options.video)
        )
    if options.context != "clip" and not any(one is None or one.context for one in listening):
        raise UsageError(
            f"--context {options.context} is for audio encoders that hear the whole clip (hf:FOLDER); found "
            f"--audio {', '.join(options.audio)}"
        )
    if options.scramble is not None and not encodes_sound:
        raise UsageError(
            f"--scramble {options.scramble:g} changes sound, and none is read for --audio "
            + ", ".join(options.audio)
        )
    for names, used, why in (
        (("fit",), "frame" in regions, "faces are cut out as squares"),
        (("fit", "sampling", "decode"), sees, "no encoder sees pictures"),
        (("channels",), hears, "no encoder hears sound"),
        (("max_clip_s", "decoder"), sees or hears, "no clip is read"),
        (("rate", "confidence"), tables, "no stream is a table"),
    ):
        if given := [] if used else given_options(options, names):
            raise UsageError(
                f"{given[0]} shapes nothing here, since {why}; found --video {', '.join(options.video)} --audio "
                f"{', '.join(options.audio)} --region {', '.join(options.region)}: leave it out"
            )


def idle_words(options: ExtractionOptions, run: RunOptions | None = None) -> list[str]:
    """Return what a person should know of options that change nothing here.

    Those of networks where there are none, and those of reading clips where all streams are tables.
    """
    words: list[str] = []
    if not has_network(options):
        given = given_options(options, ("precision", "threads"))
        given += [] if options.device in ("auto", "cpu") else [f"--device {options.device}"]
        words += [f"{one} is for networks, and none of the encoders is one: it changes nothing" for one in given]
    if not reads_clips(options):
        given = given_options(options, ("ffmpeg",))
        given += [] if run is None else given_options(run, ("workers", "keep_going"))
        words += [f"{one} is for reading clips, and all streams are tables: it changes nothing" for one in given]
    return words


def reads_clips(options: ExtractionOptions) -> bool:
    """Tell whether a clip is read: an encoder that is no table reads them; an unknown one, which `build` refuses,
    does.
    """
    return any(one is None or not one.table for stream in STREAMS for one in _entries(stream, options))


def _entries(stream: StreamName, options: ExtractionOptions) -> list[EncoderEntry | None]:
    """Return what is known of a stream's encoders; None of one that `build` will refuse."""
    return [find(stream, text) for text in getattr(options, stream) if text != NONE]


def refuse_idle_tables(options: ExtractionOptions, specs: Iterable[SpecDocument]) -> None:
    """Refuse options of tables that none of the tables which were read has a use for.

    Raises
    ------
    UsageError
        Where ``--rate`` is given and no table holds frames without times, or ``--confidence`` and none is
        OpenFace's.
    """
    stated = {key for spec in specs for key in spec["parameters"]}
    if options.rate and "rate_hz" not in stated:
        raise UsageError(
            f"--rate {options.rate}: no table holds frames without times (arrays (T, D) in .npy or Parquet); "
            "leave it out"
        )
    if options.confidence != LEAST_CONFIDENCE and "confidence" not in stated:
        raise UsageError(
            f"--confidence {options.confidence:g}: no table has OpenFace's column confidence; leave it out"
        )


def is_network(stream: StreamName, text: str) -> bool:
    """Tell whether an encoder runs on a device and in a precision; an unknown one, which `build` refuses, does."""
    entry = find(stream, text)
    return entry is None or entry.network


def has_network(options: ExtractionOptions) -> bool:
    """Tell whether any of the encoders that are named runs on a device."""
    return any(is_network(stream, text) for stream in STREAMS for text in getattr(options, stream) if text != NONE)


def takes_weights(stream: StreamName, text: str) -> bool:
    """Tell whether weights can be named for an encoder; an unknown one, which `build` refuses, takes them."""
    entry = find(stream, text)
    return entry is None or entry.weights


def stream_names(stream: StreamName, texts: tuple[str, ...]) -> list[str]:
    """Return the streams' names: the first encoder's is ``video``, another's ``video.cnn5``.

    Raises
    ------
    UsageError
        Where an encoder is named twice.
    """
    if len(set(texts)) != len(texts):
        raise UsageError(f"--{stream} names an encoder twice: {', '.join(texts)}")
    names: list[str] = [stream]
    for text in texts[1:]:
        kind, _, argument = text.partition(":")
        entry = find(stream, text)
        called = f"{kind}-{Path(argument).stem}" if entry is not None and entry.table else Path(text).name
        if entry is not None and entry.folder:
            called = Path(argument).name
        plain = re.sub(r"[^a-z0-9._-]", "-", called.lower())
        wanted = f"{stream}.{plain}"
        name, number = wanted[:LONGEST_NAME], 2
        while name in names:
            name, number = f"{wanted[: LONGEST_NAME - 4]}-{number}", number + 1
        names.append(name)
    return names[: len(texts)]


def build_encoders(
    stream: StreamName, options: ExtractionOptions, device: str, build_encoder: Any
) -> Mapping[str, Encoder]:
    """Build a stream's encoders, by the names of the streams that they make.

    Raises
    ------
    UsageError, ValueError, OSError
        Where weights or options do not fit an encoder, or a file can't be read.
    """
    csd_tables.register()
    weights = getattr(options, f"{stream}_weights")
    takers = takers_of(stream, getattr(options, stream), weights)
    texts = tuple(text for text in getattr(options, stream) if text != NONE)
    chosen = dict(zip(takers, weights, strict=False))
    return {
        name: build_encoder(
            stream,
            text,
            EncoderOptions(
                chosen.get(text),
                device,
                options.precision,
                options.context,
                options.rate_hz(stream),
                options.confidence,
            ),
        )
        for name, text in zip(stream_names(stream, texts), texts, strict=True)
    }


def takers_of(stream: StreamName, texts: tuple[str, ...], weights: tuple[str, ...]) -> list[str]:
    """Return the encoders that the weights are for, in their order; refuse another number of weights."""
    if NONE in texts and len(texts) > 1:
        raise UsageError(f"--{stream} none stands alone; found {', '.join(texts)}")
    takers = [text for text in texts if text != NONE and takes_weights(stream, text)]
    if len(weights) > len(takers):
        raise UsageError(
            f"--{stream}-weights is given {len(weights)} times; {len(takers)} {stream} encoders take weights"
        )
    if weights and len(weights) != len(takers):
        raise UsageError(
            f"{len(takers)} {stream} encoders take weights ({', '.join(takers)}); give --{stream}-weights once "
            f"for each of them, in that order; found {len(weights)}"
        )
    return takers
