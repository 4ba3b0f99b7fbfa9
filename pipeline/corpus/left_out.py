"""What an importer left out: files below the root that no row of the manifest names, and why."""

from __future__ import annotations

import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from dualstream.pipeline.corpus.utterance import Utterance
from dualstream.pipeline.storage.printable import escaped
from dualstream.pipeline.storage.tree import Listed, is_hidden, is_media, suffix_of, walk

from dualstream.documents import JsonObject

SHOWN = 5  # names, or suffixes, that a line lists

REASONS = {  # in this order; an s stands for {s} where there are several
    "name": "recording{s} whose name is not as the corpus names them",
    "row": "recording{s} that no row of the corpus's tables names",
    "copy": "recording{s} of which another copy or form is taken",
    "sound": "sound{s} of a video that has another one",
    "line": "line{s} of the corpus's tables that can't be read",
    "split": "labelled video{s} in none of the corpus's lists of splits",
    "hidden": "hidden file{s}",
    "folder": "folder{s} not entered: a link, or closed to you",
    "suffix": "file{s} without the suffix of a clip",
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

    def to_json(self) -> JsonObject:
        """Return it as JSON values, all names included."""
        return {"reason": self.reason, "what": self.what, "count": len(self.names), "names": list(self.names)}

    @property
    def what(self) -> str:
        """The reason, for a person."""
        words = REASONS[self.reason].format(s="s" * (len(self.names) != 1))
        return words + (f" (such as {self.expected})" if self.expected else "")


def left_out(
    root: Path | Listed,
    rows: Sequence[Utterance],
    *,
    name: re.Pattern[str] | None = None,
    expected: str = "",
    spare: str = "copy",
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
    spare
        Why a recording is left out whose name is the corpus's.
    reads
        What the path of a file matches whole that the importer takes the rows from.
    more
        Further (reason, name) that the importer itself knows of.
    """
    import numpy as np  # which `--help` does without

    found: dict[str, set[str]] = defaultdict(set)
    for reason, what in more:
        found[reason].add(what)
    used = np.fromiter((hash(os.path.normpath(path)) for row in rows for path in row.files), np.int64)
    files, shut = walk(root)
    is_used = np.isin(
        np.fromiter(map(hash, files), np.int64, count=len(files)), used
    )  # a path takes ten times that
    left = [files[at] for at in np.flatnonzero(~is_used)]
    left = [path for path in left if reads is None or not reads.fullmatch(path)]
    known = {row.id for row in rows} if left and name is None else set()
    for path in left:
        found[_reason(path, name, known, spare)].add(path)
    found["folder"].update(shut)
    return [
        LeftOut(reason, tuple(sorted(found[reason])), expected if reason == "name" else "")
        for reason in REASONS
        if found[reason]
    ]


def describe(one: LeftOut) -> str:
    """Return one line for a reason."""
    if one.reason == "suffix":
        counts = Counter(suffix_of(path).lower() or "without suffix" for path in one.names)
        shown = [f"{count} {suffix}" for suffix, count in counts.most_common(SHOWN)]
        rest = len(counts) - len(shown)
    else:
        shown = [escaped(name) for name in one.names[:SHOWN]]
        rest = len(one.names) - len(shown)
    more = f", … {rest} more" if rest else ""
    return f"left out: {len(one.names)} {one.what}: {', '.join(shown)}{more}"


def _reason(path: str, name: re.Pattern[str] | None, known: set[str], spare: str) -> str:
    if is_hidden(path):
        return "hidden"
    if not is_media(path):
        return "suffix"
    stem = path.rpartition("/")[2].removesuffix(suffix_of(path))
    if name is None:
        return spare if stem in known else "row"
    return spare if name.fullmatch(stem) else "name"
