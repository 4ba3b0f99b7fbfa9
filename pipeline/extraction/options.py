"""Options of extraction and projection: plain values, which the command line shows without importing NumPy."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from annotated_types import Ge, Interval
from dualstream.features.options import (
    LONGEST_PIECE_S,
    SHORTEST_PIECE_S,
    Context,
    Decoder,
    FaceOptions,
    Precision,
    ReadingOptions,
    Speed,
)
from dualstream.pipeline.errors import require_valid

from dualstream.cores import available_cores

ProjectionKind = Literal["auto", "pca-turned", "pca", "gaussian", "none"]
Executor = Literal["local", "ray"]
LOCAL: Executor = "local"
RAY: Executor = "ray"
MOST_BATCHES = 8  # encoded at a time on a CPU: one of VGG-16 holds 0.4 GB
LARGEST_SHARD = 256  # clips


@dataclass(frozen=True, kw_only=True)
class ExtractionOptions(ReadingOptions, FaceOptions):
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
    decode: Speed = "exact"
    """exact; or fast: no loop filter, only reference frames, a third less time."""
    decoder: Decoder = "ffmpeg"
    """ffmpeg, a process per clip; or pyav: decoded inside the workers, a fifth less time (extra fast).

    Clips that are damaged or unusual are left to ffmpeg either way (docs/speed.md)."""
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
    """local, or ray: one shard per task."""
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
    region_debug: Path | None = None
    """A folder for annotated clips and a page, faces.html, of the first 40 utterances: whose face was chosen."""
    dry_run: bool = False
    """Say what would be made and how long it takes; write nothing."""

    def __post_init__(self) -> None:
        require_valid(self)


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
