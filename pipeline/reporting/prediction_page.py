"""Predictions as one HTML page: each clip's thumbnails, a timeline under them, and its answer. No script."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from html import escape

import numpy as np
from dualstream.heads.variants.options import Task
from dualstream.pipeline.bundles.predictions import FAILED, PredictionReport, UtteranceAnswer
from dualstream.pipeline.bundles.timeline import Timeline
from dualstream.pipeline.reporting.page import CSS, POLICY
from dualstream.pipeline.reporting.prediction_report import note
from numpy.typing import NDArray

WIDTH, HEIGHT, THUMBNAIL_PX = 960, 120, 96
EDGE = 3  # above and below the curves, so that a line at 0 or 1 is seen whole
INK = (
    "#2563a8",
    "#d97706",
    "#2f855a",
    "#c53030",
    "#6b46c1",
    "#7c4a21",
    "#d53f8c",
    "#4a5568",
    "#0891b2",
    "#8a8a00",
)
INK_OF = {"negative": "#c53030", "neutral": "#2563a8", "positive": "#2f855a"}  # whatever their order
OWN_CSS = """
.strip { position:relative; max-width:960px; margin:.4rem 0 }
.thumbs { display:flex; gap:2px; overflow:hidden; justify-content:space-around }
.thumbs img { height:96px; display:block; flex:0 1 auto; min-width:0; object-fit:cover; border-radius:3px }
svg { display:block; width:100%; max-width:960px; height:auto; background:var(--soft); border-radius:6px }
.key { font-size:.82rem; color:var(--muted); max-width:960px; margin:.6rem 0 .2rem }
.key span { display:inline-block; margin-right:.9rem }
.key i { display:inline-block; width:.8em; height:.8em; border-radius:2px; margin-right:.3em }
.bad { color:#9a3b3b }
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
    for one, timeline in zip(report.utterances, timelines, strict=True):
        body += _utterance(one, timeline, report.vocabulary)
    inner = "\n".join(body)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{CSS}{OWN_CSS}</style>\n</head>\n<body>\n<main>\n{inner}\n"
        "</main>\n</body>\n</html>\n"
    )


def _utterance(
    one: UtteranceAnswer, timeline: Timeline | None, vocabulary: Mapping[Task, Sequence[str]]
) -> list[str]:
    parts = [f"<h2>{escape(one.name)}</h2>"]
    if one.status == FAILED:
        return [*parts, f'<p class="bad">no answer: {escape(one.reason)}</p>']
    answers = {task: answer for task in vocabulary if (answer := one.task(task)) is not None}
    said = [f"{task}: <b>{escape(each.answer)}</b> {each.probability:.2f}" for task, each in answers.items()]
    told = f"; without {' and '.join(one.missing)}" if one.missing else ""
    parts.append(f"<p>{'; '.join(said)}{escape(told)}</p>")
    if note(one):
        parts.append(f'<p class="note">{escape(note(one))}</p>')
    if timeline is not None:
        if timeline.thumbnails:
            pictures = "".join(
                f'<img alt="at {time_s:.1f} s" title="{time_s:.1f} s" src="data:image/jpeg;base64,'
                f'{_base64(frame, timeline.aspect)}">'
                for time_s, frame in timeline.thumbnails
            )
            parts.append(f'<div class="strip thumbs">{pictures}</div>')
        for task, rows in timeline.probabilities.items():
            parts += _curve(task, timeline, rows, vocabulary[task])
    cells = []
    for task, each in answers.items():
        shown = ", ".join(f"{escape(name)} {each.probabilities[name]:.2f}" for name in vocabulary[task])
        cells.append(f"<dt>{escape(task)}</dt><dd>{shown}</dd>")
    return [*parts, f"<dl>{''.join(cells)}</dl>"]


def _curve(task: str, timeline: Timeline, rows: NDArray[np.float64], names: Sequence[str]) -> list[str]:
    """Draw the probability of each class over time, as far as there is one."""
    end_s = max(timeline.duration_s, 1e-3)
    lines = [
        f'<line x1="0" x2="{WIDTH}" y1="{HEIGHT * share:.1f}" y2="{HEIGHT * share:.1f}" stroke="#dde3ea"/>'
        for share in (0.25, 0.5, 0.75)
    ]
    for code, name in enumerate(names):
        colour = _ink(code, name)
        for run in _runs(np.isfinite(rows[:, code])):
            points = [(WIDTH * timeline.time_s[k] / end_s, HEIGHT * (1 - rows[k, code])) for k in run]
            if len(points) == 1:
                lines.append(f'<circle cx="{points[0][0]:.1f}" cy="{points[0][1]:.1f}" r="4" fill="{colour}"/>')
            path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
            lines.append(
                f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2.5">'
                f"<title>{escape(name)}</title></polyline>"
            )
    key = "".join(
        f'<span><i style="background:{_ink(code, name)}"></i>{escape(name)}</span>'
        for code, name in enumerate(names)
    )
    return [
        f'<p class="key"><b>{escape(task)}</b> 0 to {end_s:.1f} s, probability 0 to 1: {key}</p>',
        f'<svg viewBox="0 {-EDGE} {WIDTH} {HEIGHT + 2 * EDGE}" role="img" aria-label="{escape(task)} over time">'
        f"{''.join(lines)}</svg>",
    ]


def _ink(code: int, name: str) -> str:
    return INK_OF.get(name, INK[code % len(INK)])


def _runs(there: NDArray[np.bool_]) -> list[NDArray[np.int64]]:
    """Return the stretches of True, as indices."""
    index = np.flatnonzero(there)
    return [part for part in np.split(index, np.flatnonzero(np.diff(index) > 1) + 1) if len(part)]


def jpeg(frame: NDArray[np.uint8], aspect: float) -> bytes:
    """Return a frame as a small JPEG, as wide as it was in the clip."""
    from PIL import Image

    picture = Image.fromarray(frame).resize((max(1, round(THUMBNAIL_PX * aspect)), THUMBNAIL_PX))
    data = io.BytesIO()
    picture.save(data, format="JPEG", quality=80)
    return data.getvalue()


def _base64(frame: NDArray[np.uint8], aspect: float) -> str:
    return base64.b64encode(jpeg(frame, aspect)).decode("ascii")
