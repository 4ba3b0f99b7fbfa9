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
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, NoReturn, TypeVar

import typer

from heads.cores import one_blas_thread
from pipeline.errors import DualstreamError

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
    """Print one JSON document on standard output, or let `render` print for a person."""
    if as_json:
        typer.echo(json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False))
    else:
        render()


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
        signal.signal(signal.SIGTERM, _raise_interrupt)
        try:
            with during(), one_blas_thread():
                status = function(**said)
        except DualstreamError as error:
            _fail(error, error.exit_status)
        except KeyboardInterrupt as stop:
            typer.echo("; ".join(["interrupted", *getattr(stop, "__notes__", [])]), err=True)
            raise typer.Exit(130) from None
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(1) from None
        except (OSError, ValueError) as error:
            if os.environ.get("DUALSTREAM_TRACEBACK"):
                raise
            _fail(error, 1)
        raise typer.Exit(status or 0)

    return guarded


def _raise_interrupt(signum: int, frame: Any) -> NoReturn:
    raise KeyboardInterrupt


def _fail(error: BaseException, status: int) -> NoReturn:
    lines = [f"error: {error}", *getattr(error, "__notes__", [])]
    typer.echo("\n".join(lines), err=True)
    raise typer.Exit(status) from error
