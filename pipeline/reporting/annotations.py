"""Answers as files that annotation tools open: subtitles, ELAN, Praat, Audacity, and a table like RTTM's.

Each is of one recording. A probability beside an answer is that of the answer, calibrated.
"""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from dualstream.heads.variants.options import Task
from dualstream.pipeline.bundles.predictions import ANSWERED, PredictionReport, UtteranceAnswer

KINDS = {
    "vtt": ".vtt",
    "srt": ".srt",
    "elan": ".eaf",
    "textgrid": ".TextGrid",
    "audacity": ".txt",
    "rttm": ".rttm.csv",
}
"""What there is, as the options are called, and how such a file's name ends."""
RTTM_COLUMNS = ("type", "file", "channel", "onset_s", "duration_s", "label", "probability", "speaker")


@dataclass(frozen=True)
class Mark:
    """An answered stretch of a recording."""

    start_s: float
    end_s: float
    answers: Mapping[Task, tuple[str, float]]
    """Of each task the answer and its probability."""
    speaker: str = ""

    @property
    def words(self) -> list[str]:
        """A text for each task, such as ``joy 0.83``."""
        return [f"{name} {probability:.2f}" for name, probability in self.answers.values()]


@dataclass(frozen=True)
class Recording:
    """What is to be said of one file."""

    path: Path
    marks: tuple[Mark, ...]
    """Rising in time."""

    @property
    def end_s(self) -> float:
        """Where the last mark ends."""
        return max((mark.end_s for mark in self.marks), default=0.0)


def recordings(report: PredictionReport) -> list[Recording]:
    """Return the answers of each recording, in the order of the report; without an answer there is no mark."""
    found: dict[str, list[Mark]] = {}
    for one in report.utterances:
        marks = found.setdefault(one.path or one.name, [])
        if one.status == ANSWERED and (mark := _mark(one, report)) is not None:
            marks.append(mark)
    ordered = {path: sorted(marks, key=lambda mark: (mark.start_s, mark.end_s)) for path, marks in found.items()}
    return [Recording(Path(path), tuple(marks)) for path, marks in ordered.items()]


def _mark(one: UtteranceAnswer, report: PredictionReport) -> Mark | None:
    start_s = one.start_s or 0.0
    end_s = one.end_s if one.end_s is not None else start_s + (one.duration_s or 0.0)
    if end_s <= start_s:
        return None
    answers: dict[Task, tuple[str, float]] = {
        task: (said.answer, said.probability) for task in report.vocabulary if (said := one.task(task)) is not None
    }
    return Mark(start_s, end_s, answers, one.speaker or "")


def write(kind: str, recording: Recording) -> str:
    """Return the text of a file of a kind."""
    return _WRITERS[kind](recording)


def _vtt(recording: Recording) -> str:
    blocks = ["WEBVTT"]
    for number, mark in enumerate(recording.marks, start=1):
        voice = f"<v {escape(mark.speaker, quote=False)}>" if mark.speaker else ""
        words = [escape(text, quote=False) for text in mark.words]
        span = f"{_clock(mark.start_s, '.')} --> {_clock(mark.end_s, '.')}"
        blocks.append("\n".join([str(number), span, f"{voice}{words[0] if words else ''}", *words[1:]]))
    return "\n\n".join(blocks) + "\n"


def _srt(recording: Recording) -> str:
    blocks = []
    for number, mark in enumerate(recording.marks, start=1):
        speaker = [f"{mark.speaker}:"] if mark.speaker else []
        span = f"{_clock(mark.start_s, ',')} --> {_clock(mark.end_s, ',')}"
        blocks.append("\n".join([str(number), span, *speaker, *mark.words]) + "\n")
    return "\n".join(blocks)


def _clock(seconds: float, point: str) -> str:
    whole, milliseconds = divmod(round(seconds * 1000), 1000)
    return f"{whole // 3600:02d}:{whole // 60 % 60:02d}:{whole % 60:02d}{point}{milliseconds:03d}"


def _audacity(recording: Recording) -> str:
    lines = [
        f"{mark.start_s:.6f}\t{mark.end_s:.6f}\t{', '.join(_plain(text) for text in mark.words)}\n"
        for mark in recording.marks
    ]
    return "".join(lines)


def _rttm(recording: Recording) -> str:
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(RTTM_COLUMNS)
    for mark in recording.marks:
        for task, (name, probability) in mark.answers.items():
            span = f"{mark.start_s:.3f}", f"{mark.end_s - mark.start_s:.3f}"
            speaker = mark.speaker or "<NA>"
            writer.writerow([task.upper(), recording.path.stem, 1, *span, name, f"{probability:.4f}", speaker])
    return out.getvalue()


def _plain(text: str) -> str:
    return " ".join(text.split())


Cell = tuple[float, float, str]


def _tiers(recording: Recording) -> Iterable[tuple[str, list[Cell], list[Cell]]]:
    """Yield name, answers and probabilities of each tier; marks that overlap go to further tiers."""
    tasks = list(dict.fromkeys(task for mark in recording.marks for task in mark.answers))
    for lane, marks in enumerate(_lanes(recording.marks), start=1):
        for task in tasks:
            there = [mark for mark in marks if task in mark.answers]
            answers = [(mark.start_s, mark.end_s, _plain(mark.answers[task][0])) for mark in there]
            shares = [(mark.start_s, mark.end_s, f"{mark.answers[task][1]:.2f}") for mark in there]
            yield task if lane == 1 else f"{task} {lane}", answers, shares


def _lanes(marks: Sequence[Mark]) -> list[list[Mark]]:
    lanes: list[list[Mark]] = []
    for mark in marks:
        free = next((lane for lane in lanes if lane[-1].end_s <= mark.start_s + 5e-4), None)
        if free is None:
            lanes.append([mark])
        else:
            free.append(mark)
    return lanes


def _textgrid(recording: Recording) -> str:
    tiers = [
        (title, cells)
        for name, answers, shares in _tiers(recording)
        for title, cells in ((name, answers), (f"{name} probability", shares))
    ]
    end_s = recording.end_s or 1.0
    lines = ['File type = "ooTextFile"', 'Object class = "TextGrid"', "", "xmin = 0", f"xmax = {end_s:.3f}"]
    lines += ["tiers? <exists>", f"size = {len(tiers)}", "item []:"]
    for number, (title, cells) in enumerate(tiers, start=1):
        filled = _filled(cells, end_s)
        lines += [f"    item [{number}]:", '        class = "IntervalTier"', f"        name = {_quoted(title)}"]
        lines += ["        xmin = 0", f"        xmax = {end_s:.3f}", f"        intervals: size = {len(filled)}"]
        for at, (start_s, stop_s, text) in enumerate(filled, start=1):
            lines += [f"        intervals [{at}]:", f"            xmin = {start_s:.3f}"]
            lines += [f"            xmax = {stop_s:.3f}", f"            text = {_quoted(text)}"]
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def _filled(cells: Sequence[Cell], end_s: float) -> list[Cell]:
    """Return intervals that leave no gap from 0 to the end, as Praat wants them."""
    full: list[Cell] = []
    at_s = 0.0
    for start_s, stop_s, text in cells:
        if start_s - at_s > 5e-4:
            full.append((at_s, start_s, ""))
        full.append((at_s if start_s - at_s <= 5e-4 else start_s, stop_s, text))
        at_s = stop_s
    if end_s - at_s > 5e-4 or not full:
        full.append((at_s, end_s, ""))
    return full


def _elan(recording: Recording) -> str:
    """Write EAF 3.0: an answer per annotation, and its probability in a tier that depends on it."""
    root = Element(
        "ANNOTATION_DOCUMENT",
        {"AUTHOR": "", "DATE": time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime()), "FORMAT": "3.0"}
        | {"VERSION": "3.0", "xmlns:xsi": "http://www.w3.org/2001/XMLSchema-instance"}
        | {"xsi:noNamespaceSchemaLocation": "http://www.mpi.nl/tools/elan/EAFv3.0.xsd"},
    )
    header = SubElement(root, "HEADER", {"MEDIA_FILE": "", "TIME_UNITS": "milliseconds"})
    name = recording.path.name
    url = {"MEDIA_URL": recording.path.name, "RELATIVE_MEDIA_URL": f"./{name}", "MIME_TYPE": "unknown"}
    SubElement(header, "MEDIA_DESCRIPTOR", url)
    order = SubElement(root, "TIME_ORDER")
    slots: dict[int, str] = {}
    tiers = list(_tiers(recording))
    ends = sorted(
        {
            round(1000 * edge_s)
            for _, cells, _ in tiers
            for start_s, end_s, _ in cells
            for edge_s in (start_s, end_s)
        }
    )
    for number, edge in enumerate(ends, start=1):
        slots[edge] = f"ts{number}"
        SubElement(order, "TIME_SLOT", {"TIME_SLOT_ID": slots[edge], "TIME_VALUE": str(edge)})
    count = 0
    for title, answers, shares in tiers:
        tier = SubElement(root, "TIER", {"LINGUISTIC_TYPE_REF": "answer", "TIER_ID": title})
        below = {"LINGUISTIC_TYPE_REF": "probability", "PARENT_REF": title, "TIER_ID": f"{title} probability"}
        child = SubElement(root, "TIER", below)
        for (start_s, end_s, text), (_, _, share) in zip(answers, shares, strict=True):
            count += 1
            times = {"TIME_SLOT_REF1": slots[round(1000 * start_s)], "TIME_SLOT_REF2": slots[round(1000 * end_s)]}
            _annotation(tier, "ALIGNABLE_ANNOTATION", {"ANNOTATION_ID": f"a{count}", **times}, text)
            _annotation(
                child, "REF_ANNOTATION", {"ANNOTATION_ID": f"p{count}", "ANNOTATION_REF": f"a{count}"}, share
            )
    free = {"GRAPHIC_REFERENCES": "false", "LINGUISTIC_TYPE_ID": "answer", "TIME_ALIGNABLE": "true"}
    SubElement(root, "LINGUISTIC_TYPE", free)
    bound = {"CONSTRAINTS": "Symbolic_Association", "GRAPHIC_REFERENCES": "false"}
    SubElement(root, "LINGUISTIC_TYPE", {**bound, "LINGUISTIC_TYPE_ID": "probability", "TIME_ALIGNABLE": "false"})
    words = "1-1 association with a parent annotation"
    SubElement(root, "CONSTRAINT", {"DESCRIPTION": words, "STEREOTYPE": "Symbolic_Association"})
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def _annotation(tier: Element, kind: str, facts: dict[str, str], text: str) -> None:
    one = SubElement(SubElement(tier, "ANNOTATION"), kind, facts)
    SubElement(one, "ANNOTATION_VALUE").text = text


_WRITERS: dict[str, Callable[[Recording], str]] = {
    "vtt": _vtt,
    "srt": _srt,
    "elan": _elan,
    "textgrid": _textgrid,
    "audacity": _audacity,
    "rttm": _rttm,
}
