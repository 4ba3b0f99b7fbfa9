"""The recipe: what the options of `extract` come to, as encoders, as a plan for clips, and as a fingerprint."""

from __future__ import annotations

import importlib.metadata
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from features.encode import ClipPlan, ClipReader, decode_settings
from features.encoder import Encoder, EncoderOptions, Precision, StreamName, build
from features.media import MediaError, decoder_version, find_ffmpeg, read_clip
from features.media.settings import Channels, Fit, Speed
from features.windows import DEFAULT_HOP_S, DEFAULT_LENGTH_S, Sampling, WindowPlan
from pipeline.errors import DualstreamError, UsageError
from pipeline.provenance import canonical_json, fingerprint
from pipeline.sealed import publish
from pipeline.shards import DEFAULT_SHARD_SIZE

RECIPE_VERSION = 1
NONE = "none"
WEIGHTLESS = ("table",)  # encoders that take no --video-weights
SHAPING_PACKAGES = ("numpy", "scipy", "librosa", "torch", "torchvision")


@dataclass(frozen=True)
class ExtractionOptions:
    """All that shapes the numbers, as a person types it."""

    video: tuple[str, ...] = ("vgg16",)
    """Encoders by name; ``none`` alone for no video stream."""
    audio: tuple[str, ...] = ("acoustic",)
    """Likewise."""
    video_weights: tuple[str, ...] = ()
    """``imagenet``, ``random:SEED`` or a file, one for each video encoder that has weights, in their order."""
    audio_weights: tuple[str, ...] = ()
    """Likewise."""
    window_s: float = DEFAULT_LENGTH_S
    hop_s: float = DEFAULT_HOP_S
    sampling: str = "aligned"
    fit: Fit = "stretch"
    channels: Channels = "auto"
    decode: Speed = "exact"
    max_clip_s: float = 120.0
    device: str = "auto"
    """``auto``, ``cpu``, ``cuda`` or ``cuda:N``."""
    precision: Precision = "fp32"
    ffmpeg: Path | None = None
    """The binary; None: the one on PATH, else that of imageio-ffmpeg."""
    threads: int | None = None
    """Threads of torch inside an operation; None: torch's own choice. Stands in the provenance."""


@dataclass(frozen=True, repr=False)
class Recipe:
    """A plan for clips, and the JSON that says all that shapes its numbers."""

    plan: ClipPlan
    document: dict[str, Any]
    """JSON values; `fingerprint` is computed from it."""
    environment: dict[str, Any] = field(default_factory=dict)
    """Versions, threads and kind of processor: they may change last digits, and are noted in each shard."""

    @property
    def fingerprint(self) -> str:
        """SHA-256, in hex, of the document."""
        return fingerprint(self.document)


def make_recipe(
    options: ExtractionOptions,
    *,
    shard_size: int = DEFAULT_SHARD_SIZE,
    memo: Path | None = None,
    build_encoder: Any = build,
) -> Recipe:
    """Build the encoders that `options` name, and say what the numbers will depend on.

    Parameters
    ----------
    shard_size
        Utterances in a shard. It decides which frames share a forward pass, so it shapes the last digits.
    memo
        Where the version of the ffmpeg binary is noted, so that a run with nothing to do starts no ffmpeg.

    Raises
    ------
    UsageError
        Where the options do not fit together.
    DualstreamError
        Where there is no ffmpeg, or an encoder can't be built (no such weights, a table that can't be read).
    """
    device = _device(options.device)
    if options.threads is not None:
        _set_threads(options.threads)
    try:
        windows, sampling = WindowPlan(options.window_s, options.hop_s), Sampling.parse(options.sampling)
        encoders = {
            **_encoders("video", options.video, options.video_weights, device, options.precision, build_encoder),
            **_encoders("audio", options.audio, options.audio_weights, device, options.precision, build_encoder),
        }
        if not encoders:
            raise UsageError("--video none --audio none leaves nothing to extract")
        decode = decode_settings(
            encoders,
            fit=options.fit,
            channels=options.channels,
            speed=options.decode,
            max_clip_s=options.max_clip_s,
        )
    except (ValueError, OSError) as error:
        raise UsageError(str(error)) from error
    reader, decoder = _reader(options.ffmpeg, memo) if decode is not None else (read_clip, None)
    plan = ClipPlan(encoders, windows, sampling, decode, reader)
    document = {
        "version": RECIPE_VERSION,
        "windows": {"length_s": windows.length_s, "hop_s": windows.hop_s},
        "sampling": str(sampling),
        "decode": decode.to_json() if decode else None,
        "decoder": decoder,
        "device": device.partition(":")[0] if plan.video or plan.audio else None,
        "precision": options.precision,
        "shard_size": shard_size,
        # The width after projection is not part of it: projecting again needs no new rows.
        "streams": {
            name: {key: value for key, value in encoder.spec.to_json().items() if key != "width"}
            for name, encoder in encoders.items()
        },
    }
    return Recipe(plan, document, _environment(device))


def stream_names(stream: StreamName, texts: tuple[str, ...]) -> list[str]:
    """Return the streams' names: the first encoder's is ``video``, another's ``video.cnn5``.

    Raises
    ------
    UsageError
        Where an encoder is named twice.
    """
    if len(set(texts)) != len(texts):
        raise UsageError(f"--{stream} names an encoder twice: {', '.join(texts)}")
    names: list[str] = []
    for text in texts:
        plain = "".join(ch if ch.isalnum() or ch in "._-" else "-" for ch in Path(text).name.lower())
        kind = text.partition(":")[0]
        plain = f"{kind}-{Path(plain).stem}" if kind in WEIGHTLESS else plain
        name: str = stream if not names else f"{stream}.{plain}"
        while name in names:
            name += "-"
        names.append(name[:64])
    return names


def _encoders(
    stream: StreamName,
    texts: tuple[str, ...],
    weights: tuple[str, ...],
    device: str,
    precision: Precision,
    build_encoder: Any,
) -> Mapping[str, Encoder]:
    if NONE in texts and len(texts) > 1:
        raise UsageError(f"--{stream} none stands alone; found {', '.join(texts)}")
    texts = tuple(text for text in texts if text != NONE)
    takers = [text for text in texts if text.partition(":")[0] not in WEIGHTLESS]
    if len(weights) > len(takers):
        raise UsageError(
            f"--{stream}-weights is given {len(weights)} times; {len(takers)} {stream} encoders take weights"
        )
    if weights and len(weights) != len(takers):
        raise UsageError(
            f"{len(takers)} {stream} encoders take weights ({', '.join(takers)}); give --{stream}-weights once "
            f"for each of them, in that order; found {len(weights)}"
        )
    chosen = dict(zip(takers, weights, strict=False))
    return {
        name: build_encoder(stream, text, EncoderOptions(chosen.get(text), device, precision))
        for name, text in zip(stream_names(stream, texts), texts, strict=True)
    }


def _reader(binary: Path | None, memo: Path | None) -> tuple[ClipReader, str]:
    """Return a clip reader bound to one ffmpeg, and that ffmpeg's version.

    Raises
    ------
    DualstreamError
        Where there is no usable ffmpeg.
    """
    try:
        found = find_ffmpeg(str(binary) if binary else None)
        return _Reader(found), _noted_version(found, memo)
    except MediaError as error:
        raise DualstreamError(str(error)) from error


@dataclass(frozen=True)
class _Reader:
    """`read_clip` with one ffmpeg for the whole run; a class, so that it travels to other processes."""

    ffmpeg: str

    def __call__(self, path: Path, **how: Any) -> Any:
        return read_clip(path, ffmpeg=self.ffmpeg, **how)


def _noted_version(binary: str, memo: Path | None) -> str:
    """Return the binary's version from `memo` where that is about the same file, else from the binary itself."""
    facts = os.stat(binary)
    key = [os.path.realpath(binary), facts.st_size, facts.st_mtime_ns]
    if memo is not None:
        try:
            noted = json.loads(memo.read_bytes())
            if noted["binary"] == key and isinstance(noted["version"], str):
                return str(noted["version"])
        except (OSError, ValueError, TypeError, KeyError):
            pass  # the note is a shortcut only
    version = decoder_version(binary)
    if memo is not None:
        memo.parent.mkdir(parents=True, exist_ok=True)
        publish(memo, canonical_json({"binary": key, "version": version}).encode("utf-8"), durable=False)
    return version


def _device(text: str) -> str:
    if text != "auto":
        return text
    try:
        import torch
    except ImportError:
        return "cpu"
    return "cuda" if torch.cuda.is_available() else "cpu"


def _set_threads(count: int) -> None:
    if count < 1:
        raise UsageError(f"--threads is {count}; expected 1 or more")
    import torch

    torch.set_num_threads(count)


def _environment(device: str) -> dict[str, Any]:
    facts: dict[str, Any] = {"packages": {}}
    for package in ("dualstream", *SHAPING_PACKAGES):
        try:
            facts["packages"][package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    if "torch" in facts["packages"]:
        import torch

        facts["threads"] = torch.get_num_threads()
        facts["processor"] = (
            torch.cuda.get_device_name(device)
            if device.startswith("cuda") and torch.cuda.is_available()
            else torch.backends.cpu.get_cpu_capability()
        )
    return facts
