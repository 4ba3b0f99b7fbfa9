"""A plain table of recordings, ``file,speaker,emotion``, as a manifest: what it leaves out follows from the files.

The id is the file's name without folder and suffix, as in tables (with its folders, where names repeat).
Without a column ``split`` every row is ``train``: folds then say what is scored.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from dualstream.features.encoders.table_columns import stem_of

FILE_COLUMNS = ("file", "filename", "filepath")
DEFAULT_SPLIT = "train"

Line = tuple[int, list[str]]


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
    """Return an id for each file: its name alone, as tables call it, or its whole path where names repeat."""
    stems = [stem_of(path) for path in paths]
    counts = Counter(stems)
    return [
        stem if counts[stem] == 1 else stem_of(path.replace("/", "_").replace("\\", "_"))
        for stem, path in zip(stems, paths, strict=True)
    ]
