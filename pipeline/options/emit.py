"""What a command gives back, and the two ways of saying it: one JSON document, or text for a person."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar

import typer
from dualstream.pipeline.errors import DualstreamError
from dualstream.pipeline.options.output import lost_output, speaks_unicode

from dualstream.documents import Document


@dataclass(frozen=True)
class CommandResult:
    """What a command has to say, and how it ended."""

    document: Document | None
    """What ``--json`` prints; None where all was said before."""
    render: Callable[[], None]
    """Prints the document for a person."""
    exit_status: int = 0


class Notices:
    """Notes beside the result, on standard error."""

    quiet: ClassVar[bool] = False

    @classmethod
    @contextmanager
    def silenced(cls, quiet: bool) -> Iterator[None]:
        """Have `notice` say nothing within the block, where `quiet`."""
        before, cls.quiet = cls.quiet, quiet
        try:
            yield
        finally:
            cls.quiet = before


def text_result(document: Document, text: str, exit_status: int = 0) -> CommandResult:
    """Return a result whose text is printed as it is."""
    return CommandResult(document, lambda: typer.echo(text), exit_status)


def said_before(exit_status: int = 0) -> CommandResult:
    """Return the result of a command that emitted its document itself."""
    return CommandResult(None, lambda: None, exit_status)


def emit(document: Document | None, as_json: bool, render: Callable[[], None]) -> None:
    """Print one JSON document on standard output, or let `render` print for a person.

    Raises
    ------
    DualstreamError
        Where the document could not be written: a person can look again, a program must know.
    """
    if not as_json:
        render()
        return
    assert document is not None and document.FORMAT, "what is printed has a format and a version"
    values = document.stamped()
    typer.echo(json.dumps(values, indent=2, ensure_ascii=not speaks_unicode(), allow_nan=False))
    if lost := lost_output():
        raise DualstreamError(f"the JSON document could not be written to standard output: {lost}")


def notice(text: str) -> None:
    """Say something beside the result, on standard error."""
    if not Notices.quiet:
        typer.echo(f"note: {text}", err=True)
