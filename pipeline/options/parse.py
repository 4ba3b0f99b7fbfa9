"""Words of the command line as settings."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from dualstream.heads.variants.options import TASKS, FitOptions
from dualstream.pipeline.errors import UsageError


def fit_options(*, seeds: int, tasks: str, settings: Sequence[str], **said: Any) -> FitOptions:
    """Make the options of a fit of words; `said` are fields of FitOptions as they stand.

    Raises
    ------
    UsageError
        Where a task or another word is unknown, a number makes no sense, or a setting is not ``key=value``.
    """
    asked = names(tasks)
    if set(asked) - set(TASKS) or not asked:
        raise UsageError(f"--tasks {tasks!r}; expected {', '.join(TASKS)} or one of them")
    try:
        return FitOptions(
            seeds=tuple(range(seeds)),
            tasks=tuple(task for task in TASKS if task in asked),
            parameters=parameters(settings),
            **said,
        )
    except ValueError as error:
        raise UsageError(str(error)) from error


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


def streams(text: str) -> dict[str, str]:
    """Read ``video=NAME,audio=NAME``.

    Raises
    ------
    UsageError
        Where a part is not ``head=name``, or a head stands twice.
    """
    answer: dict[str, str] = {}
    for part in names(text):
        head, equals, name = part.partition("=")
        if not equals or not name or head in answer:
            raise UsageError(f"--streams {text!r}; expected video=NAME,audio=NAME or one of them")
        answer[head] = name
    return answer


def names(text: str) -> tuple[str, ...]:
    """Read a list of names parted by commas; spaces around them fall away."""
    return tuple(name for part in text.split(",") if (name := part.strip()))
