"""The recipe: what the options of `extract` come to, as encoders, as a plan for clips, and as a fingerprint."""

from __future__ import annotations

import functools
import importlib.metadata
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, cast

from dualstream.features.device import choose_device, number_of_gpu
from dualstream.features.encode import ClipPlan, decode_settings
from dualstream.features.encoder import Encoder, SpecDocument, VideoEncoder, build, find
from dualstream.features.faces.region import FaceMethod, RegionEncoder, make_method
from dualstream.features.media import MediaError, ffmpeg_candidates, find_ffmpeg, pyav, read_clip, version_of
from dualstream.features.media.settings import Decoder, DecodeSettings
from dualstream.features.options import Region
from dualstream.pipeline.errors import DualstreamError, UsageError
from dualstream.pipeline.extraction.encoder_choice import (
    LONGEST_NAME,
    STREAMS,
    build_encoders,
    grid_of,
    has_network,
    is_network,
    refuse_early,
    refuse_idle_tables,
    refuse_unused,
)
from dualstream.pipeline.extraction.options import MOST_BATCHES as MOST_BATCHES
from dualstream.pipeline.extraction.options import ExtractionOptions as ExtractionOptions
from dualstream.pipeline.extraction.options import RunOptions
from dualstream.pipeline.extraction.processor import cpu_capability
from dualstream.pipeline.extraction.recipe_memo import memo_key, read_memo, write_memo
from dualstream.pipeline.provenance import (
    Environment,
    RecipeDocument,
    canonical_json,
    fingerprint,
)

from dualstream.cores import BLAS_THREADS

RECIPE_VERSION = 1
SHAPING_PACKAGES = ("numpy", "scipy", "librosa", "torch", "torchvision")


@dataclass(frozen=True, repr=False)
class Recipe:
    """All that shapes the numbers as JSON, and a plan for clips, which is built when it is first asked for."""

    document: RecipeDocument
    """JSON values; `fingerprint` is computed from it."""
    specs: dict[str, SpecDocument]
    """`EncoderSpec.to_json` by stream name."""
    make_plan: Callable[[], ClipPlan]
    find_environment: Callable[[], Environment]

    @property
    def fingerprint(self) -> str:
        """SHA-256, in hex, of the document."""
        return fingerprint(self.document)

    @property
    def has_network(self) -> bool:
        """Whether an encoder runs in torch, or what finds faces and tells who talks may."""
        networks = (is_network(spec["stream"], spec["name"]) for spec in self.specs.values())
        return any(networks) or any("region" in spec["parameters"] for spec in self.specs.values())

    @property
    def reads_media(self) -> bool:
        """False where every stream is a table."""
        return self.document["decode"] is not None

    @cached_property
    def plan(self) -> ClipPlan:
        """The plan, with its encoders built; seconds for a large network."""
        return self.make_plan()

    @cached_property
    def environment(self) -> Environment:
        """Versions, threads and kind of processor: they may change last digits, and are noted in each shard."""
        return self.find_environment()


def make_recipe(
    options: ExtractionOptions,
    *,
    shard_size: int = RunOptions.shard_size,
    memo: Path | None = None,
    build_encoder: Any = build,
    before_networks: Callable[[ClipPlan], None] | None = None,
) -> Recipe:
    """Say what the numbers will depend on, and build the encoders that `options` name.

    Parameters
    ----------
    shard_size
        Utterances in a shard. It decides which frames share a forward pass, so it shapes the last digits.
    memo
        A file in which the answer is noted: where nothing that it rests on has changed since, encoders are
        built only when the plan is asked for, so that a run with nothing to do builds none and starts no ffmpeg.
    before_networks
        Called once when torch is about to be imported and networks to be built, which takes seconds, with a plan
        of the encoders that are none: other processes can import what those need meanwhile.

    Raises
    ------
    UsageError
        Where the options do not fit together.
    DualstreamError
        Where there is no ffmpeg, or an encoder can't be built (no such weights, a table that can't be read).
    """
    if build_encoder is build:
        refuse_early(options)
    networks = has_network(options)

    @functools.cache
    def announce() -> None:
        if networks and before_networks is not None:
            before_networks(_without_networks(options, build_encoder))

    if memo is None or not memo.exists():  # else there may be nothing to build
        announce()
    device = choose_device(options.device) if networks else "cpu"
    binaries = _binaries(options)

    def build_plan() -> ClipPlan:
        announce()
        return _plan(options, device, build_encoder)

    packages = _packages(_shaping_packages(options))
    key = memo_key(options, shard_size, device, binaries, packages) if memo is not None else ""
    noted = read_memo(memo, key) if memo is not None else None

    def find_environment() -> Environment:
        return _environment(device, options.torch_threads, packages)

    if memo is not None and noted is not None:
        document, specs = noted
        return Recipe(document, specs, lambda: _as_noted(build_plan(), specs, memo), find_environment)
    plan = build_plan()
    specs = _specs(plan)
    refuse_idle_tables(options, specs.values())
    document = _document(options, plan, specs, device, shard_size)
    if memo is not None:
        write_memo(memo, key, document, specs)
    return Recipe(document, specs, lambda: plan, find_environment)


def _document(
    options: ExtractionOptions, plan: ClipPlan, specs: Mapping[str, SpecDocument], device: str, shard_size: int
) -> RecipeDocument:
    """Return all that shapes the numbers, as JSON."""
    document: RecipeDocument = {
        "version": RECIPE_VERSION,
        "windows": {"length_s": plan.windows.length_s, "hop_s": plan.windows.hop_s},
        "sampling": str(plan.sampling),
        "decode": plan.decode.to_json() if plan.decode else None,
        "decoder": version_of(plan.decode, _ffmpeg(options)) if plan.decode else None,
        "device": device.partition(":")[0] if plan.video or plan.audio else None,
        "precision": options.precision if has_network(options) else "fp32",
        "shard_size": shard_size,
        # The width after projection is not part of it: projecting again needs no new rows.
        "streams": {name: _without_width(spec) for name, spec in specs.items()},
    }
    if plan.scramble_s is not None:
        document["scramble_s"] = plan.scramble_s
    looks = any(isinstance(one, RegionEncoder) for one in plan.encoders.values())
    if looks and plan.decode is not None and plan.decode.decoder != "ffmpeg":  # ffmpeg did, once
        document["watched"] = plan.decode.decoder
    return document


def _without_width(spec: SpecDocument) -> SpecDocument:
    kept = spec.copy()
    kept.pop("width", None)
    return kept


def _plan(options: ExtractionOptions, device: str, build_encoder: Any) -> ClipPlan:
    refuse_unused(options)
    try:
        windows, sampling = grid_of(options)
        method = make_method(options, options)
        encoders = {
            **_by_region(build_encoders("video", options, device, build_encoder), options.region, method),
            **build_encoders("audio", options, device, build_encoder),
        }
        if not encoders:
            raise UsageError("--video none --audio none leaves nothing to extract")
        decode = decode_settings(
            encoders,
            fit=options.fit,
            channels=options.channels,
            speed=options.decode,
            max_clip_s=options.max_clip_s,
            decoder=options.decoder,
        )
    except (ValueError, OSError) as error:
        raise UsageError(str(error)) from error
    if decode is None:
        return ClipPlan(encoders, windows, sampling, None)
    reader = _Reader(_ffmpeg(options), number_of_gpu(device), options.decoder)
    return ClipPlan(encoders, windows, sampling, decode, reader, options.scramble)


def _without_networks(options: ExtractionOptions, build_encoder: Any) -> ClipPlan:
    """Return a plan of what hears sound without a network; it is for `warm_up`, and reads no clip."""
    entries = {text: find("audio", text) for text in options.audio}
    heard = tuple(text for text, one in entries.items() if one and not (one.network or one.table or one.weights))
    try:
        encoders = build_encoders("audio", replace(options, audio=heard, audio_weights=()), "cpu", build_encoder)
    except (ValueError, OSError, DualstreamError):  # building all of them will say so
        encoders = {}
    reader = _Reader(None, number_of_gpu(options.device), options.decoder)
    return ClipPlan(encoders, decode=DecodeSettings(decoder=options.decoder), reader=reader)


def _by_region(
    whole: Mapping[str, Encoder], regions: tuple[str, ...], method: FaceMethod | None
) -> dict[str, Encoder]:
    """Return the encoders of every region: of the first one under the names of `whole`, then ``video.frame`` …

    A table has no picture to look at, and is looked up once.

    Raises
    ------
    ValueError
        Where no encoder sees a picture and a region is asked for.
    """
    seen = {name: one for name, one in whole.items() if isinstance(one, VideoEncoder)}
    if method is not None and not seen:
        raise ValueError(f"--region {regions[0]} needs a video encoder that sees pictures; found none")
    encoders = dict(whole)
    for number, region in enumerate(regions):
        for name, one in seen.items():
            called = f"video.{region}{name.removeprefix('video')}"[:LONGEST_NAME] if number else name
            encoders[called] = (
                RegionEncoder(one, cast(Region, region), method) if method and region != "frame" else one
            )
    return encoders


@dataclass(frozen=True)
class _Reader:
    """`read_clip` with one ffmpeg and one GPU for the whole run; a class, so that it can travel."""

    ffmpeg: str | None
    gpu: int = 0
    decoder: Decoder = "ffmpeg"

    def warm_up(self) -> None:
        """Import what the first clip would wait for."""
        pyav.warm_up(self.decoder, self.gpu)

    def __call__(self, path: Path, **how: Any) -> Any:
        return read_clip(path, ffmpeg=self.ffmpeg, gpu=self.gpu, **how)


def _binaries(options: ExtractionOptions) -> tuple[str, ...]:
    """Return the ffmpegs that there are to choose from, which may be none where all streams are tables."""
    try:
        return ffmpeg_candidates(named_ffmpeg(options))
    except MediaError as error:
        if options.ffmpeg is not None:
            raise UsageError(str(error)) from error
        return ()


def _ffmpeg(options: ExtractionOptions) -> str | None:
    """Return the ffmpeg to use; it is started once, for its version. None where PyAV does without one."""
    try:
        return find_ffmpeg(named_ffmpeg(options))
    except MediaError as error:
        if options.decoder != "ffmpeg" and options.ffmpeg is None:
            return None
        raise (DualstreamError if options.ffmpeg is None else UsageError)(str(error)) from error


def named_ffmpeg(options: ExtractionOptions) -> str | None:
    """Return the ffmpeg that is named: one to look for on PATH, or a path (``./ffmpeg`` is read as ``ffmpeg``)."""
    named = options.ffmpeg
    if named is None:
        return None
    if str(named) == named.name and shutil.which(named) is None and named.is_file():
        return str(named.absolute())
    return str(named)


def _specs(plan: ClipPlan) -> dict[str, SpecDocument]:
    specs: dict[str, SpecDocument] = json.loads(
        canonical_json({name: encoder.spec.to_json() for name, encoder in plan.encoders.items()})
    )
    return specs


def _as_noted(plan: ClipPlan, specs: dict[str, SpecDocument], memo: Path) -> ClipPlan:
    """Return the plan, after making sure that it is the one that the note told of."""
    if _specs(plan) != specs:
        memo.unlink(missing_ok=True)
        raise DualstreamError("weights or tables changed while the run began; run the same command again")
    return plan


def _shaping_packages(options: ExtractionOptions) -> list[str]:
    """Return the packages that may change last digits: the usual ones, and those that an encoder states."""
    entries = [find(stream, text) for stream in STREAMS for text in getattr(options, stream)]
    stated = {package for one in entries if one is not None for package in one.packages}
    stated |= {"av"} if options.decoder != "ffmpeg" else set()
    return [*SHAPING_PACKAGES, *sorted(stated.difference(SHAPING_PACKAGES))]


def _packages(names: Sequence[str]) -> dict[str, str]:
    found = {}
    for package in ("dualstream", *names):
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _environment(device: str, threads: int, packages: dict[str, str]) -> Environment:
    facts: Environment = {"packages": packages, "blas_threads": BLAS_THREADS}
    if "torch" in facts["packages"]:
        facts["threads"] = threads
        facts["processor"] = _cuda_name(device) or cpu_capability()
    return facts


def _cuda_name(device: str) -> str:
    if not device.startswith("cuda"):
        return ""
    import torch

    return str(torch.cuda.get_device_name(device)) if torch.cuda.is_available() else ""
