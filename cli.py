"""dualstream's command line: words to options. Each command imports its step when it runs."""

from __future__ import annotations

import functools
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, TypeVar

import typer

if TYPE_CHECKING:
    pass

app = typer.Typer(
    name="dualstream",
    help="Clips of people talking into emotion and sentiment: extract features once, fit heads in seconds.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

F = TypeVar("F", bound=Callable[..., Any])


def command(name: str) -> Callable[[F], F]:
    """Register a command whose failures become one line on standard error and an exit status."""

    def add(function: F) -> F:
        @functools.wraps(function)
        def guarded(*args: Any, **kwargs: Any) -> None:
            from pipeline.errors import DualstreamError

            signal.signal(signal.SIGTERM, _raise_interrupt)
            try:
                status = function(*args, **kwargs)
            except DualstreamError as error:
                _fail(error, error.exit_status)
            except KeyboardInterrupt:
                print("interrupted", file=sys.stderr)
                raise typer.Exit(130) from None
            except BrokenPipeError:
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
                raise typer.Exit(1) from None
            except (OSError, ValueError) as error:
                if os.environ.get("DUALSTREAM_TRACEBACK"):
                    raise
                _fail(error, 1)
            raise typer.Exit(status or 0)

        app.command(name)(guarded)
        return function

    return add


def emit(document: Any, as_json: bool, render: Callable[[], None]) -> None:
    """Print one JSON document on standard output, or let `render` print for a person."""
    if as_json:
        print(json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False))
    else:
        render()


def _raise_interrupt(signum: int, frame: Any) -> NoReturn:
    raise KeyboardInterrupt


def _fail(error: BaseException, status: int) -> NoReturn:
    lines = [f"error: {error}", *getattr(error, "__notes__", [])]
    print("\n".join(lines), file=sys.stderr)
    raise typer.Exit(status) from error


JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document on standard output.")]
ManifestArgument = Annotated[Path, typer.Argument(help="The manifest, such as data_manifest.csv.")]
CacheArgument = Annotated[Path, typer.Argument(help="The cache that extract made, such as cache.h5.")]
RootOption = Annotated[Path, typer.Option("--root", help="The folder that the manifest's paths start from.")]


# Stage 1: media to cache.


# Stage 2: cache to decisions.


if __name__ == "__main__":
    app()
