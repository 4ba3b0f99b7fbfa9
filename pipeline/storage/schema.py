"""What a file of one kind may hold: every name, its type and rank. What stands in no schema is not read.

Types and ranks are HDF5's to check (container.py); names, and what must stand beside what, are checked here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dualstream.pipeline.storage.rows import RowsOnDisk
from dualstream.pipeline.storage.texts import Texts
from numpy.typing import NDArray

TEXT = "text"  # UTF-8 of fixed length, padded with zero bytes

Value = NDArray[Any] | RowsOnDisk | list[str] | Texts | str
Values = dict[str, Value]


@dataclass(frozen=True)
class Field:
    """One dataset that a file of some kind may or must hold."""

    dtype: str
    """A NumPy name of a little-endian number (``<f4``), ``bool`` or ``text``."""
    rank: int
    """Number of axes; a text of rank 0 is one string."""
    required: bool = True
    """Whether its group, where that exists, must hold it."""
    on_disk: bool = False
    """Whether it stays in the file where a file is opened, and not read: a corpus may have millions of rows."""


@dataclass(frozen=True)
class Schema:
    """All that a file of one kind may hold."""

    kind: str
    """Stands in the root attribute ``format`` as ``dualstream-KIND``."""
    version: int
    """Stands in the root attribute ``version``; readers refuse what is newer."""
    fields: Mapping[str, Field]
    """By path; ``*`` stands for one name of the file's own choice (a stream)."""

    def field(self, path: str) -> Field | None:
        """Return what stands at `path`, or None where nothing may."""
        return self.fields.get(path) or next(
            (field for pattern, field in self.fields.items() if _matches(pattern, path)), None
        )

    def is_group(self, path: str) -> bool:
        """Tell whether a group may stand at `path`."""
        depth = path.count("/") + 1
        return any(
            pattern.count("/") >= depth and _matches("/".join(pattern.split("/")[:depth]), path)
            for pattern in self.fields
        )


def require_all(schema: Schema, paths: set[str]) -> None:
    """Raise ValueError where a group that is there lacks a field that it must hold."""
    groups = {path.rpartition("/")[0] for path in paths}
    for pattern, field in schema.fields.items():
        if not field.required:
            continue
        if "*" not in pattern and pattern not in paths:
            raise ValueError(f"/{pattern} is missing")
        parent, _, leaf = pattern.rpartition("/")
        for group in groups:
            if parent and _matches(parent, group) and f"{group}/{leaf}" not in paths:
                raise ValueError(f"/{group}/{leaf} is missing")


_NAME = r"[a-z][a-z0-9_.\-]{0,63}"


def _matches(pattern: str, path: str) -> bool:
    if "*" not in pattern:
        return pattern == path
    return re.fullmatch(re.escape(pattern).replace(r"\*", _NAME), path) is not None
