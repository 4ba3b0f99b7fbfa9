"""What an importer left out: files below the root that no row of the manifest names, and why."""

from __future__ import annotations

import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.storage.tree import files_below, folders_passed_over, is_hidden, is_media, suffix_of
from pipeline.utterance import Utterance

SHOWN = 5  # names, or suffixes, that a line lists

REASONS = {  # in this order
    "name": "recordings whose names are not the corpus's",
    "row": "recordings that no row of the corpus's tables names",
    "copy": "further copies or forms of a recording that is taken",
    "line": "lines of the corpus's tables that can't be read",
    "split": "labelled videos in none of the corpus's lists of splits",
    "hidden": "hidden files",
    "folder": "folders that were not entered: links, or closed to you",
    "suffix": "files that are no clips by their suffix",
}


@dataclass(frozen=True)
class LeftOut:
    """What was left out for one reason."""

    reason: str
    """A key of `REASONS`."""
    names: tuple[str, ...]
    """Paths relative to the root, or other names, sorted."""
    expected: str = ""
    """What a name of the corpus looks like."""

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values, all names included."""
        return {"reason": self.reason, "what": self.what, "count": len(self.names), "names": list(self.names)}

    @property
    def what(self) -> str:
        """The reason, for a person."""
        return REASONS[self.reason] + (f" (such as {self.expected})" if self.expected else "")


def left_out(
    root: Path,
    rows: Sequence[Utterance],
    *,
    name: re.Pattern[str] | None = None,
    expected: str = "",
    reads: re.Pattern[str] | None = None,
    more: Iterable[tuple[str, str]] = (),
) -> list[LeftOut]:
    """Return what below `root` no row names, by reason.

    Parameters
    ----------
    name
        What a recording's name, without suffix, matches whole; None: tables say which recordings there are.
    expected
        Such a name.
    reads
        What the path of a file matches whole that the importer takes the rows from.
    more
        Further (reason, name) that the importer itself knows of.
    """
    found: dict[str, set[str]] = defaultdict(set)
    for reason, what in more:
        found[reason].add(what)
    used = {os.path.normpath(path) for row in rows for path in row.files}
    known = {row.id for row in rows}
    for path in files_below(root):
        if path not in used and not (reads is not None and reads.fullmatch(path)):
            found[_reason(path, name, known)].add(path)
    found["folder"].update(folders_passed_over(root))
    return [
        LeftOut(reason, tuple(sorted(found[reason])), expected if reason == "name" else "")
        for reason in REASONS
        if found[reason]
    ]


def describe(document: dict[str, Any]) -> str:
    """Return one line for a reason, from what `LeftOut.to_json` gave."""
    if document["reason"] == "suffix":
        counts = Counter(suffix_of(path).lower() or "without suffix" for path in document["names"])
        shown = [f"{count} {suffix}" for suffix, count in counts.most_common(SHOWN)]
        rest = len(counts) - len(shown)
    else:
        shown = [_printable(name) for name in document["names"][:SHOWN]]
        rest = document["count"] - len(shown)
    more = f", … {rest} more" if rest else ""
    return f"left out: {document['count']} {document['what']}: {', '.join(shown)}{more}"


def _reason(path: str, name: re.Pattern[str] | None, known: set[str]) -> str:
    if is_hidden(path):
        return "hidden"
    if not is_media(path):
        return "suffix"
    stem = path.rpartition("/")[2].removesuffix(suffix_of(path))
    if name is None:
        return "copy" if stem in known else "row"
    return "copy" if name.fullmatch(stem) else "name"


def _printable(name: str) -> str:
    return "".join(ch if ch.isprintable() else ch.encode("unicode_escape").decode() for ch in name)
