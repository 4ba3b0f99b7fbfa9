"""A plain table of recordings, ``file,speaker,emotion``, as a manifest: what it leaves out follows from the files.

The id is the file's name without folder and suffix (with its folders, where two files have one name), and without
a column ``split`` every row is ``train``: folds then say what is scored.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

FILE_COLUMNS = ("file", "filename", "filepath")
DEFAULT_SPLIT = "train"

Line = tuple[int, list[str]]

_NOT_IN_IDS = re.compile(r"[^A-Za-z0-9._-]+")


def is_plain(header: Sequence[str]) -> bool:
    """Tell whether a header is of a table that names files and is no manifest."""
    return not {"id", "path"} & set(header) and any(name in header for name in FILE_COLUMNS)


def completed(header: list[str], rows: list[Line]) -> tuple[list[str], list[Line]]:
    """Return a plain table with the columns that a manifest must have; rows of another length stay as they are."""
    at = next(header.index(name) for name in FILE_COLUMNS if name in header)
    whole = [number for number, (_, cells) in enumerate(rows) if len(cells) == len(header)]
    ids = dict(zip(whole, _ids([rows[number][1][at] for number in whole]), strict=True))
    lacks_split = "split" not in header
    names = ["path" if place == at else name for place, name in enumerate(header)]
    full: list[Line] = []
    for number, (line, cells) in enumerate(rows):
        more = [ids[number], *([DEFAULT_SPLIT] if lacks_split else [])] if number in ids else []
        full.append((line, [*cells, *more]))
    return [*names, "id", *(["split"] if lacks_split else [])], full


def _ids(paths: Sequence[str]) -> list[str]:
    """Return an id for each file: its name alone, or its whole path where names repeat."""
    stems = [_id(path.replace("\\", "/").split("/")[-1]) for path in paths]
    counts = Counter(stems)
    return [
        stem if counts[stem] == 1 else _id(path.replace("\\", "/"))
        for stem, path in zip(stems, paths, strict=True)
    ]


def _id(path: str) -> str:
    folder, slash, name = path.rpartition("/")
    return _NOT_IN_IDS.sub("_", f"{folder}{slash}{name.rpartition('.')[0] or name}").strip("_")
