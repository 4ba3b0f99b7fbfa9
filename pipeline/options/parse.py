"""Texts of the command line as values, and values as such texts."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from dualstream.heads.variants.options import TASKS, Task
from dualstream.pipeline.errors import UsageError

MOST_SEEDS = 1000
STREAMS_EXPECTED = "expected video=NAME,audio=NAME or NAME,NAME,..., each once"


def seeds(count: int) -> tuple[int, ...]:
    """Return the seeds of so many models.

    Raises
    ------
    UsageError
        Where there is none.
    """
    if count < 1:
        raise UsageError(f"--seeds is {count}; expected 1 or more")
    if count > MOST_SEEDS:
        raise UsageError(f"--seeds is {count}, and each is a model; expected {MOST_SEEDS} at most")
    return tuple(range(count))


def seeds_count(found: Sequence[int]) -> int:
    """Return how many models have these seeds.

    Raises
    ------
    UsageError
        Where they don't count from 0: the command line has no words for others.
    """
    if tuple(found) != seeds(len(found)):
        raise UsageError(f"the seeds are {list(found)}; --seeds is their number, and they count from 0")
    return len(found)


def tasks(text: str) -> tuple[Task, ...]:
    """Read the names of tasks.

    Raises
    ------
    UsageError
        Where one is unknown, or none is named.
    """
    asked = names(text)
    if set(asked) - set(TASKS) or not asked:
        raise UsageError(f"--tasks {text!r}; expected {', '.join(TASKS)} or one of them")
    return tuple(task for task in TASKS if task in asked)


def parameters(settings: Sequence[str]) -> dict[str, Any]:
    """Read ``key=value`` settings; a value is JSON where it can be read so, else text."""
    answer: dict[str, Any] = {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals or not key:
            raise UsageError(f"--set {setting!r}; expected key=value")
        try:
            answer[key] = json.loads(value)
        except ValueError:
            answer[key] = value
    return answer


def settings(found: Mapping[str, Any]) -> list[str]:
    """Return settings as `parameters` reads them."""
    return [f"{key}={json.dumps(value)}" for key, value in found.items()]


def streams(text: str) -> dict[str, str]:
    """Read names of streams, ``whisper,acoustic,face``, or ``video=NAME,audio=NAME``: in the order given.

    Raises
    ------
    UsageError
        Where a name is empty, or a stream is named twice.
    """
    answer: dict[str, str] = {}
    for part in names(text):
        head, equals, name = part.partition("=")
        name = name if equals else head
        if not head or not name or head in answer:
            raise UsageError(f"--streams {text!r}; {STREAMS_EXPECTED}")
        answer[head] = name
    if text.strip() and not answer:
        raise UsageError(f"--streams {text!r}; {STREAMS_EXPECTED}")
    return answer


def streams_text(found: Mapping[str, str]) -> str:
    """Return streams as `streams` reads them."""
    return ",".join(head if head == name else f"{head}={name}" for head, name in found.items())


def fusions(text: str) -> tuple[str, ...] | None:
    """Read the names of variants; None for all of them.

    Raises
    ------
    UsageError
        Where none is named.
    """
    if not (asked := names(text)):
        raise UsageError(f"--fusions {text!r}; expected names of variants, such as concat,linear, or all")
    return None if text.strip() == "all" else asked


def fusions_text(found: Sequence[str] | None) -> str:
    """Return variants as `fusions` reads them."""
    return "all" if found is None else ",".join(found)


def names(text: str) -> tuple[str, ...]:
    """Read a comma-separated list of names; spaces around them are dropped."""
    return tuple(name for part in text.split(",") if (name := part.strip()))


def distinct_names(text: str) -> tuple[str, ...]:
    """Read a list of names without repeats."""
    return tuple(dict.fromkeys(names(text)))
