"""What `fit-head`, `compare`, `evaluate`, `report` and `diagnose` are asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, ClassVar

from annotated_types import Ge
from dualstream.heads import balances, losses
from dualstream.heads.diagnosis.options import DiagnosisOptions
from dualstream.heads.variants.names import variant_names
from dualstream.heads.variants.options import FitOptions, Task
from dualstream.pipeline.experiments.options import ProtocolOptions, Scored
from dualstream.pipeline.options import parse
from dualstream.pipeline.options.general import INPUT, OUTPUT, RUNNING, STREAMS, DocumentOptions
from dualstream.pipeline.options.generate import Cli, OptionGroup, Preset

LONGEST_SHIFT_S = 600.0  # of one stream against another; recordings that are further apart are no pair
PROTOCOL, TRAINING, LOSS = "Protocol", "Training", "Loss"
PROTOCOL_PANELS = {
    INPUT: ("streams", "speaker_norm"),
    OUTPUT: ("replace", "report", "tensorboard"),
    RUNNING: ("workers",),
}
FIT_PANELS = {
    LOSS: (
        *("loss", "adjustment", "focal_gamma", "resample", "task_balance", "sentiment_weight"),
        *("balance", "balance_strength"),
    ),
    "Model": ("hidden", "dropout", "penalty", "max_windows", "layers", "parameters"),
    RUNNING: ("threads",),
}
FIT_AS = {
    "seeds": Cli(read=parse.seeds, show=len, write=parse.seeds_count),
    "tasks": Cli(read=parse.tasks, show=",".join),
    "loss": Cli(known=losses.names),
    "balance": Cli(known=balances.names),
    "resample": Cli(negatable=True),
    "parameters": Cli(name="set", repeat=True, read=parse.parameters, write=parse.settings),
}


@dataclass(frozen=True, kw_only=True)
class FitHeadOptions(ProtocolOptions):
    """What `fit-head` is told beside how to fit."""

    replace: bool = False
    """Write over what exists.

    The test log of a run goes on."""
    report: bool = True
    """Draw report.html and figures."""
    tensorboard: Path | None = None
    """Folder for event files."""


@dataclass(frozen=True, kw_only=True)
class FitHeadCommand(DocumentOptions):
    """Fit an emotion and a sentiment head on train, over several seeds, and score them on dev."""

    EXAMPLE: ClassVar[str] = "fit-head cache.h5 --fusion concat_norm --seeds 3 --out runs/first"

    cache: Annotated[Path, Cli(positional=True)]
    """The cache that extract made, such as cache.h5."""
    fusion: Annotated[str, Cli(panel=PROTOCOL)]
    """The variant to fit, such as concat_norm or auto: docs/heads.md tells them apart."""
    like: Annotated[Path | None, Cli(preset=Preset.LIKE, panel=INPUT)] = None
    """A run whose cache, variant and options are taken; what else is given wins."""
    out: Annotated[Path | None, Cli(panel=OUTPUT)] = None
    """The run folder; default runs/FUSION."""
    protocol: Annotated[
        FitHeadOptions,
        OptionGroup(
            PROTOCOL,
            panels=PROTOCOL_PANELS,
            cli={"streams": STREAMS},
            groups={"answering": OptionGroup(PROTOCOL)},
        ),
    ] = FitHeadOptions()
    fit: Annotated[FitOptions, OptionGroup(TRAINING, panels=FIT_PANELS, cli=FIT_AS)] = field(
        default_factory=FitOptions
    )
    dry_run: Annotated[bool, Cli(panel=RUNNING)] = False
    """Say what would be done."""

    @classmethod
    def listing(cls) -> tuple[str, list[str]]:
        """Return the names of the variants."""
        return "Variants", [", ".join(variant_names())]


@dataclass(frozen=True, kw_only=True)
class CompareOptions(ProtocolOptions):
    """What `compare` is told beside how to fit."""

    fusions: Sequence[str] | None = None
    """Variants by name, comma-separated, or all; single streams are always included."""
    replace: bool = False
    """Write over what exists."""
    report: bool = True
    """Draw report.html and figures."""
    workers: Annotated[int, Ge(1)] | None = None
    """Variants fitted at a time, in processes of their own; default: one per core where train is large.

    The calling program must be importable, as `multiprocessing` asks of it."""
    end_to_end: tuple[Path, ...] = ()
    """A weights file of train-encoder: its own heads' predictions for dev are a row; repeat for more.

    Files that differ only in the seed of their training share a row."""


@dataclass(frozen=True, kw_only=True)
class CompareCommand(DocumentOptions):
    """Fit every variant on the same utterances: one table, paired tests against the best single stream, time."""

    EXAMPLE: ClassVar[str] = "compare cache.h5 --fusions concat,late,linear --folds speaker:5"

    cache: Annotated[Path, Cli(positional=True)]
    """The cache that extract made, such as cache.h5."""
    like: Annotated[Path | None, Cli(preset=Preset.LIKE, panel=INPUT)] = None
    """A run or a comparison whose options are taken; what else is given wins."""
    out: Annotated[Path, Cli(panel=OUTPUT)] = Path("runs/compare")
    """Folder for compare.json, page and figures."""
    protocol: Annotated[
        CompareOptions,
        OptionGroup(
            PROTOCOL,
            panels=PROTOCOL_PANELS,
            cli={
                "streams": STREAMS,
                "fusions": Cli(read=parse.fusions, show=parse.fusions_text),
                "end_to_end": Cli(repeat=True),
            },
            groups={"answering": OptionGroup(PROTOCOL)},
        ),
    ] = field(default_factory=CompareOptions)
    fit: Annotated[FitOptions, OptionGroup(TRAINING, panels=FIT_PANELS, cli=FIT_AS)] = field(
        default_factory=FitOptions
    )
    dry_run: Annotated[bool, Cli(panel=RUNNING)] = False
    """Say what would be fitted; write nothing."""

    @classmethod
    def listing(cls) -> tuple[str, list[str]]:
        """Return the names of the variants."""
        return "Variants", [", ".join(variant_names())]


@dataclass(frozen=True, kw_only=True)
class EvaluateCommand(DocumentOptions):
    """Score a run on the test split, and write down that it was looked at."""

    EXAMPLE: ClassVar[str] = "evaluate runs/concat_norm"

    run: Annotated[Path, Cli(positional=True)]
    """A run folder that fit-head made."""
    split: Annotated[str, Cli(panel=INPUT)] = "test"
    """The split to score; test is logged."""
    cache: Annotated[Path | None, Cli(panel=INPUT)] = None
    """Another cache than the one that the run was fitted on."""
    streams: Annotated[Mapping[str, str], STREAMS] = field(default_factory=dict)
    """Streams to join: NAME,NAME,... or video=NAME,audio=NAME; default: as in the run."""
    scored: Annotated[str | None, Cli(panel=INPUT)] = None
    """all or present, as fit-head has it; default: as in the run."""
    errors: Annotated[bool, Cli(panel=OUTPUT)] = False
    """Leave an error browser in the run folder: what each stream said for or against the label of each utterance.

    errors_SPLIT_TASK.html and .csv; each model predicts the split some 75 times more."""


@dataclass(frozen=True, kw_only=True)
class ReportCommand(DocumentOptions):
    """Draw one self-contained page, and the figures as PNG and PDF; write the score tables for a paper."""

    EXAMPLE: ClassVar[str] = "report runs/concat_norm runs/late --out runs/both"

    run: Annotated[tuple[Path, ...], Cli(positional=True, repeat=True)]
    """Run folders, or a folder that compare made."""
    out: Annotated[Path | None, Cli(panel=OUTPUT)] = None
    """Folder to write into; default: the run's own."""
    table: Annotated[tuple[Path, ...], Cli(panel=OUTPUT, repeat=True)] = ()
    """The score tables as a file too: .csv, .md or .tex."""


@dataclass(frozen=True)
class DiagnoseOptions:
    """What is diagnosed."""

    diagnosis: Annotated[
        DiagnosisOptions,
        OptionGroup(
            "Diagnosis",
            without=("task", "hop_s", "interventions", "sample", "seed"),
            cli={"max_shift_s": Cli(name="max-shift")},
            groups={
                "fit": OptionGroup(
                    TRAINING,
                    panels=FIT_PANELS,
                    cli=FIT_AS,
                    without=("tasks", "task_balance", "sentiment_weight", "decoding", "layers"),
                )
            },
        ),
    ] = field(default_factory=DiagnosisOptions)
    any_task: bool = False
    """Take the other task where train and dev have no label of `diagnosis.task`."""
    streams: Mapping[str, str] = field(default_factory=dict)
    """Streams to join, two to five: NAME,NAME,... or video=NAME,audio=NAME; default: video and audio."""
    speaker_norm: bool = False
    """Normalise each speaker by its own unlabelled utterances, drawn towards training speakers (transductive)."""
    scored: Scored = ProtocolOptions.scored
    """all: utterances without features are scored too, answered by the prior; present: they are left out."""
    against: Path | None = None
    """Another cache of the same clips: its gain is measured too."""
    manifest: Path | None = None
    """The corpus's manifest: errors.html then shows a picture of the utterances that a stream misled most."""
    root: Path | None = None
    """The folder that the manifest's paths start from; default: its own."""

    def __post_init__(self) -> None:
        shift_s = self.diagnosis.max_shift_s
        if not shift_s <= LONGEST_SHIFT_S:
            raise ValueError(f"--max-shift {shift_s:g}; expected {LONGEST_SHIFT_S:g} s at most")


@dataclass(frozen=True, kw_only=True)
class DiagnoseCommand(DocumentOptions):
    """Say why joining the streams fails, with evidence, and what fixes it."""

    EXAMPLE: ClassVar[str] = "diagnose cache.h5 --fusion concat --out runs/diagnosis"

    cache: Annotated[Path, Cli(positional=True)]
    """The cache that extract made, such as cache.h5."""
    task: Annotated[Task | None, Cli(panel="Diagnosis")] = None
    """emotion or sentiment; default: the first that has labels."""
    diagnose: Annotated[
        DiagnoseOptions,
        OptionGroup(
            INPUT,
            panels={"Diagnosis": ("scored",)},
            without=("any_task",),
            cli={"streams": STREAMS},
        ),
    ] = field(default_factory=DiagnoseOptions)
    out: Annotated[Path, Cli(panel=OUTPUT)] = Path("runs/diagnosis")
    """Folder for diagnosis.json, page and figures."""
