"""What `convert` is asked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from annotated_types import Interval
from dualstream.pipeline.options.general import INPUT, OUTPUT, DocumentOptions
from dualstream.pipeline.options.generate import Cli, OptionGroup

from dualstream.validation import validate

ExchangeKind = Literal["parquet", "arrow", "csd", "npy", "mmsa"]


@dataclass(frozen=True)
class ConvertOptions:
    """How a cache becomes something else, or something else a cache."""

    to: ExchangeKind | None = None
    """The format that a cache is converted to."""
    run: Path | None = None
    """A run whose predictions go along, each with its probabilities."""
    manifest: Path | None = None
    """For csd of whole videos: the manifest whose spans they are cut to."""
    rate: Annotated[float, Interval(ge=0.01, le=100_000.0)] | None = None
    """For mmsa: frames per second; without it each utterance is the mean of its frames."""
    replace: bool = False
    """Write over what exists."""

    def __post_init__(self) -> None:
        validate(self)


@dataclass(frozen=True, kw_only=True)
class ConvertCommand(DocumentOptions):
    """Bring a cache into a format that others read, or what others made into a cache."""

    EXAMPLE: ClassVar[str] = "convert cache.h5 --to parquet --out tables"

    source: Annotated[tuple[Path, ...], Cli(positional=True, repeat=True)]
    """A cache (or a folder that convert made); or a format, mmsa or csd, and a file of it."""
    out: Annotated[Path, Cli(panel=OUTPUT)]
    """What to write: a folder, of mmsa a file; or a cache."""
    convert: Annotated[ConvertOptions, OptionGroup(OUTPUT, panels={INPUT: ("run", "manifest", "rate")})] = (
        ConvertOptions()
    )
