"""What each column of a table is, by its name: the id, a time, a tool's own bookkeeping, or a feature.

    OpenFace     frame, face_id, timestamp, confidence, success, gaze_0_x, …, AU01_r, …
    openSMILE    name;frameIndex;frameTime;pcm_RMSenergy_sma;…
                 file,start,end,F0semitoneFrom27.5Hz_sma3nz_amean,…   its Python package, by pandas

Blanks and quotes around a name fall away; case matters only in the names of features.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

ID = "id"
TIME_COLUMNS = ("time_s", "start_s", "end_s")
TOOL_TIMES = ("timestamp", "frametime")  # OpenFace's and openSMILE's: the row's instant, seconds
BOOKKEEPING = ("frame", "face_id", "success", "frameindex", *TOOL_TIMES)
OF_OPENFACE = ("face", "confidence")  # bookkeeping only beside columns that only OpenFace writes
FILE_COLUMNS = ("file", "filename", "filepath", "path")  # name a file, which is called as its utterance is
SPAN_COLUMNS = ("start", "end")  # of pandas, beside ``file``: read as start_s and end_s
CONFIDENCE = "confidence"
SUCCESS = "success"  # OpenFace: 0 in a row in which no face was found, whose numbers mean nothing

NOT_IN_IDS = re.compile(r"[^A-Za-z0-9._-]+")
_SUFFIX = re.compile(
    r"\.(wav|flac|mp3|ogg|opus|m4a|aac|aiff?|wma|mp4|m4v|avi|mkv|mov|webm|mpe?g|wmv|flv|3gp|npy|csv)$",
    re.IGNORECASE,
)
_OPENFACE = re.compile(
    r"frame|face_id|success|AU\d\d_[rc]|gaze_(0|1|angle)_[xyz]|eye_lmk_[xyzXYZ]_\d+|pose_[TR][xyz]|[xyXYZ]_\d+"
)


@dataclass(frozen=True)
class Columns:
    """The columns of one table, by their place in its header."""

    id_at: int | None
    """None where the ids stand elsewhere (NPZ)."""
    read: tuple[int, ...]
    """Times and features, in the header's order."""
    names: tuple[str, ...]
    """Of those in `read`; a tool's own time is called ``time_s``."""
    left_out: tuple[str, ...]
    """Names of what is neither id, time nor feature."""
    success_at: int | None
    """Where 0 says that a row is of nothing."""
    tool_time: str = ""
    """The name of a tool's own time, where that is read as ``time_s``."""
    confidence_at: int | None = None
    """Where OpenFace says how sure it is that there is a face."""
    ids_are_files: bool = False
    """Whether the ids are names of files: folders and suffix fall away."""
    pooled: bool = False
    """Whether rows are spans of which a window takes the mean."""
    spans: bool = False
    """Whether those spans are pandas' ``start`` and ``end``, as openSMILE's package writes them."""


def bare(name: str) -> str:
    """Return a cell's text without the blanks around it, and without a pair of single quotes."""
    text = name.strip()
    return text[1:-1].strip() if len(text) > 1 and text[0] == text[-1] == "'" else text


def stem_of(name: str) -> str:
    """Return the id of a file: its name without folders and the suffix of media, as ids are spelled."""
    return NOT_IN_IDS.sub("_", _SUFFIX.sub("", re.split(r"[/\\]", name)[-1]))


def sort_columns(header: Sequence[str], *, has_id: bool, spans: bool = False) -> Columns:
    """Tell by their names what the columns are.

    The id is in the column ``id``, or else in the one that names a file, or else in the first one. `spans`: the
    columns ``start`` and ``end`` hold times.

    Raises
    ------
    ValueError
        Where a name is blank or appears twice, or where no column can hold the ids.
    """
    names = [bare(name) for name in header]
    id_at = _id_at(names) if has_id else None
    by_file = id_at is not None and names[id_at].lower() in FILE_COLUMNS
    others = [(at, name) for at, name in enumerate(names) if at != id_at]
    lower = [name.lower() for _, name in others]
    if spanned := spans or (by_file and set(SPAN_COLUMNS) <= set(lower)):
        others = [(at, f"{name.lower()}_s" if name.lower() in SPAN_COLUMNS else name) for at, name in others]
    counts = Counter(name for _, name in others)
    for name, count in counts.items():
        if not name or count > 1:
            raise ValueError(f"column name {name!r} is blank or appears twice")
    tool_time = _tool_time([name for _, name in others])
    openface = any(_OPENFACE.fullmatch(name) for _, name in others)
    bookkeeping = {*BOOKKEEPING, *(OF_OPENFACE if openface else ()), *(() if has_id else ("name", *FILE_COLUMNS))}
    read, kept, left_out = [], [], []
    for at, name in others:
        if name in (*TIME_COLUMNS, tool_time) or name.lower() not in bookkeeping:
            read.append(at)
            kept.append("time_s" if name == tool_time else name)
        else:
            left_out.append(name)
    place = {name.lower(): at for at, name in reversed(others)}
    return Columns(
        id_at=id_at,
        read=tuple(read),
        names=tuple(kept),
        left_out=tuple(left_out),
        success_at=place.get(SUCCESS),
        tool_time=tool_time,
        confidence_at=place.get(CONFIDENCE) if openface else None,
        ids_are_files=by_file,
        pooled=spanned,
        spans=spanned,
    )


def _id_at(names: Sequence[str]) -> int:
    for wanted in (ID, "ID", "Id"):
        if wanted in names:
            return names.index(wanted)
    lower = [name.lower() for name in names]
    for wanted in FILE_COLUMNS:
        if wanted in lower:
            return lower.index(wanted)
    first = names[0].lower()
    if first in (*BOOKKEEPING, *OF_OPENFACE, *TIME_COLUMNS):
        raise ValueError(
            f"there is no column id, and the first one, {names[0]!r}, holds no ids (OpenFace has a file per clip "
            "and no id): name the folder of all these files, which are called as the manifest's ids are, or put a "
            "column id before it"
        )
    return 0


def _tool_time(names: Sequence[str]) -> str:
    """Return the name of a tool's own time where the table gives no other."""
    if any(name in TIME_COLUMNS for name in names):
        return ""
    return next((name for wanted in TOOL_TIMES for name in names if name.lower() == wanted), "")
