"""Options of every command, and how the fields that several commands have appear on the command line."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

from dualstream.pipeline.options import parse
from dualstream.pipeline.options.generate import Cli, Preset

from dualstream.validation import validate

INPUT, OUTPUT, RUNNING, COMMON = "Input", "Output", "Running", "Common"

STREAMS = Cli(read=parse.streams, show=parse.streams_text, panel=INPUT)


@dataclass(frozen=True, kw_only=True)
class CommandOptions:
    """What every command takes."""

    EXAMPLE: ClassVar[str]
    """A command line, without the program's name."""

    config: Annotated[Path | None, Cli(preset=Preset.CONFIG, panel=COMMON)] = None
    """A TOML file whose keys are names of options, such as epochs = 20; the command line wins."""
    quiet: Annotated[bool, Cli(short="q", panel=COMMON)] = False
    """No progress and no notes on standard error."""
    verbose: Annotated[int, Cli(short="v", count=True, panel=COMMON)] = 0
    """Log what is done on standard error; -vv in more detail."""

    def __post_init__(self) -> None:
        validate(self)

    @classmethod
    def listing(cls) -> tuple[str, list[str]]:
        """Return a title, and what the help lists under it; it is called when help is asked for."""
        return "", []


@dataclass(frozen=True, kw_only=True)
class DocumentOptions(CommandOptions):
    """What a command takes whose answer is a document."""

    as_json: Annotated[bool, Cli(name="json", panel=OUTPUT)] = False
    """Print one JSON document on standard output."""
