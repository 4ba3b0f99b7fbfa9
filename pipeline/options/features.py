"""What `extract`, `project`, `inspect` and `train-encoder` are asked."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, ClassVar

from dualstream.heads import losses
from dualstream.pipeline.corpus.remote_root import RemoteRoot, clip_root
from dualstream.pipeline.encoder_training.options import SampleOptions, TrainOptions
from dualstream.pipeline.encoder_training.options import TrainingRunOptions as TrainingRunOptions
from dualstream.pipeline.extraction.options import ExtractionOptions, ProjectOptions, RunOptions
from dualstream.pipeline.options.general import INPUT, OUTPUT, RUNNING, DocumentOptions
from dualstream.pipeline.options.generate import Cli, OptionGroup

from dualstream.discovery import ENCODERS_GROUP, origins

READING = "Reading clips"
ENCODERS = "Encoders"
MACHINES = "Many machines"
FACES = "Faces"
FACE_FIELDS = (
    *("region", "face_detector", "face_weights", "speaker_scorer", "speaker_weights", "speaker_margin"),
    "speaker_alone",
    *("identity", "identity_embedder", "identity_weights"),
)
ENCODED = ("video", "audio", "video_weights", "audio_weights", "device", "precision", "threads")
READ_AS = {"window_s": Cli(name="window"), "hop_s": Cli(name="hop")}
ROOT = Cli(panel=INPUT, read=clip_root, show=str, metavar="PATH")
REPEATED = {name: Cli(repeat=True) for name in ("video", "audio", "video_weights", "audio_weights", "region")}


@dataclass(frozen=True, kw_only=True)
class ExtractCommand(DocumentOptions):
    """Make a cache: decode clips, encode windows of video and audio, project, seal. Goes on where it stopped."""

    EXAMPLE: ClassVar[str] = "extract data_manifest.csv --root data/emodb --video none --out cache.h5"

    manifest: Annotated[Path, Cli(positional=True)]
    """The manifest, such as data_manifest.csv."""
    root: Annotated[Path | RemoteRoot, ROOT] = Path(".")
    """The folder that the manifest's paths start from, or s3://, gs://, https:// (docs/cluster.md)."""
    out: Annotated[Path, Cli(panel=OUTPUT)] = Path("cache.h5")
    """The cache to make."""
    features: Annotated[
        ExtractionOptions,
        OptionGroup(READING, panels={ENCODERS: ENCODED, FACES: FACE_FIELDS}, cli={**READ_AS, **REPEATED}),
    ] = field(default_factory=ExtractionOptions)
    run: Annotated[
        RunOptions,
        OptionGroup(
            RUNNING,
            panels={
                INPUT: ("limit",),
                OUTPUT: ("projection", "region_debug", "replace"),
                MACHINES: ("executor", "ray_address", "part"),
            },
        ),
    ] = field(default_factory=RunOptions)

    @classmethod
    def listing(cls) -> tuple[str, list[str]]:
        """Return the encoders that other installed packages bring."""
        return "Encoders of installed packages", [words for words, _ in origins(ENCODERS_GROUP)]


@dataclass(frozen=True, kw_only=True)
class ProjectCommand(DocumentOptions):
    """Fit the projection again, from the shards: another width or kind without touching a clip."""

    EXAMPLE: ClassVar[str] = "project cache.h5 --width 50 --stream vgg16 --out narrow.h5"

    cache: Annotated[Path, Cli(positional=True)]
    """The cache that extract made, such as cache.h5."""
    out: Annotated[Path | None, Cli(panel=OUTPUT)] = None
    """Another cache to write; default: in place."""
    projection: Annotated[
        ProjectOptions,
        OptionGroup(
            "Projection",
            panels={INPUT: ("shards",), RUNNING: ("dry_run",)},
            cli={"streams": Cli(name="stream", repeat=True)},
        ),
    ] = field(default_factory=ProjectOptions)


@dataclass(frozen=True, kw_only=True)
class InspectCommand(DocumentOptions):
    """Say what a cache holds, how it was made, what is masked, what looks unhealthy, and how labels fall."""

    EXAMPLE: ClassVar[str] = "inspect cache.h5 --verify"

    cache: Annotated[Path, Cli(positional=True)]
    """The cache that extract made, such as cache.h5."""
    verify: Annotated[bool, Cli(panel=RUNNING)] = False
    """Check the recipe, the rows and the shards too; 13 where damaged."""


@dataclass(frozen=True, kw_only=True)
class TrainEncoderCommand(DocumentOptions):
    """Train an encoder on a corpus, for extract to use frozen. Goes on from its checkpoint where it was killed."""

    EXAMPLE: ClassVar[str] = "train-encoder data_manifest.csv --root data/emodb --encoder bilstm"

    manifest: Annotated[Path, Cli(positional=True)]
    """The manifest, such as data_manifest.csv."""
    root: Annotated[Path, Cli(panel=INPUT)] = Path(".")
    """The folder that the manifest's paths start from."""
    out: Annotated[Path, Cli(panel=OUTPUT)] = Path("weights.safetensors")
    """The weights file to write, .safetensors."""
    samples: Annotated[
        SampleOptions,
        OptionGroup(READING, panels={ENCODERS: ("encoder", "weights")}, cli=READ_AS, without=("max_clip_s",)),
    ]
    training: Annotated[TrainOptions, OptionGroup("Training", cli={"loss": Cli(known=losses.names)})] = field(
        default_factory=TrainOptions
    )
    run: Annotated[
        TrainingRunOptions,
        OptionGroup(
            RUNNING,
            panels={OUTPUT: ("licence", "replace"), INPUT: ("samples",)},
            without=("checkpoint_s",),
        ),
    ] = field(default_factory=TrainingRunOptions)
