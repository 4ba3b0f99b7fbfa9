"""Predictions as one HTML page: a recording in one strip, each clip's thumbnails, timeline and answer. No script.

A page of a recording stays below 1 MB per 10 minutes: its thumbnails have a budget, colours are explained once.
"""

from __future__ import annotations

import base64
import io
import math
import re
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from dualstream.features.faces.rows import CHOSEN, STATES, FaceRows, words_of
from dualstream.heads.variants.options import Task
from dualstream.pipeline.bundles.predictions import FAILED, PredictionReport, UtteranceAnswer
from dualstream.pipeline.bundles.timeline import FaceView, Timeline
from dualstream.pipeline.reporting.colours import colours
from dualstream.pipeline.reporting.face_drawing import BOX_WORDS, CURVE_CSS, score_curve, with_boxes
from dualstream.pipeline.reporting.prediction_report import note
from dualstream.pipeline.reporting.recording_overview import AXIS, MOST_TICKS, WIDTH, axis, clock, key, overview
from dualstream.pipeline.reporting.style import html_page
from numpy.typing import NDArray

HEIGHT, THUMBNAIL_PX = 120, 96
EDGE = 3  # above and below the curves, so that a line at 0 or 1 is seen whole
BYTES_PER_S = 400  # of thumbnails of a recording, as they stand in the page
LEAST_BYTES = 60_000
SECONDS_PER_THUMBNAIL = 5.0
LEAST_POINTS = 3  # of a curve in a recording: fewer show no shape
CUT = re.compile(r" \[[\d.]+-[\d.]+ s\]$")  # what a segment's name ends with
OWN_CSS = """
.strip { position:relative; max-width:960px; margin:.4rem 0 }
.thumbs { display:flex; gap:2px; overflow:hidden; justify-content:space-around }
.faces { flex-wrap:wrap; justify-content:flex-start; gap:6px }
.faces figure { margin:0; font-size:.75rem; color:var(--muted) }
.thumbs img { height:96px; display:block; flex:0 1 auto; min-width:0; object-fit:cover; border-radius:3px }
svg { display:block; width:100%; max-width:960px; height:auto; background:var(--soft); border-radius:6px }
.key { font-size:.82rem; color:var(--muted); max-width:960px; margin:.6rem 0 .2rem }
.key span { display:inline-block; margin-right:.9rem }
.key i { display:inline-block; width:.8em; height:.8em; border-radius:2px; margin-right:.3em }
svg polyline { fill:none; stroke-width:2.5 }
svg path { stroke:var(--grey); stroke-opacity:.35 }
svg text { font-size:13px; fill:var(--muted); font-variant-numeric:tabular-nums }
.overview { margin:.4rem 0 }
.bad { color:var(--red) }
@media (max-width:640px) { svg text { font-size:26px } svg text:nth-of-type(even) { display:none } }
"""


def prediction_page(report: PredictionReport, timelines: Sequence[Timeline | None]) -> str:
    """Return the page; everything that a file or a bundle says is escaped, nothing is loaded from outside.

    Parameters
    ----------
    report
        What `predict` returns.
    timelines
        One an utterance; None where there is none.
    """
    count, failed = len(report.utterances), report.failed
    title = f"{count} utterance{'s' if count != 1 else ''}, answered by {report.variant}"
    body = [
        f"<h1>{escape(title)}</h1>",
        f'<p class="lead">{escape(report.bundle)}; {count - failed} answered, {failed} not. '
        "Probabilities are calibrated on held-out clips of the corpus that the heads were fitted on. They "
        "tell which label annotators would likely give, not what a person feels.</p>",
    ]
    body += [f'<div class="warn">{escape(text)}</div>' for text in [*report.warnings, *report.notes]]
    if report.timeline_s is not None:
        body.append(
            f'<p class="note">Timelines: the point at a moment is the answer for the {report.timeline_s:g} '
            "seconds around it, taken for a clip of its own. Stretches overlap, and the heads were fitted on "
            "whole utterances: read the shape, not the digits.</p>"
        )
    anchors = [f"u{number}" for number in range(1, count + 1)]
    of_recording = _recordings(report, anchors)
    pictures = _pictures(report, timelines)
    for place, (one, timeline) in enumerate(zip(report.utterances, timelines, strict=True)):
        stretches = of_recording.get(one.path or "", [])
        if stretches and stretches[0][0] == anchors[place]:
            body += [f"<h2>{escape(_recording(one))}</h2>", *overview(stretches, report.vocabulary)]
        compact = bool(stretches)
        body += _utterance(one, timeline, report.vocabulary, anchors[place], pictures[place], compact=compact)
    return html_page(title, "\n".join(body), css=OWN_CSS + CURVE_CSS)


def _recordings(report: PredictionReport, anchors: Sequence[str]) -> dict[str, list[tuple[str, UtteranceAnswer]]]:
    """Return the answered stretches of each file that has several, with their places on the page."""
    found: dict[str, list[tuple[str, UtteranceAnswer]]] = {}
    for anchor, one in zip(anchors, report.utterances, strict=True):
        if one.path and one.status != FAILED and one.end_s is not None:
            found.setdefault(one.path, []).append((anchor, one))
    return {path: stretches for path, stretches in found.items() if len(stretches) > 1}


def _recording(one: UtteranceAnswer) -> str:
    """Return what the recording of a stretch is called; rows of a manifest have names of their own."""
    whole = _whole(one.name)
    return whole if whole != one.name or one.path is None else Path(one.path).name


def _whole(name: str) -> str:
    return CUT.sub("", name)


def _utterance(
    one: UtteranceAnswer,
    timeline: Timeline | None,
    vocabulary: Mapping[Task, Sequence[str]],
    anchor: str,
    pictures: Sequence[_Picture],
    *,
    compact: bool,
) -> list[str]:
    """Return an utterance's part of the page; `compact`: the overview above has said what colours mean."""
    name = escape(one.name)
    if one.start_s is not None and one.end_s is not None:
        name = f"{escape(_whole(one.name))} {clock(one.start_s)}–{clock(one.end_s)}"
    parts = [f'<h{3 if compact else 2} id="{anchor}">{name}</h{3 if compact else 2}>']
    if one.status == FAILED:
        return [*parts, f'<p class="bad">no answer: {escape(one.reason)}</p>']
    answers = {task: answer for task in vocabulary if (answer := one.task(task)) is not None}
    said = [f"{task}: <b>{escape(each.answer)}</b> {each.probability:.2f}" for task, each in answers.items()]
    told = f"; without {' and '.join(one.missing)}" if one.missing else ""
    parts.append(f"<p>{'; '.join(said)}{escape(told)}</p>")
    if note(one):
        parts.append(f'<p class="note">{escape(note(one))}</p>')
    start_s = one.start_s or 0.0
    if timeline is not None and timeline.faces is not None:
        parts.append(f'<p class="note">{escape(_faces_words(timeline.faces))}</p>')
    if pictures:
        of_faces = " faces" if any(one.told for one in pictures) else ""
        parts.append(f'<div class="strip thumbs{of_faces}">{"".join(one.html(start_s) for one in pictures)}</div>')
    if timeline is not None and not (compact and len(timeline.time_s) < LEAST_POINTS):
        for task, rows in timeline.probabilities.items():
            parts += _curve(task, timeline, rows, vocabulary[task], start_s, keyed=not compact)
        if timeline.faces is not None and len(timeline.faces):
            parts += ['<p class="key"><b>faces</b></p>', score_curve(timeline.faces, timeline.time_s)]
    cells = []
    for task, each in answers.items():
        shown = ", ".join(f"{escape(name)} {each.probabilities[name]:.2f}" for name in vocabulary[task])
        cells.append(f"<dt>{escape(task)}</dt><dd>{shown}</dd>")
    return [*parts, f"<dl>{''.join(cells)}</dl>"]


def _faces_words(faces: FaceRows) -> str:
    """Say whose face the pictures show, and how it was chosen."""
    shown = int(np.isin(faces.state, CHOSEN).sum())
    counts = ", ".join(f"{count} {name}" for name, count in faces.summary().items() if name in STATES)
    several = int((faces.in_view > 1).sum())
    beside = f"; {several} have several faces in view" if several else ""
    return (
        f"{BOX_WORDS} A face is shown in {shown} of {len(faces)} windows, the others are masked: {counts}{beside}."
    )


def _curve(
    task: Task,
    timeline: Timeline,
    rows: NDArray[np.float64],
    names: Sequence[str],
    start_s: float,
    *,
    keyed: bool,
) -> list[str]:
    """Draw the probability of each class over time, as far as there is one; the clock is the recording's."""
    end_s = max(timeline.duration_s, 1e-3)
    inks = colours(names)
    lines = [axis(start_s, start_s + end_s, 0, HEIGHT, most=MOST_TICKS if keyed else MOST_TICKS // 2)]
    for code, name in enumerate(names):
        colour, title = inks[name].css, f"<title>{escape(name)}</title>" if keyed else ""
        for run in _runs(np.isfinite(rows[:, code])):
            points = [(WIDTH * timeline.time_s[k] / end_s, HEIGHT * (1 - rows[k, code])) for k in run]
            if len(points) == 1:
                lines.append(f'<circle cx="{points[0][0]:.0f}" cy="{points[0][1]:.0f}" r="4" fill="{colour}"/>')
            path = " ".join(f"{x:.0f},{y:.0f}" for x, y in points)
            lines.append(f'<polyline points="{path}" stroke="{colour}">{title}</polyline>')
    span = f"{clock(start_s)} to {clock(start_s + end_s)}"
    return [
        f'<p class="key"><b>{escape(task)}</b> {span}, probability 0 to 1{": " + key(names) if keyed else ""}</p>',
        f'<svg viewBox="0 {-EDGE} {WIDTH} {HEIGHT + 2 * EDGE + AXIS}" role="img" '
        f'aria-label="{escape(task)} over time">{"".join(lines)}</svg>',
    ]


class _Picture(NamedTuple):
    """A thumbnail as it stands in the page."""

    time_s: float
    jpeg: str
    told: str = ""
    """How its face was chosen."""

    def html(self, start_s: float) -> str:
        """Return the element, with what is told below it; `start_s`: of the stretch, on the page's clock."""
        when = clock(start_s + self.time_s)
        picture = f'<img alt="at {when}" title="{when}" src="data:image/jpeg;base64,{self.jpeg}">'
        if not self.told:
            return picture
        return f"<figure>{picture}<figcaption>{when} {escape(self.told)}</figcaption></figure>"


def _pictures(report: PredictionReport, timelines: Sequence[Timeline | None]) -> list[list[_Picture]]:
    """Return the thumbnails of each utterance: of a recording, as many as its length allows."""
    found: list[list[_Picture]] = []
    places: dict[str, list[int]] = {}
    for place, (one, timeline) in enumerate(zip(report.utterances, timelines, strict=True)):
        kept = [] if timeline is None else _thumbnails(timeline)
        cut = one.path is not None and one.end_s is not None
        if cut and timeline is not None:
            places.setdefault(one.path or "", []).append(place)
            kept = _spread(kept, max(1, round(timeline.duration_s / SECONDS_PER_THUMBNAIL)))
        quality = 60 if cut else 80
        found.append([_Picture(seen.time_s, _text(seen.frame, seen.aspect, quality), seen.told) for seen in kept])
    for inside in places.values():
        seconds = sum(shown.duration_s for place in inside if (shown := timelines[place]) is not None)
        size = sum(len(picture.jpeg) for place in inside for picture in found[place])
        step = math.ceil(size / max(LEAST_BYTES, BYTES_PER_S * seconds)) if size else 1
        for number, place in enumerate(inside):
            if number % step:
                found[place] = []
    return found


class _Thumbnail(NamedTuple):
    time_s: float
    frame: NDArray[np.uint8]
    aspect: float
    """Width over height that it is shown with."""
    told: str = ""


def _thumbnails(timeline: Timeline) -> list[_Thumbnail]:
    """Return the frames that were kept, or, where faces were looked for, windows with their boxes and crops."""
    faces = timeline.faces
    if faces is None or not timeline.views:
        return [_Thumbnail(time_s, frame, timeline.aspect) for time_s, frame in timeline.thumbnails]
    found = []
    for one in timeline.views:
        picture = _view(one, faces)
        aspect = picture.shape[1] / picture.shape[0]
        found.append(_Thumbnail(one.scene.time_s, picture, aspect, words_of(faces, one.window)))
    return found


def _view(one: FaceView, faces: FaceRows) -> NDArray[np.uint8]:
    """Return a window's picture with boxes, and beside it the crop."""
    from PIL import Image

    height, width = one.scene.picture.shape[:2]
    size = max(1, round(THUMBNAIL_PX * width / height)), THUMBNAIL_PX  # lines are as wide as they are drawn
    others = [box for track, box in one.scene.faces.items() if track != faces.track[one.window]]
    small = np.asarray(Image.fromarray(one.scene.picture).resize(size))
    picture = with_boxes(small, faces, one.window, others, words=False)
    if one.crop is None:
        return picture
    return np.concatenate(
        [picture, np.asarray(Image.fromarray(one.crop).resize((THUMBNAIL_PX, THUMBNAIL_PX)))], axis=1
    )


def _spread(frames: list[Any], count: int) -> list[Any]:
    """Return `count` of the frames, spread evenly."""
    if len(frames) <= count:
        return frames
    return [frames[round((2 * k + 1) * len(frames) / (2 * count) - 0.5)] for k in range(count)]


def _runs(there: NDArray[np.bool_]) -> list[NDArray[np.int64]]:
    """Return the stretches of True, as indices."""
    index = np.flatnonzero(there)
    return [part for part in np.split(index, np.flatnonzero(np.diff(index) > 1) + 1) if len(part)]


def jpeg(frame: NDArray[np.uint8], aspect: float, *, quality: int = 80) -> bytes:
    """Return a frame as a small JPEG, as wide as it was in the clip."""
    from PIL import Image

    picture = Image.fromarray(frame).resize((max(1, round(THUMBNAIL_PX * aspect)), THUMBNAIL_PX))
    data = io.BytesIO()
    picture.save(data, format="JPEG", quality=quality)
    return data.getvalue()


def _text(frame: NDArray[np.uint8], aspect: float, quality: int) -> str:
    return base64.b64encode(jpeg(frame, aspect, quality=quality)).decode("ascii")
