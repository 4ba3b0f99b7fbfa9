"""A whole recording in one strip: a bar per answered stretch, in its answer's colour, over a clock of mm:ss."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from dualstream.heads.variants.options import Task
from dualstream.pipeline.bundles.predictions import UtteranceAnswer
from dualstream.pipeline.reporting.colours import colours

WIDTH, BAR, AXIS = 960, 34, 30
MOST_TICKS = 10
STEPS_S = (0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200)


def clock(seconds: float) -> str:
    """Return mm:ss, or h:mm:ss from an hour on."""
    whole = round(seconds)
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours}:{minutes:02d}:{whole % 60:02d}" if hours else f"{minutes:02d}:{whole % 60:02d}"


def ticks(start_s: float, end_s: float, most: int = MOST_TICKS) -> list[float]:
    """Return round instants between two, the same step apart, about `most` of them at most."""
    step_s = next((step for step in STEPS_S if (end_s - start_s) / step <= most), STEPS_S[-1])
    first = -int(-start_s // step_s)
    return [k * step_s for k in range(first, int(end_s // step_s) + 1)]


def axis(start_s: float, end_s: float, top: float, height: float, *, most: int = MOST_TICKS) -> str:
    """Return lines and labels of a clock in an SVG of `WIDTH`, below what is `height` high."""
    parts = []
    length_s = max(end_s - start_s, 1e-3)
    for tick_s in ticks(start_s, end_s, most):
        x = WIDTH * (tick_s - start_s) / length_s
        label = clock(tick_s) if tick_s == round(tick_s) else f"{clock(int(tick_s))}.{round(tick_s % 1 * 10)}"
        anchor = "start" if x < 20 else "end" if x > WIDTH - 20 else "middle"
        parts.append(
            f'<path d="M{x:.0f} {top:g}v{height:g}"/>'
            f'<text x="{x:.0f}" y="{top + height + 21:g}" text-anchor="{anchor}">{label}</text>'
        )
    return "".join(parts)


def key(names: Sequence[str]) -> str:
    """Return which colour stands for which class."""
    inks = colours(names)
    return "".join(f'<span><i style="background:{inks[name].css}"></i>{escape(name)}</span>' for name in names)


def overview(
    answered: Sequence[tuple[str, UtteranceAnswer]], vocabulary: Mapping[Task, Sequence[str]]
) -> list[str]:
    """Return the strip of one recording: of (anchor on the page, answer), rising in time."""
    spans = [(one.start_s or 0.0, one.end_s or 0.0) for _, one in answered]
    end_s = max(end for _, end in spans)
    height = BAR * len(vocabulary)
    parts = []
    for row, (task, names) in enumerate(vocabulary.items()):
        inks = colours(names)
        for (anchor, one), (start_s, stop_s) in zip(answered, spans, strict=True):
            said = one.task(task)
            if said is None:
                continue
            x, width = WIDTH * start_s / end_s, max(WIDTH * (stop_s - start_s) / end_s - 0.5, 0.7)
            place = f'x="{x:.1f}" y="{row * BAR + 2}" width="{width:.1f}" height="{BAR - 4}"'
            told = f"{clock(start_s)} {said.answer} {said.probability:.2f}"
            parts.append(
                f'<a href="#{anchor}"><rect {place} '
                f'fill="{inks[said.answer].css}" fill-opacity="{0.3 + 0.7 * said.probability:.2f}">'
                f"<title>{escape(told)}</title></rect></a>"
            )
    label = f"{' and '.join(vocabulary)} from 00:00 to {clock(end_s)}"
    return [
        *(f'<p class="key"><b>{escape(task)}</b> {key(names)}</p>' for task, names in vocabulary.items()),
        f'<svg class="overview" viewBox="0 0 {WIDTH} {height + AXIS}" role="img" aria-label="{escape(label)}">'
        f"{''.join(parts)}{axis(0.0, end_s, 0, height)}</svg>",
        '<p class="note">A bar is a stretch and leads to it; the stronger its colour, the larger the probability '
        f"of its answer. From above: {', '.join(vocabulary)}.</p>",
    ]
