"""Commands of a Typer app: a failure is one line and an exit status, a result one JSON document or text."""

from __future__ import annotations

import contextlib
import functools
import importlib
import inspect
import logging
import os
import platform
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar

import typer
from dualstream.pipeline.corpus.addresses import with_shown_addresses
from dualstream.pipeline.errors import DualstreamError, UsageError
from dualstream.pipeline.memory import MemoryShortageError, shortage_words
from dualstream.pipeline.options.emit import CommandResult, Notices, emit
from dualstream.pipeline.options.general import CommandOptions
from dualstream.pipeline.options.generate import Preset, build, options_of, parameters_of
from dualstream.pipeline.options.help import help_of
from dualstream.pipeline.options.output import lost_output, steady_output
from typer.core import TyperCommand

from dualstream.cores import one_blas_thread
from dualstream.signals import ENDING, INTERRUPTED
from dualstream.version import __version__

log = logging.getLogger(__name__)

LEVELS = (logging.WARNING, logging.INFO, logging.DEBUG)  # by the number of -v
LOG_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


@dataclass(frozen=True)
class Command:
    """One command: its name, what it is asked, and who does it."""

    name: str
    options: type[CommandOptions]
    module: str
    """Its function ``run(options) -> CommandResult`` is the command; it is imported when the command runs."""

    def run(self, options: CommandOptions) -> CommandResult:
        """Do it."""
        result: CommandResult = importlib.import_module(self.module).run(options)
        return result


During = Callable[[str, bool], AbstractContextManager[Any]]


class App(typer.Typer):
    """A Typer app whose output can never end it, ``--help`` included."""

    def __call__(self, *args: Any, **more: Any) -> Any:
        """Run the command that the process was started with."""
        with steady_output():
            return super().__call__(*args, **more)


class HelpfulCommand(TyperCommand):
    """A command whose help is made from its options, and whose defaults a file may give."""

    asked: ClassVar[type[CommandOptions]]

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help."""
        formatter.write(help_of(self.asked, ctx.command_path))

    def make_context(self, *args: Any, **more: Any) -> Any:
        """Read the command line; a file of defaults that is refused ends the command as a failure in it would."""
        typed = _typed(args, more)  # before it is read, which takes words away
        try:
            refuse_unset(typed, self.asked)
            return super().make_context(*args, **more)
        except DualstreamError as error:
            raise typer.Exit(_failed(str(error), error.exit_status)) from error
        except typer.BadParameter as error:
            kept = (error.ctx and error.ctx.default_map) or {}
            error.message = in_plain_words(error.message, error.param, typed, self.asked, kept)
            raise

    def take(self, ctx: Any, kind: Preset, path: Any) -> None:
        """Take the defaults of options from a file."""
        from dualstream.pipeline.options.preset import preset

        found: dict[Preset, dict[str, Any]] = ctx.meta.setdefault(__name__, {})
        found[kind] = preset(self.asked, kind, path)
        ctx.default_map = {key: value for one in sorted(found) for key, value in found[one].items()}


def refuse_unset(typed: Sequence[str], asked: type) -> None:
    """Refuse empty words, which variables that are not set leave, and ``-`` in the place of a file.

    Raises
    ------
    UsageError
        Names the option, or that it is an argument.
    """
    files = {name for one in options_of(asked) if one.metavar == "PATH" for name in one.spelled}
    after = ["", *typed]
    for before, word in pairwise(after):
        name, equals, value = word.partition("=") if word.startswith("--") else (before, "", word)
        given = name if name.startswith("-") and name != "-" else "an argument"
        if value == "" and (equals or not word):
            raise UsageError(f"{given} is empty; give a value, or leave it out (is a shell variable unset?)")
        if value == "-" and (given in files or not before.startswith("-")):
            raise UsageError(
                f"{given} is -; standard input and output can't stand for files here, which are read and "
                "replaced as a whole: name a file"
            )


def in_plain_words(
    message: str, parameter: Any, typed: Sequence[str], asked: type, kept: Mapping[str, Any]
) -> str:
    """Return what is said against the value of an option: what was found, and what was expected.

    Parameters
    ----------
    message
        What the validation of types says: that it is no number, or where the bounds lie, and not what it is.
    parameter
        The option, as the parser knows it.
    typed
        All words of the command.
    asked
        The command's options.
    kept
        Values by parameter name that a file gave.
    """
    option = next((one for one in options_of(asked) if one.key == getattr(parameter, "name", None)), None)
    if option is None or not message.startswith("Input should be "):
        return message
    kinds = {"valid integer": "a whole number", "valid number": "a number"}
    bounds = None if option.bounds is None else str(option.bounds)
    expected = next((words for sign, words in kinds.items() if sign in message), bounds)
    values = [after for one, after in pairwise(typed) if one in option.spelled]
    values += [one.partition("=")[2] for one in typed if one.partition("=")[0] in option.spelled and "=" in one]
    found = f"{values[-1]!r}" if values else f"{kept[option.key]!r} in the file" if option.key in kept else None
    return message if expected is None or found is None else f"found {found}; expected {expected}"


def _typed(args: Sequence[Any], more: Mapping[str, Any]) -> list[str]:
    return list(more.get("args", args[1] if len(args) > 1 else ()))


def add_command(app: typer.Typer, command: Command, during: During) -> None:
    """Make a command one of the app's.

    It runs inside the context that `during` gives for its name, and for whether it is to be quiet.
    """

    def called(**values: Any) -> None:
        with steady_output():
            raise typer.Exit(_status(functools.partial(_carried_out, command, values, during)))

    called.__signature__ = inspect.Signature(parameters_of(command.options))  # type: ignore[attr-defined]
    called.__annotations__ = {one.name: one.annotation for one in parameters_of(command.options)}
    called.__doc__ = command.options.__doc__
    made = type("HelpfulCommand", (HelpfulCommand,), {"asked": command.options})
    app.command(command.name, cls=made)(called)


def _carried_out(command: Command, values: dict[str, Any], during: During) -> int:
    """Run a command and say what it gave; return the exit status."""
    options = build(command.options, values)
    quiet = options.quiet
    with _logging(options.verbose), Notices.silenced(quiet), during(command.name, quiet), one_blas_thread():
        log.debug("dualstream %s, Python %s, in %s", __version__, platform.python_version(), os.getcwd())
        log.info("%s: %s", command.name, with_shown_addresses(str(options)))
        result = command.run(options)
        if result.document is not None:
            emit(result.document, getattr(options, "as_json", False), result.render)
        log.info("%s: ends with status %d", command.name, result.exit_status)
    return result.exit_status


@contextlib.contextmanager
def _logging(verbose: int) -> Iterator[None]:
    """Have the library's log on standard error within the block, where it is asked for."""
    if not verbose:
        yield
        return
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter(LOG_FORMAT))
    root = logging.getLogger("dualstream")
    before = root.level
    root.addHandler(handler)
    root.setLevel(LEVELS[min(verbose, len(LEVELS) - 1)])
    try:
        yield
    finally:
        root.setLevel(before)
        root.removeHandler(handler)


def _status(act: Callable[[], int]) -> int:
    """Run a command and return its exit status, whatever happens in it."""
    try:
        with ENDING.at_work():
            status = act()
    except KeyboardInterrupt as stop:
        with contextlib.suppress(OSError):  # the terminal may be gone
            typer.echo("; ".join(["interrupted", *getattr(stop, "__notes__", [])]), err=True)
        return INTERRUPTED
    except Exception as error:
        if not isinstance(error, MemoryShortageError) and (words := shortage_words(error)):
            return _failed(words, 1)
        if isinstance(error, DualstreamError):
            return _failed("\n".join([str(error), *getattr(error, "__notes__", [])]), error.exit_status)
        if not isinstance(error, OSError | ValueError) or os.environ.get("DUALSTREAM_TRACEBACK"):
            raise
        return _failed("\n".join([str(error), *getattr(error, "__notes__", [])]), 1)
    if lost := lost_output():
        typer.echo(f"note: standard output could not be written ({lost}); all else was done", err=True)
    return status


def _failed(words: str, status: int) -> int:
    typer.echo(f"error: {with_shown_addresses(words)}", err=True)
    return status
