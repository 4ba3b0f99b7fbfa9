"""The figures of a diagnosis: the offset curve, coverage, worth and use of the streams, gains of the changes."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from dualstream.heads.diagnosis.alignment import OffsetCurve
from dualstream.heads.diagnosis.coverage import Coverage
from dualstream.heads.diagnosis.evidence import Evidence
from dualstream.heads.diagnosis.pairs import Offsets
from dualstream.heads.diagnosis.strength import Reliance
from dualstream.pipeline.reporting.drawing import (
    BLUE,
    GREEN,
    GREY,
    GRID,
    INK,
    MUTED,
    ORANGE,
    PURPLE,
    RED,
    DrawnFigure,
    render,
)
from dualstream.pipeline.reporting.tables import answer_mark

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STREAM_COLOURS = (BLUE, ORANGE, GREEN, PURPLE, RED)  # of the first stream, the second, …
LINE = 30  # characters that stand side by side under half a figure
LOST = {"shuffled": 1.0, "hidden": 0.45}  # how opaque the bars are of a stream that is taken away so
GOOD, BAD, UNSURE = GREEN, RED, GREY


def colours(streams: Iterable[str]) -> dict[str, str]:
    """Return the colour of each stream."""
    return dict(zip(streams, itertools.cycle(STREAM_COLOURS), strict=False))


def offset_words(curve: OffsetCurve | None) -> str:
    """Say what the offset curve says."""
    if curve is None:
        return "A stream has no windows: its alignment can't be measured."
    if math.isnan(curve.peak_s):
        return "Too few windows of both streams to look for a shift."
    peak = f"{curve.peak_s:+g} s"
    low, high = curve.peak_interval_s
    return {
        "aligned": "The peak stands at zero: the streams run on one clock.",
        "shifted": f"The peak stands at {peak} ({low:+g} to {high:+g} s), not at zero: one stream runs late.",
        "none": "No shift stands out from chance: these features show no course in time that the streams share.",
        "unknown": f"The peak at {peak} could as well stand elsewhere ({low:+g} to {high:+g} s).",
    }[curve.verdict]


def offset_curve(found: Offsets, *, several: bool = False) -> DrawnFigure | None:
    """Draw the agreement of two streams, `several`: of more, by shift; None where no shift could be scored."""
    curve = found.curve
    if curve is None or math.isnan(curve.peak_s):
        return None
    first, second = found.streams
    # as the document has them
    shift, agreement, low, high = (
        np.round(values, 6) for values in (curve.shift_s, curve.agreement, curve.low, curve.high)
    )

    def plot(figure: Figure) -> None:
        axes = figure.add_subplot()
        axes.axvline(0, color=MUTED, linewidth=0.8, linestyle=":")
        axes.fill_between(shift, low, high, color=BLUE, alpha=0.15, linewidth=0)
        axes.plot(shift, agreement, color=BLUE, marker="o", markersize=4)
        peak = int(np.nanargmax(agreement))
        colour = {"shifted": BAD, "aligned": GOOD}.get(curve.verdict, UNSURE)
        if curve.verdict != "none":
            axes.plot(shift[peak], agreement[peak], "o", color=colour, markersize=8)
        axes.set_xlabel(f"{second} against {first}, seconds (positive: {second} later)")
        axes.set_ylabel("held-out canonical correlation")
        axes.set_title(f"Agreement of {f'{first} and {second}' if several else 'the streams'} by shift")
        axes.grid(axis="y", color=GRID)

    return DrawnFigure(
        f"offset_curve_{first}_{second}" if several else "offset_curve",
        f"Offset curve of {first} and {second}" if several else "Offset curve",
        f"{offset_words(curve)} Band: 95 % interval over dialogues.",
        render(plot, 6.4, 3.2),
    )


def coverage(of_streams: Mapping[str, Coverage]) -> DrawnFigure | None:
    """Draw what each stream has seen; None without windows."""
    seen = {
        name: values.windows_seen for name, values in of_streams.items() if not math.isnan(values.windows_seen)
    }
    if not seen:
        return None

    def plot(figure: Figure) -> None:
        axes = figure.add_subplot()
        names, of = list(seen), colours(of_streams)
        axes.barh(names, [100 * seen[name] for name in names], color=[of[name] for name in names], height=0.5)
        axes.set_xlim(0, 100)
        axes.invert_yaxis()
        axes.set_xlabel("windows of an utterance that the stream has seen, per cent (mean)")
        axes.set_title("Coverage")
        axes.grid(axis="x", color=GRID)

    words = "; ".join(
        f"{name}: median {values.rows_per_utterance:g} rows an utterance"
        for name, values in of_streams.items()
        if not math.isnan(values.rows_per_utterance)
    )
    return DrawnFigure("coverage", "Coverage", words, render(plot, 6.4, 1.0 + 0.4 * max(2, len(seen))))


def worth(evidence: Evidence) -> DrawnFigure:
    """Draw what the streams are worth beside what the head makes of them."""
    strength = evidence.strength
    return worth_of(strength.shapley, strength.lean, speaker_norm=evidence.speaker_norm)


def worth_of(shapley: Mapping[str, float], leans: Sequence[Reliance], *, speaker_norm: bool) -> DrawnFigure:
    """Draw what streams are worth beside what a head loses without each."""
    names = list(shapley)
    of = colours(names)

    def plot(figure: Figure) -> None:
        left, right = figure.subplots(1, 2)
        bars = [of[name] for name in names]
        place = np.arange(len(names))
        left.bar(place, [100 * shapley[name] for name in names], color=bars, width=0.5)
        left.set_xticks(place, names)
        left.set_title(f"Worth (Shapley){answer_mark(speaker_norm=speaker_norm)}")
        left.set_ylabel("points above chance")
        lean = [next(x for x in leans if x.stream == name) for name in names]
        for shift, (word, alpha) in zip((-0.18, 0.18), LOST.items(), strict=True):
            lost = [100 * (x.shuffled if word == "shuffled" else x.masked) for x in lean]
            right.bar(place + shift, lost, color=bars, width=0.34, alpha=alpha)
            right.bar([0], [0], 0, color=MUTED, alpha=alpha, label=word)  # for the legend, of no stream's colour
        right.set_xticks(place, names)
        right.set_title(f"Use: loss without it{answer_mark(speaker_norm=speaker_norm)}")
        right.set_ylabel("points lost")
        figure.legend(*right.get_legend_handles_labels(), loc="outside upper right", ncols=2, fontsize=8)
        for axes in (left, right):
            if sum(map(len, names)) > LINE:
                axes.set_xticks(place, names, rotation=15, ha="right")
            axes.axhline(0, color=INK, linewidth=0.8)
            axes.grid(axis="y", color=GRID)

    caption = "What each stream is worth to the joined score, and what the fitted head loses without it."
    return DrawnFigure("worth", "Worth and use of the streams", caption, render(plot, 7.2, 3.2))


def gains(evidence: Evidence) -> DrawnFigure:
    """Draw what each change brought, with its interval."""
    items = sorted(evidence.interventions.values(), key=lambda item: item.gain.difference)

    def plot(figure: Figure) -> None:
        axes = figure.add_subplot()
        axes.axvline(0, color=INK, linewidth=0.8)
        for row, item in enumerate(items):
            low, high = item.gain.interval or (item.gain.difference,) * 2
            colour = GOOD if low > 0 else BAD if high < 0 else UNSURE
            axes.plot(
                [100 * low, 100 * high], [row, row], color=colour, linewidth=3, alpha=0.5, solid_capstyle="butt"
            )
            axes.plot(100 * item.gain.difference, row, "o", color=colour, markersize=6)
        axes.set_yticks(range(len(items)), [item.name for item in items])
        axes.set_xlabel(f"gain over {evidence.fusion} as it is, points of balanced accuracy")
        axes.set_title(f"What each change brings{answer_mark(speaker_norm=evidence.speaker_norm)}")
        axes.grid(axis="x", color=GRID)

    caption = (
        "Each change refitted on the same folds; bars: 95 % interval of the paired difference over "
        f"{evidence.grouped_by}s. "
        "'Shift by the best offset' is held against 'align windows'. Of so many bars one can be clear of zero "
        "by luck: what is called sure on this page is corrected for their number."
    )
    return DrawnFigure("gains", "Interventions", caption, render(plot, 7.2, 0.6 + 0.34 * len(items) + 0.6))
