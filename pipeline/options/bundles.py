"""What `export` and `predict` are asked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

from annotated_types import Ge
from dualstream.pipeline.options.general import INPUT, OUTPUT, RUNNING, DocumentOptions
from dualstream.pipeline.options.generate import Cli, OptionGroup

from dualstream.validation import validate

ANNOTATIONS = ("vtt", "srt", "elan", "textgrid", "audacity", "rttm")


@dataclass(frozen=True)
class ExportOptions:
    """What `export` is told beside run and bundle."""

    cache: Path | None = None
    """Where the run's cache is now, if it was moved.

    It must be the same one."""
    with_weights: tuple[Path, ...] = ()
    """A file of encoder weights to copy in; repeat for more.

    Which encoder each is of follows from its digest."""
    onnx: bool = False
    """The heads as ONNX too, checked against them to 1e-5."""
    replace: bool = False
    """Write over what exists."""


@dataclass(frozen=True, kw_only=True)
class ExportCommand(DocumentOptions):
    """Make a bundle of a run: heads, calibration, projections and recipe, all that `predict` needs."""

    EXAMPLE: ClassVar[str] = "export runs/concat_norm --out bundle --onnx"

    run: Annotated[Path, Cli(positional=True)]
    """A run folder that fit-head made."""
    out: Annotated[Path, Cli(panel=OUTPUT)]
    """The bundle to make, a folder."""
    export: Annotated[
        ExportOptions,
        OptionGroup(OUTPUT, panels={INPUT: ("cache",)}, cli={"with_weights": Cli(repeat=True)}),
    ] = ExportOptions()


@dataclass(frozen=True)
class PredictOptions:
    """What `predict` is told beside bundle and files."""

    root: Path | None = None
    """The folder that a manifest's paths start from; default: its own."""
    segments: str | None = None
    """Cut recordings: silence, a length in seconds, or a file: .vtt .srt .rttm .TextGrid .eaf .txt.

    None: a file is one utterance. FILE.TextGrid@TIER and FILE.eaf@TIER take one tier."""
    table: tuple[str, ...] = ()
    """New tables for a bundle over tables, instead of clips: video=FILE; once for each of its streams."""
    speaker: str = ""
    """Who speaks in files that no manifest says it of, for a bundle of speaker-normalised heads.

    Default: the manifest's speakers, else unknown: each clip by what training speakers were like."""
    speaker_per_file: bool = False
    """With --segments: each recording has one speaker, of its own."""
    timeline_s: float | None = None
    """Predict along each clip too, for stretches of so many seconds.

    None: 3 with a page, else none."""
    csv: Path | None = None
    """Write a table, one row per utterance."""
    page: Path | None = None
    """Write one HTML page: thumbnails and timelines."""
    vtt: Path | None = None
    """Write subtitles, WebVTT; of several recordings, name a folder. So with those below."""
    srt: Path | None = None
    """Write subtitles, SubRip."""
    elan: Path | None = None
    """Write tiers for ELAN, .eaf."""
    textgrid: Path | None = None
    """Write tiers for Praat, .TextGrid."""
    audacity: Path | None = None
    """Write labels for Audacity, .txt."""
    rttm: Path | None = None
    """Write a CSV table with RTTM's fields, an answer and its probability per line."""
    replace: bool = False
    """Write over what exists."""
    weights: tuple[Path, ...] = ()
    """A file of encoder weights (or the folder of an hf: encoder) that the bundle does not carry; repeatable."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""
    ffmpeg: Path | None = None
    """The ffmpeg binary to use."""
    workers: Annotated[int, Ge(1)] = 2
    """Clips decoded in parallel."""

    def __post_init__(self) -> None:
        validate(self)

    @property
    def annotations(self) -> dict[str, Path]:
        """Where files for annotation tools go, by the name of the option: those that are asked for."""
        places = {kind: getattr(self, kind) for kind in ANNOTATIONS}
        return {kind: place for kind, place in places.items() if place is not None}


@dataclass(frozen=True, kw_only=True)
class PredictCommand(DocumentOptions):
    """Say emotion and sentiment of clips, with calibrated probabilities; every file has an answer or a reason."""

    EXAMPLE: ClassVar[str] = "predict bundle clip.mp4 recordings/ --csv answers.csv --page answers.html"

    bundle: Annotated[Path, Cli(positional=True)]
    """A bundle that export made."""
    files: Annotated[tuple[Path, ...], Cli(positional=True, repeat=True)] = ()
    """Clips, folders (a.mp4 and a.wav there are one clip), manifests (.csv), recordings; -- before leading
    dashes."""
    predict: Annotated[
        PredictOptions,
        OptionGroup(
            RUNNING,
            panels={
                INPUT: ("root", "segments", "table", "speaker", "speaker_per_file", "weights"),
                OUTPUT: ("timeline_s", "csv", "page", *ANNOTATIONS, "replace"),
            },
            cli={"timeline_s": Cli(name="timeline"), "weights": Cli(repeat=True), "table": Cli(repeat=True)},
        ),
    ] = PredictOptions()
