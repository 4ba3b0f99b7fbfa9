"""One utterance, the row of a manifest: what its ten values are, and when they break the contract."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal

COLUMNS = ("id", "path", "split", "start_s", "end_s", "dialogue", "turn", "speaker", "emotion", "sentiment")
SOUND = "sound"  # a column of its own, written where a clip's sound lies in another file
REQUIRED_COLUMNS = ("id", "path", "split")
SPLITS = ("train", "dev", "test")

NO_EXTRA: Mapping[str, str] = {}  # one for all utterances without further columns

MAX_ID_CHARACTERS = 200
MAX_NAME_CHARACTERS = 255  # of a dialogue, a speaker, a label
MAX_TURN = 2**31 - 1  # the cache stores turns as int32

_ID = re.compile(r"[A-Za-z0-9._-]+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_SPLIT_HINTS = {"val": "dev", "valid": "dev", "validation": "dev", "eval": "test", "training": "train"}


class InvalidRowError(ValueError):
    """The values of one utterance break the contract; `problems` holds (column, what is wrong)."""

    def __init__(self, problems: Iterable[tuple[str, str]]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(f"{column}: {text}" for column, text in self.problems))


@dataclass(frozen=True, slots=True)
class Utterance:
    """One row of a manifest: a clip, or a span of a longer file, with what is known of it."""

    id: str
    """``[A-Za-z0-9._-]+``, at most 200 characters, unique over all splits."""
    path: str
    """Relative to the data root, with ``/`` between folders; never leaves the root."""
    split: str
    """``train``, ``dev`` or ``test``."""
    start_s: float | None = None
    """Where the span starts in its file, seconds; None, with `end_s`, for a ready-cut clip."""
    end_s: float | None = None
    """Where the span ends, seconds, above `start_s`: the span is half-open."""
    dialogue: str = ""
    """The conversation, one name over all splits; empty where there is none."""
    turn: int | None = None
    """Place in the dialogue, 0 or more; rising, not always without gaps."""
    speaker: str = ""
    """Empty where unknown."""
    emotion: str = ""
    """Empty where unlabelled."""
    sentiment: str = ""
    """Empty where unlabelled."""
    extra: Mapping[str, str] = field(default_factory=lambda: NO_EXTRA, hash=False)
    """Columns beyond the contract, such as ``episode``: for `check`, never for `extract`. Blanks are left out."""
    sound: str = ""
    """The file that holds the clip's sound, as `path` is; empty where that is `path` itself."""

    def __post_init__(self) -> None:
        problems = tuple(_problems(self))
        if problems:
            raise InvalidRowError(problems)

    @property
    def files(self) -> tuple[str, ...]:
        """The files that the clip lies in: its `path`, and where its sound is apart, that of the sound."""
        return (self.path,) if self.sound in ("", self.path) else (self.path, self.sound)

    def cells(self) -> tuple[str, ...]:
        """Return the canonical text of the ten columns, in the order of `COLUMNS`."""
        numbers = (number_text(self.start_s), number_text(self.end_s))
        turn = "" if self.turn is None else str(self.turn)
        return (
            *(self.id, self.path, self.split, *numbers),
            *(self.dialogue, turn, self.speaker, self.emotion, self.sentiment),
        )


def number_text(value: float | None) -> str:
    """Return the shortest text that reads back as `value`, never with an exponent; empty for None."""
    if value is None:
        return ""
    text = format(Decimal(repr(float(value) + 0.0)), "f")  # + 0.0: no minus zero
    return text.removesuffix(".0")


def _problems(u: Utterance) -> Iterator[tuple[str, str]]:
    """Yield (column, what is wrong) for each way in which an utterance breaks the contract."""
    if not _ID.fullmatch(u.id) or len(u.id) > MAX_ID_CHARACTERS:
        yield "id", f"found {u.id!r}; expected 1 to {MAX_ID_CHARACTERS} of the characters A-Z a-z 0-9 . _ -"
    elif not u.id.strip("."):
        yield "id", f"found {u.id!r}; expected more than dots"
    fault = _path_fault(u.path)
    if fault:
        yield "path", fault
    fault = _path_fault(u.sound) if u.sound else None
    if fault:
        yield SOUND, fault
    if u.split not in SPLITS:
        hint = _SPLIT_HINTS.get(u.split.lower())
        yield "split", f"found {u.split!r}; expected {', '.join(SPLITS)}" + (f" (say {hint})" if hint else "")
    yield from _span_problems(u.start_s, u.end_s)
    if u.turn is not None and not 0 <= u.turn <= MAX_TURN:
        yield "turn", f"found {u.turn}; expected a whole number from 0 to {MAX_TURN}, or a blank"
    if u.turn is not None and not u.dialogue:
        yield "turn", f"found {u.turn} without a dialogue that it could be a turn of"
    for column in ("dialogue", "speaker", "emotion", "sentiment"):
        value = getattr(u, column)
        if _CONTROL.search(value) or len(value) > MAX_NAME_CHARACTERS or value != value.strip():
            yield (
                column,
                f"found {value[:80]!r}; expected at most {MAX_NAME_CHARACTERS} characters, "
                "none a control character, no spaces around",
            )
    for name in u.extra:
        if name in (*COLUMNS, SOUND) or not name:
            yield name, "stands among the extra columns; expected a name that the contract does not use"


def _path_fault(path: str) -> str | None:
    """Say what is wrong with a path, by its text alone."""
    if not path:
        return "is blank; expected a path relative to the data root"
    if "\0" in path:
        return f"found {path!r}, which holds a zero byte; no file has such a name"
    if path.startswith("/"):
        return f"found {path!r}, an absolute path; expected one relative to the data root"
    parts = path.split("/")
    if ".." in parts:
        return f"found {path!r}, which climbs with '..'; expected a path that stays inside the data root"
    if all(part in ("", ".") for part in parts) or path.endswith("/"):
        return f"found {path!r}, a folder; expected a file"
    try:
        path.encode("utf-8")
    except UnicodeEncodeError:
        return f"found {path!r}, which is not valid UTF-8; rename the file"
    return None


def _span_problems(start_s: float | None, end_s: float | None) -> Iterator[tuple[str, str]]:
    for column, value in (("start_s", start_s), ("end_s", end_s)):
        if value is not None and not (math.isfinite(value) and value >= 0):
            yield column, f"found {value}; expected seconds, 0 or more, or a blank"
            return
    if start_s is None and end_s is None:
        return
    if start_s is None:
        yield (
            "start_s",
            f"is blank while end_s is {number_text(end_s)}; expected both or neither",
        )
    elif end_s is None:
        yield "end_s", f"is blank while start_s is {number_text(start_s)}; expected both or neither"
    elif end_s <= start_s:
        yield "end_s", f"found {number_text(end_s)}; expected more than start_s, which is {number_text(start_s)}"
