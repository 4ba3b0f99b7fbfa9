"""What `weights` is asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from dualstream.pipeline.errors import UsageError
from dualstream.pipeline.options.general import DocumentOptions
from dualstream.pipeline.options.generate import Cli

Action = Literal["list", "get"]


@dataclass(frozen=True, kw_only=True)
class WeightsCommand(DocumentOptions):
    """List published weights, or fetch some: the one command that downloads, and only when it is typed."""

    EXAMPLE: ClassVar[str] = "weights get expression"

    action: Annotated[Action, Cli(positional=True)]
    """list, or get."""
    name: Annotated[str, Cli(positional=True)] = ""
    """What to get: a name of the list, torchvision:NAME, or OWNER/MODEL of huggingface.co."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.action == "get") != bool(self.name):
            raise UsageError("expected `weights list`, or `weights get NAME`")
