"""What `manifest`, `check` and `demo` are asked."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from annotated_types import Ge
from dualstream.features.options import FaceOptions
from dualstream.pipeline.corpus import importers
from dualstream.pipeline.corpus.from_paths import PathPatterns
from dualstream.pipeline.corpus.remote_root import RemoteRoot, clip_root
from dualstream.pipeline.errors import UsageError, require_valid
from dualstream.pipeline.options import parse
from dualstream.pipeline.options.general import INPUT, OUTPUT, RUNNING, CommandOptions, DocumentOptions
from dualstream.pipeline.options.generate import Cli, OptionGroup

from dualstream.validation import validate

SentimentRule = Literal["from-emotion", "none"]


@dataclass(frozen=True)
class ManifestOptions:
    """How a corpus's rows become a manifest's."""

    dev_speakers: Annotated[tuple[str, ...], Cli(read=parse.distinct_names, show=",".join)] = ()
    """Speakers of the dev split, such as 13,14; for corpora without splits."""
    test_speakers: Annotated[tuple[str, ...], Cli(read=parse.distinct_names, show=",".join)] = ()
    """Speakers of the test split, such as 15,16; for corpora without splits."""
    drop: Annotated[tuple[str, ...], Cli(read=parse.distinct_names, show=",".join)] = ()
    """Emotions to leave out, such as calm."""
    sentiment: SentimentRule = "from-emotion"
    """Where a corpus labels only emotions: from-emotion (joy and excitement are positive; neutral, surprise and
    calm neutral; anger, disgust, fear, sadness, boredom, frustration and contempt negative; others none), or
    none."""
    speaker_from: str = ""
    """A regular expression whose first group is the speaker, searched in each path, such as '^([^_/]+)_'."""
    dialogue_from: str = ""
    """A regular expression whose first group is the dialogue, searched in each path."""
    split_from: str = ""
    """A regular expression whose first group is train, dev or test, searched in each path."""

    @property
    def patterns(self) -> PathPatterns:
        """What is read off the paths."""
        return PathPatterns(self.speaker_from, self.dialogue_from, self.split_from)

    def __post_init__(self) -> None:
        validate(self)
        both = sorted(set(self.dev_speakers) & set(self.test_speakers))
        if both:
            raise UsageError(f"speakers {', '.join(both)} are named for dev and for test; expected one split each")


@dataclass(frozen=True, kw_only=True)
class ManifestCommand(DocumentOptions):
    """Make the manifest of a corpus: one row per utterance; what is left out is counted and listed.

    A folder's video and audio of one name (a.mp4, a.wav) are one utterance, with a column sound.
    """

    EXAMPLE: ClassVar[str] = "manifest emodb data/emodb --dev-speakers 03,08 --test-speakers 09,10"

    corpus: Annotated[str, Cli(positional=True)]
    """Name of its importer, listed below; folder: one folder per class."""
    root: Annotated[Path | RemoteRoot, Cli(positional=True, read=clip_root)]
    """The folder that holds the corpus."""
    out: Annotated[Path, Cli(panel=OUTPUT)] = Path("data_manifest.csv")
    """The manifest to write."""
    rows: Annotated[ManifestOptions, OptionGroup("Rows")] = ManifestOptions()
    replace: Annotated[bool, Cli(panel=OUTPUT)] = False
    """Write over a manifest that differs."""
    dry_run: Annotated[bool, Cli(panel=RUNNING)] = False
    """Say what would be written."""

    @classmethod
    def listing(cls) -> tuple[str, list[str]]:
        """Return the importers."""
        return "Importers", [f"{name}: {importers.summary(name)}" for name in importers.names()]


@dataclass(frozen=True)
class CheckOptions:
    """How closely the doctor looks."""

    media: bool = True
    """Open the clips, or check only the table."""
    sound: bool = True
    """Decode the audio, to find silent and clipped clips."""
    faces: bool = False
    """Look for faces as extract --region speaker does: who has none, and whose speaker is undecided."""
    strict: bool = False
    """End with status 1 where anything is an error."""
    workers: Annotated[int, Ge(1)] = 2
    """Clips examined in parallel."""
    ffmpeg: str | None = None
    """The ffmpeg to run.

    None: the one on PATH, else the one that imageio-ffmpeg brings."""

    def __post_init__(self) -> None:
        require_valid(self)


@dataclass(frozen=True, kw_only=True)
class CheckCommand(DocumentOptions):
    """Examine a corpus, the data doctor: what is wrong with it, and what that means for the results."""

    EXAMPLE: ClassVar[str] = "check data_manifest.csv --root data/emodb"

    manifest: Annotated[Path, Cli(positional=True)]
    """The manifest, such as data_manifest.csv."""
    root: Annotated[Path | RemoteRoot | None, Cli(panel=INPUT, read=clip_root, metavar="PATH")] = None
    """The folder that the manifest's paths start from, or s3://, gs://, https://."""
    check: Annotated[
        CheckOptions, OptionGroup("Checks", panels={RUNNING: ("workers", "ffmpeg"), OUTPUT: ("strict",)})
    ] = CheckOptions()
    face: Annotated[FaceOptions, OptionGroup("Faces", without=("region",))] = field(default_factory=FaceOptions)


@dataclass(frozen=True)
class DemoOptions:
    """How large the demo is."""

    dialogues: int = 30
    """Dialogues of seven clips each, 9 or more.

    Four in six are for training."""
    seed: Annotated[int, Ge(0)] = 0
    """Of all that is drawn."""
    workers: Annotated[int, Ge(1)] = 2
    """Clips drawn in parallel."""

    def __post_init__(self) -> None:
        validate(self)


@dataclass(frozen=True, kw_only=True)
class DemoCommand(CommandOptions):
    """Do the whole job on a small synthetic corpus that is made on the spot."""

    EXAMPLE: ClassVar[str] = "demo --out demo"

    out: Annotated[Path, Cli(panel=OUTPUT)] = Path("demo")
    """The folder to make the corpus and its results in."""
    corpus: Annotated[DemoOptions, OptionGroup("Corpus", panels={RUNNING: ("workers",)})] = DemoOptions()
