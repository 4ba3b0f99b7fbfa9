"""The corpora that `manifest` knows: one file each, with one function ``rows(root)``, found by the file's name.

    def rows(root: Path) -> Sequence[Utterance]

The file stands here, or in any installed package with an entry point in the group ``dualstream.importers``,
whose name is the corpus's; see docs/extend_importer.md. The first line of its docstring says what it reads.
`rows` returns the utterances in the order of the corpus's own table, or by path where it has none. A
corpus without splits says ``train`` throughout. It reads no media, and raises ManifestError where the
folder is not laid out as the corpus is.

What it leaves out is counted for it, file by file. The file may say more, each by a name of its own:

    NAME, EXPECTED   what a recording's name matches, and such a name; else tables say what there is
    SPARE            why a recording of such a name is left out, if not as a copy
    READS            what the paths of the corpus's tables match
    left_out(root)   yields further (reason, name) (corpus/left_out.py)

A running program adds a corpus by `register_importer`.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from dualstream.pipeline.corpus.left_out import LeftOut, left_out
from dualstream.pipeline.corpus.manifest import ManifestError
from dualstream.pipeline.corpus.utterance import Utterance
from dualstream.pipeline.errors import UsageError
from dualstream.pipeline.storage.tree import Listed, is_video, media_below, others

from dualstream.discovery import DiscoveryError, NamedObjects, UnknownNameError

Rows = Callable[[Path], Sequence[Utterance]]
R = TypeVar("R", bound=Rows)
IMPORTERS = NamedObjects("importer", package=__name__, group="dualstream.importers", attribute="rows")
_REGISTERED: dict[str, dict[str, Any]] = {}
"""What `left_out` is to know of each importer that a program registered."""


def names() -> tuple[str, ...]:
    """Return the names of all importers, sorted."""
    return tuple(IMPORTERS.names())


def importer(name: str) -> Rows:
    """Return the function `rows` of the importer of that name.

    Raises
    ------
    UsageError
        Where there is none (it lists those that there are), two have the name, or its package is broken.
    """
    try:
        rows: Rows = IMPORTERS.get(name)
    except (UnknownNameError, DiscoveryError) as error:
        raise UsageError(str(error)) from error
    return rows


def register_importer(
    name: str, *, recordings: re.Pattern[str] | None = None, expected: str = ""
) -> Callable[[R], R]:
    """Register a function ``rows(root)`` as the importer `name`, in this process.

    The first line of its docstring says what it reads.

    Parameters
    ----------
    recordings
        What a recording's name, without suffix, matches whole, to tell why another one is left out; None: the
        corpus's tables say which recordings there are.
    expected
        Such a name.

    Raises
    ------
    ValueError
        Where the name is taken.
    """

    def add(rows: R) -> R:
        IMPORTERS.add(name, rows)
        _REGISTERED[name] = {"name": recordings, "expected": expected}
        return rows

    return add


def passed_over(name: str, root: Path | Listed, rows: Sequence[Utterance]) -> list[LeftOut]:
    """Return what the importer of that name left out below `root`, by reason."""
    if name in _REGISTERED:
        return left_out(root, rows, **_REGISTERED[name])
    module = sys.modules[importer(name).__module__]
    return left_out(
        root,
        rows,
        name=getattr(module, "NAME", None),
        expected=getattr(module, "EXPECTED", ""),
        spare=getattr(module, "SPARE", "copy"),
        reads=getattr(module, "READS", None),
        more=module.left_out(root) if hasattr(module, "left_out") else (),
    )


def summary(name: str) -> str:
    """Return the first line of an importer's docstring; the importer is not imported for it."""
    return IMPORTERS.summary(name)


def named_clips(root: Path, name: re.Pattern[str], expected: str) -> list[tuple[str, re.Match[str]]]:
    """Return (path, match) for each recording whose file name, without suffix, `name` matches whole; by path.

    A recording that stands several times (copies of a corpus often hold it twice, or as film and as sound)
    is returned once: the film rather than the sound, then the one nearest to the root.

    Raises
    ------
    ManifestError
        Where none matches; `expected` says what the corpus's names look like.
    """
    best: dict[str, tuple[str, re.Match[str]]] = {}
    for path in sorted(media_below(root), key=_preference):
        match = name.fullmatch(path.split("/")[-1].rpartition(".")[0])
        if match:
            best.setdefault(match[0], (path, match))
    if not best:
        raise ManifestError(
            f"{root}: found no recording of this corpus; expected names such as {expected}{others(root)}"
        )
    return sorted(best.values(), key=lambda pair: pair[0])


def _preference(path: str) -> tuple[bool, int, str]:
    return not is_video(path), path.count("/"), path
