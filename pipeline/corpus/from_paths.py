"""Speakers, dialogues and splits that stand in the paths of clips, read off by regular expressions."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from dualstream.pipeline.corpus.utterance import Utterance
from dualstream.pipeline.errors import UsageError

SPLIT_WORDS = {
    "train": "train", "training": "train", "dev": "dev", "val": "dev", "valid": "dev", "validation": "dev",
    "test": "test", "testing": "test",
}  # fmt: skip


@dataclass(frozen=True)
class PathPatterns:
    """Regular expressions, searched in each path; what their first group holds (without one, all) is the value."""

    speaker: str = ""
    dialogue: str = ""
    split: str = ""


def read_paths(rows: Sequence[Utterance], patterns: PathPatterns) -> tuple[Sequence[Utterance], list[str]]:
    """Return rows with what their paths say, and in words where a pattern found nothing.

    Raises
    ------
    UsageError
        Where a pattern is no regular expression or finds nothing in any path, where a split is none that is known,
        or where a path says no split.
    """
    done, notes = rows, list[str]()
    for field in ("speaker", "dialogue", "split"):
        pattern, option = getattr(patterns, field), f"--{field}-from"
        if not pattern:
            continue
        find = _finder(pattern, option)
        values = [find(row.path) for row in done]
        missing = [row.path for row, value in zip(done, values, strict=True) if not value]
        words = f"{len(missing)} of {len(done)} paths, such as {missing[0]}" if missing else ""
        if len(missing) == len(done) or (missing and field == "split"):
            raise UsageError(
                f"{option} {pattern!r} finds nothing in {words}; it is searched anywhere in the path below the "
                "folder, and its first group is taken"
            )
        if missing:
            notes.append(f"{option} finds nothing in {words}: their {field} stays as it was")
        if field == "split":
            values = [_split(value, row.path, option) for row, value in zip(done, values, strict=True)]
        told: list[dict[str, Any]] = [{field: value} if value else {} for value in values]
        done = [replace(row, **one) for row, one in zip(done, told, strict=True)]
    return done, notes


def _finder(pattern: str, option: str) -> Callable[[str], str]:
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise UsageError(f"{option} {pattern!r} is no regular expression: {error}") from error

    def find(path: str) -> str:
        found = compiled.search(path)
        return "" if found is None else ((found[1] if compiled.groups else found[0]) or "").strip()

    return find


def _split(value: str, path: str, option: str) -> str:
    if value.lower() not in SPLIT_WORDS:
        raise UsageError(f"{option} finds {value!r} in {path}; expected one of {', '.join(SPLIT_WORDS)}")
    return SPLIT_WORDS[value.lower()]
