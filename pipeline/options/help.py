"""The help of a command: its options in panels, each name whole, whatever the width of the terminal."""

from __future__ import annotations

import inspect
import shutil
import textwrap
from collections.abc import Iterator
from typing import Any

from dualstream.pipeline.errors import EXIT_STATUSES
from dualstream.pipeline.options.general import COMMON, INPUT, OUTPUT, RUNNING, CommandOptions
from dualstream.pipeline.options.generate import ARGUMENTS, Option, options_of

NAMES = 29  # columns that names take; the text of a longer one begins on the next line
NARROWEST, WIDEST = 60, 200
FIRST, LAST = (ARGUMENTS, INPUT), (OUTPUT, RUNNING, COMMON)  # panels; the others are between
LISTED: Any = {"initial_indent": "  ", "subsequent_indent": "    "}
HELD = "\0"  # a space where no line ends


def help_of(cls: type[CommandOptions], program: str) -> str:
    """Return a command's help.

    Parameters
    ----------
    cls
        What the command is asked; its docstring says what the command does.
    program
        What is typed before the arguments, such as ``dualstream extract``.
    """
    width = max(NARROWEST, min(WIDEST, shutil.get_terminal_size((80, 24)).columns))
    options = options_of(cls)
    arguments = " ".join(one.name + ("..." if one.cli.repeat else "") for one in options if one.cli.positional)
    lines = [f"Usage: {program} [OPTIONS] {arguments}".rstrip(), ""]
    for paragraph in inspect.cleandoc(cls.__doc__ or "").split("\n\n"):
        lines += [*textwrap.wrap(" ".join(paragraph.split()), width), ""]
    for title, members in _panels(options):
        lines += [f"{title}:", *(line for one in members for line in _entry(one, width))]
        lines += ["  --help, -h".ljust(NAMES) + "Show this help.", ""] if title == COMMON else [""]
    title, entries = cls.listing()
    if entries:
        lines += [f"{title}:", *(line for one in entries for line in textwrap.wrap(one, width, **LISTED)), ""]
    lines += ["Example:", *_example(f"{program.rpartition(' ')[0]} {cls.EXAMPLE}".strip(), width), ""]
    lines += ["Exit status:", *(f"  {number:<5}{meaning}" for number, meaning in EXIT_STATUSES.items())]
    return "\n".join(lines) + "\n"


def _panels(options: tuple[Option, ...]) -> Iterator[tuple[str, list[Option]]]:
    panels: dict[str, list[Option]] = {}
    for one in options:
        panels.setdefault(ARGUMENTS if one.cli.positional else one.panel, []).append(one)
    order = [*FIRST, *(title for title in panels if title not in FIRST + LAST), *LAST]
    yield from ((title, panels[title]) for title in order if title in panels)


def _entry(one: Option, width: int) -> list[str]:
    left = f"  {one.name} {one.metavar}".rstrip()
    text = " ".join(filter(None, [one.text, *(f"[{note}]".replace(" ", HELD) for note in _notes(one))]))
    wrapped = [line.replace(HELD, " ") for line in textwrap.wrap(text, width - NAMES, break_on_hyphens=False)]
    if len(left) < NAMES - 1 and wrapped:
        left = left.ljust(NAMES) + wrapped.pop(0)
    return [left, *(" " * NAMES + line for line in wrapped)]


def _notes(one: Option) -> Iterator[str]:
    """Yield whether an option is required, the range of its values, and its default where it says something."""
    default = one.parameter.default
    if one.required:
        yield from () if one.cli.positional else ("required",)
    if one.bounds is not None:
        yield str(one.bounds)
    if one.required or one.cli.count or default is None or default is False or default == "":
        return
    yield f"default: {','.join(map(str, default)) if isinstance(default, list) else default}"


def _example(line: str, width: int) -> list[str]:
    """Return a command line, cut between options by backslashes where it is longer than the terminal is wide."""
    parts = textwrap.wrap(line, width - 6, break_long_words=False, break_on_hyphens=False)
    return ["  " + " \\\n    ".join(parts)]
