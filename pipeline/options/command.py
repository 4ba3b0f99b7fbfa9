"""Commands of a Typer app: a failure is one line and an exit status, an answer one JSON document or text.

Options that several commands take together are one parameter, `Words`: the function of those options that it
holds is called with what was said, and the command gets what the function makes of it.
"""

from __future__ import annotations

import functools
import inspect
import json
import os
import signal
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, NoReturn, TypeVar

import typer
from dualstream.heads.cores import one_blas_thread
from dualstream.pipeline.errors import DualstreamError
from dualstream.pipeline.memory import MemoryShortageError, shortage_words
from dualstream.pipeline.options.output import lost_output, speaks_unicode, steady_output

from dualstream.documents import Document

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class Words:
    """Stands in a parameter's annotation, ``Annotated[FitOptions, Words(fit)]``, for several options."""

    make: Callable[..., Any]
    """Its parameters are the options; what it returns is the parameter's value."""
    without: tuple[str, ...] = ()
    """Parameters that are no options of this command and keep their defaults."""

    def options(self) -> dict[str, inspect.Parameter]:
        """Return the parameters that are options, by name."""
        every = inspect.signature(self.make, eval_str=True).parameters
        return {name: one for name, one in every.items() if name not in self.without}


class App(typer.Typer):
    """A Typer app whose output can never end it, ``--help`` included."""

    def __call__(self, *args: Any, **more: Any) -> Any:
        """Run the command that the process was started with."""
        with steady_output():
            return super().__call__(*args, **more)


def commands_of(
    app: typer.Typer, during: Callable[[str], AbstractContextManager[Any]]
) -> Callable[[str], Callable[[F], F]]:
    """Return the decorator that makes a function the app's command of a name.

    Each command runs inside the context that `during` gives for its name.
    """

    def command(name: str) -> Callable[[F], F]:
        def add(function: F) -> F:
            app.command(name)(_guarded(_spread(function), lambda: during(name)))
            return function

        return add

    return command


def emit(document: Any, as_json: bool, render: Callable[[], None]) -> None:
    """Print one JSON document on standard output, or let `render` print for a person.

    Raises
    ------
    DualstreamError
        Where the document could not be written: a person can look again, a program must know.
    """
    if not as_json:
        render()
        return
    values = document.stamped() if isinstance(document, Document) else document
    typer.echo(json.dumps(values, indent=2, ensure_ascii=not speaks_unicode(), allow_nan=False))
    if lost := lost_output():
        raise DualstreamError(f"the JSON document could not be written to standard output: {lost}")


def notice(text: str) -> None:
    """Say something beside the answer, on standard error."""
    typer.echo(f"note: {text}", err=True)


def _spread(function: Callable[..., Any]) -> Callable[..., Any]:
    """Put the options that a `Words` parameter stands for in its place."""
    parameters: list[inspect.Parameter] = []
    groups: dict[str, tuple[Callable[..., Any], list[str]]] = {}
    for name, parameter in inspect.signature(function, eval_str=True).parameters.items():
        held = [one for one in getattr(parameter.annotation, "__metadata__", ()) if isinstance(one, Words)]
        if held:
            options = held[0].options()
            groups[name] = (held[0].make, list(options))
            parameters += options.values()
        else:
            parameters.append(parameter)

    @functools.wraps(function)
    def called(**said: Any) -> Any:
        for name, (make, options) in groups.items():
            said[name] = make(**{option: said.pop(option) for option in options})
        return function(**said)

    spread = [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in parameters]
    called.__signature__ = inspect.Signature(spread)  # type: ignore[attr-defined]
    called.__annotations__ = {one.name: one.annotation for one in spread}
    return called


def _guarded(
    function: Callable[..., Any], during: Callable[[], AbstractContextManager[Any]]
) -> Callable[..., None]:
    @functools.wraps(function)
    def guarded(**said: Any) -> None:
        with steady_output():
            with during(), one_blas_thread():
                status = _status(function, said)
            raise typer.Exit(status)

    return guarded


def _status(function: Callable[..., Any], said: dict[str, Any]) -> int:
    """Run a command and return its exit status, whatever happens in it."""
    signal.signal(signal.SIGTERM, _raise_interrupt)
    try:
        status = int(function(**said) or 0)
    except KeyboardInterrupt as stop:
        typer.echo("; ".join(["interrupted", *getattr(stop, "__notes__", [])]), err=True)
        return 130
    except Exception as error:
        if not isinstance(error, MemoryShortageError) and (words := shortage_words(error)):
            return _told(words, 1)
        if isinstance(error, DualstreamError):
            return _told("\n".join([str(error), *getattr(error, "__notes__", [])]), error.exit_status)
        if not isinstance(error, OSError | ValueError) or os.environ.get("DUALSTREAM_TRACEBACK"):
            raise
        return _told("\n".join([str(error), *getattr(error, "__notes__", [])]), 1)
    if lost := lost_output():
        typer.echo(f"note: standard output could not be written ({lost}); all else was done", err=True)
    return status


def _raise_interrupt(signum: int, frame: Any) -> NoReturn:
    raise KeyboardInterrupt


def _told(words: str, status: int) -> int:
    typer.echo(f"error: {words}", err=True)
    return status
