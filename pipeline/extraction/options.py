"""Options of extraction and projection: plain values, which the command line shows without importing NumPy."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from annotated_types import Ge, Interval
from dualstream.features.options import (
    LEAST_CONFIDENCE,
    LONGEST_PIECE_S,
    SHORTEST_PIECE_S,
    Context,
    Decoder,
    FaceOptions,
    IdentityOptions,
    Precision,
    ReadingOptions,
    Speed,
    require_regions,
)
from dualstream.pipeline.errors import UsageError, require_valid

from dualstream.cores import available_cores

ProjectionKind = Literal["auto", "pca-turned", "pca", "gaussian", "none"]
Executor = Literal["local", "ray"]
LOCAL: Executor = "local"
RAY: Executor = "ray"
MOST_BATCHES = 8  # encoded at a time on a CPU: one of VGG-16 holds 0.4 GB
LARGEST_SHARD = 256  # clips


@dataclass(frozen=True)
class Part:
    """Part `number` of `count`: every `count`-th shard, so that parts are of one size wherever long clips lie."""

    number: int = 1
    """From 1."""
    count: int = 1

    @classmethod
    def parse(cls, text: str) -> Part:
        """Read ``I/N``.

        Raises
        ------
        UsageError
            Where it is not that, or there is no such part.
        """
        found = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text.strip(), re.ASCII)
        part = cls(int(found[1]), int(found[2])) if found else cls(0, 0)
        if not 1 <= part.number <= part.count:
            raise UsageError(
                f"--part is {text!r}; expected I/N with I from 1 to N, N below a million, such as 2/8"
            )
        return part

    def holds(self, shard: int) -> bool:
        """Tell whether the shard of this index, counted from 0, is of the part."""
        return shard % self.count == self.number - 1

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"


@dataclass(frozen=True, kw_only=True)
class ExtractionOptions(ReadingOptions, FaceOptions, IdentityOptions):
    """All that shapes the numbers, as a person types it."""

    video: tuple[str, ...] = ("vgg16",)
    """vgg16, cnn5, expression, torchvision:NAME, timm:NAME, hf:FOLDER, table:FILE or none; repeatable.

    hf:FOLDER is a network of transformers that lies on this machine (docs/encoders.md)."""
    audio: tuple[str, ...] = ("acoustic",)
    """acoustic, acoustic:emodb, bilstm, hf:FOLDER, table:FILE or none; repeat for more streams.

    hf:FOLDER is a network of transformers that lies on this machine; hf:FOLDER@6, @5-7 or @all chooses its layers
    (docs/encoders.md)."""
    video_weights: tuple[str, ...] = ()
    """imagenet, random:SEED or a file; once for each video encoder that has weights, in their order."""
    audio_weights: tuple[str, ...] = ()
    """imagenet, random:SEED or a file; once for each audio encoder that has weights, in their order."""
    context: Context = "clip"
    """What the row of a window of sound has heard, for hf: its whole clip, or the window alone."""
    scramble: Annotated[float, Interval(ge=SHORTEST_PIECE_S, le=LONGEST_PIECE_S)] | None = None
    """Cut the sound into pieces of so many seconds, in random order: a control for words."""
    rate: str = ""
    """Frames per second of table: arrays that have no times: 50, or video=25,audio=50."""
    confidence: Annotated[float, Interval(ge=0.0, le=1.0)] = LEAST_CONFIDENCE
    """Of OpenFace, 0 to 1: rows of tables below it hold no face and are masked."""
    decode: Speed = "exact"
    """exact; or fast: no loop filter, only reference frames, a third less time."""
    decoder: Decoder = "ffmpeg"
    """ffmpeg, a process per clip; pyav: inside the workers, a fifth less time; nvdec: by an NVIDIA GPU.

    Both need the extra fast, and leave clips that are damaged or unusual to ffmpeg (docs/speed.md)."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:N.

    For networks: it shapes nothing where there is none."""
    precision: Precision = "fp32"
    """fp32 or bf16."""
    ffmpeg: Path | None = None
    """The ffmpeg binary to use. Default: the one on PATH, else that of imageio-ffmpeg."""
    threads: Annotated[int, Ge(1)] | None = None
    """Threads of torch inside an operation; default: one, and a batch at a time on each core.

    So rows do not depend on how many cores there are. It is recorded in the provenance."""

    def __post_init__(self) -> None:
        require_valid(self)
        rates_of(self.rate)
        try:
            require_regions(self, self)
        except ValueError as error:
            raise UsageError(str(error)) from error

    def rate_hz(self, stream: str) -> float | None:
        """Return how many frames per second a stream's tables have; None where that is not said."""
        rates = rates_of(self.rate)
        return rates.get(stream, rates.get(""))

    @property
    def torch_threads(self) -> int:
        """Threads of torch inside an operation."""
        return self.threads or 1

    @property
    def batches(self) -> int:
        """Batches of frames that are encoded at a time on a CPU."""
        return 1 if self.threads else min(available_cores(), MOST_BATCHES)


@dataclass(frozen=True)
class RunOptions:
    """What `extract` does with the clips, none of which changes a number."""

    workers: Annotated[int, Ge(0)] = 0
    """Clips decoded in parallel; 0: one for each core."""
    executor: Executor = "local"
    """local, or ray: shards are made on the nodes of a Ray cluster, --workers cores of it (docs/cluster.md)."""
    ray_address: str | None = None
    """The cluster's address, such as 10.0.0.1:6379 or auto.

    Default: RAY_ADDRESS, else a cluster that is started on this machine for the run."""
    shard_size: Annotated[int, Interval(ge=1, le=LARGEST_SHARD)] = 32
    """Clips in a shard: what a killed run loses at most.

    It does shape the last digits: it decides which frames share a forward pass."""
    projection: ProjectionKind | None = None
    """auto: PCA fitted on train and turned, or a random Gaussian one where train has too few rows; pca-turned;
    pca: components as they are, which heads whiten; gaussian; none. Default: auto, or as in the cache at hand."""
    replace: bool = False
    """Put the new cache in the place of one made in another way."""
    verify_clips: bool = False
    """Read all clips and shards again to see whether their bytes changed."""
    retry_failed: bool = False
    """Try failed clips again."""
    keep_going: bool = False
    """Record clips that disappear while they are read as missing, even more than a fifth of a shard."""
    limit: Annotated[int, Ge(1)] | None = None
    """Only the first so many clips."""
    part: str | None = None
    """I/N: make only the shards of part I of N, on one of many machines; no cache is sealed.

    Parts may run at the same time, twice, and beside a whole run; the command without --part makes what is missing
    and seals (docs/cluster.md)."""
    region_debug: Path | None = None
    """A folder for annotated clips and a page, faces.html, of the first 40 utterances: whose face was chosen."""
    dry_run: bool = False
    """Say what would be made and how long it takes; write nothing."""

    def __post_init__(self) -> None:
        require_valid(self)
        if self.ray_address is not None and self.executor != RAY:
            raise UsageError(
                f"--ray-address {self.ray_address} is for --executor ray; found --executor {self.executor}"
            )
        if self.part is not None:
            Part.parse(self.part)
            if self.projection is not None:
                raise UsageError(
                    f"--part {self.part} makes shards, which hold rows before projection; give --projection "
                    f"{self.projection} to the run without --part, which seals the cache"
                )
            if self.region_debug is not None:
                raise UsageError(
                    f"--part {self.part} seals no cache, of which --region-debug shows the faces; give "
                    f"--region-debug {self.region_debug} to the run without --part"
                )

    @property
    def share(self) -> Part:
        """The part of the shards that the run makes; all of them where none is named."""
        return Part() if self.part is None else Part.parse(self.part)

    @property
    def cores(self) -> int:
        """Clips that are read at a time: one on each core unless `workers` says else."""
        return self.workers or available_cores()


@dataclass(frozen=True)
class ProjectOptions:
    """Where `project` brings the rows."""

    kind: ProjectionKind | None = None
    """auto, pca-turned, pca, gaussian or none (`extract --help` says what they are); default: as the cache was
    made, its principal components turned unless it was made with pca by name."""
    width: Annotated[int, Ge(1)] | None = None
    """Columns after projection."""
    streams: tuple[str, ...] = ()
    """Streams that get --width; default: all that have more."""
    seed: Annotated[int, Ge(0)] = 0
    """Of the rotation, and of the Gaussian projection."""
    shards: Path | None = None
    """Directory of the shards, if not next to the cache."""
    dry_run: bool = False
    """Say what would be done; write nothing."""

    def __post_init__(self) -> None:
        require_valid(self)


def rates_of(text: str) -> dict[str, float]:
    """Read ``--rate``: frames per second by stream, under an empty name where it is of all.

    Raises
    ------
    UsageError
        Where it can't be read.
    """
    found: dict[str, float] = {}
    for part in text.split(",") if text else ():
        stream, _, number = part.strip().rpartition("=")
        try:
            rate_hz = float(number)
        except ValueError:
            rate_hz = 0.0
        if stream not in ("", "video", "audio") or stream in found or not 0.01 <= rate_hz <= 100_000:
            raise UsageError(
                f"--rate {text!r}; expected frames per second, such as 50, or by stream: video=25,audio=50"
            )
        found[stream] = rate_hz
    return found
