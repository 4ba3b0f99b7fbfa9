"""Where others say that a recording is to be cut: subtitles, diarisation, and the tiers of Praat and ELAN.

    .vtt, .srt   a cue is a segment; of WebVTT ``<v NAME>`` is who speaks
    .rttm        a line ``SPEAKER FILE CHANNEL ONSET DURATION …``
    .TextGrid    an interval with a text, of every tier or of the one behind ``@``
    .eaf         an annotation with times of its own, likewise
    .txt         Audacity's labels: start, end and a text between tabs

Text alone is read, by name of the ending; what is in a file never runs.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from dualstream.pipeline.errors import UsageError

MAX_BYTES = 64 << 20
_TIME = r"(?:(\d+):)?(\d{1,2}):(\d{1,2})[.,](\d{1,3})"
_CUE = re.compile(rf"^\s*{_TIME}\s*-->\s*{_TIME}")
_VOICE = re.compile(r"<v(?:\.[^ >]*)?\s+([^>]+)>")
_TOKEN = re.compile(
    r'"((?:[^"]|"")*)"|(<exists>|<absent>)|\[[^\]"]*\]|(?<![\w.])([-+]?\d+(?:\.\d*)?(?:[eE][-+]?\d+)?)(?![\w.])'
)


@dataclass(frozen=True)
class Segment:
    """A stretch that somebody marked."""

    start_s: float
    end_s: float
    speaker: str = ""
    """Empty where the file does not say."""
    recording: str = ""
    """What RTTM calls the recording; empty where the file is of one."""
    tier: str = ""
    """Of Praat and ELAN."""


def is_segment_file(text: str) -> bool:
    """Tell whether what ``--segments`` was given names a file."""
    return split_tier(text)[0].suffix.lower() in _READERS


def split_tier(text: str) -> tuple[Path, str]:
    """Return the file and the tier behind ``@``, empty where none is named."""
    name, at, tier = text.rpartition("@")
    known = bool(at) and Path(name).suffix.lower() in (".textgrid", ".eaf")
    return (Path(name), tier.strip()) if known else (Path(text), "")


def read_segments(text: str) -> list[Segment]:
    """Read a file of segments, rising in time; of several tiers a stretch counts once.

    Raises
    ------
    UsageError
        Where it is not there, is not what its ending says, or holds no segment (it lists the tiers).
    """
    path, tier = split_tier(text)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UsageError(
            f"--segments {path}: {error.strerror or error}; expected a file of segments, silence, or a length in "
            "seconds"
        ) from error
    if len(data) > MAX_BYTES:
        raise UsageError(f"--segments {path} has {len(data) >> 20} MiB; such files are small")
    try:
        found = list(_READERS[path.suffix.lower()](_text(data)))
    except (ValueError, ElementTree.ParseError) as error:
        raise UsageError(f"--segments {path} can't be read as {path.suffix}: {error}") from error
    tiers = list(dict.fromkeys(one.tier for one in found if one.tier))
    if tier and tier not in tiers:
        raise UsageError(
            f"--segments {path} has no tier {tier!r} with segments; it has {', '.join(tiers) or 'none'}"
        )
    once = {
        (one.recording, one.start_s, one.end_s): one for one in reversed(found) if not tier or one.tier == tier
    }
    if not once:
        raise UsageError(f"--segments {path} holds no segment; expected cues, lines or intervals with times")
    return sorted(once.values(), key=lambda one: (one.recording, one.start_s, one.end_s))


def segments_of(segments: Sequence[Segment], recording: Path, *, alone: bool) -> list[Segment]:
    """Return the segments of one recording; `alone`: no other recording is asked about.

    Raises
    ------
    UsageError
        Where the file does not say which of several recordings it is of, or not of this one.
    """
    named = {one.recording for one in segments}
    if named == {""} or (alone and len(named) == 1):
        if not alone:
            raise UsageError(
                "--segments: a file of segments is of one recording, and several are to be predicted; name one, "
                "or give RTTM, whose lines name the recording"
            )
        return list(segments)
    found = [one for one in segments if one.recording in (recording.stem, recording.name)]
    if not found:
        raise UsageError(
            f"--segments has no line of {recording.stem}; its recordings are {', '.join(sorted(named)[:10])}"
        )
    return found


def _text(data: bytes) -> str:
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):  # as Praat saves texts that are not ASCII
        return data.decode("utf-16")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("latin-1")  # old subtitles: no time in them is hurt


def _cues(text: str) -> Iterator[Segment]:
    lines = text.splitlines()
    for at, line in enumerate(lines):
        found = _CUE.match(line)
        if found:
            voice = _VOICE.search(lines[at + 1]) if at + 1 < len(lines) else None
            speaker = voice[1].strip() if voice else ""
            yield Segment(_seconds(found.groups()[:4]), _seconds(found.groups()[4:]), speaker)


def _seconds(parts: Sequence[str | None]) -> float:
    hours, minutes, seconds, part = (one or "0" for one in parts)
    return 3600 * int(hours) + 60 * int(minutes) + float(f"{seconds}.{part}")


def _rttm(text: str) -> Iterator[Segment]:
    for number, line in enumerate(text.splitlines(), start=1):
        cells = line.split()
        if not cells or cells[0] != "SPEAKER":
            continue
        if len(cells) < 8:
            raise ValueError(
                f"line {number} has {len(cells)} fields; expected SPEAKER FILE CHANNEL ONSET DURATION …"
            )
        start_s = float(cells[3])
        speaker = "" if cells[7] == "<NA>" else cells[7]
        yield Segment(start_s, start_s + float(cells[4]), speaker, cells[1])


def _labels(text: str) -> Iterator[Segment]:
    for number, line in enumerate(text.splitlines(), start=1):
        cells = line.split("\t")
        if not line.strip() or cells[0].strip() == "\\":  # a line of frequencies
            continue
        if len(cells) < 2:
            raise ValueError(
                f"line {number}: expected start, end and a label between tabs, as Audacity exports them"
            )
        yield Segment(float(cells[0]), float(cells[1]))


def _textgrid(text: str) -> Iterator[Segment]:
    """Read both of Praat's text formats: free-standing numbers, texts and flags count, in their order."""
    tokens: list[str | float] = []
    for found in _TOKEN.finditer(text):
        if found[1] is not None:
            tokens.append('"' + found[1].replace('""', '"'))
        elif found[2]:
            tokens.append(found[2])
        elif found[3]:
            tokens.append(float(found[3]))
    take = iter(tokens)

    def number() -> float:
        one = next(take, None)
        if not isinstance(one, float):
            raise ValueError(f"found {one!r}; expected a number")
        return one

    def words() -> str:
        one = next(take, None)
        if not isinstance(one, str) or not one.startswith('"'):
            raise ValueError(f"found {one!r}; expected a text in quotes")
        return one[1:]

    if words() != "ooTextFile" or words() != "TextGrid":
        raise ValueError("it does not begin as a TextGrid")
    number(), number()
    if next(take, None) != "<exists>":
        return
    for _ in range(int(number())):
        kind, name = words(), words()
        number(), number()
        for _ in range(int(number())):
            start_s = number()
            end_s = number() if kind == "IntervalTier" else start_s
            if words().strip() and kind == "IntervalTier":
                yield Segment(start_s, end_s, name, tier=name)


def _eaf(text: str) -> Iterator[Segment]:
    if re.search(r"<!(DOCTYPE|ENTITY)", text):
        raise ValueError("it declares entities; ELAN writes none")
    root = ElementTree.fromstring(text)
    times = {
        slot.get("TIME_SLOT_ID", ""): int(value) / 1000
        for slot in root.iter("TIME_SLOT")
        if (value := slot.get("TIME_VALUE")) is not None
    }
    for tier in root.iter("TIER"):
        name = tier.get("TIER_ID", "")
        for one in tier.iter("ALIGNABLE_ANNOTATION"):
            ends = [times.get(one.get(key, "")) for key in ("TIME_SLOT_REF1", "TIME_SLOT_REF2")]
            if ends[0] is not None and ends[1] is not None:  # slots without a time lie somewhere between others
                yield Segment(ends[0], ends[1], tier.get("PARTICIPANT") or name, tier=name)


_READERS: dict[str, Callable[[str], Iterator[Segment]]] = {
    ".vtt": _cues,
    ".srt": _cues,
    ".rttm": _rttm,
    ".textgrid": _textgrid,
    ".eaf": _eaf,
    ".txt": _labels,
}
